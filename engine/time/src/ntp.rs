//! The wire's own time formats: the 64-bit timestamp and the 32-bit short format (RFC 5905 section 6).
//!
//! Both wrap or saturate by definition, so they are kept apart from [`crate::Timestamp`]: a wire
//! timestamp says nothing about its era until it is unfolded around an instant that is known, and two of
//! them may only be compared modulo 2³² seconds. That is what carries a server over 7 February 2036.

use core::fmt;

use crate::timestamp::NANOS_PER_S;
use crate::{Interval, Timescale, Timestamp};

/// A 64-bit NTP timestamp: seconds since 1900 modulo 2³², and a 32-bit fraction (RFC 5905 section 6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NtpTimestamp(u64);

impl NtpTimestamp {
    /// The value a field holds when it means "unknown".
    pub const ZERO: Self = Self(0);

    /// From the field's bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The field's bits.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The wire value at or just before `instant`: never later than the instant it stands for.
    #[inline]
    pub const fn floor<S: Timescale>(instant: Timestamp<S>) -> Self {
        let nanos = instant.nanos();
        let seconds = nanos.div_euclid(NANOS_PER_S).wrapping_add(UNIX_EPOCH_S) as u32;
        let fraction = ((nanos.rem_euclid(NANOS_PER_S) as u64) << 32) / NANOS_PER_S as u64;
        Self(((seconds as u64) << 32) | fraction)
    }

    /// The wire value at or just after `instant`: never earlier than the instant it stands for.
    #[inline]
    pub const fn ceil<S: Timescale>(instant: Timestamp<S>) -> Self {
        // A nanosecond is 4.29 units, so the floor of the instant is less than one unit early.
        Self(Self::floor(instant).0.wrapping_add(1))
    }

    /// `self − earlier` as a signed interval, right whenever the two are less than 68 years apart.
    #[inline]
    pub const fn since(self, earlier: Self) -> Interval {
        let units = self.0.wrapping_sub(earlier.0) as i64;
        Interval::from_nanos(((units as i128 * NANOS_PER_S as i128 + (1 << 31)) >> 32) as i64)
    }

    /// The instant meant, in the era that lies within 68 years of `pivot`.
    pub const fn unfold<S: Timescale>(self, pivot: Timestamp<S>) -> Timestamp<S> {
        let from_pivot = self.since(Self::floor(pivot));
        Timestamp::from_nanos(pivot.nanos().saturating_add(from_pivot.nanos()))
    }

    /// The instant meant, from 2000 to 2136: right in either era whatever the local clock shows.
    ///
    /// A clock that has lost its battery starts in 1970, which from 2038 on is too far away to tell eras
    /// by; but no server asked today sends a time before the year 2000.
    pub const fn dated<S: Timescale>(self) -> Timestamp<S> {
        self.unfold(Timestamp::from_nanos((UNTIL_2000_S + (1 << 31)) * NANOS_PER_S))
    }

    /// The wire value `interval` later (earlier if negative), modulo 2³² s; "unknown" stays so.
    pub const fn plus(self, interval: Interval) -> Self {
        if self.is_zero() {
            return self;
        }
        let units = ((interval.nanos() as i128) << 32) / NANOS_PER_S as i128;
        Self(self.0.wrapping_add(units as i64 as u64))
    }

    /// True for the "unknown" value.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for NtpTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{:08x}", self.0 >> 32, self.0 as u32)
    }
}

/// The 32-bit short format, seconds in 16.16 (RFC 5905 section 6), for root delay and root dispersion.
///
/// Built values stay below 2³¹: some clients read the field as signed and stop on a negative one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NtpShort(u32);

impl NtpShort {
    /// Zero seconds.
    pub const ZERO: Self = Self(0);
    /// The largest value built: one unit short of 32 768 s.
    pub const MAX: Self = Self(0x7FFF_FFFF);

    /// From the field's bits, as received (the whole unsigned range).
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The field's bits.
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The smallest value not below `interval`: an error bound is rounded up, never down.
    ///
    /// Negative intervals become zero, those above the range [`NtpShort::MAX`].
    #[inline]
    pub const fn ceil(interval: Interval) -> Self {
        let nanos = interval.nanos();
        if nanos <= 0 {
            return Self::ZERO;
        }
        if nanos >= 32_767 * NANOS_PER_S {
            return Self::MAX;
        }
        let units = ((nanos as u64) << 16).div_ceil(NANOS_PER_S as u64);
        Self(units as u32)
    }

    /// The interval meant, to the nanosecond above.
    pub const fn interval(self) -> Interval {
        Interval::from_nanos((self.0 as i64 * NANOS_PER_S + 0xFFFF) >> 16)
    }
}

impl fmt::Debug for NtpShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", f64::from(self.0) / 65_536.0)
    }
}

/// Seconds from 1970 to 2000.
const UNTIL_2000_S: i64 = 946_684_800;
/// Seconds from 1900, where NTP counts from, to 1970, where Unix does.
const UNIX_EPOCH_S: i64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Served;

    fn at(nanos: i64) -> Timestamp<Served> {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn the_unix_epoch_is_2208988800_seconds_after_1900() {
        assert_eq!(NtpTimestamp::floor(at(0)).to_bits(), 2_208_988_800 << 32);
        assert_eq!(NtpTimestamp::floor(at(500_000_000)).to_bits() as u32, 1 << 31);
    }

    #[test]
    fn floor_is_never_late_and_ceil_never_early() {
        for nanos in [0, 1, 232, 999_999_999, 1_764_000_000_123_456_789, -1, -999_999_999] {
            let (floor, ceil) = (NtpTimestamp::floor(at(nanos)), NtpTimestamp::ceil(at(nanos)));
            // Compared in units of 2⁻³² ns·s to stay exact.
            let exact = i128::from(nanos) << 32;
            let units = |t: NtpTimestamp| {
                let wide = i128::from(t.to_bits()) - (i128::from(UNIX_EPOCH_S) << 32);
                let era = i128::from(nanos.div_euclid(NANOS_PER_S)) + i128::from(UNIX_EPOCH_S);
                (wide + ((era >> 32) << 64)) * i128::from(NANOS_PER_S)
            };
            assert!(units(floor) <= exact, "{nanos}");
            assert!(units(ceil) >= exact, "{nanos}");
            assert_eq!(floor.unfold(at(nanos)), at(nanos), "{nanos}");
        }
    }

    #[test]
    fn the_era_of_2036_is_crossed_without_a_seam() {
        let rollover = at(2_085_978_496 * NANOS_PER_S);
        let before = NtpTimestamp::floor(rollover - Interval::from_secs(500));
        let after = NtpTimestamp::floor(rollover + Interval::from_secs(500));
        assert_eq!(NtpTimestamp::floor(rollover).to_bits(), 0);
        assert_eq!(after.since(before), Interval::from_secs(1_000));
        assert_eq!(before.since(after), Interval::from_secs(-1_000));
        assert_eq!(before.unfold(rollover), rollover - Interval::from_secs(500));
        assert_eq!(after.unfold(rollover), rollover + Interval::from_secs(500));
        assert_eq!(before.plus(Interval::from_secs(1_000)), after);
        assert_eq!(after.plus(Interval::from_secs(-1_000)), before);
        assert_eq!(NtpTimestamp::ZERO.plus(Interval::from_secs(1)), NtpTimestamp::ZERO);
    }

    #[test]
    fn a_time_is_dated_from_2000_to_2136_without_any_clock() {
        for year in 2000..2136i64 {
            let instant = at((UNTIL_2000_S + (year - 2000) * 31_556_952) * NANOS_PER_S);
            assert_eq!(NtpTimestamp::floor(instant).dated(), instant, "{year}");
        }
    }

    #[test]
    fn short_format_rounds_up_and_stays_positive_when_read_as_signed() {
        assert_eq!(NtpShort::ceil(Interval::from_nanos(1)).to_bits(), 1);
        assert_eq!(NtpShort::ceil(Interval::from_secs(1)).to_bits(), 0x1_0000);
        assert_eq!(NtpShort::ceil(Interval::from_secs(-1)), NtpShort::ZERO);
        assert_eq!(NtpShort::ceil(Interval::MAX), NtpShort::MAX);
        assert!((NtpShort::MAX.to_bits() as i32) > 0);
        for nanos in [1, 15_258, 15_259, 123_456_789, 1_500_000_000] {
            let bound = NtpShort::ceil(Interval::from_nanos(nanos));
            assert!(bound.interval() >= Interval::from_nanos(nanos));
            assert!(bound.interval() <= Interval::from_nanos(nanos + 15_260));
        }
    }
}
