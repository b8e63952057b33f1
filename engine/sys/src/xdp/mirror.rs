//! The snapshot's copy in a BPF array.
//!
//! The same words under the same sequence lock, and one more: how far `CLOCK_REALTIME` is ahead of
//! `CLOCK_BOOTTIME`, the clock that a BPF program can read (`bpf/snapshot.h`). Where that is not known to
//! the nanosecond, the error bound that is served grows by what is not known.
//!
//! Must never: be written by two; there is one for a program, and the publisher has it.

use timeball_time::seqlock::SeqLock;
use timeball_time::{FREE_WORD, Interval, ROOT_DISPERSION_WORD, WORDS};

use super::mapped::{Mapped, Shared};
use crate::clock;

/// Writes what is published to where the BPF program reads it.
#[derive(Debug)]
pub struct Mirror {
    block: Mapped<SeqLock<WORDS>>,
}

// SAFETY: a sequence lock is `repr(C)` and made of `AtomicU64`.
unsafe impl<const N: usize> Shared for SeqLock<N> {}

impl Mirror {
    pub(super) const fn new(block: Mapped<SeqLock<WORDS>>) -> Self {
        Self { block }
    }

    /// Writes `words` with a given distance of the clocks, known to `uncertainty`; for tests, in which the
    /// program's answer must be known.
    pub fn write_with(&mut self, mut words: [u64; WORDS], ahead: Interval, uncertainty: Interval) {
        let dispersion = Interval::from_nanos(words[ROOT_DISPERSION_WORD] as i64);
        words[ROOT_DISPERSION_WORD] = (dispersion + uncertainty).nanos() as u64;
        words[FREE_WORD] = ahead.nanos() as u64;
        self.block.values()[0].write(words);
    }
}

impl timeball_time::Mirror for Mirror {
    fn write(&mut self, words: [u64; WORDS]) {
        let distance = clock::realtime_ahead_of_boottime();
        self.write_with(words, distance.ahead, distance.uncertainty);
    }
}
