//! The worker: one core's share of all answering.
//!
//! Its whole life is the turn below. It reads the snapshot once per batch, writes only its own counters,
//! and waits for nobody.
//!
//! Must never: allocate, lock, log or format within a turn, or hold a datagram from one turn to the next.

use std::sync::Arc;

use crossbeam::utils::CachePadded;
use timeball_time::{Leap, Reader, Realtime, Smear, Snapshot, Timestamp};
use timeball_wire::{BATCH_MAX, PacketIo, Wait};

use crate::answer::plausible_arrival;
use crate::{
    Announcement, Caller, Clerk, Counters, LimitMode, PolicyReceiver, Verdict, answer, stamp,
};

/// Answers what one [`PacketIo`] brings, from one snapshot.
#[derive(Debug)]
pub struct Worker<Io> {
    io: Io,
    clock: Reader,
    smear: Option<Smear>,
    policy: PolicyReceiver,
    counters: Arc<CachePadded<Counters>>,
    clerk: Option<Clerk>,
    callers: [Caller; BATCH_MAX],
}

impl<Io: PacketIo> Worker<Io> {
    /// A worker that answers the datagrams of `io` with the time of `clock`, goes by `policy`, and counts in
    /// `counters`.
    pub fn new(
        io: Io,
        clock: Reader,
        policy: PolicyReceiver,
        counters: Arc<CachePadded<Counters>>,
    ) -> Self {
        let callers = [Caller::default(); BATCH_MAX];
        Self { io, clock, smear: None, policy, counters, clerk: None, callers }
    }

    /// The same worker, serving smeared time.
    #[must_use]
    pub fn smearing(self, smear: Smear) -> Self {
        Self { smear: Some(smear), ..self }
    }

    /// The same worker, with a clerk who notes whom it has met.
    #[must_use]
    pub fn with_clerk(self, clerk: Clerk) -> Self {
        Self { clerk: Some(clerk), ..self }
    }

    /// The carrier.
    pub const fn io_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// One turn: takes a batch, answers it, sends the answers. Says how many datagrams there were.
    ///
    /// Zero only when `wait` forbids sleeping and nothing is there, or when woken from outside. An error
    /// is the carrier's end: this worker can serve no more.
    pub fn turn(&mut self, wait: Wait) -> Result<usize, Io::Error> {
        self.counters.turn();
        let datagrams = self.io.receive(wait)?;
        let now = self.io.now();
        let snapshot = &view(self.clock.refresh(), now, self.smear);
        let announcement = Announcement::at(snapshot, now);
        let (policy, limiter) = self.policy.refresh();
        limiter.on_batch(datagrams, now);
        let synchronised = announcement.leap() != Leap::Unsynchronised;
        if let Some(clerk) = &mut self.clerk {
            clerk.begin(now, datagrams);
        }
        let callers = &mut self.callers[..datagrams];
        if self.clerk.is_some() || policy.limits.mode() != LimitMode::Off {
            let key = limiter.key();
            for (index, caller) in callers.iter_mut().enumerate() {
                *caller = Caller::of(self.io.source(index), key);
            }
            limiter.expect(callers);
        }
        for (index, &caller) in callers.iter().enumerate() {
            let mut datagram = self.io.datagram(index);
            let unstamped = plausible_arrival(datagram.received, now).is_none();
            let source = datagram.source.ip();
            let verdict =
                answer(&announcement, snapshot, policy, limiter, caller, now, &mut datagram);
            if let Some(clerk) = &mut self.clerk {
                clerk.note(source, caller, matches!(verdict, Verdict::Reply { .. }));
            }
            match verdict {
                Verdict::Reply { len, answered } => {
                    self.io.reply(index, len);
                    self.counters.answered(answered, synchronised);
                    if unstamped {
                        self.counters.unstamped();
                    }
                }
                Verdict::Drop(reason) => self.counters.dropped(reason),
            }
        }
        let counters = &self.counters;
        self.io.send(&mut |reply, departure| {
            counters.residence(stamp(snapshot, policy, departure, reply));
        })?;
        if datagrams > 0 {
            self.counters.batch(datagrams);
            self.counters.limiter(limiter.tally());
            self.counters.io(self.io.tally());
        }
        Ok(datagrams)
    }
}

/// What is served at the moment `now`: in a whole batch a leap second is ahead or behind.
#[inline]
fn view(snapshot: &Snapshot, now: Timestamp<Realtime>, smear: Option<Smear>) -> Snapshot {
    match smear {
        Some(smear) => snapshot.smeared(now, smear),
        None => snapshot.settled(now),
    }
}
