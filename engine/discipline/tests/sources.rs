//! What goes wrong with sources: liars, silence, kisses, forgeries, names that move.

use proptest::prelude::*;
use timeball_discipline::{
    Config, Event, Kiss, Rejection, SourceConfig, SourceId, State, Tally, Target, Waiting,
};
use timeball_sim::{ClockModel, Random, S, Server, World, address, answer, config};
use timeball_time::{Leap, ReferenceId, Stratum};

fn with_liars(count: usize, liars: usize) -> World {
    let server = |k: usize| Server {
        lie: if k < count - liars { 0.0 } else { k as f64 },
        base: 1e-3,
        ..Server::default()
    };
    World::new(21, config(count), ClockModel::default(), (0..count).map(server).collect())
}

fn tallies(world: &World) -> String {
    let status = world.discipline.status(world.reading());
    status.sources.iter().map(|source| source.tally.symbol()).collect()
}

#[test]
fn two_liars_of_five_are_rejected() {
    let mut world = with_liars(5, 2);
    world.run_to(3_000);
    assert!(world.is_synchronised() && world.rms(300) < 2e-4);
    assert!(tallies(&world).ends_with("xx"), "{}", tallies(&world));
    assert_eq!(world.count(|e| matches!(e, Event::Falseticker { .. })), 2);
}

#[test]
fn three_or_four_liars_of_five_are_not_followed() {
    for liars in [3, 4] {
        let mut world = with_liars(5, liars);
        world.run_to(5_000);
        assert_eq!(world.synchronised_at(), None, "{liars}");
        assert_eq!(world.snapshot.reference_id, ReferenceId::INIT);
        assert_eq!(world.count(|e| matches!(e, Event::NoMajority)), 1);
        assert_eq!(world.discipline.status(world.reading()).waiting, Waiting::Majority(5));
    }
}

#[test]
fn a_liar_that_answers_first_is_not_followed_before_the_others_had_their_chance() {
    let mut config = config(3);
    config.sources[1].iburst = false;
    config.sources[2].iburst = false;
    let liar = Server { lie: 5.0, ..Server::default() };
    let servers = vec![liar, Server::default(), Server::default()];
    let mut world = World::new(8, config, ClockModel::default(), servers);
    world.run_to(400);
    assert!((100..200).contains(&world.synchronised_at().unwrap()));
    assert!(tallies(&world).starts_with('x'));
}

#[test]
fn who_is_asked_at_leisure_holds_nobody_back_who_has_answered_enough() {
    for (count, leisurely, synchronised) in [
        (2, 1, 0..20),
        (4, 2, 0..20),
        (6, 3, 0..20),
        // Of these, those who have answered could all be wrong.
        (3, 2, 100..200),
        (5, 3, 100..200),
    ] {
        let mut config = config(count);
        let last = count - leisurely..;
        config.sources[last].iter_mut().for_each(|source| source.iburst = false);
        let servers = (0..count).map(|_| Server::default()).collect();
        let mut world = World::new(8, config, ClockModel::default(), servers);
        world.run_to(400);
        let at = world.synchronised_at().unwrap();
        assert!(synchronised.contains(&at), "{leisurely} of {count}: {at}");
    }
}

#[test]
fn liars_do_not_win_when_the_honest_fall_silent() {
    let mut world = with_liars(5, 1);
    world.run_to(2_000);
    (0..4).for_each(|k| world.servers[k].silent = true);
    world.run_to(40_000);
    assert!(world.is_synchronised(), "holdover");
    assert!(world.error().abs() < 0.05);
}

#[test]
fn a_server_that_jumps_is_followed_once_it_insists() {
    let mut world = with_liars(1, 0);
    world.run_to(2_000);
    world.honest = false;
    world.servers[0].lie = 0.5;
    world.run_to(4_000);
    assert!((world.error() - 0.5).abs() < 1e-3, "{}", world.error());
    assert_eq!(world.count(|e| matches!(e, Event::SourceJumped { .. })), 1);
    assert_eq!(world.count(|e| matches!(e, Event::Stepped { .. })), 1);
}

#[test]
fn one_wild_answer_is_not_followed() {
    let mut world = with_liars(1, 0);
    world.run_to(2_000);
    let sent = world.sent.len();
    world.servers[0].lie = 0.5;
    while world.sent.len() == sent {
        let next = world.elapsed() as i64 + 1;
        world.run_to(next);
    }
    world.servers[0].lie = 0.0;
    let next = world.elapsed() as i64 + 3_000;
    world.run_to(next);
    assert!(world.rms(1_900) < 3e-4, "{}", world.rms(1_900));
    assert_eq!(world.count(|e| matches!(e, Event::SourceJumped { .. })), 0);
}

#[test]
fn rate_is_obeyed() {
    let mut world = with_liars(1, 0);
    world.run_to(200);
    world.servers[0].kiss = Some(*b"RATE");
    let from = world.sent.len();
    world.run_to(20_000);
    let kissed: Vec<f64> = world.sent[from..].iter().map(|sent| sent.0).collect();
    assert!(kissed.len() < 12, "{} requests after the first kiss", kissed.len());
    for gaps in kissed.windows(3) {
        assert!(gaps[2] - gaps[1] > 1.5 * (gaps[1] - gaps[0]), "{kissed:?}");
    }
    let rate = |e: &Event| matches!(e, Event::KissReceived { kiss: Kiss::Rate, .. });
    assert!(world.count(rate) >= 1);
}

#[test]
fn a_spoofed_kiss_changes_nothing() {
    let mut world = with_liars(1, 0);
    let mut random = Random::new(4, 4);
    for second in 1..600 {
        world.run_to(second);
        for code in [*b"RATE", *b"DENY", *b"RSTR"] {
            let spoofer = Server { kiss: Some(code), ..Server::default() };
            let mut request = [0u8; 48];
            request[40..].copy_from_slice(&random.bits().to_be_bytes());
            let now = world.true_nanos();
            assert!(!world.offer(SourceId(0), &answer(&spoofer, &request, now, 0.0), None));
        }
    }
    assert_eq!(world.count(|e| matches!(e, Event::KissReceived { .. })), 0);
    let mut undisturbed = with_liars(1, 0);
    undisturbed.run_to(599);
    assert_eq!(world.sent, undisturbed.sent);
}

#[test]
fn deny_and_rstr_end_the_asking_for_hours() {
    for code in [*b"DENY", *b"RSTR"] {
        let mut world = with_liars(1, 0);
        world.run_to(1_000);
        world.servers[0].kiss = Some(code);
        world.run_to(3_000);
        let sent = world.sent.len();
        world.run_to(20_000);
        assert_eq!(world.sent.len(), sent);
        let status = world.discipline.status(world.reading());
        assert_eq!((status.sources[0].state, status.sources[0].reach), (State::Refused, 0));
        world.servers[0].kiss = None;
        world.run_to(40_000);
        assert!(world.sent.len() > sent && world.error().abs() < 1e-3);
    }
}

#[test]
fn a_server_that_calls_itself_unsynchronised_is_dropped_at_once() {
    let mut world = with_liars(1, 0);
    world.run_to(2_000);
    world.servers[0].leap = Leap::Unsynchronised;
    // The longest gap between two requests, and a little.
    world.run_to(3_100);
    assert_eq!(tallies(&world), " ");
    let status = world.discipline.status(world.reading());
    assert_eq!(status.sources[0].unfit, Some(Rejection::Unsynchronised));
    assert!(status.sources[0].rejections[Rejection::Unsynchronised.index()] > 0);
}

#[test]
fn a_server_with_its_time_from_us_is_not_used() {
    let mut config = config(1);
    config.own_addresses = vec!["203.0.113.5".parse().unwrap()];
    let ours = ReferenceId::from_octets([203, 0, 113, 5]);
    let server = Server { stratum: 3, reference_id: ours, ..Server::default() };
    let mut world = World::new(1, config, ClockModel::default(), vec![server]);
    world.run_to(1_000);
    assert_eq!(world.synchronised_at(), None);
    assert_eq!(world.count(|e| matches!(e, Event::Loop { .. })), 1);
}

#[test]
fn stratum_reference_and_leap_are_the_peers() {
    let server = Server { stratum: 2, leap: Leap::Insert, ..Server::default() };
    // A leap second is believed at the end of June and December only.
    let start = 1_798_761_600 * S - 3_000 * S;
    let mut world =
        World::new(1, config(1), ClockModel { start, ..ClockModel::default() }, vec![server]);
    world.run_to(100);
    let snapshot = world.snapshot;
    assert_eq!((snapshot.stratum, snapshot.leap), (Stratum::new(3), Leap::Insert));
    assert_eq!(snapshot.reference_id.octets(), [192, 0, 2, 1]);
}

#[test]
fn a_name_that_moves_is_found_again() {
    let target = Target::Name { host: "ntp.example.net".into(), port: 123 };
    let config = Config { sources: vec![SourceConfig::new(target)], ..Config::default() };
    let servers = vec![Server::default(); 3];
    let mut world = World::new(1, config, ClockModel::default(), servers);
    world.run_to(60);
    assert!(world.resolves.len() >= 3, "asked again after failures");
    assert_eq!(world.discipline.status(world.reading()).waiting, Waiting::Names);
    assert_eq!(world.count(|e| matches!(e, Event::ResolveFailed { .. })), 1);
    world.addresses = vec![address(0).ip(), address(1).ip()];
    world.run_to(1_000);
    assert!(world.is_synchronised());
    world.servers[0].silent = true;
    world.run_to(12_000);
    assert_eq!(world.snapshot.reference_id.octets(), [192, 0, 2, 2], "the name's other address");
    world.servers[1].silent = true;
    world.addresses = vec![address(2).ip()];
    world.run_to(30_000);
    assert_eq!(world.snapshot.reference_id.octets(), [192, 0, 2, 3], "resolved anew");
    assert!(world.error().abs() < 1e-3);
}

/// A pool of `count` sources, of `servers` servers in all.
fn pool(count: usize, servers: usize) -> World {
    let target = Target::Pool { host: "pool.example.net".into(), port: 123 };
    let sources = vec![SourceConfig::new(target); count];
    let config = Config { sources, ..Config::default() };
    let mut world = World::new(3, config, ClockModel::default(), vec![Server::default(); servers]);
    world.addresses = (0..servers).map(|k| address(k).ip()).collect();
    world
}

/// Where each source is asked: the number of the server.
fn asked(world: &World, servers: usize) -> Vec<Option<usize>> {
    let status = world.discipline.status(world.reading());
    let number = |remote| (0..servers).find(|&k| Some(address(k)) == remote);
    status.sources.iter().map(|source| number(source.remote)).collect()
}

#[test]
fn the_sources_of_a_pool_are_different_servers_and_one_that_fails_is_replaced() {
    let mut world = pool(3, 5);
    world.run_to(300);
    assert!(world.is_synchronised());
    assert_eq!(asked(&world, 5), [Some(0), Some(1), Some(2)]);
    world.servers[1].silent = true;
    world.run_to(12_000);
    assert_eq!(asked(&world, 5), [Some(0), Some(3), Some(2)], "the next that nobody has");
    world.servers[2].kiss = Some(*b"DENY");
    world.run_to(16_000);
    assert_eq!(asked(&world, 5)[..2], [Some(0), Some(3)]);
    assert_ne!(asked(&world, 5)[2], Some(2), "who refuses is replaced at once");
    assert!(world.is_synchronised());
}

#[test]
fn a_pool_with_fewer_addresses_than_sources_is_no_failure() {
    let mut world = pool(4, 2);
    world.run_to(20_000);
    assert_eq!(asked(&world, 2), [Some(0), Some(1), None, None]);
    let status = world.discipline.status(world.reading());
    assert!(status.sources[2..].iter().all(|source| source.state == State::Vacant));
    assert_eq!(world.count(|e| matches!(e, Event::ResolveFailed { .. })), 0);
    assert!(world.is_synchronised());
    assert!(world.resolves.len() < 80, "{} look-ups", world.resolves.len());
}

#[test]
fn a_preferred_source_is_the_peer() {
    let mut config = config(3);
    config.sources[2].prefer = true;
    let mut servers = vec![Server::default(); 3];
    servers[2].base = 5e-3;
    let mut world = World::new(1, config, ClockModel::default(), servers);
    world.run_to(300);
    let status = world.discipline.status(world.reading());
    assert_eq!(status.sources[2].tally, Tally::SystemPeer);
}

#[test]
fn heavy_loss_and_long_absence_are_survived() {
    let server = Server { loss: 0.95, ..Server::default() };
    let mut world = World::new(2, config(1), ClockModel::default(), vec![server]);
    world.run_to(60_000);
    assert!(world.is_synchronised() && world.error().abs() < 0.05);

    let mut world = World::new(2, config(1), ClockModel::default(), vec![Server::default()]);
    for cycle in 0..4 {
        world.servers[0].silent = false;
        world.run_to(cycle * 10_000 + 1_200);
        assert!(world.error().abs() < 1e-3);
        world.servers[0].silent = true;
        world.run_to((cycle + 1) * 10_000);
    }
    assert!(world.is_synchronised() && world.error().abs() < 0.05);
}

#[test]
fn a_noisy_path_is_used_and_a_hopeless_one_refused() {
    let noisy = Server { jitter: 0.1, ..Server::default() };
    let model = ClockModel { offset: 1.0, ..ClockModel::default() };
    let mut world = World::new(2, config(1), model, vec![noisy]);
    world.run_to(20_000);
    assert!(world.is_synchronised() && world.rms(2_000) < 0.03, "{}", world.rms(2_000));
    let hopeless = Server { root_dispersion: 3.0, ..Server::default() };
    let mut world = World::new(2, config(1), model, vec![hopeless]);
    world.run_to(5_000);
    assert_eq!(world.synchronised_at(), None);
}

#[test]
fn a_hundred_thousand_forgeries_are_all_refused() {
    let mut world = with_liars(1, 0);
    let mut random = Random::new(9, 9);
    world.run_to(4);
    let forger = Server { lie: 100.0, ..Server::default() };
    let accepted = (0..FORGERIES).filter(|_| {
        let mut request = [0u8; 48];
        request[40..].copy_from_slice(&random.bits().to_be_bytes());
        let now = world.true_nanos();
        world.offer(SourceId(0), &answer(&forger, &request, now, 0.0), None)
    });
    assert_eq!(accepted.count(), 0);
    world.run_to(300);
    assert!(world.is_synchronised() && world.error().abs() < 5e-4);
    let status = world.discipline.status(world.reading());
    let refused: u64 = status.sources[0].rejections.iter().sum();
    assert_eq!(refused, FORGERIES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_datagram_disturbs_the_time(
        at in 1i64..200,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut world = with_liars(1, 0);
        world.run_to(at);
        prop_assert!(!world.offer(SourceId(0), &bytes, None));
        prop_assert!(!world.offer(SourceId(99), &bytes, None));
        world.run_to(at + 30);
        prop_assert!(world.is_synchronised() || at < 6);
    }
}

const FORGERIES: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
