//! Distributions of signed nanoseconds.
//!
//! An error has a sign, and the sign is the point: a transmit timestamp that is a microsecond late
//! is a lie, one that is a microsecond early is not. hdrhistogram counts only magnitudes, so one
//! histogram holds what is below zero and another the rest.
//!
//! Must never: allocate while recording, or clip silently (what is out of range is counted at the
//! edge).

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use timeball_time::Interval;

/// A histogram of intervals of either sign, to three digits, up to a minute.
#[derive(Clone, Debug)]
pub struct SignedHistogram {
    /// Magnitudes of the values below zero.
    below: Histogram<u32>,
    /// Zero and above.
    above: Histogram<u32>,
    sum_ns: i128,
}

impl SignedHistogram {
    /// An empty histogram.
    #[expect(clippy::new_without_default, reason = "construction allocates megabytes; say so")]
    pub fn new() -> Self {
        // Cannot fail: the bounds and the digits are constants within the documented ranges, and a
        // failure would leave an empty histogram of the least size.
        let side = || {
            Histogram::new_with_bounds(1, RANGE_NS, DIGITS)
                .or_else(|_| Histogram::new(DIGITS))
                .unwrap_or_else(|_| unreachable!("{DIGITS} digits are allowed"))
        };
        Self { below: side(), above: side(), sum_ns: 0 }
    }

    /// Counts one value.
    #[inline]
    pub fn record(&mut self, value: Interval) {
        let nanos = value.nanos();
        self.sum_ns += i128::from(nanos);
        if nanos < 0 {
            self.below.saturating_record(nanos.unsigned_abs());
        } else {
            self.above.saturating_record(nanos.unsigned_abs());
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.below.len() + self.above.len()
    }

    /// The smallest value not exceeded by the share `quantile` (0 to 1) of all; zero if there are
    /// none.
    pub fn quantile(&self, quantile: f64) -> i64 {
        let count = self.count();
        if count == 0 {
            return 0;
        }
        let rank = ((quantile.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count);
        let below = self.below.len();
        if rank <= below {
            // The r-th value from the bottom has the (n − r + 1)-th magnitude.
            let magnitude_rank = below - rank + 1;
            -(value_at_rank(&self.below, magnitude_rank) as i64)
        } else {
            value_at_rank(&self.above, rank - below) as i64
        }
    }

    /// The usual figures.
    pub fn distribution(&self) -> Distribution {
        let count = self.count();
        Distribution {
            count,
            mean_ns: if count == 0 { 0.0 } else { self.sum_ns as f64 / count as f64 },
            min_ns: self.quantile(0.0),
            p0_1_ns: self.quantile(0.001),
            p1_ns: self.quantile(0.01),
            p50_ns: self.quantile(0.5),
            p90_ns: self.quantile(0.9),
            p99_ns: self.quantile(0.99),
            p99_9_ns: self.quantile(0.999),
            max_ns: self.quantile(1.0),
        }
    }
}

/// The figures of one distribution, in nanoseconds; all zero when nothing was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Values counted.
    pub count: u64,
    /// Their mean.
    pub mean_ns: f64,
    /// The least.
    pub min_ns: i64,
    /// Exceeded by 99.9 %.
    pub p0_1_ns: i64,
    /// Exceeded by 99 %.
    pub p1_ns: i64,
    /// The median.
    pub p50_ns: i64,
    /// Exceeded by 10 %.
    pub p90_ns: i64,
    /// Exceeded by 1 %.
    pub p99_ns: i64,
    /// Exceeded by 0.1 %.
    pub p99_9_ns: i64,
    /// The largest.
    pub max_ns: i64,
}

fn value_at_rank(histogram: &Histogram<u32>, rank: u64) -> u64 {
    // Half a rank off, so that rounding in the library cannot move to the next.
    let quantile = (rank as f64 - 0.5) / histogram.len() as f64;
    histogram.value_at_quantile(quantile)
}

const RANGE_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = i64>) -> SignedHistogram {
        let mut histogram = SignedHistogram::new();
        values.into_iter().for_each(|nanos| histogram.record(Interval::from_nanos(nanos)));
        histogram
    }

    #[test]
    fn quantiles_run_through_zero() {
        let histogram = of(-500..=500);
        assert_eq!(histogram.count(), 1_001);
        assert_eq!(histogram.quantile(0.0), -500);
        assert_eq!(histogram.quantile(0.5), 0);
        assert_eq!(histogram.quantile(1.0), 500);
        assert_eq!(histogram.quantile(0.25), -250);
        assert_eq!(histogram.distribution().mean_ns, 0.0);
    }

    #[test]
    fn quantiles_of_one_sign_are_right_on_either_side() {
        assert_eq!(of(1..=100).quantile(0.99), 99);
        assert_eq!(of(-100..=-1).quantile(0.99), -2);
        assert_eq!(of([-7]).quantile(0.5), -7);
        assert_eq!(of([]).distribution(), Distribution::default());
    }

    #[test]
    fn large_values_keep_three_digits_and_absurd_ones_are_counted_at_the_edge() {
        let histogram = of([1_234_567, -9_876_543_210]);
        assert!((histogram.quantile(1.0) - 1_234_567).abs() <= 1_300);
        assert!((histogram.quantile(0.0) + 9_876_543_210).abs() <= 10_000_000);
        let histogram = of([i64::MAX, i64::MIN]);
        assert_eq!(histogram.count(), 2);
        assert!(histogram.quantile(1.0) >= RANGE_NS as i64);
        assert!(histogram.quantile(0.0) <= -(RANGE_NS as i64));
    }
}
