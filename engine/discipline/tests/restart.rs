//! A program that ends or crashes, and starts again with what it kept.

use timeball_discipline::state::Outdated;
use timeball_discipline::{Config, Event, Steering};
use timeball_sim::{ClockModel, S, Server, World, config};
use timeball_time::{Interval, Leap, LeapKind, LeapMaker, LeapSecond, Rate, Timestamp};

fn lan(config: Config) -> World {
    World::new(5, config, ClockModel::default(), vec![Server::default(); 3])
}

#[test]
fn a_restart_serves_at_once_what_was_known_and_goes_on_from_there() {
    for down_s in [1, 30, 1_800] {
        let mut world = lan(config(3));
        world.run_to(3_000);
        world.end();
        world.pass(down_s);
        assert_eq!(world.start(config(3)), Ok(()), "{down_s}");
        assert!(world.is_synchronised() && world.snapshot.stratum.get() == 2);
        assert_eq!(world.count(|e| matches!(e, Event::Restored { .. })), 1);
        // Root distance holds in every second: the world would say otherwise.
        world.run_to(3_000 + down_s + 4_000);
        let looks = &world.looks[3_001 + down_s as usize..];
        assert!(looks.iter().all(|look| look.synchronised), "without a gap");
        let worst = looks.iter().map(|look| look.error.abs()).fold(0.0, f64::max);
        assert!(worst < 5e-4, "{down_s}: {worst}");
        assert_eq!(world.count(|e| matches!(e, Event::Stepped { .. })), 0);
    }
}

#[test]
fn a_crash_costs_five_minutes_of_knowledge_and_not_the_service() {
    let mut world = lan(config(3));
    world.run_to(3_290);
    world.pass(5);
    assert_eq!(world.start(config(3)), Ok(()));
    assert!(world.is_synchronised());
    world.run_to(5_000);
    assert!(world.looks[3_297..].iter().all(|look| look.error.abs() < 5e-4));
}

#[test]
fn a_kernel_clock_that_is_steered_runs_on_and_is_found_again() {
    let steered = |frequency| Config { steering: Steering::Kernel { frequency }, ..config(3) };
    let mut world = lan(steered(Rate::ZERO));
    world.run_to(3_000);
    world.end();
    world.pass(60);
    let applied = world.state_saved.expect("kept").kernel_frequency;
    assert!(applied != Rate::ZERO);
    assert_eq!(world.start(steered(applied)), Ok(()));
    world.run_to(4_000);
    assert!(world.looks[3_061..].iter().all(|look| look.synchronised && look.error.abs() < 5e-4));
    world.end();
    assert_eq!(world.start(steered(Rate::ZERO)), Err(Outdated::Frequency));
}

#[test]
fn a_clock_that_somebody_touched_meanwhile_is_measured_anew() {
    let mut world = lan(config(3));
    world.run_to(3_000);
    world.end();
    world.step_clock(1.5, false);
    assert_eq!(world.start(config(3)), Err(Outdated::Stepped));
    assert!(!world.is_synchronised());
    world.run_to(3_012);
    assert!(world.is_synchronised() && world.error().abs() < 1e-3, "in seconds, all the same");
    world.run_to(4_000);
    world.end();
    world.suspend(100, 0.0);
    assert_eq!(world.start(config(3)), Err(Outdated::Suspended));
    world.run_to(5_000);
    world.end();
    world.pass(7 * 3_600);
    assert_eq!(world.start(config(3)), Err(Outdated::Age));
    let strict = Config { max_root_distance: Interval::from_millis(1), ..config(3) };
    world.run_to(32_000);
    world.end();
    world.pass(600);
    assert_eq!(world.start(strict), Err(Outdated::Distance));
}

#[test]
fn those_who_lie_after_a_restart_are_not_followed() {
    let mut world = lan(config(3));
    world.run_to(3_000);
    world.end();
    // The one that answers first lies, the others are slow to come back.
    world.servers[0].lie = 0.05;
    world.servers[1].silent = true;
    world.servers[2].silent = true;
    world.pass(5);
    assert_eq!(world.start(config(3)), Ok(()));
    world.run_to(3_100);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    world.servers[1].silent = false;
    world.servers[2].silent = false;
    world.run_to(4_000);
    assert!(world.error().abs() < 1e-3 && world.is_synchronised());
}

#[test]
fn a_restart_neither_misses_a_leap_nor_makes_it_twice() {
    const MIDNIGHT: i64 = 1_798_761_600 * S;
    let leap = LeapSecond {
        midnight: Timestamp::from_nanos(MIDNIGHT),
        kind: LeapKind::Insert,
        made_by: LeapMaker::Mapping,
    };
    // Seconds to midnight when it ends; when it starts again.
    for (ends, starts) in [(20, 10), (10, -10), (0, -1), (-1, -3)] {
        let start = MIDNIGHT - 2_000 * S - S / 2;
        let server = Server { leap: Leap::Insert, leap_second: Some(leap), ..Server::default() };
        let model = ClockModel { start, ..ClockModel::default() };
        let mut world = World::new(5, config(3), model, vec![server; 3]);
        world.leap = Some(leap);
        world.run_to(2_000 - ends);
        world.end();
        world.pass(ends - starts);
        assert_eq!(world.start(config(3)), Ok(()));
        world.run_to(4_000);
        assert_eq!(world.count(|e| matches!(e, Event::LeapMade { .. })), 1, "{ends}");
        let looks = &world.looks[(2_002 - starts) as usize..];
        let worst = looks.iter().map(|look| look.error.abs()).fold(0.0, f64::max);
        assert!(worst < 1e-3, "{ends}: {worst}");
    }
}
