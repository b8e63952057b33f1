//! The clock's vocabulary, and the one block of memory through which it is shared.
//!
//! Layer 0 of timeball: everything else depends on this crate and it depends on nobody. It holds
//! * [`Timestamp`], [`Interval`] and [`Rate`]: integer time on named timescales;
//! * [`NtpTimestamp`] and [`NtpShort`]: the wire's formats;
//! * [`Leap`], [`Stratum`], [`ReferenceId`]: what is said about a clock;
//! * [`LeapSecond`] and [`Smear`]: the second that is put in or left out, at once or over hours;
//! * [`Snapshot`] with its [`Publisher`] and [`Reader`]: the shared time.
//!
//! Must never: make a system call, read a clock, or draw a random number.
#![forbid(unsafe_code)]

mod leap;
mod ntp;
mod rate;
mod reference;
pub mod seqlock;
mod smear;
mod snapshot;
mod timestamp;

pub use leap::{LeapKind, LeapMaker, LeapSecond};
pub use ntp::{NtpShort, NtpTimestamp};
pub use rate::Rate;
pub use reference::{Leap, ReferenceId, Stratum};
pub use smear::Smear;
pub use snapshot::{
    BACKWARD_TOLERANCE, FREE_WORD, Mirror, Publisher, ROOT_DISPERSION_WORD, Reader, Snapshot, WORDS,
};
pub use timestamp::{
    Boottime, ClockReading, Free, Interval, Monotonic, Realtime, Served, Timescale, Timestamp,
};
