//! What goes wrong with clocks: every fault of time ends corrected at once or as leap 3.

use timeball_discipline::{Action, Actions, Config, Event, LocalConfig, Waiting};
use timeball_sim::{ClockModel, EPOCH, S, Server, World, config};
use timeball_time::{Interval, Leap, Rate, ReferenceId, Stratum};

fn lan(config: Config) -> World {
    World::new(7, config, ClockModel::default(), vec![Server::default(); 5])
}

#[test]
fn a_lost_upstream_shows_as_growing_dispersion_and_then_leap_3() {
    let config = Config { max_root_distance: Interval::from_millis(60), ..config(1) };
    let mut world = lan(config);
    world.run_to(2_000);
    assert!(world.is_synchronised());
    let before = world.snapshot.root_dispersion;
    world.servers[0].silent = true;
    world.run_to(4_000);
    assert!(world.is_synchronised(), "holdover");
    assert!(world.snapshot.root_dispersion > before + Interval::from_millis(20));
    world.run_to(12_000);
    assert!(!world.is_synchronised());
    assert_eq!(world.snapshot.reference_id, ReferenceId::LOST);
    assert_eq!(world.count(|e| matches!(e, Event::Lost)), 1);
    assert_eq!(world.count(|e| matches!(e, Event::Unreachable { .. })), 1);
    world.servers[0].silent = false;
    world.run_to(14_000);
    assert!(world.is_synchronised() && world.error().abs() < 1e-3);
}

#[test]
fn a_foreign_step_is_corrected_within_the_call_that_tells_of_it() {
    for seconds in [3600.0, -3600.0, 0.2, -0.01, 1e6] {
        let mut world = lan(config(1));
        world.run_to(1_000);
        world.step_clock(seconds, true);
        let now = world.reading().realtime;
        let error = world.snapshot.served(now).nanos() - world.true_nanos();
        assert!(error.abs() < 500_000, "{seconds}: {error} ns");
        assert!(world.is_synchronised());
        assert_eq!(world.count(|e| matches!(e, Event::ForeignStep { .. })), 1);
        world.run_to(3_000);
        assert!(world.rms(900) < 2e-4 && world.is_synchronised());
    }
}

#[test]
fn an_unannounced_foreign_step_is_corrected_by_the_next_heartbeat() {
    let mut world = lan(config(1));
    world.run_to(1_000);
    world.honest = false;
    world.step_clock(-50.0, false);
    world.run_to(1_002);
    world.honest = true;
    world.run_to(1_100);
    assert!(world.error().abs() < 5e-4);
    assert_eq!(world.discipline.status(world.reading()).foreign_steps, 1);
}

#[test]
fn a_suspend_is_leap_3_until_new_answers_have_come() {
    let mut world = lan(config(1));
    world.run_to(1_000);
    let before = world.discipline.status(world.reading()).frequency;
    world.suspend(3_600, 0.7);
    world.run_to(4_601);
    assert!(!world.is_synchronised());
    assert_eq!(world.snapshot.reference_id, ReferenceId::STEP);
    assert_eq!(world.discipline.status(world.reading()).waiting, Waiting::Answers(1));
    world.run_to(4_620);
    assert!(world.is_synchronised() && world.error().abs() < 5e-4);
    let after = world.discipline.status(world.reading()).frequency;
    assert!((before - after).as_ppm().abs() < 1.0, "the frequency outlives the suspend");
}

#[test]
fn a_discipline_that_is_stuck_shows_as_an_expired_snapshot_within_ten_seconds() {
    let mut world = lan(config(1));
    world.run_to(1_000);
    let now = world.reading().realtime;
    assert!(world.snapshot.is_valid_at(now + Interval::from_secs(3)));
    assert!(!world.snapshot.is_valid_at(now + Interval::from_secs(10)));
}

#[test]
fn any_initial_offset_is_stepped_at_the_start() {
    for offset in [100.0, -100.0, 1e5, -1e9, 0.01] {
        let model = ClockModel { offset, ..ClockModel::default() };
        let mut world = World::new(3, config(1), model, vec![Server::default()]);
        world.run_to(300);
        assert!(world.error().abs() < 5e-4 && world.is_synchronised(), "{offset}");
        assert_eq!(world.count(|e| matches!(e, Event::Synchronised { .. })), 1);
    }
}

#[test]
fn without_steps_it_is_slewed_and_not_claimed_until_it_is_true() {
    for offset in [100.0, -100.0] {
        let model = ClockModel { offset, ..ClockModel::default() };
        let config = Config { step_limit: Some(0), ..config(1) };
        let mut world = World::new(3, config, model, vec![Server::default()]);
        world.run_to(100);
        assert!(!world.is_synchronised(), "still tens of seconds off");
        assert_eq!(world.discipline.status(world.reading()).waiting, Waiting::Distance);
        world.run_to(1_500);
        assert!(world.error().abs() < 5e-4 && world.is_synchronised(), "{offset}");
        assert_eq!(world.count(|e| matches!(e, Event::Stepped { .. })), 0);
    }
}

#[test]
fn the_eras_of_2036_and_2038_are_crossed_and_started_in() {
    for rollover in [2_085_978_496i64, 1 << 31] {
        for begin in [-500, 500] {
            for offset in [-700.0, 700.0] {
                let start = (rollover + begin) * S;
                let model = ClockModel { start, offset, ..ClockModel::default() };
                let mut world = World::new(5, config(1), model, vec![Server::default()]);
                world.run_to(1_500);
                assert!(world.rms(200) < 5e-4 && world.is_synchronised());
            }
        }
    }
}

#[test]
fn a_clock_five_percent_fast_or_slow_is_followed() {
    for frequency in [0.05, -0.05] {
        let model = ClockModel { frequency, ..ClockModel::default() };
        let mut world = World::new(11, config(1), model, vec![Server::default()]);
        world.run_to(2_000);
        assert!(world.is_synchronised() && world.error().abs() < 1e-3, "{frequency}");
    }
}

#[test]
fn a_change_beyond_the_panic_threshold_is_refused_after_the_start() {
    let mut world = lan(config(1));
    world.run_to(1_000);
    world.honest = false;
    world.servers[0].lie = 5_000.0;
    world.run_to(3_000);
    assert!(!world.is_synchronised());
    assert_eq!(world.discipline.status(world.reading()).waiting, Waiting::Operator);
    assert_eq!(world.count(|e| matches!(e, Event::Panic { .. })), 1);
}

#[test]
fn a_local_clock_serves_at_once_if_there_is_nothing_to_wait_for() {
    let config = Config { local: Some(LocalConfig::default()), ..config(0) };
    let mut world = World::new(1, config, ClockModel::default(), Vec::new());
    assert_eq!(world.snapshot.leap, Leap::None, "before the first call");
    world.run_to(100);
    let snapshot = world.snapshot;
    assert_eq!((snapshot.stratum, snapshot.reference_id), (Stratum::new(10), ReferenceId::LOCAL));
    assert!(snapshot.root_dispersion >= Interval::from_millis(10));
    let served = snapshot.served(world.reading().realtime);
    let age = served - snapshot.reference_time.unfold(served);
    assert!(age >= Interval::ZERO && age < Interval::from_secs(3), "a fresh reference time");
}

#[test]
fn a_local_clock_stands_in_for_silent_sources_and_gives_way_to_them() {
    let mut config = config(2);
    config.local = Some(LocalConfig { stratum: Stratum::new(7), ..LocalConfig::default() });
    config.max_root_distance = Interval::from_millis(50);
    let mut world = lan(config);
    world.servers.iter_mut().for_each(|server| server.silent = true);
    world.run_to(9);
    assert!(!world.is_synchronised());
    world.run_to(13);
    assert_eq!(world.snapshot.stratum, Stratum::new(7));
    world.servers.iter_mut().for_each(|server| server.silent = false);
    world.run_to(400);
    assert_eq!(world.snapshot.stratum, Stratum::new(2));
    assert!(world.error().abs() < 1e-3);
    world.servers.iter_mut().for_each(|server| server.silent = true);
    world.run_to(8_000);
    assert_eq!(world.snapshot.reference_id, ReferenceId::LOCAL);
    assert!(world.error().abs() < 0.1, "the local clock goes on at the frequency learned");
}

#[test]
fn the_frequency_is_kept_and_used_by_the_next_start() {
    let mut world = lan(config(1));
    world.run_to(4_000);
    let drift = world.drift_saved.expect("saved");
    assert!((drift.as_ppm() + 100.0).abs() < 0.5, "{drift:?}");
    let model = ClockModel::default();
    let fresh = |drift| {
        let mut world = World::with_drift(9, config(1), model, vec![Server::default()], drift);
        world.run_to(64);
        world.rms(6)
    };
    assert!(fresh(Some(drift)) < fresh(None));
    assert!(fresh(Some(Rate::from_ppb(300_000))) < 1e-3, "a wrong one does little harm");
}

#[test]
fn at_the_end_a_frequency_that_has_moved_is_kept_within_the_hour() {
    let wandering = ClockModel { wander: 2e-8, ..ClockModel::default() };
    let mut world = World::new(7, config(1), wandering, vec![Server::default()]);
    // Every minute the program could end; what it would keep then is what it knows then.
    let mut kept = 0;
    for minute in 1..100 {
        world.run_to(60 * minute);
        let mut actions = Actions::new();
        world.discipline.clone().on_stop(world.reading(), &mut actions);
        let frequency = world.discipline.status(world.reading()).frequency;
        let frequency_kept = |action: &Action| !matches!(action, Action::SaveState(_));
        let kept_now: Vec<_> = actions.drain().filter(frequency_kept).collect();
        match kept_now.as_slice() {
            [] => {}
            [Action::SaveDrift(last)] => {
                assert_eq!(*last, frequency);
                assert!(world.drift_saved.is_none_or(|saved| saved != frequency));
                kept += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(kept > 5, "{kept}");
}

#[test]
fn a_start_in_1970_is_no_obstacle_in_any_year() {
    // 2026, and 2045: 75 years later, when the nearest era to 1970 is the wrong one.
    for start in [EPOCH, EPOCH + 19 * 365 * 86_400 * S] {
        let offset = -((start / S) as f64);
        let model = ClockModel { start, offset, ..ClockModel::default() };
        let mut world = World::new(3, config(1), model, vec![Server::default()]);
        world.run_to(100);
        assert!(world.error().abs() < 1e-3 && world.is_synchronised());
    }
}

#[test]
fn a_paused_machine_is_put_right_by_the_next_answers() {
    let servers = vec![Server::default(); 3];
    let mut world = World::new(7, config(3), ClockModel::default(), servers);
    world.run_to(2_000);
    // No clock of the machine shows it, so it cannot be known before an answer comes.
    world.honest = false;
    world.pause(30);
    world.run_to(2_030 + 1_100);
    world.honest = true;
    assert!(world.error().abs() < 1e-3 && world.is_synchronised(), "{}", world.error());
    assert!(world.count(|e| matches!(e, Event::SourceJumped { .. })) >= 2);
    world.run_to(6_000);
    assert!(world.rms(4_000) < 2e-4);
}

#[test]
fn a_gps_receiver_that_rolls_over_is_outvoted_and_alone_is_not_followed() {
    const WEEKS_1024_S: f64 = 619_315_200.0;
    for back in [WEEKS_1024_S, -WEEKS_1024_S] {
        let mut world = lan(config(3));
        world.run_to(2_000);
        world.servers[0].lie = back;
        world.run_to(6_000);
        assert!(world.rms(1_000) < 2e-4 && world.is_synchronised());
        let mut alone = lan(config(1));
        alone.run_to(2_000);
        alone.servers[0].lie = back;
        alone.run_to(9_000);
        assert!(alone.error().abs() < 0.1, "twenty years are not believed");
        assert!(alone.count(|e| matches!(e, Event::Panic { .. })) >= 1);
        assert!(!alone.is_synchronised(), "nor is the old time vouched for any more");
    }
}
