//! How far off an estimate may be: root distance, and the least of it that may be claimed.
//!
//! The filter is sure of itself by its model of noise, and a model can be wrong. What no model is
//! needed for: a right server's answer is off by at most half its delay, so an estimate is off by
//! at most that plus its distance from the answer. What was proven once stays proven, grown by age
//! (15 ppm and the frequency's own uncertainty) and by how far the estimate has moved since.
//!
//! Must never: shrink because the filter has become more confident.

use timeball_time::{Free, Interval, Rate, Timestamp};

use crate::estimate::Estimate;
use crate::exchange::{FREQUENCY_TOLERANCE, Sample};

/// The two parts of a root distance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Distance {
    /// Root delay: counts half.
    pub(crate) delay: Interval,
    /// Root dispersion.
    pub(crate) dispersion: Interval,
}

impl Distance {
    /// Of `estimate` at `now`, last measured by `sample`; `delay` is the least seen, and an error of
    /// `proven` beyond half of it is not excluded.
    pub(crate) fn of(
        estimate: &Estimate,
        sample: &Sample<Free>,
        delay: Interval,
        proven: Interval,
        now: Timestamp<Free>,
    ) -> Self {
        let age = (now - sample.received).max(Interval::ZERO);
        let sd = Interval::from_secs_f64(BOUND_SD * estimate.offset_sd_at(now));
        Self {
            delay: sample.root_delay.interval() + delay,
            dispersion: sample.root_dispersion.interval()
                + sample.dispersion
                + sd.max(proven)
                + FREQUENCY_TOLERANCE.over(age),
        }
    }

    pub(crate) fn total(self) -> Interval {
        self.delay.half() + self.dispersion
    }
}

/// What one source's answers prove of its estimate's error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Proof {
    since: Timestamp<Free>,
    /// The error was at most this then.
    pub(crate) error: Interval,
}

impl Proof {
    /// What `sample` proves of `estimate`, or what was proven before and is `carried` on, if less.
    pub(crate) fn renew(
        estimate: &Estimate,
        sample: &Sample<Free>,
        carried: Option<Interval>,
    ) -> Self {
        let apart = (estimate.offset_at(sample.received) - sample.offset).abs();
        let fresh = apart + sample.delay.max(Interval::ZERO).half();
        let error = carried.map_or(fresh, |carried| carried.min(fresh));
        Self { since: sample.received, error }
    }

    /// What the proof of the estimate `old` is worth for the estimate `new` at `at`.
    pub(crate) fn carried(&self, old: &Estimate, new: &Estimate, at: Timestamp<Free>) -> Interval {
        let skew = Rate::from_ratio(BOUND_SD * old.frequency_sd_at(at));
        let grown = (FREQUENCY_TOLERANCE + skew).over(at - self.since);
        self.error + grown + (new.offset_at(at) - old.offset_at(at)).abs()
    }
}

/// Deviations of the estimate that enter the error bound: with four, one second in ten million of
/// the oddest simulated worlds lay outside.
pub(crate) const BOUND_SD: f64 = 5.0;
