//! What is to be done, and how long that may take: said before it begins, kept to afterwards.
//!
//! Must never: begin a round of prices that would leave too little time for the loads after it.

use serde::Serialize;

use super::candidate::Candidate;
use super::prices;
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
    /// Length of each load at and beyond capacity; those at half of it are longer.
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
        let (duration_s, limit_s) = if options.quick {
            (QUICK_S, QUICK_LIMIT_S)
        } else {
            (options.duration, options.minutes * 60.0)
        };
        Self { networks, duration_s, factors: FACTORS, limit_s }
    }

    /// Whether a contender goes through everything there: on loopback the generator's core does half of
    /// the server's work, so only the price of an answer is taken.
    pub(super) fn is_whole(on: On) -> bool {
        on == On::Veth
    }

    /// Whether there is something to be gained by another round of prices, and time for it, after so many
    /// that ended `elapsed_s` after the beginning.
    pub(super) fn has_time(
        &self,
        elapsed_s: f64,
        rounds: u32,
        networks: &[Vec<Candidate<'_>>],
    ) -> bool {
        let open =
            |candidates: &Vec<Candidate<'_>>| others(candidates).filter(|it| it.is_open()).count();
        let round_s: f64 =
            networks.iter().map(open).filter(|&open| open > 0).map(prices::round_s).sum();
        let whole = networks.iter().flatten();
        let whole = whole.filter(|it| Self::is_whole(it.on) && it.fault.is_none()).count();
        let left_s = self.limit_s - elapsed_s - self.loads_s() * whole as f64;
        round_s > 0.0 && (rounds == 0 || round_s <= left_s)
    }

    /// How far prices have come.
    pub(super) fn progress(&self, elapsed_s: f64, networks: &[Vec<Candidate<'_>>]) -> String {
        let all: Vec<&Candidate<'_>> = networks.iter().flat_map(others).collect();
        let known = all.iter().filter(|it| !it.is_open()).count();
        let doubts = all.iter().filter_map(|it| Some((it.estimate()?.doubt(), it)));
        let worst =
            doubts.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(String::new(), |(doubt, it)| {
                format!(
                    ", least of all {} on {} ({:.1} %)",
                    it.server.name,
                    it.on.name(),
                    doubt * 100.0
                )
            });
        format!("{known} of {} ratios known well enough{worst}, {elapsed_s:.0} s", all.len())
    }

    /// What will be done and how long it takes.
    pub(super) fn announcement(&self, servers: &[Server], runs: u32) -> String {
        let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        let networks: Vec<&str> = self.networks.iter().map(|on| on.name()).collect();
        format!(
            "{} contenders ({}) on {}: {:.1} minutes at most",
            servers.len(),
            names.join(", "),
            networks.join(" and "),
            self.limit_s * f64::from(runs) / 60.0
        )
    }

    /// How long the loads of one contender take.
    fn loads_s(&self) -> f64 {
        let loads = 1.0 + HALF_TIMES + self.factors.len() as f64;
        WARM_UP_S + loads * self.duration_s + (loads + 1.0) * BETWEEN_S
    }
}

/// All but the reference.
fn others<'a, 'b>(candidates: &'a Vec<Candidate<'b>>) -> impl Iterator<Item = &'a Candidate<'b>> {
    candidates.iter().skip(1)
}

const QUICK_LIMIT_S: f64 = 60.0;
const QUICK_S: f64 = 0.2;
const FACTORS: [f64; 3] = [1.5, 2.0, 3.0];
/// A load at half of capacity is so much longer: it has tails to show.
pub(super) const HALF_TIMES: f64 = 3.0;
/// From the end of a load to the beginning of the next.
pub(super) const BETWEEN_S: f64 = 0.1;
/// A ratio is settled when it is known to this, either way, with a probability of 95 %.
pub(super) const SETTLED: f64 = 0.025;
/// And gets no more rounds when it is known to this: two runs are then as good as never a twentieth apart.
pub(super) const ENOUGH: f64 = 0.015;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contenders;

    fn plan(limit_s: f64) -> Plan {
        Plan { networks: vec![On::Loopback, On::Veth], duration_s: 0.5, factors: FACTORS, limit_s }
    }

    #[test]
    fn nothing_open_takes_no_time_however_much_there_is() {
        assert!(!plan(1e9).has_time(0.0, 0, &[Vec::new(), Vec::new()]));
    }

    #[test]
    fn a_round_of_more_contenders_takes_longer_and_loads_take_as_long_as_they_are() {
        assert!(prices::round_s(2) > prices::round_s(1) && prices::round_s(3) > prices::round_s(2));
        let longer = Plan { duration_s: 1.0, ..plan(60.0) };
        // Three at half of capacity, three beyond it, and the one that says what capacity is.
        assert!((longer.loads_s() - plan(60.0).loads_s() - 7.0 * 0.5).abs() < 1e-9);
    }

    #[test]
    fn what_will_be_done_is_said_with_how_long_it_takes() {
        let text = plan(60.0).announcement(&contenders::echoes(), 3);
        for words in
            ["2 contenders (echo recvmmsg, echo recvfrom)", "loopback and veth", "3.0 minutes"]
        {
            assert!(text.contains(words), "{text}");
        }
    }
}
