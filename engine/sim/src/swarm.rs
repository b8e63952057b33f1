//! Odd worlds drawn from seeds: whatever may go wrong, in combinations nobody would think of.
//!
//! The seed draws the whole scenario, so a seed that fails is a world that can be run again; seeds that
//! once failed are kept in `engine/sim/tests/regressions.txt` and replayed by the tests.
//!
//! A majority of the servers is always honest. A liar may be the first that answers after long silence, but
//! is not left alone with a clock that has just started or that has heard nobody for an hour: then nobody
//! could know better, and no promise could be kept.
//!
//! Must never: draw differently for a seed that is kept; new oddities are drawn after the old ones.

use timeball_time::{Leap, Rate};

use crate::S;
use crate::clock::{ClockModel, EPOCH, Temperature};
use crate::random::Random;
use crate::scenario::{Incident, Scenario};
use crate::server::{Congestion, Server, Shift};
use crate::world::{Host, Kernel};

/// The odd world of `seed`.
pub fn odd_world(seed: u64) -> Scenario {
    let random = &mut Random::new(seed, SWARM_STREAM);
    let count = 1 + (random.bits() % 7) as usize;
    let liars = random.bits() as usize % (1 + (count - 1) / 2);
    let mut scenario = Scenario::new(servers(random, count, liars));
    scenario.clock = clock(random);
    scenario.host = Host {
        latency_s: random.magnitude(-6.0, -2.5),
        send_s: random.magnitude(-6.0, -3.0),
        unstamped: random.pick(&[0.0, 0.0, 0.3, 1.0]),
    };
    if random.chance(0.6) {
        let kernel =
            random.pick(&[Kernel::Obeys, Kernel::Obeys, Kernel::Clamps(1e-4), Kernel::Refuses]);
        scenario = scenario.steered(kernel);
        scenario.notice_first = random.chance(0.5);
    }
    scenario.config.step_limit = random.pick(&[None, None, Some(1)]);
    let iburst = random.chance(0.75);
    let (min_poll, longer) = (random.pick(&[4, 6, 6, 8]), random.pick(&[0, 2, 4, 4]));
    for source in &mut scenario.config.sources {
        source.iburst = iburst;
        source.min_poll = min_poll;
        source.max_poll = min_poll + longer;
    }
    if random.chance(0.2) {
        scenario.drift = Some(Rate::from_ratio(random.between(-3e-4, 3e-4)));
    }
    scenario.clients_every_s = random.magnitude(0.0, 2.0);
    scenario.seconds = 12_000;
    scenario.incidents = incidents(random, &scenario);
    scenario
}

fn clock(random: &mut Random) -> ClockModel {
    let start = if random.chance(0.1) {
        // The eras of NTP and of 32-bit Unix end within the run.
        random.pick(&[2_085_978_496, 1 << 31]) * S - (random.bits() % 10_000) as i64 * S
    } else {
        EPOCH
    };
    let crystal = random.between(-4e-4, 4e-4);
    ClockModel {
        start,
        offset: random.between(-0.5, 0.5) * random.magnitude(-3.0, 3.0),
        frequency: if random.chance(0.05) { random.pick(&[-0.05, 0.05]) } else { crystal },
        wander: random.magnitude(-10.5, -7.0),
        temperature: random.chance(0.3).then(|| Temperature {
            swing: random.magnitude(-8.0, -6.0),
            period_s: random.between(1_000.0, 90_000.0),
        }),
    }
}

fn servers(random: &mut Random, count: usize, liars: usize) -> Vec<Server> {
    let base = random.magnitude(-4.5, -1.3);
    let jitter = base * random.magnitude(-2.0, 0.3);
    let lossy = if liars == 0 { 0.6 } else { 0.2 };
    let mut servers = Vec::new();
    for index in 0..count {
        let mut server = Server {
            base: base * random.between(0.5, 1.5),
            jitter,
            asymmetry: random.between(-0.45, 0.45),
            loss: if random.chance(0.3) { random.between(0.0, lossy) } else { 0.0 },
            duplicates: random.pick(&[0.0, 0.0, 0.1]),
            held_back: random.pick(&[0.0, 0.0, 0.1]),
            congestion: random
                .chance(0.2)
                .then(|| Congestion { when: shift(random), wait: base * random.between(0.5, 5.0) }),
            root_dispersion: random.pick(&[0.0, 0.0, 1e-3, 3e-2]),
            stratum: random.pick(&[1, 1, 2, 5]),
            shift: (liars == 0 && random.chance(0.1)).then(|| shift(random)),
            ..Server::default()
        };
        if index < liars {
            lie(random, &mut server);
        }
        servers.push(server);
    }
    servers
}

fn shift(random: &mut Random) -> Shift {
    let period_s = random.between(2_000.0, 10_000.0);
    Shift { period_s, on_s: period_s * random.between(0.2, 0.8) }
}

/// Every kind of liar.
fn lie(random: &mut Random, server: &mut Server) {
    match random.bits() % 8 {
        0 | 1 => server.lie = random.pick(&[-1.0, 1.0]) * random.between(1.0, 10.0),
        2 => server.lie_rate = random.between(-1.0, 1.0) * random.magnitude(-6.0, -3.0),
        3 => server.leap = random.pick(&[Leap::Insert, Leap::Delete, Leap::Unsynchronised]),
        // Modulo an era it is a lie of seconds.
        4 => server.lie = 4_294_967_296.0 * random.pick(&[-1.0, 1.0]) + random.between(1.0, 9.0),
        5 => server.lie = -1024.0 * 7.0 * 86_400.0,
        6 => server.stratum = random.pick(&[0, 15, 16, 200]),
        _ => server.root_dispersion = random.between(0.5, 20.0),
    }
}

fn incidents(random: &mut Random, scenario: &Scenario) -> Vec<(i64, Incident)> {
    let mut incidents = vec![(
        3_000,
        Incident::ClockStepped {
            by_s: random.between(-0.5, 0.5) * random.magnitude(-2.0, 5.0),
            told: random.chance(0.7),
        },
    )];
    if matches!(scenario.kernel, Kernel::Obeys) && scenario.is_steered() && random.chance(0.5) {
        incidents.push((4_000, Incident::FrequencySet(random.between(-4e-4, 4e-4))));
    }
    if random.chance(0.5) {
        incidents.push((5_000, Incident::Stalled { for_s: (random.bits() % 60) as i64 }));
    }
    let creeping = scenario.servers.iter().any(|server| server.lie_rate != 0.0);
    if random.chance(0.7) && !creeping {
        incidents.push((6_000, Incident::Silence { from: 0, silent: true }));
        incidents.push((9_000, Incident::Silence { from: 0, silent: false }));
    }
    if random.chance(0.5) {
        let for_s = 1 + (random.bits() % 1_000) as i64;
        incidents.push((9_500, Incident::Suspended { for_s, error_s: random.between(-0.5, 0.5) }));
    }
    if random.chance(0.5) && scenario.servers.len() > 1 {
        if creeping {
            incidents.push((6_000, Incident::Silence { from: 0, silent: true }));
        }
        // That is the one that lies, if any does.
        let others_after_s = 1 + (random.bits() % 10) as i64;
        incidents.push((9_000, Incident::FirstBack { others_after_s }));
        incidents.sort_by_key(|&(at, _)| at);
    }
    incidents
}

const SWARM_STREAM: u64 = 77;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_one_world_and_another_seed_another() {
        let text = |seed| format!("{:?}", odd_world(seed));
        assert_eq!(text(5), text(5));
        assert_ne!(text(5), text(6));
    }

    #[test]
    fn a_majority_is_always_honest() {
        for seed in 0..500 {
            let servers = odd_world(seed).servers;
            assert!(2 * servers.iter().filter(|s| s.is_honest()).count() > servers.len(), "{seed}");
        }
    }
}
