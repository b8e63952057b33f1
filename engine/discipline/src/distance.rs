//! How far off an estimate may be: root distance, and the least of it that may be claimed.
//!
//! The filter is sure of itself by its model of noise, and a model can be wrong. What no model is
//! needed for: a right server's answer is off by at most half its delay, so an estimate is off by
//! at most that plus its distance from the answer. What was proven once stays proven, grown by age
//! and by how far the estimate has moved since. Likewise two answers bound the frequency between them:
//!
//! ```text
//! |θ_i − y_i| ≤ δ_i/2     |f − (y_j − y_i)/(t_j − t_i)| ≤ (δ_i + δ_j)/2/(t_j − t_i)
//! ```
//!
//! With few and crowded answers the filter may take queues for a frequency and be sure of it; what has
//! not been excluded in this way is part of the growth with age, besides the 15 ppm by which any
//! frequency may move.
//!
//! Must never: shrink because the filter has become more confident.

use timeball_time::{Free, Interval, Rate, Timestamp};

use crate::estimate::Estimate;
use crate::exchange::{FREQUENCY_TOLERANCE, Sample};
use crate::filter::Point;

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
        proven: Proven,
        now: Timestamp<Free>,
    ) -> Self {
        let age = (now - sample.received).max(Interval::ZERO);
        let sd = Interval::from_secs_f64(BOUND_SD * estimate.offset_sd_at(now));
        Self {
            delay: sample.root_delay.interval() + delay,
            dispersion: sample.root_dispersion.interval()
                + sample.dispersion
                + sd.max(proven.after(age))
                + FREQUENCY_TOLERANCE.over(age),
        }
    }

    pub(crate) fn total(self) -> Interval {
        self.delay.half() + self.dispersion
    }
}

/// An error that is not excluded, and how fast it may grow, beside half the least delay and 15 ppm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Proven {
    /// When the source was heard last.
    pub(crate) error: Interval,
    /// Of the estimate's frequency.
    pub(crate) skew: Rate,
}

impl Proven {
    /// What is not excluded `age` later.
    pub(crate) fn after(self, age: Interval) -> Interval {
        self.error + self.skew.over(age)
    }
}

/// What one source's answers prove of its estimate's error.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Proof {
    since: Timestamp<Free>,
    /// The error was at most this then.
    pub(crate) error: Interval,
    frequency: Bounds,
}

impl Proof {
    /// What `sample`, the newest of `points`, proves of `estimate`, or what was proven `before` of an
    /// older estimate, if that is less.
    pub(crate) fn renew(
        estimate: &Estimate,
        sample: &Sample<Free>,
        points: &[Point],
        before: Option<(Self, Estimate)>,
    ) -> Self {
        let apart = (estimate.offset_at(sample.received) - sample.offset).abs();
        let fresh = apart + sample.delay.max(Interval::ZERO).half();
        let carried = before.map(|(proof, old)| proof.carried(&old, estimate, sample.received));
        let error = carried.map_or(fresh, |carried| carried.min(fresh));
        let seen = Bounds::of(points);
        let frequency = before.map_or(seen, |(proof, _)| proof.frequency.and(seen));
        Self { since: sample.received, error, frequency }
    }

    /// What the proof of the estimate `old` is worth for the estimate `new` at `at`.
    fn carried(&self, old: &Estimate, new: &Estimate, at: Timestamp<Free>) -> Interval {
        let sd = Rate::from_ratio(BOUND_SD * old.frequency_sd_at(at));
        let grown =
            (FREQUENCY_TOLERANCE + sd.max(self.skew(old.frequency()))).over(at - self.since);
        self.error + grown + (new.offset_at(at) - old.offset_at(at)).abs()
    }

    /// By how much `frequency` may be wrong for all that the answers say.
    pub(crate) fn skew(&self, frequency: f64) -> Rate {
        Rate::from_ratio(self.frequency.reach(frequency))
    }
}

/// Where the frequency is, s/s, if it has not moved.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Bounds {
    low: f64,
    high: f64,
}

impl Bounds {
    const NONE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// What the newest point proves together with those before it.
    fn of(points: &[Point]) -> Self {
        let Some((newest, older)) = points.split_last() else { return Self::NONE };
        let between = |old: &Point| {
            let apart = (newest.time - old.time).as_secs_f64();
            let slope = (newest.offset - old.offset).as_secs_f64() / apart;
            let reach = (newest.delay + old.delay).half().as_secs_f64() / apart;
            Self { low: slope - reach, high: slope + reach }
        };
        older.iter().map(between).fold(Self::NONE, Self::and)
    }

    /// Both, or the newer alone if the frequency has moved out of the older.
    fn and(self, newer: Self) -> Self {
        let (low, high) = (self.low.max(newer.low), self.high.min(newer.high));
        if low <= high { Self { low, high } } else { newer }
    }

    /// The distance of `frequency` from the further end; none if there is no end.
    fn reach(&self, frequency: f64) -> f64 {
        let reach = (self.high - frequency).max(frequency - self.low);
        if reach.is_finite() { reach.max(0.0) } else { 0.0 }
    }
}

/// Deviations of the estimate that enter the error bound: with four, one second in ten million of
/// the oddest simulated worlds lay outside.
pub(crate) const BOUND_SD: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn point(seconds: i64, offset_us: i64, delay_us: i64) -> Point {
        Point {
            time: Timestamp::from_nanos(seconds * 1_000_000_000),
            offset: Interval::from_micros(offset_us),
            delay: Interval::from_micros(delay_us),
            resolution: Interval::ZERO,
        }
    }

    #[test]
    fn answers_bound_the_frequency_between_them() {
        assert_eq!(Bounds::of(&[point(0, 0, 100)]).reach(0.0), 0.0, "one says nothing of it");
        // 1 ms in 10 s, give or take 100 µs.
        let two = [point(0, 0, 100), point(10, 1_000, 100)];
        assert!((Bounds::of(&two).reach(1e-4) - 1e-5).abs() < 1e-12);
        assert!((Bounds::of(&two).reach(0.0) - 1.1e-4).abs() < 1e-12);
        // A crowded answer in between proves little and spoils nothing.
        let three = [two[0], point(5, 20_000, 40_000), two[1]];
        assert!((Bounds::of(&three).reach(1e-4) - 1e-5).abs() < 1e-12);
    }

    #[test]
    fn a_frequency_that_has_moved_is_bounded_anew() {
        let before = Bounds { low: 0.9e-5, high: 1.1e-5 };
        let narrower = before.and(Bounds { low: 1.0e-5, high: 2.0e-5 });
        assert_eq!(narrower, Bounds { low: 1.0e-5, high: 1.1e-5 });
        let moved = Bounds { low: 3.0e-5, high: 4.0e-5 };
        assert_eq!(before.and(moved), moved);
    }
}
