//! A leap second as part of the clock: before which midnight, which way, and who makes it.
//!
//! UTC inserts a second as 23:59:60 or leaves 23:59:59 out; POSIX and NTP timestamps have no name for
//! either, so the count is set back by a second at midnight, or forward a second before it. The count that
//! goes straight on is called *unbroken* here, and [`LeapSecond::broken`] turns it into UTC's.
//!
//! A leap is known hours ahead and travels in the snapshot, so that every reader takes it at the very
//! nanosecond, whether or not the writer is on time.
//!
//! Must never: be decided by a reader; whether there is a leap is the discipline's judgement.

use core::fmt;

use crate::timestamp::NANOS_PER_S;
use crate::{Interval, Leap, Served, Timestamp};

/// One leap second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeapSecond {
    /// The midnight it comes right before, UTC: the first instant of the new day.
    pub midnight: Timestamp<Served>,
    /// Whether a second is put in or left out.
    pub kind: LeapKind,
    /// Who makes it, or that it is over.
    pub made_by: LeapMaker,
}

/// Which way a leap goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeapKind {
    /// The last minute of the day has 61 seconds.
    Insert,
    /// The last minute of the day has 59 seconds.
    Delete,
}

/// Who makes a leap.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeapMaker {
    /// The mapping from the kernel clock to served time.
    Mapping,
    /// The kernel, which steps its own clock: the mapping goes straight on.
    Kernel,
    /// It is over, and is only remembered for those who smear it.
    Over,
}

impl LeapKind {
    /// The leap indicator that warns of it.
    pub const fn indicator(self) -> Leap {
        match self {
            Self::Insert => Leap::Insert,
            Self::Delete => Leap::Delete,
        }
    }

    /// The leap that an indicator warns of, if any.
    pub const fn warned_of(leap: Leap) -> Option<Self> {
        match leap {
            Leap::Insert => Some(Self::Insert),
            Leap::Delete => Some(Self::Delete),
            Leap::None | Leap::Unsynchronised => None,
        }
    }

    /// By how much the count of UTC changes at the leap.
    pub const fn shift(self) -> Interval {
        match self {
            Self::Insert => Interval::from_nanos(-NANOS_PER_S),
            Self::Delete => Interval::from_nanos(NANOS_PER_S),
        }
    }
}

impl LeapSecond {
    /// The unbroken count at which the leap happens: midnight, or a second earlier if one is left out.
    pub fn instant(&self) -> Timestamp<Served> {
        match self.kind {
            LeapKind::Insert => self.midnight,
            LeapKind::Delete => self.midnight - self.kind.shift(),
        }
    }

    /// UTC's count at the `unbroken` one.
    pub fn broken(&self, unbroken: Timestamp<Served>) -> Timestamp<Served> {
        if unbroken >= self.instant() { unbroken + self.kind.shift() } else { unbroken }
    }

    pub(crate) const fn to_words(self) -> [u64; 2] {
        let kind = match self.kind {
            LeapKind::Insert => 1,
            LeapKind::Delete => 2,
        };
        let maker = match self.made_by {
            LeapMaker::Mapping => 0,
            LeapMaker::Kernel => 1,
            LeapMaker::Over => 2,
        };
        [self.midnight.nanos() as u64, kind | (maker << 8)]
    }

    pub(crate) const fn from_words(words: [u64; 2]) -> Option<Self> {
        let kind = match words[1] & 0xFF {
            1 => LeapKind::Insert,
            2 => LeapKind::Delete,
            _ => return None,
        };
        let made_by = match words[1] >> 8 {
            0 => LeapMaker::Mapping,
            1 => LeapMaker::Kernel,
            _ => LeapMaker::Over,
        };
        Some(Self { midnight: Timestamp::from_nanos(words[0] as i64), kind, made_by })
    }
}

impl fmt::Display for LeapSecond {
    /// What becomes of the last second of the day.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            LeapKind::Insert => "23:59:60 UTC is inserted",
            LeapKind::Delete => "23:59:59 UTC is left out",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leap(kind: LeapKind) -> LeapSecond {
        let midnight = Timestamp::from_nanos(1_483_228_800 * NANOS_PER_S);
        LeapSecond { midnight, kind, made_by: LeapMaker::Mapping }
    }

    #[test]
    fn an_inserted_second_repeats_the_last_and_a_deleted_one_is_passed_over() {
        for (kind, before, after) in [(LeapKind::Insert, 0, -1), (LeapKind::Delete, -1, 0)] {
            let leap = leap(kind);
            let at = leap.instant();
            let last = leap.broken(at - Interval::from_nanos(1));
            assert_eq!(last + Interval::from_nanos(1), leap.midnight + Interval::from_secs(before));
            assert_eq!(leap.broken(at), leap.midnight + Interval::from_secs(after));
        }
    }

    #[test]
    fn a_leap_survives_the_words() {
        for kind in [LeapKind::Insert, LeapKind::Delete] {
            for made_by in [LeapMaker::Mapping, LeapMaker::Kernel, LeapMaker::Over] {
                let leap = LeapSecond { made_by, ..leap(kind) };
                assert_eq!(LeapSecond::from_words(leap.to_words()), Some(leap));
            }
            assert_eq!(LeapKind::warned_of(kind.indicator()), Some(kind));
        }
        assert_eq!(LeapSecond::from_words([0; 2]), None);
        assert_eq!(LeapKind::warned_of(Leap::Unsynchronised), None);
    }
}
