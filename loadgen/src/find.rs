//! The highest rate that meets a service level, and how sure that is.
//!
//! One bisection finds a rate, but a single hiccup of the machine on its way sends it to a wrong one, and
//! it will not say so. So a miss must be seen twice out of three before it counts, and the whole search is
//! repeated, each time from another bracket, until three searches in a row agree. What is told is their
//! median and how far they lie apart.
//!
//! The load is an argument: a search is run in tests against servers whose capacity is known.
//!
//! Must never: take the generator's own limit for the server's without saying so, or run for ever.

use serde::{Deserialize, Serialize};
use timeball_time::Interval;

use crate::Report;

/// What a rate must meet to count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Most requests without a valid reply, as a share of those sent, 0 to 1.
    pub loss_max: f64,
    /// Longest latency of all but the slowest 1 %.
    pub p99_max: Option<Interval>,
    /// Largest error of the served time, of either sign, of all but the worst 1 %.
    pub error_p99_max: Option<Interval>,
}

/// What a trial at one rate says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The level is met.
    Met,
    /// More was lost than allowed.
    Loss {
        /// The share lost, 0 to 1.
        share: f64,
    },
    /// Answers took too long.
    Latency {
        /// What 1 % exceeded, in nanoseconds.
        p99_ns: i64,
    },
    /// The served time was too wrong.
    Error {
        /// What 1 % exceeded, in nanoseconds.
        p99_ns: i64,
    },
    /// The generator could not offer this rate: nothing is known of the server.
    Generator,
}

impl Level {
    /// What `report` says about its rate.
    pub fn judge(&self, report: &Report) -> Verdict {
        if report.is_generators() {
            return Verdict::Generator;
        }
        let share = 1.0 - report.answered_share();
        if report.sent == 0 || share > self.loss_max {
            return Verdict::Loss { share };
        }
        let latency_ns = report.latency.quantile(0.99);
        if self.p99_max.is_some_and(|max| latency_ns > max.nanos()) {
            return Verdict::Latency { p99_ns: latency_ns };
        }
        let error_ns = report.offset.magnitudes().value_at_quantile(0.99) as i64;
        match self.error_p99_max {
            Some(max) if error_ns > max.nanos() => Verdict::Error { p99_ns: error_ns },
            _ => Verdict::Met,
        }
    }
}

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FindOptions {
    /// What to meet.
    pub level: Level,
    /// The rate to begin with, at least 1.
    pub first_hz: u32,
    /// The highest rate to try.
    pub max_hz: u32,
    /// A search ends when it has a bracket whose ends differ by no more than this share.
    pub precision: f64,
    /// Searches agree when three in a row differ by no more than this share of their median.
    pub agreement: f64,
    /// Searches after which to give up agreeing, at least 3.
    pub searches_max: usize,
}

impl FindOptions {
    /// To `level`, from 1000/s up, to 2 %, agreeing within 5 % over three of at most nine searches.
    pub const fn new(level: Level) -> Self {
        Self {
            level,
            first_hz: 1_000,
            max_hz: 100_000_000,
            precision: 0.02,
            agreement: 0.05,
            searches_max: 9,
        }
    }
}

/// What a search ended with: a rate that met the level, and one little above that did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bracket {
    /// The highest rate that met the level; 0 if none did.
    pub met_hz: u32,
    /// The lowest rate that did not; equal to the highest tried if all met it.
    pub missed_hz: u32,
}

/// The rate found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The median of the searches that agree, or of all; 0 if no rate met the level.
    pub rate_hz: u32,
    /// How far the searches counted lie apart, as a share of the median.
    pub spread: f64,
    /// Whether three searches in a row agreed.
    pub agreed: bool,
    /// Whether the generator, and not the server, ended a search: the server can do this rate and perhaps
    /// more.
    pub is_generators: bool,
    /// Whether it was interrupted; the rest is what was known by then.
    pub interrupted: bool,
    /// Every search.
    pub brackets: Vec<Bracket>,
    /// Every rate tried, in order.
    pub trials: Vec<(u32, Verdict)>,
}

/// Searches with loads that `offer` offers at the rate it is given.
///
/// Ends with the first error of `offer`.
pub fn find<E>(
    options: &FindOptions,
    offer: impl FnMut(u32) -> Result<Report, E>,
) -> Result<Found, E> {
    let mut search = Search { options, offer, trials: Vec::new(), stopped: false, limited: false };
    let mut brackets = Vec::new();
    let mut from = (options.first_hz.max(1), 2.0);
    for number in 0..options.searches_max.max(AGREEING) {
        let bracket = search.run(from.0, from.1)?;
        if !search.stopped || brackets.is_empty() {
            brackets.push(bracket);
        }
        if search.stopped {
            break;
        }
        if bracket.met_hz == 0 || agree(last(&brackets), options.agreement) {
            break;
        }
        // The next search begins a little elsewhere, so that it does not repeat the same rates.
        let aside = [0.87, 0.93, 0.81][number % 3];
        from = (((f64::from(bracket.met_hz) * aside) as u32).max(1), STRIDE);
    }
    let agreed = agree(last(&brackets), options.agreement);
    let counted = if agreed { last(&brackets) } else { &brackets };
    let (rate_hz, spread) = median_and_spread(counted);
    Ok(Found {
        rate_hz,
        spread,
        agreed,
        is_generators: search.limited,
        interrupted: search.stopped,
        brackets,
        trials: search.trials,
    })
}

/// The searches that must agree.
fn last(brackets: &[Bracket]) -> &[Bracket] {
    &brackets[brackets.len().saturating_sub(AGREEING)..]
}

fn agree(brackets: &[Bracket], agreement: f64) -> bool {
    brackets.len() == AGREEING && median_and_spread(brackets).1 <= agreement
}

fn median_and_spread(brackets: &[Bracket]) -> (u32, f64) {
    let mut rates: Vec<u32> = brackets.iter().map(|bracket| bracket.met_hz).collect();
    rates.sort_unstable();
    match rates.as_slice() {
        [] | [0, ..] => (0, 0.0),
        [least, .., most] => {
            let median = rates[rates.len() / 2];
            (median, f64::from(most - least) / f64::from(median))
        }
        [only] => (*only, 0.0),
    }
}

struct Search<'a, F> {
    options: &'a FindOptions,
    offer: F,
    trials: Vec<(u32, Verdict)>,
    stopped: bool,
    limited: bool,
}

impl<E, F: FnMut(u32) -> Result<Report, E>> Search<'_, F> {
    /// One search from `first_hz`, which grows or shrinks by `stride` until the level is met at one end and
    /// missed at the other.
    fn run(&mut self, first_hz: u32, stride: f64) -> Result<Bracket, E> {
        let (mut met, mut missed) = (0u32, 0u32);
        let mut rate = first_hz.min(self.options.max_hz);
        // Each turn multiplies or divides by the stride, so the range of the rates bounds it.
        while !self.stopped && (met == 0 || missed == 0) {
            if self.meets(rate)? {
                met = rate;
                if rate == self.options.max_hz {
                    return Ok(Bracket { met_hz: met, missed_hz: met });
                }
                rate = ((f64::from(rate) * stride).ceil() as u32).min(self.options.max_hz);
            } else {
                missed = rate;
                if rate == 1 {
                    return Ok(Bracket { met_hz: 0, missed_hz: 1 });
                }
                rate = ((f64::from(rate) / stride) as u32).max(1);
            }
        }
        // Each turn halves the bracket's width by ratio.
        while !self.stopped && self.is_wide(met, missed) {
            let middle = (f64::from(met) * f64::from(missed)).sqrt() as u32;
            let middle = middle.clamp(met + 1, missed - 1);
            if self.meets(middle)? {
                met = middle;
            } else {
                missed = middle;
            }
        }
        Ok(Bracket { met_hz: met, missed_hz: missed })
    }

    fn is_wide(&self, met: u32, missed: u32) -> bool {
        missed - met > 1 && f64::from(missed) / f64::from(met) > 1.0 + self.options.precision
    }

    /// Whether `rate_hz` meets the level: at the first trial, or at two of three.
    fn meets(&mut self, rate_hz: u32) -> Result<bool, E> {
        let (mut met, mut missed) = (0, 0);
        while met < MAJORITY && missed < MAJORITY {
            let report = (self.offer)(rate_hz)?;
            if report.interrupted {
                self.stopped = true;
                return Ok(false);
            }
            let verdict = self.options.level.judge(&report);
            self.trials.push((rate_hz, verdict));
            match verdict {
                Verdict::Met if missed == 0 => return Ok(true),
                Verdict::Met => met += 1,
                _ => missed += 1,
            }
            self.limited |= missed == MAJORITY && verdict == Verdict::Generator;
        }
        Ok(met == MAJORITY)
    }
}

/// Searches in a row that must agree.
const AGREEING: usize = 3;
/// Of three trials.
const MAJORITY: usize = 2;
/// How far from where the last search ended the next one looks.
const STRIDE: f64 = 1.25;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::random::SplitMix64;

    const LEVEL: Level = Level { loss_max: 0.001, p99_max: None, error_p99_max: None };

    /// A server that answers `capacity_hz` requests a second and loses what is more.
    fn offered(rate_hz: u32, capacity_hz: f64) -> Report {
        let sent = u64::from(rate_hz) * 10;
        let answered = sent.min((capacity_hz * 10.0) as u64);
        Report { sent, answered, lost: sent - answered, ..Report::default() }
    }

    fn search(offer: impl FnMut(u32) -> Report) -> Found {
        let mut offer = offer;
        find(&FindOptions::new(LEVEL), |rate| Ok::<_, Infallible>(offer(rate))).unwrap()
    }

    #[test]
    fn the_capacity_of_a_steady_server_is_found_to_the_precision_asked() {
        for capacity in [1.0, 7.0, 500.0, 1_000.0, 123_456.0, 5_000_000.0] {
            let found = search(|rate| offered(rate, capacity));
            let ratio = f64::from(found.rate_hz) / capacity;
            assert!((0.975..=1.001).contains(&ratio), "{capacity}: {found:?}");
            assert!(found.agreed && !found.is_generators && found.spread <= 0.05, "{found:?}");
        }
    }

    #[test]
    fn five_finds_of_a_noisy_server_agree_within_five_percent() {
        let rates: Vec<f64> = (0..5)
            .map(|seed| {
                let mut random = SplitMix64::new(seed, 0);
                // One trial in ten hits a hiccup; the rest vary by 1 %.
                let found = search(|rate| {
                    let hiccup = if random.unit() < 0.1 { 0.5 } else { 1.0 };
                    offered(rate, 200_000.0 * hiccup * (0.995 + 0.01 * random.unit()))
                });
                assert!(found.agreed, "{found:?}");
                f64::from(found.rate_hz)
            })
            .collect();
        let (least, most) = (
            rates.iter().copied().fold(f64::MAX, f64::min),
            rates.iter().copied().fold(0.0, f64::max),
        );
        assert!(most / least <= 1.05, "{rates:?}");
        assert!((190_000.0..=202_000.0).contains(&least), "{rates:?}");
    }

    #[test]
    fn a_server_that_keeps_changing_is_said_to_be_unsure() {
        let mut calls = 0u32;
        let found = search(|rate| {
            calls += 1;
            offered(rate, if (calls / 13u32).is_multiple_of(2) { 100_000.0 } else { 50_000.0 })
        });
        assert!(!found.agreed && found.spread > 0.05 && found.brackets.len() == 9, "{found:?}");
    }

    #[test]
    fn the_generators_limit_is_told_from_the_servers() {
        let found = search(|rate| {
            let missed = u64::from(rate.saturating_sub(300_000)) * 10;
            Report { missed, ..offered(rate.min(300_000), 1e9) }
        });
        assert!(found.is_generators && found.rate_hz.abs_diff(300_000) < 7_000, "{found:?}");
    }

    #[test]
    fn a_level_nobody_meets_and_one_that_everybody_meets_end_the_search() {
        let found = search(|rate| offered(rate, 0.0));
        assert_eq!((found.rate_hz, found.agreed), (0, false));
        let options = FindOptions { max_hz: 64_000, ..FindOptions::new(LEVEL) };
        let found = find(&options, |rate| Ok::<_, Infallible>(offered(rate, 1e12))).unwrap();
        assert_eq!((found.rate_hz, found.agreed), (64_000, true));
        assert!(found.brackets.iter().all(|bracket| bracket.missed_hz == 64_000));
    }

    #[test]
    fn an_interrupted_search_tells_what_it_knew() {
        let mut left = 5;
        let found = search(|rate| {
            left -= 1;
            Report { interrupted: left == 0, ..offered(rate, 1e6) }
        });
        assert!(found.interrupted && !found.agreed);
        assert_eq!((found.rate_hz, found.trials.len()), (8_000, 4));
    }

    #[test]
    fn each_part_of_the_level_is_held_to() {
        let mut report = offered(1_000, 1e9);
        report.latency.record(Interval::from_micros(900));
        report.offset.record(Interval::from_micros(-40));
        let level = |p99, error| Level {
            loss_max: 0.0,
            p99_max: Some(Interval::from_micros(p99)),
            error_p99_max: Some(Interval::from_micros(error)),
        };
        assert_eq!(level(1_000, 50).judge(&report), Verdict::Met);
        assert!(matches!(level(800, 50).judge(&report), Verdict::Latency { .. }));
        assert!(matches!(level(1_000, 30).judge(&report), Verdict::Error { .. }));
        assert!(matches!(level(1_000, 50).judge(&Report::default()), Verdict::Loss { .. }));
        report.answered -= 1;
        assert!(matches!(level(1_000, 50).judge(&report), Verdict::Loss { .. }));
    }
}
