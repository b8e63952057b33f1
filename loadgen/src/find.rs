//! The highest rate that meets a service level, and how sure that is.
//!
//! A machine changes its pace by a fifth within an hour, and a server's limit changes with it. So before and
//! after each trial a short closed loop says what the server answers at its own pace just then, and a trial's
//! rate is put down as what it would have been at the first such pace; a trial between two paces that differ
//! too much is made again. The rate that is told is for the mean of all paces of the search, of which
//! there are so many that it is one of minutes.
//!
//! First the rate is doubled from a quarter of that pace until the level is missed (or halved until it is
//! met); a miss must be seen twice of three times there, so that a single hiccup of the machine does not send
//! the search astray. Then every trial is made where it tells most about the knee ([`Knee`]), until the knee
//! is known closely enough. A trial that missed the level while the generator itself was held up is not
//! counted but repeated.
//!
//! What is told is the rate of which half of the trials meet the level, and the interval that holds it with
//! a probability of 95 %.
//!
//! The load is an argument: a search is run in tests against servers whose capacity is known.
//!
//! Must never: take the generator's own limit for the server's without saying so, or run for ever.

use serde::{Deserialize, Serialize};

use crate::Trial;
use crate::knee::{Knee, Outcome};
use crate::level::{Level, Verdict};

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FindOptions {
    /// What to meet.
    pub level: Level,
    /// The rate to begin with, at least 1; a quarter of the server's own pace if `None`.
    pub first_hz: Option<u32>,
    /// The highest rate to try.
    pub max_hz: u32,
    /// The search ends when the rate is known to this share, either way, with a probability of 95 %.
    pub precision: f64,
    /// Trials after which it ends in any case.
    pub trials_max: usize,
    /// Whether the server's own pace is asked for; without it the machine is taken for a steady one.
    pub paced: bool,
}

impl FindOptions {
    /// To `level`, to 2 %, in no more than 80 trials.
    pub const fn new(level: Level) -> Self {
        Self {
            level,
            first_hz: None,
            max_hz: 100_000_000,
            precision: 0.02,
            trials_max: 80,
            paced: true,
        }
    }
}

/// What is to be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A short closed loop that saturates the server, to see what it answers at its own pace.
    Pace,
    /// This rate, in an open loop.
    Rate(u32),
}

/// A load that a search asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to offer.
    pub ask: Ask,
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
    /// What the server answered a second in closed loops: the least, the mean and the most. The rate is
    /// for the mean. All 0 if it was not looked at.
    #[serde(default)]
    pub paces_hz: [u32; 3],
    /// Every rate tried, in order.
    pub trials: Vec<(u32, Verdict)>,
}

/// Searches with loads that `offer` offers.
///
/// Ends with the first error of `offer`.
pub fn find<E>(
    options: &FindOptions,
    offer: impl FnMut(Step) -> Result<Trial, E>,
) -> Result<Found, E> {
    let (trials, outcomes) = (Vec::new(), Vec::new());
    let (paces, between, bracketed, stopped) = (Vec::new(), None, false, false);
    let mut search =
        Search { options, offer, trials, outcomes, paces, between, bracketed, stopped };
    search.take_pace()?;
    search.bracket()?;
    search.close_in()?;
    search.look_around()?;
    Ok(search.found())
}

struct Search<'a, F> {
    options: &'a FindOptions,
    offer: F,
    trials: Vec<(u32, Verdict)>,
    /// Those that count, with their rates at the first pace.
    outcomes: Vec<Outcome>,
    /// What the server answered a second in closed loops, in order.
    paces: Vec<f64>,
    /// What is known so far.
    between: Option<[u32; 2]>,
    /// The level was met at one rate and missed at another.
    bracketed: bool,
    stopped: bool,
}

impl<E, F: FnMut(Step) -> Result<Trial, E>> Search<'_, F> {
    /// Doubles or halves the rate until the level is met at one and missed at another.
    fn bracket(&mut self) -> Result<(), E> {
        let quarter = self.paces.first().map_or(0, |pace| (pace / 4.0) as u32);
        let first_hz =
            self.options.first_hz.unwrap_or(if quarter > 0 { quarter } else { FIRST_HZ });
        let mut rate = first_hz.clamp(1, self.options.max_hz);
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
            let telling_hz = self.knee().most_telling() * self.lately();
            self.trial((telling_hz.round() as u32).clamp(1, self.options.max_hz))?;
        }
        Ok(())
    }

    /// Looks at the pace until it has been seen so often that its mean is one of minutes, not of moments.
    fn look_around(&mut self) -> Result<(), E> {
        let wanted = if self.bracketed { PACES_MIN } else { 0 };
        for _ in self.paces.len()..wanted {
            self.take_pace()?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stopped || self.trials.len() >= self.options.trials_max
    }

    /// Notes how closely the knee is known, and whether that is enough.
    fn is_known(&mut self) -> bool {
        let (low, high) = self.knee().interval();
        let whole = |rate: f64| (rate * self.usually()) as u32;
        let between = [whole(low), whole(high)];
        self.between = Some(between);
        // Of rates that are whole numbers, none lies between.
        let is_whole = between[1] - between[0] <= 1;
        self.outcomes.len() >= OUTCOMES_MIN
            && (is_whole || high / low <= (1.0 + self.options.precision).powi(2))
    }

    fn knee(&self) -> Knee {
        Knee::of(&self.outcomes, self.options.precision / PLACES_PER_PRECISION)
    }

    /// Whether the level was met in a trial at `rate_hz`; `None` when interrupted.
    fn trial(&mut self, rate_hz: u32) -> Result<Option<bool>, E> {
        for left in (0..=REPEATS).rev() {
            let before = self.paces.last().copied();
            let Some(trial) = self.ask(Ask::Rate(rate_hz))? else { break };
            self.take_pace()?;
            let ratio = before.zip(self.paces.last()).map_or(1.0, |(before, after)| after / before);
            let has_changed = ratio.ln().abs() > PACE_CHANGE;
            let verdict = self.options.level.judge(&trial);
            if left > 0 && (has_changed || !verdict.is_met() && trial.report.is_disturbed()) {
                self.trials.push((rate_hz, Verdict::Disturbed));
                continue;
            }
            self.trials.push((rate_hz, verdict));
            // Half-way between the two.
            let pace = self.to_first(before.map(|before| before * ratio.sqrt()));
            self.outcomes.push((f64::from(rate_hz) / pace, verdict.is_met()));
            return Ok(Some(verdict.is_met()));
        }
        Ok(None)
    }

    /// Has the server's own pace looked at; if it answered nothing it is the last one's.
    fn take_pace(&mut self) -> Result<(), E> {
        if self.options.paced
            && let Some(trial) = self.ask(Ask::Pace)?
        {
            let pace = trial.report.answered_per_s();
            let pace = if pace > 0.0 { Some(pace) } else { self.paces.last().copied() };
            self.paces.extend(pace);
        }
        Ok(())
    }

    /// Has a load offered; `None` when interrupted.
    fn ask(&mut self, ask: Ask) -> Result<Option<Trial>, E> {
        if self.stopped {
            return Ok(None);
        }
        let step = Step { ask, trials: self.trials.len(), between: self.between };
        let trial = (self.offer)(step)?;
        self.stopped = trial.report.interrupted;
        Ok((!self.stopped).then_some(trial))
    }

    /// `pace` by the first one; 1 where there is none.
    fn to_first(&self, pace: Option<f64>) -> f64 {
        pace.zip(self.paces.first()).map_or(1.0, |(pace, first)| pace / first)
    }

    /// The pace of the last few trials by the first one.
    fn lately(&self) -> f64 {
        let from = self.paces.len().saturating_sub(PACES_LATELY);
        self.to_first(middle(&self.paces[from..]))
    }

    /// The mean of all paces by the first one.
    fn usually(&self) -> f64 {
        self.to_first(middle(&self.paces))
    }

    fn found(mut self) -> Found {
        let met = self.trials.iter().filter(|trial| trial.1.is_met()).map(|trial| trial.0).max();
        let (rate_hz, low_hz, high_hz, sure) = if self.bracketed {
            let is_known = self.is_known();
            let (knee, pace) = (self.knee(), self.usually());
            let rate = |share| ((knee.quantile(share) * pace) as u32).clamp(1, self.options.max_hz);
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
            paces_hz: ends(&self.paces),
            trials: self.trials,
        }
    }
}

/// The mean of `values` without the tenth at either end, which is of hiccups.
fn middle(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 10;
    let kept = sorted.get(cut..sorted.len() - cut).filter(|kept| !kept.is_empty())?;
    Some(kept.iter().sum::<f64>() / kept.len() as f64)
}

/// The least, the mean and the greatest of `values`; 0 without any.
fn ends(values: &[f64]) -> [u32; 3] {
    let least = values.iter().copied().reduce(f64::min);
    let most = values.iter().copied().reduce(f64::max);
    [least, middle(values), most].map(|value| value.unwrap_or(0.0) as u32)
}

/// The rate to begin with if nothing is known of the server.
const FIRST_HZ: u32 = 1_000;
/// Paces whose logarithms are farther apart than this are of a machine that changed in between.
const PACE_CHANGE: f64 = 0.15;
/// A pace is looked at so often at least: a minute and more, beside the time of the trials.
const PACES_MIN: usize = 160;
/// So many of the last paces say what the next trial's will be.
const PACES_LATELY: usize = 3;
/// Times that a trial is repeated because the generator was held up in it.
const REPEATS: usize = 2;
/// Before so many trials nothing is known closely.
const OUTCOMES_MIN: usize = 8;
/// Rates that are told apart within the precision asked.
const PLACES_PER_PRECISION: f64 = 4.0;
/// Trials at up to this many times the highest rate that may be it say whose limit it is.
const NEAR: f64 = 1.1;

#[cfg(test)]
mod tests;
