//! What became of frames.
//!
//! Each processor counts in a row of its own, in an array whose memory is ours as well; reading takes no
//! system call.
//!
//! Must never: be in another order than `enum outcome` in bpf/counts.h.

use core::sync::atomic::{AtomicU64, Ordering};

use super::mapped::{Mapped, Shared};

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Outcome {
    /// No plain request to an endpoint of ours: the kernel's, whatever it is.
    Other,
    /// Answered, version 3.
    AnsweredV3,
    /// Answered, version 4.
    AnsweredV4,
    /// Counted beside the answers: those with leap 3.
    Unsynchronised,
    /// To the workers: a source that no client can have.
    Source,
    /// To the workers: another version or mode.
    Kind,
    /// To the kernel, which drops it: a checksum is wrong.
    Checksum,
    /// To the workers: a leap second is near.
    Leap,
    /// To the workers: no snapshot could be read.
    NoTime,
    /// To the workers: no policy could be read, or rules lie too deep.
    Rules,
    /// To the workers: a client over its limit that may be told so.
    Kissable,
    /// Dropped: a rule gives its source no time, or only with a key.
    Access,
    /// Dropped: a rule gives its source no time in this version.
    Version,
    /// Dropped: a client over its limit.
    Limited,
    /// Counted beside the answers: over the limit, by chance.
    Leaked,
    /// Counted beside the answers: over the limit, were limits on.
    Observed,
    /// Counted beside the answers: a client's place in the ledger was needed for another.
    Forgotten,
}

impl Outcome {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 17] = [
        Self::Other,
        Self::AnsweredV3,
        Self::AnsweredV4,
        Self::Unsynchronised,
        Self::Source,
        Self::Kind,
        Self::Checksum,
        Self::Leap,
        Self::NoTime,
        Self::Rules,
        Self::Kissable,
        Self::Access,
        Self::Version,
        Self::Limited,
        Self::Leaked,
        Self::Observed,
        Self::Forgotten,
    ];

    /// Those of frames that went on to the kernel, and perhaps to the workers.
    pub const PASSED_ON: [Self; 8] = [
        Self::Other,
        Self::Source,
        Self::Kind,
        Self::Checksum,
        Self::Leap,
        Self::NoTime,
        Self::Rules,
        Self::Kissable,
    ];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::AnsweredV3 => "answered_v3",
            Self::AnsweredV4 => "answered_v4",
            Self::Unsynchronised => "unsynchronised",
            Self::Source => "source",
            Self::Kind => "kind",
            Self::Checksum => "checksum",
            Self::Leap => "leap",
            Self::NoTime => "no_time",
            Self::Rules => "rules",
            Self::Kissable => "kissable",
            Self::Access => "access",
            Self::Version => "version",
            Self::Limited => "limited",
            Self::Leaked => "leaked",
            Self::Observed => "observed",
            Self::Forgotten => "forgotten",
        }
    }
}

/// One processor's counters: three cache lines.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Row([AtomicU64; 24]);

// SAFETY: `repr(C)` and made of `AtomicU64`.
unsafe impl Shared for Row {}

/// The counters of a program, of all interfaces it is attached to.
#[derive(Debug)]
pub struct Counts(Mapped<Row>);

impl Counts {
    pub(super) const fn new(rows: Mapped<Row>) -> Self {
        Self(rows)
    }

    /// The sums over all processors; each counter is read whole, not all at one instant.
    pub fn tally(&self) -> Tally {
        let sum = |outcome: Outcome| {
            let of = |row: &Row| row.0[outcome as usize].load(Ordering::Relaxed);
            self.0.values().iter().map(of).sum()
        };
        Tally(Outcome::ALL.map(sum))
    }
}

/// How often each [`Outcome`] has happened since the program was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally([u64; Outcome::ALL.len()]);

impl Tally {
    /// How often `outcome` has happened.
    pub const fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// Requests answered.
    pub const fn answered(&self) -> u64 {
        self.of(Outcome::AnsweredV3) + self.of(Outcome::AnsweredV4)
    }
}
