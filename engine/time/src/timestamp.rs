//! Instants and differences on a named timescale.
//!
//! Every instant is an `i64` count of nanoseconds since 1970 on one timescale, and the timescale is part
//! of the type: subtracting a kernel reading from a served time without going through the snapshot's
//! mapping does not compile. Integers because an `f64` of epoch seconds quantises to 238 ns, which is
//! more than the accuracy this server promises.
//!
//! ```compile_fail
//! use timeball_time::{Realtime, Served, Timestamp};
//! let kernel = Timestamp::<Realtime>::from_nanos(0);
//! let served = Timestamp::<Served>::from_nanos(0);
//! let _ = kernel - served; // two timescales: refused
//! ```
//!
//! Must never: read a clock (time is an argument everywhere but in `sys`).

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// A timescale: what a [`Timestamp`] was counted by.
pub trait Timescale: Copy + Eq + Ord + fmt::Debug + Send + Sync + 'static {
    /// Name used in debug output.
    const NAME: &'static str;
}

macro_rules! timescale {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name;
        impl Timescale for $name {
            const NAME: &'static str = $text;
        }
    };
}

timescale!(
    /// The kernel's `CLOCK_REALTIME` as it stands, right or wrong; kernel packet stamps use it.
    Realtime, "realtime");
timescale!(
    /// The kernel's `CLOCK_MONOTONIC`: slewed together with [`Realtime`], never stepped, stops in suspend.
    Monotonic, "monotonic");
timescale!(
    /// The kernel's `CLOCK_BOOTTIME`: [`Monotonic`] plus the time spent suspended.
    Boottime, "boottime");
timescale!(
    /// The time this server gives to clients: its best estimate of UTC.
    Served, "served");
timescale!(
    /// The kernel clock as it would stand had nobody ever steered it; the discipline measures against it.
    Free, "free");

/// An instant on timescale `S`: nanoseconds since 1970-01-01, negative before, good until 2262.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp<S>(i64, PhantomData<S>);

impl<S: Timescale> Timestamp<S> {
    /// The instant `nanos` nanoseconds after 1970 on this timescale.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos, PhantomData)
    }

    /// Nanoseconds since 1970 on this timescale.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The same count read on another timescale.
    ///
    /// For the few places where two timescales are equal by definition or by a mapping just applied;
    /// each caller says why.
    pub const fn reinterpret<T: Timescale>(self) -> Timestamp<T> {
        Timestamp::from_nanos(self.0)
    }
}

impl<S: Timescale> fmt::Debug for Timestamp<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.div_euclid(NANOS_PER_S), self.0.rem_euclid(NANOS_PER_S));
        write!(f, "{seconds}.{nanos:09} {}", S::NAME)
    }
}

impl<S: Timescale> Sub for Timestamp<S> {
    type Output = Interval;
    fn sub(self, earlier: Self) -> Interval {
        Interval(self.0.saturating_sub(earlier.0))
    }
}

impl<S: Timescale> Add<Interval> for Timestamp<S> {
    type Output = Self;
    fn add(self, interval: Interval) -> Self {
        Self::from_nanos(self.0.saturating_add(interval.0))
    }
}

impl<S: Timescale> Sub<Interval> for Timestamp<S> {
    type Output = Self;
    fn sub(self, interval: Interval) -> Self {
        Self::from_nanos(self.0.saturating_sub(interval.0))
    }
}

/// A signed difference of two instants, in nanoseconds; arithmetic saturates instead of wrapping.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Interval(i64);

impl Interval {
    /// No difference at all.
    pub const ZERO: Self = Self(0);
    /// The longest interval, 292 years: stands for "unknown, unbounded".
    pub const MAX: Self = Self(i64::MAX);

    /// An interval of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// An interval of `micros` microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// An interval of `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// An interval of whole `seconds`.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_S))
    }

    /// An interval of `seconds`, to the nearest nanosecond; saturates, and NaN becomes zero.
    ///
    /// For differences only (an `f64` holds a day to 15 ps); never for seconds since an epoch.
    pub fn from_secs_f64(seconds: f64) -> Self {
        // `as` saturates and maps NaN to 0 by definition of the language.
        Self((seconds * NANOS_PER_S as f64).round() as i64)
    }

    /// Nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_S as f64
    }

    /// The magnitude; never negative.
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Half, rounded towards zero.
    pub const fn half(self) -> Self {
        Self(self.0 / 2)
    }

    /// Two raised to `poll` seconds (RFC 5905 section 7.3, poll exponent), for -30 ≤ `poll` ≤ 32.
    pub const fn from_poll(poll: i8) -> Self {
        let poll = if poll < -30 {
            -30
        } else if poll > 32 {
            32
        } else {
            poll
        };
        if poll >= 0 { Self(NANOS_PER_S << poll) } else { Self(NANOS_PER_S >> -poll) }
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns", self.0)
    }
}

impl Add for Interval {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Interval {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Interval {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Interval {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Interval {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// One reading of the kernel's three clocks, taken together.
///
/// `realtime − boottime` changes only when somebody steps the clock, `boottime − monotonic` only when the
/// machine was suspended: comparing two readings tells both apart from slewing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// `CLOCK_REALTIME`.
    pub realtime: Timestamp<Realtime>,
    /// `CLOCK_MONOTONIC`.
    pub monotonic: Timestamp<Monotonic>,
    /// `CLOCK_BOOTTIME`.
    pub boottime: Timestamp<Boottime>,
}

pub(crate) const NANOS_PER_S: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_saturate_instead_of_wrapping() {
        let last = Timestamp::<Realtime>::from_nanos(i64::MAX);
        let first = Timestamp::<Realtime>::from_nanos(i64::MIN);
        assert_eq!(last - first, Interval::MAX);
        assert_eq!(last + Interval::from_secs(1), last);
        assert_eq!(Interval::from_nanos(i64::MIN).abs(), Interval::MAX);
    }

    #[test]
    fn seconds_convert_to_the_nearest_nanosecond_and_nan_to_zero() {
        assert_eq!(Interval::from_secs_f64(1.5e-9).nanos(), 2);
        assert_eq!(Interval::from_secs_f64(-0.000_001).nanos(), -1_000);
        assert_eq!(Interval::from_secs_f64(f64::NAN), Interval::ZERO);
        assert_eq!(Interval::from_secs_f64(f64::INFINITY), Interval::MAX);
    }

    #[test]
    fn poll_exponents_are_powers_of_two_seconds() {
        assert_eq!(Interval::from_poll(6), Interval::from_secs(64));
        assert_eq!(Interval::from_poll(-1), Interval::from_millis(500));
        assert_eq!(Interval::from_poll(127), Interval::from_poll(32));
    }
}
