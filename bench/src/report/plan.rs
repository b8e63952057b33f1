//! What is to be done, and how long that takes: said before it begins, kept to afterwards.
//!
//! Must never: begin a round that would end after the time is up.

use serde::Serialize;

use crate::cli::ReportOptions;
use crate::host::is_root;
use crate::place::On;
use crate::server::Server;
use crate::sitting::WARM_UP_S;

/// What every contender goes through.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    /// Where.
    pub(super) networks: Vec<On>,
    /// Rounds at most.
    pub(super) rounds: u32,
    /// Length of each load.
    pub(super) duration_s: f64,
    /// Loads beyond capacity, as multiples of it.
    pub(super) factors: [f64; 3],
    /// When it has to be over.
    limit_s: f64,
}

impl Plan {
    /// As the user wants it.
    pub(super) fn of(options: &ReportOptions) -> Self {
        let networks = match options.on.as_slice() {
            [] if is_root() => vec![On::Loopback, On::Veth],
            [] => vec![On::Loopback],
            chosen => chosen.to_vec(),
        };
        let (rounds, duration_s, limit_s) = if options.quick {
            (1, QUICK_S, QUICK_LIMIT_S)
        } else {
            (options.rounds, options.duration, LIMIT_S)
        };
        Self { networks, rounds, duration_s, factors: FACTORS, limit_s }
    }

    /// Whether a contender goes through everything there: on loopback the generator's core does half of
    /// the server's work, so only the price of an answer is taken.
    pub(super) fn is_whole(on: On) -> bool {
        on == On::Veth
    }

    /// How long `servers` will take, in seconds; at most.
    pub(super) fn estimate_s(&self, servers: &[Server]) -> f64 {
        (self.round_s(servers) * f64::from(self.rounds)).min(self.limit_s)
    }

    /// Whether there is no time for another round, after so many that took `elapsed_s`.
    pub(super) fn is_over(&self, elapsed_s: f64, rounds: u32) -> bool {
        rounds > 0 && elapsed_s * (1.0 + 1.0 / f64::from(rounds)) > self.limit_s
    }

    /// What will be done and how long it takes.
    pub(super) fn announcement(&self, servers: &[Server], runs: u32) -> String {
        let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        let networks: Vec<&str> = self.networks.iter().map(|on| on.name()).collect();
        let minutes = self.estimate_s(servers) * f64::from(runs) / 60.0;
        format!(
            "{} contenders ({}) on {}, {} rounds: about {minutes:.1} minutes",
            servers.len(),
            names.join(", "),
            networks.join(" and "),
            self.rounds
        )
    }

    fn round_s(&self, servers: &[Server]) -> f64 {
        let sitting_s = |on: &On| {
            // Saturation; beyond it; half of it, which takes twice as long.
            let loads =
                if Self::is_whole(*on) { 1.0 + self.factors.len() as f64 + 2.0 } else { 1.0 };
            let each_s = START_S + WARM_UP_S + BETWEEN_S;
            each_s + loads * (self.duration_s + BETWEEN_S)
        };
        let all_s = self.networks.iter().map(sitting_s).sum::<f64>();
        servers.len() as f64 * all_s
    }
}

/// Ten minutes.
const LIMIT_S: f64 = 600.0;
const QUICK_LIMIT_S: f64 = 60.0;
const QUICK_S: f64 = 0.3;
const FACTORS: [f64; 3] = [1.5, 2.0, 3.0];
/// Until a server answers, mostly.
const START_S: f64 = 0.5;
/// From the end of a load to the beginning of the next.
const BETWEEN_S: f64 = 0.2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contenders;

    fn plan(rounds: u32, limit_s: f64) -> Plan {
        let networks = vec![On::Loopback, On::Veth];
        Plan { networks, rounds, duration_s: 1.0, factors: FACTORS, limit_s }
    }

    #[test]
    fn no_round_is_begun_that_would_end_too_late() {
        let plan = plan(5, 100.0);
        assert!(!plan.is_over(0.0, 0), "the first one always is");
        assert!(!plan.is_over(30.0, 1) && !plan.is_over(66.0, 2));
        assert!(plan.is_over(51.0, 1) && plan.is_over(76.0, 3));
    }

    #[test]
    fn the_estimate_grows_with_rounds_and_contenders_up_to_the_limit() {
        let (few, many) =
            (contenders::echoes(), [contenders::echoes(), contenders::echoes()].concat());
        assert!(plan(2, 1e9).estimate_s(&few) * 2.0 - plan(4, 1e9).estimate_s(&few) < 1e-9);
        assert!(plan(2, 1e9).estimate_s(&many) > plan(2, 1e9).estimate_s(&few));
        assert_eq!(plan(100, 60.0).estimate_s(&many), 60.0);
        assert!(
            plan(1, 60.0)
                .announcement(&few, 3)
                .contains("2 contenders (echo recvmmsg, echo recvfrom)")
        );
    }
}
