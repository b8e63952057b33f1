//! A sequence lock of plain atomics: one writer, any number of readers, nobody waits.
//!
//! The writer makes the sequence odd, stores the words, makes it even again. A reader takes the words
//! between two looks at the sequence and throws them away unless both looks saw the same even value.
//! The data words are atomics read and written `Relaxed`, so there is no data race and no `unsafe`; what
//! orders them against the sequence are two fences:
//!
//! * the writer's `Release` fence, after the odd store: whoever sees a new word also sees the odd (or a
//!   later) sequence;
//! * the reader's `Acquire` fence, before the second look: the other half of that pairing.
//!
//! `tests/seqlock_loom.rs` checks every interleaving, and that either fence, left out, lets a torn read
//! through. (Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012.)
//!
//! Must never: block a reader. [`SeqLock::try_read`] gives up instead of spinning, because a reader that
//! spins waits for a writer that may have been preempted half way.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// `N` words that are read whole or not at all.
///
/// `repr(C)` and sequence first, so that a reader of another kind (a BPF program over the same memory)
/// can follow the same protocol.
#[repr(C)]
#[derive(Debug)]
pub struct SeqLock<const N: usize> {
    sequence: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> SeqLock<N> {
    /// A lock holding `words`, at sequence 0.
    pub fn new(words: [u64; N]) -> Self {
        Self { sequence: AtomicU64::new(0), words: words.map(AtomicU64::new) }
    }

    /// The sequence now; two equal even readings have the same words between them.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Stores `words`.
    ///
    /// Only one thread may write; [`crate::Publisher`] is the one handle and cannot be cloned. A second
    /// writer would be memory-safe but could pair words of two writes.
    #[inline]
    pub fn write(&self, words: [u64; N]) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        if !cfg!(omit_writer_fence) {
            fence(Ordering::Release);
        }
        for (slot, word) in self.words.iter().zip(words) {
            slot.store(word, Ordering::Relaxed);
        }
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// The words and their sequence, or `None` if a write was under way.
    #[inline]
    pub fn try_read(&self) -> Option<(u64, [u64; N])> {
        let before = self.sequence.load(Ordering::Acquire);
        if before & 1 == 1 {
            return None;
        }
        let words = core::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
        if !cfg!(omit_reader_fence) {
            fence(Ordering::Acquire);
        }
        let after = self.sequence.load(Ordering::Relaxed);
        (before == after).then_some((before, words))
    }
}
