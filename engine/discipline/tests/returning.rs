//! Sources that come back after long silence, a liar first. The world itself stops at a claim that does not
//! hold the truth.

use timeball_discipline::{Config, Event, Tally};
use timeball_sim::{ClockModel, Server, World, config};
use timeball_time::Interval;

/// Three servers 1 ms away, asked once a minute, heard for `heard_s` and then silent for `silent_s`.
fn fell_silent(config: Config, heard_s: i64, silent_s: i64) -> World {
    let servers = vec![Server { base: 1e-3, ..Server::default() }; 3];
    let mut world = World::new(9, config, ClockModel::default(), servers);
    world.run_to(heard_s);
    silence(&mut world, [true, true, true]);
    world.run_to(heard_s + silent_s);
    assert!(world.discipline.status(world.reading()).sources.iter().all(|s| s.reach == 0));
    world
}

fn once_a_minute() -> Config {
    let mut config = config(3);
    config.sources.iter_mut().for_each(|source| source.max_poll = 6);
    config
}

fn silence(world: &mut World, silent: [bool; 3]) {
    world.servers.iter_mut().zip(silent).for_each(|(server, silent)| server.silent = silent);
}

/// Runs until the first of the sources has been believed; returns the second.
fn until_the_first_is_back(world: &mut World) -> i64 {
    let mut second = world.elapsed() as i64;
    while !world.discipline.status(world.reading()).sources.iter().any(|s| s.reach != 0) {
        second += 1;
        world.run_to(second);
    }
    second
}

fn distance(world: &World) -> f64 {
    world.looks.last().expect("a second").distance
}

#[test]
fn a_liar_that_returns_first_does_not_make_the_claim_smaller_than_its_lie() {
    for lie in [0.02, -0.02, 0.004] {
        let mut world = fell_silent(once_a_minute(), 3_000, 3_000);
        let before = distance(&world);
        world.servers[0].lie = lie;
        silence(&mut world, [false, true, true]);
        let back = until_the_first_is_back(&mut world);
        world.run_to(back + 8);
        assert!((world.error() - lie).abs() < 1e-3, "{lie}: it is followed");
        assert!(distance(&world) >= before, "{lie}: {}", distance(&world));
        silence(&mut world, [false, false, false]);
        world.run_to(back + 60);
        assert!(world.error().abs() < 1e-3 && distance(&world) < 0.01, "{lie}: outvoted");
        assert_eq!(world.discipline.status(world.reading()).sources[0].tally, Tally::Falseticker);
    }
}

#[test]
fn those_that_do_not_return_are_asked_a_few_times_and_then_not_waited_for() {
    let mut world = fell_silent(once_a_minute(), 3_000, 3_000);
    let before = distance(&world);
    silence(&mut world, [false, true, true]);
    let back = until_the_first_is_back(&mut world);
    let asked = |world: &World| world.sent.iter().filter(|sent| sent.1.index() > 0).count();
    let sent = asked(&world);
    world.run_to(back + 20);
    let recalls = asked(&world) - sent;
    assert!((6..=10).contains(&recalls), "{recalls} requests to two servers");
    assert!(distance(&world) >= before);
    world.run_to(back + 100);
    assert!(distance(&world) < 0.01, "{}", distance(&world));
    assert!(asked(&world) - sent - recalls <= 4, "and then as before");
}

#[test]
fn a_liar_that_returns_first_is_not_followed_if_nothing_is_known_any_more() {
    let config = Config { max_root_distance: Interval::from_millis(40), ..once_a_minute() };
    let mut world = fell_silent(config, 3_000, 4_000);
    assert!(!world.is_synchronised(), "given up");
    world.servers[0].lie = 0.02;
    silence(&mut world, [false, true, true]);
    let back = until_the_first_is_back(&mut world);
    world.run_to(back + 5);
    assert!(!world.is_synchronised());
    silence(&mut world, [false, false, false]);
    world.run_to(back + 60);
    assert!(world.is_synchronised() && world.error().abs() < 1e-3, "{}", world.error());
    assert_eq!(world.count(|e| matches!(e, Event::NoMajority)), 0);
}

#[test]
fn a_liar_that_answers_first_after_a_restart_does_not_make_the_claim_smaller_than_its_lie() {
    let mut world = fell_silent(once_a_minute(), 3_000, 1_000);
    world.end();
    world.pass(600);
    world.servers[0].lie = 0.01;
    silence(&mut world, [false, true, true]);
    assert_eq!(world.start(once_a_minute()), Ok(()));
    world.run_to(4_609);
    assert!((world.error() - 0.01).abs() < 2e-3 && distance(&world) > 0.01, "{}", world.error());
    silence(&mut world, [false, false, false]);
    world.run_to(4_900);
    assert!(world.error().abs() < 1e-3 && distance(&world) < 0.01, "{}", world.error());
}
