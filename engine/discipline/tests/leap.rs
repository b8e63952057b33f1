//! Leap seconds in worlds that have one: made at their instant, announced in time, and not believed of liars.

use timeball_discipline::{Config, Event, LeapTable, Steering};
use timeball_sim::{ClockModel, Kernel, S, Server, World, config};
use timeball_time::{
    Interval, Leap, LeapKind, LeapMaker, LeapSecond, Rate, ReferenceId, Smear, Timestamp,
};

/// 1 January 2027, 00:00:00 UTC.
const MIDNIGHT: i64 = 1_798_761_600 * S;
/// 1 April 2027, 00:00:00 UTC.
const APRIL: i64 = MIDNIGHT + 90 * 86_400 * S;
/// Seconds from the start of a world to its midnight; half a second more, so that nobody looks at the
/// very instant of the leap, where a microsecond's error is a second's.
const LEAP_AT: i64 = 3_000;

const INSERT: LeapSecond = leap(LeapKind::Insert, MIDNIGHT);
const DELETE: LeapSecond = leap(LeapKind::Delete, MIDNIGHT);

const fn leap(kind: LeapKind, midnight: i64) -> LeapSecond {
    LeapSecond { midnight: Timestamp::from_nanos(midnight), kind, made_by: LeapMaker::Mapping }
}

/// A server that knows of `leap`, warns of it, and makes it.
fn knowing(leap: LeapSecond) -> Server {
    Server { leap: leap.kind.indicator(), leap_second: Some(leap), ..Server::default() }
}

/// A world that leaps, [`LEAP_AT`] seconds before.
fn world(config: Config, leap: LeapSecond, servers: Vec<Server>) -> World {
    let start = leap.midnight.nanos() - LEAP_AT * S - S / 2;
    let mut world = World::new(3, config, ClockModel { start, ..ClockModel::default() }, servers);
    world.leap = Some(leap);
    world
}

fn leaps_made(world: &World) -> usize {
    world.count(|event| matches!(event, Event::LeapMade { .. }))
}

/// The largest error of served time, in seconds, looked at once a second from `from` on.
fn worst(world: &World, from: usize) -> f64 {
    world.looks[from..].iter().map(|look| look.error.abs()).fold(0.0, f64::max)
}

#[test]
fn a_leap_of_the_majority_is_announced_and_made_at_its_instant() {
    for leap in [INSERT, DELETE] {
        let mut world = world(config(3), leap, vec![knowing(leap); 3]);
        world.run_to(LEAP_AT - 60);
        assert_eq!(world.snapshot.leap, leap.kind.indicator());
        assert_eq!(world.count(|e| matches!(e, Event::LeapAhead { .. })), 1);
        world.run_to(LEAP_AT + 4_000);
        assert_eq!((leaps_made(&world), world.snapshot.leap), (1, Leap::None));
        assert!(worst(&world, 1_000) < 1e-3, "{leap:?}: {}", worst(&world, 1_000));
        assert!(world.is_synchronised());
        let told = |e: &Event| matches!(e, Event::Falseticker { .. } | Event::SourceJumped { .. });
        assert_eq!(world.count(told), 0, "answers from before and after agree");
    }
}

#[test]
fn a_reader_leaps_at_the_nanosecond_whether_or_not_the_writer_is_on_time() {
    let mut world = world(config(3), INSERT, vec![knowing(INSERT); 3]);
    world.run_to(LEAP_AT - 1);
    let snapshot = world.snapshot;
    let error = Interval::from_secs_f64(world.error());
    let now = world.reading().realtime;
    let to_leap = INSERT.midnight - snapshot.served(now);
    assert!((to_leap - Interval::from_millis(1_500) + error).abs() < Interval::from_micros(1));
    // The mapping is linear, so the instant can be found to a nanosecond.
    let ratio = 1.0 + snapshot.rate.as_ratio();
    let mut at = now + Interval::from_secs_f64(to_leap.as_secs_f64() / ratio);
    while snapshot.mapped(at) >= INSERT.midnight {
        at = at - Interval::from_nanos(1);
    }
    while snapshot.mapped(at) < INSERT.midnight {
        at = at + Interval::from_nanos(1);
    }
    let second = Interval::from_secs(1);
    assert!(INSERT.midnight - second - snapshot.served(at) <= Interval::ZERO);
    assert!(snapshot.served(at - Interval::from_nanos(1)) < INSERT.midnight);
    assert!(snapshot.served(at) < INSERT.midnight - second + Interval::from_nanos(2));
}

#[test]
fn a_minority_of_leap_liars_is_not_believed() {
    // They warn, and leap; nobody else does.
    let liar = knowing(INSERT);
    let servers = vec![liar, Server::default(), Server::default(), liar, Server::default()];
    let mut world = world(config(5), INSERT, servers);
    world.leap = None;
    world.run_to(LEAP_AT + 6_000);
    assert_eq!(leaps_made(&world), 0);
    assert!(worst(&world, 1_000) < 1e-3);
    assert!(world.looks[1_000..].iter().all(|look| look.synchronised));
}

#[test]
fn those_who_warn_but_do_not_leap_are_outvoted_afterwards() {
    let lazy = Server { leap_second: None, ..knowing(INSERT) };
    let servers = vec![knowing(INSERT), lazy, knowing(INSERT), lazy, knowing(INSERT)];
    let mut world = world(config(5), INSERT, servers);
    world.run_to(LEAP_AT + 6_000);
    assert_eq!(leaps_made(&world), 1);
    assert!(worst(&world, 1_000) < 1e-3);
    assert!(world.count(|e| matches!(e, Event::Falseticker { .. })) >= 2);
}

#[test]
fn outside_june_and_december_only_the_list_is_believed() {
    let leap = leap(LeapKind::Insert, APRIL);
    let mut unheard = world(config(3), leap, vec![knowing(leap); 3]);
    unheard.leap = None;
    unheard.run_to(LEAP_AT - 10);
    assert_eq!(unheard.snapshot.leap, Leap::None);
    let listed = Config { leap_table: Some(table(APRIL, APRIL + 86_400 * S)), ..config(3) };
    let mut heard = world(listed, leap, vec![knowing(leap); 3]);
    heard.run_to(LEAP_AT + 100);
    assert_eq!(leaps_made(&heard), 1);
    assert!(worst(&heard, 1_000) < 1e-3);
}

/// A list with a leap second at `midnight` that expires at `expires`, ns since 1970.
fn table(midnight: i64, expires: i64) -> LeapTable {
    let since_1900 = |nanos: i64| nanos / S + 2_208_988_800;
    let (midnight, expires) = (since_1900(midnight), since_1900(expires));
    let list = format!("#@ {expires}\n3692217600 37\n{midnight} 38\n");
    LeapTable::parse(&list).unwrap()
}

#[test]
fn the_list_outranks_a_majority_until_it_has_expired() {
    for (expires, believed) in [(MIDNIGHT + 86_400 * S, 0), (MIDNIGHT - 1, 1)] {
        let listed = Config { leap_table: Some(table(APRIL, expires)), ..config(3) };
        let mut world = world(listed, INSERT, vec![knowing(INSERT); 3]);
        world.honest = false;
        world.run_to(LEAP_AT + 1);
        assert_eq!(leaps_made(&world), believed);
    }
}

#[test]
fn a_list_alone_makes_the_leap_with_sources_that_do_not_warn() {
    let silent = Server { leap: Leap::None, ..knowing(INSERT) };
    let listed = Config { leap_table: Some(table(MIDNIGHT, APRIL)), ..config(3) };
    let mut world = world(listed, INSERT, vec![silent; 3]);
    world.run_to(100);
    assert_eq!(world.discipline.tai_offset_s(world.reading()), Some(37));
    let status = world.discipline.status(world.reading());
    assert_eq!((status.leap_ahead, status.tai_offset_s), (Some(INSERT), Some(37)));
    world.run_to(LEAP_AT + 2_000);
    assert_eq!(leaps_made(&world), 1);
    assert!(worst(&world, 1_000) < 1e-3);
    assert_eq!(world.discipline.tai_offset_s(world.reading()), Some(38));
}

#[test]
fn a_leap_during_holdover_is_made_all_the_same() {
    let mut world = world(config(3), INSERT, vec![knowing(INSERT); 3]);
    world.run_to(LEAP_AT - 600);
    for server in &mut world.servers {
        server.silent = true;
    }
    world.run_to(LEAP_AT + 600);
    assert_eq!(leaps_made(&world), 1);
    assert!(worst(&world, 1_000) < 1e-3 && world.is_synchronised());
}

fn kernel_steered() -> Config {
    Config { steering: Steering::Kernel { frequency: Rate::ZERO }, ..config(3) }
}

#[test]
fn a_kernel_that_was_told_makes_the_leap_and_nobody_takes_it_for_a_foreign_step() {
    for leap in [INSERT, DELETE] {
        let mut world = world(kernel_steered(), leap, vec![knowing(leap); 3]);
        world.kernel_leaps = true;
        world.run_to(LEAP_AT - 10);
        let made_by = world.snapshot.leap_second.map(|leap| leap.made_by);
        assert_eq!(made_by, Some(LeapMaker::Kernel));
        let steps = world.steers.len();
        world.run_to(LEAP_AT + 3_000);
        assert_eq!((leaps_made(&world), world.snapshot.leap), (1, Leap::None));
        assert_eq!(world.count(|e| matches!(e, Event::ForeignStep { .. })), 0);
        assert!(worst(&world, 1_000) < 1e-3, "{}", worst(&world, 1_000));
        let stepped = |steer: &_| matches!(steer, timeball_discipline::Steer::Step(_));
        assert!(!world.steers[steps..].iter().any(stepped), "the kernel has done it");
    }
}

#[test]
fn a_kernel_that_was_not_told_is_stepped_or_slewed_after_the_leap() {
    for slew_leaps in [false, true] {
        let config = Config { slew_leaps, ..kernel_steered() };
        let mut world = world(config, INSERT, vec![knowing(INSERT); 3]);
        world.run_to(LEAP_AT - 10);
        let steers = world.steers.len();
        world.run_to(LEAP_AT + 5_000);
        assert_eq!(leaps_made(&world), 1);
        assert!(worst(&world, 1_000) < 1e-3, "served time has it at once");
        let stepped = |steer: &_| matches!(steer, timeball_discipline::Steer::Step(_));
        assert_eq!(world.steers[steers..].iter().any(stepped), !slew_leaps);
        let kernel = world.kernel_error() + 1.0;
        assert!(kernel.abs() < 1e-3, "the kernel clock follows: {kernel}");
    }
}

#[test]
fn a_kernel_that_promised_a_leap_and_does_not_make_it_is_not_waited_for() {
    let mut world = world(kernel_steered(), INSERT, vec![knowing(INSERT); 3]);
    world.kernel_leaps = true;
    world.run_to(LEAP_AT);
    world.kernel_leaps = false;
    world.honest = false;
    world.run_to(LEAP_AT + 3);
    world.honest = true;
    assert_eq!(leaps_made(&world), 1);
    world.run_to(LEAP_AT + 1_000);
    assert!(worst(&world, LEAP_AT as usize + 3) < 1e-3);
    assert_eq!(world.kernel, Kernel::Obeys);
}

#[test]
fn the_local_clock_leaps_with_the_kernel() {
    let local = timeball_discipline::LocalConfig::default();
    let start = MIDNIGHT - 100 * S - S / 2;
    let model = ClockModel { start, offset: 0.0, frequency: 0.0, wander: 0.0, temperature: None };
    let config = Config { local: Some(local), ..Config::default() };
    let mut world = World::new(1, config, model, Vec::new());
    world.leap = Some(INSERT);
    world.kernel_leaps = true;
    world.run_to(90);
    assert_eq!(
        (world.snapshot.leap, world.snapshot.reference_id),
        (Leap::Insert, ReferenceId::LOCAL)
    );
    world.run_to(200);
    assert_eq!(leaps_made(&world), 1);
    assert!(worst(&world, 1) < 1e-6, "{}", worst(&world, 1));
}

#[test]
fn smeared_time_runs_through_a_whole_leap_without_a_seam() {
    let mut world = world(config(3), INSERT, vec![knowing(INSERT); 3]);
    let smear = Smear::new(Interval::from_secs(3_600));
    world.run_to(500);
    let mut last: Option<(i64, i64)> = None;
    for second in 500..6_000 {
        world.run_to(second);
        let (now, truth) = (world.reading().realtime, world.true_nanos());
        let view = world.snapshot.smeared(now, smear);
        let served = view.served(now).nanos();
        assert_eq!((view.leap, view.reference_id.octets()[0]), (Leap::None, 254));
        if let Some((before, truth_before)) = last {
            let gained = (served - before) - (truth - truth_before);
            // A second in an hour is 278 µs in each, and the clock's own error some µs.
            assert!((-320_000..50_000).contains(&gained), "{second}: {gained} ns");
        }
        last = Some((served, truth));
    }
    let (served, truth) = last.unwrap();
    assert!((truth - S - served).abs() < 1_000_000, "UTC in the end");
}

#[test]
fn a_source_that_marks_its_time_as_smeared_is_told_of() {
    let reference_id = ReferenceId::from_octets([254, 0, 0, 0]);
    let smeared = Server { reference_id, stratum: 2, ..Server::default() };
    let servers = vec![smeared, Server::default(), Server::default()];
    let mut world = World::new(3, config(3), ClockModel::default(), servers);
    world.run_to(200);
    assert_eq!(world.count(|e| matches!(e, Event::Smeared { .. })), 1);
}
