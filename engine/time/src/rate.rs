//! A dimensionless rate (seconds per second) in fixed point.
//!
//! The mapping from the kernel clock to served time is evaluated by every worker for every reply, and
//! must give the same nanosecond on every core and in every replay of a simulation; fixed point with a
//! 128-bit product does, at the cost of two multiplications.

use core::fmt;
use core::ops::{Add, Neg, Sub};

use crate::Interval;

/// A rate in units of 2⁻⁴⁸ s/s (3.6 × 10⁻¹⁵): range ±32 768 s/s, so 500 ppm uses 38 of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(i64);

impl Rate {
    /// No drift.
    pub const ZERO: Self = Self(0);

    /// `parts` per 10⁹ (nanoseconds per second).
    pub const fn from_ppb(parts: i64) -> Self {
        Self((((parts as i128) << FRACTION_BITS) / 1_000_000_000) as i64)
    }

    /// A ratio such as `15e-6`, to the nearest unit; saturates, and NaN becomes zero.
    pub fn from_ratio(ratio: f64) -> Self {
        Self((ratio * (1i64 << FRACTION_BITS) as f64).round() as i64)
    }

    /// The rate as a ratio, seconds per second.
    pub fn as_ratio(self) -> f64 {
        self.0 as f64 / (1i64 << FRACTION_BITS) as f64
    }

    /// The rate in parts per million.
    pub fn as_ppm(self) -> f64 {
        self.as_ratio() * 1e6
    }

    /// What a clock of this rate gains over `elapsed`, rounded towards minus infinity.
    #[inline]
    pub const fn over(self, elapsed: Interval) -> Interval {
        let gained = (self.0 as i128 * elapsed.nanos() as i128) >> FRACTION_BITS;
        Interval::from_nanos(gained as i64)
    }

    /// The raw fixed-point value, for the snapshot's words.
    pub const fn to_bits(self) -> i64 {
        self.0
    }

    /// A rate from its raw fixed-point value.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} ppm", self.as_ppm())
    }
}

impl Add for Rate {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Rate {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Rate {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

const FRACTION_BITS: u32 = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_ppm_over_a_thousand_seconds_is_fifteen_milliseconds() {
        let gained = Rate::from_ppb(15_000).over(Interval::from_secs(1_000));
        assert!((gained.nanos() - 15_000_000).abs() <= 4, "{gained:?}");
    }

    #[test]
    fn a_century_of_the_largest_rate_does_not_overflow_its_product() {
        let century = Interval::from_secs(3_155_760_000);
        assert!(Rate::from_ppb(500_000).over(century) > Interval::from_secs(1_500_000));
        assert!(Rate::from_ppb(-500_000).over(century) < Interval::from_secs(-1_500_000));
    }

    #[test]
    fn ratio_round_trips_to_a_part_in_ten_to_the_fourteenth() {
        for ratio in [0.0, 1e-9, -5e-4, 0.1] {
            assert!((Rate::from_ratio(ratio).as_ratio() - ratio).abs() < 1e-14);
        }
    }
}
