//! What a worker has done, for others to read while it works.
//!
//! Each worker owns one block and is its only writer, so counting is a plain load and store (no locked
//! instruction), and the block is padded so that no two workers write one cache line. Readers see each
//! number whole, though not all numbers of the same instant.
//!
//! Must never: be written by anyone but the worker that owns it.

use core::sync::atomic::{AtomicU64, Ordering};

use timeball_time::Interval;
use timeball_wire::{Fallback, IoTally};

use crate::answer::Answered;
use crate::gate::DropReason;
use crate::histogram::{
    BATCH_BOUNDS, Batches, Histogram, RESIDENCE_BOUNDS_NS, Residences, add, batch_bucket,
    residence_bucket,
};
use crate::limiter::LimiterTally;

/// One worker's counters; see [`Totals`] for what each means.
#[derive(Debug, Default)]
pub struct Counters {
    turns: AtomicU64,
    received: AtomicU64,
    batches: AtomicU64,
    unstamped: AtomicU64,
    unsynchronised: AtomicU64,
    symmetric: AtomicU64,
    signed: AtomicU64,
    crypto_naks: AtomicU64,
    answered: [AtomicU64; VERSIONS],
    dropped: [AtomicU64; DropReason::ALL.len()],
    sent: AtomicU64,
    send_full: AtomicU64,
    send_refused: AtomicU64,
    frames_exhausted: AtomicU64,
    raw: AtomicU64,
    by_socket: [AtomicU64; Fallback::ALL.len()],
    residences: Histogram<{ RESIDENCE_BOUNDS_NS.len() + 1 }>,
    batch_sizes: Histogram<{ BATCH_BOUNDS.len() }>,
    leaked: AtomicU64,
    kisses: AtomicU64,
    observed: AtomicU64,
    forgotten: AtomicU64,
    overloaded: AtomicU64,
}

impl Counters {
    /// The numbers now.
    pub fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            received: get(&self.received),
            batches: get(&self.batches),
            unstamped: get(&self.unstamped),
            unsynchronised: get(&self.unsynchronised),
            symmetric: get(&self.symmetric),
            signed: get(&self.signed),
            crypto_naks: get(&self.crypto_naks),
            answered: core::array::from_fn(|i| get(&self.answered[i])),
            dropped: core::array::from_fn(|i| get(&self.dropped[i])),
            io: IoTally {
                sent: get(&self.sent),
                send_full: get(&self.send_full),
                send_refused: get(&self.send_refused),
                frames_exhausted: get(&self.frames_exhausted),
                raw: get(&self.raw),
                by_socket: core::array::from_fn(|i| get(&self.by_socket[i])),
            },
            residences: self.residences.read(),
            batch_sizes: self.batch_sizes.read(),
            limiter: LimiterTally {
                leaked: get(&self.leaked),
                kisses: get(&self.kisses),
                observed: get(&self.observed),
                forgotten: get(&self.forgotten),
                overloaded: get(&self.overloaded),
            },
        }
    }

    /// Turns begun, with or without datagrams: a worker that was woken and lives moves it.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn turn(&self) {
        add(&self.turns, 1);
    }

    #[inline]
    pub(crate) fn batch(&self, datagrams: usize) {
        add(&self.batches, 1);
        add(&self.received, datagrams as u64);
        self.batch_sizes.count(batch_bucket(datagrams), datagrams as u64);
    }

    #[inline]
    pub(crate) fn answered(&self, answered: Answered, synchronised: bool) {
        add(&self.answered[usize::from(answered.version) - 1], 1);
        add(&self.symmetric, u64::from(answered.symmetric));
        add(&self.signed, u64::from(answered.signed));
        add(&self.crypto_naks, u64::from(answered.crypto_nak));
        add(&self.unsynchronised, u64::from(!synchronised));
    }

    #[inline]
    pub(crate) fn dropped(&self, reason: DropReason) {
        add(&self.dropped[reason as usize], 1);
    }

    #[inline]
    pub(crate) fn residence(&self, residence: Interval) {
        let ns = residence.nanos().unsigned_abs();
        self.residences.count(residence_bucket(ns), ns);
    }

    #[inline]
    pub(crate) fn unstamped(&self) {
        add(&self.unstamped, 1);
    }

    #[inline]
    pub(crate) fn io(&self, tally: IoTally) {
        self.sent.store(tally.sent, Ordering::Relaxed);
        self.send_full.store(tally.send_full, Ordering::Relaxed);
        self.send_refused.store(tally.send_refused, Ordering::Relaxed);
        self.frames_exhausted.store(tally.frames_exhausted, Ordering::Relaxed);
        self.raw.store(tally.raw, Ordering::Relaxed);
        for (counter, count) in self.by_socket.iter().zip(tally.by_socket) {
            counter.store(count, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn limiter(&self, tally: LimiterTally) {
        self.leaked.store(tally.leaked, Ordering::Relaxed);
        self.kisses.store(tally.kisses, Ordering::Relaxed);
        self.observed.store(tally.observed, Ordering::Relaxed);
        self.forgotten.store(tally.forgotten, Ordering::Relaxed);
        self.overloaded.store(tally.overloaded, Ordering::Relaxed);
    }
}

/// A reading of one worker's counters, all since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Datagrams taken from the sockets.
    pub received: u64,
    /// Turns that took at least one datagram.
    pub batches: u64,
    /// Answered requests without a usable kernel stamp of their arrival.
    pub unstamped: u64,
    /// Answers that said "not synchronised" (leap 3).
    pub unsynchronised: u64,
    /// Answers to symmetric active requests (mode 1); the others were clients'.
    pub symmetric: u64,
    /// Answers signed with the request's key.
    pub signed: u64,
    /// Answers that refused the request's key.
    pub crypto_naks: u64,
    /// Answers by version, 1 to 4.
    pub answered: [u64; VERSIONS],
    /// Datagrams not answered, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// What happened to the replies on their way out.
    pub io: IoTally,
    /// How long requests stayed here: from the kernel's stamp of their arrival to the transmit timestamp.
    pub residences: Residences,
    /// How many datagrams a turn took, over those that took any.
    pub batch_sizes: Batches,
    /// What the limiter did.
    pub limiter: LimiterTally,
}

impl Totals {
    /// Answers of all versions.
    pub fn answers(&self) -> u64 {
        self.answered.iter().sum()
    }

    /// Datagrams not answered for whatever reason.
    pub fn drops(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Datagrams not answered, by reason, in a fixed order.
    pub fn drops_by_reason(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().zip(self.dropped)
    }
}

impl core::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.batches += other.batches;
        self.unstamped += other.unstamped;
        self.unsynchronised += other.unsynchronised;
        self.symmetric += other.symmetric;
        self.signed += other.signed;
        self.crypto_naks += other.crypto_naks;
        for (sum, more) in self.answered.iter_mut().zip(other.answered) {
            *sum += more;
        }
        for (sum, more) in self.dropped.iter_mut().zip(other.dropped) {
            *sum += more;
        }
        self.residences += other.residences;
        self.batch_sizes += other.batch_sizes;
        self.io.sent += other.io.sent;
        self.io.send_full += other.io.send_full;
        self.io.send_refused += other.io.send_refused;
        self.io.frames_exhausted += other.io.frames_exhausted;
        self.io.raw += other.io.raw;
        for (sum, more) in self.io.by_socket.iter_mut().zip(other.io.by_socket) {
            *sum += more;
        }
        self.limiter.leaked += other.limiter.leaked;
        self.limiter.kisses += other.limiter.kisses;
        self.limiter.observed += other.limiter.observed;
        self.limiter.forgotten += other.limiter.forgotten;
        self.limiter.overloaded += other.limiter.overloaded;
    }
}

/// Protocol versions answered.
const VERSIONS: usize = 4;

// The reasons index the counters by their discriminant.
const _: () = {
    let mut i = 0;
    while i < DropReason::ALL.len() {
        assert!(DropReason::ALL[i] as usize == i);
        i += 1;
    }
};
