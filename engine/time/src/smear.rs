//! A leap second spread over hours: linear, and centred on the leap.
//!
//! Clients that cannot take a leap are served a second's worth of slowness instead: with the usual 24 hours
//! from noon to noon, 11.6 ppm (as the public clouds do). Over the window of W smeared seconds, W + 1 real
//! ones pass if a second is inserted (W − 1 if one is deleted):
//!
//! ```text
//! begin = midnight − W/2     end = begin + W − shift        on the unbroken count; shift is −1 s or +1 s
//! smeared(u) = u + shift · (u − begin) / (end − begin)      between the two, u before, u + shift after
//! ```
//!
//! Smeared time is up to half a second off UTC. Whoever mixes both kinds of server would take one of them
//! for wrong, or worse, average the two; so a smeared reply says what it is by a reference ID of its own:
//! 254.x.y.z, where xyz is smeared time minus UTC in 2⁻²² s, signed (as ntpd does while it smears).
//!
//! Must never: be mixed with UTC on one listener, or announce the leap that it hides.

use crate::leap::{LeapMaker, LeapSecond};
use crate::{Interval, Rate, ReferenceId, Served, Timestamp};

/// How long a leap second is smeared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Smear {
    length: Interval,
}

/// Smeared time at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Smeared {
    /// Smeared minus unbroken time.
    pub(crate) from_unbroken: Interval,
    /// Rate against the unbroken count.
    pub(crate) rate: Rate,
    /// Smeared time minus UTC.
    pub(crate) from_utc: Interval,
}

impl Smear {
    /// The usual length, noon to noon.
    pub const USUAL: Self = Self { length: Interval::from_secs(86_400) };

    /// A smear of `length`, kept within an hour and two days.
    pub fn new(length: Interval) -> Self {
        Self { length: length.clamp(Interval::from_secs(3_600), Interval::from_secs(172_800)) }
    }

    /// How many smeared seconds the window has.
    pub const fn length(self) -> Interval {
        self.length
    }

    /// Smeared time of `leap` at the `unbroken` count.
    pub(crate) fn at(self, leap: &LeapSecond, unbroken: Timestamp<Served>) -> Smeared {
        let (begin, shift) = (leap.midnight - self.length.half(), leap.kind.shift());
        let whole = self.length - shift;
        let passed = unbroken - begin;
        let (from_unbroken, rate) = if passed <= Interval::ZERO {
            (Interval::ZERO, Rate::ZERO)
        } else if passed >= whole {
            (shift, Rate::ZERO)
        } else {
            let share = i128::from(shift.nanos()) * i128::from(passed.nanos());
            let gained = Interval::from_nanos((share / i128::from(whole.nanos())) as i64);
            (gained, Rate::from_ratio(shift.as_secs_f64() / whole.as_secs_f64()))
        };
        let utc = leap.broken(unbroken);
        Smeared { from_unbroken, rate, from_utc: unbroken + from_unbroken - utc }
    }

    /// Whether the smear of `leap` is over at the `unbroken` count.
    pub fn is_over(self, leap: &LeapSecond, unbroken: Timestamp<Served>) -> bool {
        unbroken - (leap.midnight - self.length.half()) >= self.length - leap.kind.shift()
    }
}

impl LeapSecond {
    /// The unbroken count when the mapping gives `mapped`.
    pub(crate) fn unbroken(&self, mapped: Timestamp<Served>) -> Timestamp<Served> {
        match self.made_by {
            LeapMaker::Mapping | LeapMaker::Kernel => mapped,
            LeapMaker::Over => mapped - self.kind.shift(),
        }
    }
}

/// How a smeared reply is marked; `from_utc` within ±1 s.
pub(crate) fn smear_reference_id(from_utc: Interval) -> ReferenceId {
    let units = (i128::from(from_utc.nanos()) << 22) / 1_000_000_000;
    let [.., a, b, c] = (units as i32).to_be_bytes();
    ReferenceId::from_octets([SMEAR_MARK, a, b, c])
}

/// The first octet of a smeared reply's reference ID: in the reserved class E, so no server's address.
pub(crate) const SMEAR_MARK: u8 = 254;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leap::LeapKind;

    const MIDNIGHT: i64 = 1_483_228_800;

    fn at(seconds: i64) -> Timestamp<Served> {
        Timestamp::from_nanos((MIDNIGHT + seconds) * 1_000_000_000)
    }

    fn leap(kind: LeapKind) -> LeapSecond {
        LeapSecond { midnight: at(0), kind, made_by: LeapMaker::Mapping }
    }

    #[test]
    fn a_smear_runs_from_noon_to_noon_and_gains_exactly_the_leap() {
        for (kind, end) in [(LeapKind::Insert, 43_201), (LeapKind::Delete, 43_199)] {
            let (leap, smear) = (leap(kind), Smear::USUAL);
            let gained = |s| smear.at(&leap, at(s)).from_unbroken;
            assert_eq!(gained(-43_200), Interval::ZERO);
            assert_eq!(gained(end), kind.shift());
            assert_eq!(gained(end + 1_000), kind.shift());
            assert!(smear.is_over(&leap, at(end)) && !smear.is_over(&leap, at(end - 1)));
            let middle = gained(0) - kind.shift().half();
            assert!(middle.abs() < Interval::from_micros(10), "{middle:?}");
        }
    }

    #[test]
    fn smeared_time_is_continuous_and_at_most_half_a_second_off_utc() {
        for kind in [LeapKind::Insert, LeapKind::Delete] {
            let leap = leap(kind);
            let mut last = None;
            for s in (-50_000..50_000).step_by(10) {
                let now = Smear::USUAL.at(&leap, at(s));
                assert!(now.from_utc.abs() <= Interval::from_millis(501), "{s} {now:?}");
                if let Some(before) = last {
                    let change: Interval = now.from_unbroken - before;
                    assert!(change.abs() <= Interval::from_micros(116), "{s} {change:?}");
                }
                last = Some(now.from_unbroken);
            }
        }
    }

    #[test]
    fn the_slope_is_that_of_the_google_smear() {
        let slope = Smear::USUAL.at(&leap(LeapKind::Insert), at(0)).rate;
        assert!((slope.as_ppm() + 1e6 / 86_401.0).abs() < 1e-6, "{slope:?}");
    }

    #[test]
    fn the_mark_carries_the_distance_from_utc() {
        let octets = |ms| smear_reference_id(Interval::from_millis(ms)).octets();
        assert_eq!(octets(0), [254, 0, 0, 0]);
        assert_eq!(octets(500), [254, 0x20, 0, 0]);
        assert_eq!(octets(-500), [254, 0xE0, 0, 0]);
    }

    #[test]
    fn a_length_out_of_range_is_brought_into_it() {
        assert_eq!(Smear::new(Interval::ZERO).length, Interval::from_secs(3_600));
        assert_eq!(Smear::new(Interval::MAX).length, Interval::from_secs(172_800));
    }
}
