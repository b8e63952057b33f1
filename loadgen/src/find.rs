//! The highest rate that meets a service level, and how sure that is.
//!
//! First the rate is doubled until the level is missed (or halved until it is met); a miss must be seen
//! twice of three times there, so that a single hiccup of the machine does not send the search astray. Then
//! every trial is made where it tells most about the knee ([`Knee`]), until the knee is known closely
//! enough. A trial that missed the level while the generator itself was held up is not counted but repeated.
//!
//! What is told is the rate of which half of the trials meet the level, and the interval that holds it with
//! a probability of 95 %.
//!
//! The load is an argument: a search is run in tests against servers whose capacity is known.
//!
//! Must never: take the generator's own limit for the server's without saying so, or run for ever.

use serde::{Deserialize, Serialize};
use timeball_time::Interval;

use crate::Report;
use crate::knee::{Knee, Outcome};

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
    /// Missed while the generator itself was held up: not counted, and tried again.
    Disturbed,
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
    /// The search ends when the rate is known to this share, either way, with a probability of 95 %.
    pub precision: f64,
    /// Trials after which it ends in any case.
    pub trials_max: usize,
}

impl FindOptions {
    /// To `level`, from 1000/s up, to 2 %, in no more than 80 trials.
    pub const fn new(level: Level) -> Self {
        Self { level, first_hz: 1_000, max_hz: 100_000_000, precision: 0.02, trials_max: 80 }
    }
}

/// A load that a search asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rate to offer.
    pub rate_hz: u32,
    /// Trials before this one.
    pub trials: usize,
    /// Between which rates the one that is sought lies, once that is known.
    pub between: Option<[u32; 2]>,
}

/// The rate found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The rate of which half of the trials meet the level; 0 if no rate met it.
    pub rate_hz: u32,
    /// It is no less than this with a probability of 97.5 %.
    pub low_hz: u32,
    /// It is no more than this with a probability of 97.5 %.
    pub high_hz: u32,
    /// Whether it is known as closely as was asked.
    pub sure: bool,
    /// Whether the generator, and not the server, missed the level: the server can do this rate and perhaps
    /// more.
    pub is_generators: bool,
    /// Whether it was interrupted; the rest is what was known by then.
    pub interrupted: bool,
    /// Every rate tried, in order.
    pub trials: Vec<(u32, Verdict)>,
}

/// Searches with loads that `offer` offers.
///
/// Ends with the first error of `offer`.
pub fn find<E>(
    options: &FindOptions,
    offer: impl FnMut(Step) -> Result<Report, E>,
) -> Result<Found, E> {
    let (trials, outcomes) = (Vec::new(), Vec::new());
    let (between, bracketed, stopped) = (None, false, false);
    let mut search = Search { options, offer, trials, outcomes, between, bracketed, stopped };
    search.bracket()?;
    search.close_in()?;
    Ok(search.found())
}

struct Search<'a, F> {
    options: &'a FindOptions,
    offer: F,
    trials: Vec<(u32, Verdict)>,
    /// Those that count.
    outcomes: Vec<Outcome>,
    /// What is known so far.
    between: Option<[u32; 2]>,
    /// The level was met at one rate and missed at another.
    bracketed: bool,
    stopped: bool,
}

impl<E, F: FnMut(Step) -> Result<Report, E>> Search<'_, F> {
    /// Doubles or halves the rate until the level is met at one and missed at another.
    fn bracket(&mut self) -> Result<(), E> {
        let mut rate = self.options.first_hz.clamp(1, self.options.max_hz);
        let (mut met, mut missed) = (false, false);
        // The range of the rates bounds it.
        while !self.is_over() && !self.bracketed {
            let is_met = self.meets(rate)?;
            (met, missed) = (met || is_met, missed || !is_met);
            self.bracketed = met && missed && !self.stopped;
            if rate == if is_met { self.options.max_hz } else { 1 } {
                break;
            }
            rate = if is_met { rate.saturating_mul(2).min(self.options.max_hz) } else { rate / 2 };
        }
        Ok(())
    }

    /// Whether the level is met at `rate_hz`: at the first trial, or else at two more.
    fn meets(&mut self, rate_hz: u32) -> Result<bool, E> {
        if self.trial(rate_hz)? == Some(true) {
            return Ok(true);
        }
        Ok(self.trial(rate_hz)? == Some(true) && self.trial(rate_hz)? == Some(true))
    }

    /// Tries where it tells most until the knee is known as closely as was asked.
    fn close_in(&mut self) -> Result<(), E> {
        while self.bracketed && !self.is_over() && !self.is_known() {
            let telling_hz = self.knee().most_telling().round();
            self.trial((telling_hz as u32).clamp(1, self.options.max_hz))?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stopped || self.trials.len() >= self.options.trials_max
    }

    /// Notes how closely the knee is known, and whether that is enough.
    fn is_known(&mut self) -> bool {
        let (low, high) = self.knee().interval();
        self.between = Some([low as u32, high as u32]);
        // Of rates that are whole numbers, none lies between.
        let is_whole = high as u32 - low as u32 <= 1;
        self.outcomes.len() >= OUTCOMES_MIN
            && (is_whole || high / low <= (1.0 + self.options.precision).powi(2))
    }

    fn knee(&self) -> Knee {
        Knee::of(&self.outcomes, self.options.precision / PLACES_PER_PRECISION)
    }

    /// Whether the level was met in a trial at `rate_hz`; `None` when interrupted.
    fn trial(&mut self, rate_hz: u32) -> Result<Option<bool>, E> {
        for left in (0..=REPEATS).rev() {
            if self.stopped {
                break;
            }
            let step = Step { rate_hz, trials: self.trials.len(), between: self.between };
            let report = (self.offer)(step)?;
            self.stopped = report.interrupted;
            if self.stopped {
                break;
            }
            let verdict = self.options.level.judge(&report);
            if verdict != Verdict::Met && left > 0 && report.is_disturbed() {
                self.trials.push((rate_hz, Verdict::Disturbed));
                continue;
            }
            self.trials.push((rate_hz, verdict));
            self.outcomes.push((rate_hz, verdict == Verdict::Met));
            return Ok(Some(verdict == Verdict::Met));
        }
        Ok(None)
    }

    fn found(mut self) -> Found {
        let met = self.outcomes.iter().filter(|outcome| outcome.1).map(|outcome| outcome.0).max();
        let (rate_hz, low_hz, high_hz, sure) = if self.bracketed {
            let is_known = self.is_known();
            let rate = |share| (self.knee().quantile(share) as u32).clamp(1, self.options.max_hz);
            (rate(0.5), rate(0.025), rate(0.975), is_known)
        } else {
            let rate = met.unwrap_or(0);
            (rate, rate, rate, rate == self.options.max_hz)
        };
        let is_near = |rate: u32| f64::from(rate) <= f64::from(high_hz) * NEAR;
        let misses = |of: fn(&Verdict) -> bool| {
            self.trials.iter().filter(|(rate, verdict)| is_near(*rate) && of(verdict)).count()
        };
        let by_generator = misses(|verdict| *verdict == Verdict::Generator);
        let by_server = misses(|verdict| {
            matches!(
                verdict,
                Verdict::Loss { .. } | Verdict::Latency { .. } | Verdict::Error { .. }
            )
        });
        Found {
            rate_hz,
            low_hz,
            high_hz,
            sure: sure && !self.stopped,
            is_generators: by_generator > by_server,
            interrupted: self.stopped,
            trials: self.trials,
        }
    }
}

/// Times that a trial is repeated because the generator was held up in it.
const REPEATS: usize = 2;
/// Before so many trials nothing is known closely.
const OUTCOMES_MIN: usize = 8;
/// Rates that are told apart within the precision asked.
const PLACES_PER_PRECISION: f64 = 4.0;
/// Trials at up to this many times the highest rate that may be it say whose limit it is.
const NEAR: f64 = 1.1;

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
        search_up_to(FindOptions::new(LEVEL).max_hz, offer)
    }

    fn search_up_to(max_hz: u32, mut offer: impl FnMut(u32) -> Report) -> Found {
        let options = FindOptions { max_hz, ..FindOptions::new(LEVEL) };
        find(&options, |step| Ok::<_, Infallible>(offer(step.rate_hz))).unwrap()
    }

    #[test]
    fn the_capacity_of_a_steady_server_is_found_to_the_precision_asked() {
        for capacity in [1.0, 7.0, 500.0, 1_000.0, 123_456.0, 5_000_000.0] {
            let found = search(|rate| offered(rate, capacity));
            let ratio = f64::from(found.rate_hz) / capacity;
            assert!((0.98..=1.02).contains(&ratio), "{capacity}: {found:?}");
            assert!(found.sure && !found.is_generators && found.trials.len() < 50, "{found:?}");
        }
    }

    #[test]
    fn five_finds_of_a_noisy_server_agree_within_five_percent() {
        let rates: Vec<f64> = (0..5)
            .map(|seed| {
                let mut random = SplitMix64::new(seed, 0);
                // One trial in ten hits a hiccup; the capacity of the rest varies by 6 %.
                let found = search(|rate| {
                    let hiccup = if random.unit() < 0.1 { 0.5 } else { 1.0 };
                    offered(rate, 200_000.0 * hiccup * (0.97 + 0.06 * random.unit()))
                });
                assert!(found.sure, "{found:?}");
                f64::from(found.rate_hz)
            })
            .collect();
        let (least, most) = (
            rates.iter().copied().fold(f64::MAX, f64::min),
            rates.iter().copied().fold(0.0, f64::max),
        );
        assert!(most / least <= 1.05, "{rates:?}");
        assert!(least >= 194_000.0 && most <= 206_000.0, "{rates:?}");
    }

    #[test]
    fn a_server_that_keeps_changing_is_said_to_be_unsure() {
        let mut calls = 0u32;
        let found = search(|rate| {
            calls += 1;
            offered(rate, if (calls / 7).is_multiple_of(2) { 100_000.0 } else { 50_000.0 })
        });
        assert!(
            !found.sure && f64::from(found.high_hz) > 1.1 * f64::from(found.low_hz),
            "{found:?}"
        );
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
    fn a_trial_in_which_the_generator_was_held_up_is_repeated_and_not_counted() {
        let mut calls = 0u32;
        let found = search(|rate| {
            calls += 1;
            if !calls.is_multiple_of(3) {
                return offered(rate, 100_000.0);
            }
            let mut report = offered(rate, 10_000.0);
            report.lag.record(Interval::from_millis(5));
            report
        });
        assert!(found.sure && found.rate_hz.abs_diff(100_000) < 2_000, "{found:?}");
        let is_disturbed = |trial: &&(u32, Verdict)| trial.1 == Verdict::Disturbed;
        assert!(found.trials.iter().filter(is_disturbed).count() > 2, "{found:?}");
    }

    #[test]
    fn a_level_nobody_meets_and_one_that_everybody_meets_end_the_search() {
        let found = search(|rate| offered(rate, 0.0));
        assert_eq!((found.rate_hz, found.sure), (0, false));
        let found = search_up_to(64_000, |rate| offered(rate, 1e12));
        assert_eq!((found.rate_hz, found.sure, found.trials.len()), (64_000, true, 7));
    }

    #[test]
    fn an_interrupted_search_tells_what_it_knew() {
        let mut left = 5;
        let found = search(|rate| {
            left -= 1;
            Report { interrupted: left == 0, ..offered(rate, 1e6) }
        });
        assert!(found.interrupted && !found.sure);
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
