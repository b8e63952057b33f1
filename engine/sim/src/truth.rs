//! UTC as it really is: the count that goes straight on, and the leap second in it.
//!
//! True time is counted unbroken, in nanoseconds that each last as long as the next; what a right server
//! says is UTC, which may have a second put in or left out.
//!
//! Must never: be asked by the discipline.

use timeball_time::{Interval, LeapSecond, Served, Timestamp};

/// UTC at the true instant `now`, with the leap second there is.
pub(crate) fn utc(now: i64, leap: Option<LeapSecond>) -> Timestamp<Served> {
    let straight = Timestamp::from_nanos(now);
    leap.map_or(straight, |leap| leap.broken(straight))
}

/// By how much `served` is off at `now`. A clock that is a moment early or late takes the leap a moment
/// early or late, which is that moment's error and not a second's.
pub(crate) fn error(served: Timestamp<Served>, now: i64, leap: Option<LeapSecond>) -> Interval {
    let plain = served - utc(now, leap);
    let near = |leap: &LeapSecond| (leap.instant().nanos() - now).abs() < crate::S;
    let Some(leap) = leap.filter(near) else { return plain };
    let shift = leap.kind.shift();
    let candidates = [plain, plain - shift, plain + shift];
    candidates.into_iter().min_by_key(|error| error.abs()).unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use timeball_time::{LeapKind, LeapMaker};

    use super::*;
    use crate::S;

    #[test]
    fn who_is_a_moment_late_with_a_leap_is_off_by_a_moment() {
        let midnight = Timestamp::from_nanos(1_798_761_600 * S);
        for (kind, sign) in [(LeapKind::Insert, -1), (LeapKind::Delete, 1)] {
            let leap = Some(LeapSecond { midnight, kind, made_by: LeapMaker::Mapping });
            let at = leap.map_or(0, |leap| leap.instant().nanos());
            assert_eq!(utc(at - 1, leap).nanos(), at - 1);
            assert_eq!(utc(at, leap).nanos(), at + sign * S);
            let late = Timestamp::from_nanos(at - 1_000);
            assert_eq!(error(late, at, leap), Interval::from_micros(-1));
            assert_eq!(error(late, at + 2 * S, None), Interval::from_nanos(-2 * S - 1_000));
        }
    }
}
