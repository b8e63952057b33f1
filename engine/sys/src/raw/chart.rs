//! How workers get the table of next hops: left for each of them, taken at its next turn, the old one
//! given back.
//!
//! The table says where replies go only as long as the pilot goes on looking: it says until when, and
//! past that no worker believes it.
//!
//! Must never: make a worker wait, allocate or free.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::queue::ArrayQueue;
use timeball_time::{Monotonic, Timestamp};

use super::hops::Hops;
use crate::clock::monotonic;

/// What the pilot and the couriers share.
#[derive(Debug, Default)]
pub(super) struct Chart {
    papers: Mutex<Papers>,
    /// Until when the table may be believed, in nanoseconds of `CLOCK_MONOTONIC`.
    good_until: AtomicI64,
}

#[derive(Debug, Default)]
struct Papers {
    current: Arc<Hops>,
    readers: Vec<Pigeonhole>,
}

/// Where tables are left for one courier, and where it leaves the old ones.
#[derive(Clone, Debug)]
struct Pigeonhole {
    inbox: Arc<ArrayQueue<Arc<Hops>>>,
    returned: Arc<ArrayQueue<Arc<Hops>>>,
}

/// A courier's end.
#[derive(Debug)]
pub(super) struct ChartReader {
    current: Arc<Hops>,
    pigeonhole: Pigeonhole,
    chart: Arc<Chart>,
}

impl Chart {
    /// Has everybody go by `hops`, until `good_until` unless it is renewed.
    pub(super) fn publish(&self, hops: Hops, good_until: Timestamp<Monotonic>) {
        let mut papers = self.papers();
        papers.current = Arc::new(hops);
        // A reader that has gone holds nothing of its pigeonhole any more.
        papers.readers.retain(|reader| Arc::strong_count(&reader.inbox) > 1);
        for reader in &papers.readers {
            while reader.returned.pop().is_some() {}
            reader.inbox.force_push(Arc::clone(&papers.current));
        }
        self.renew(good_until);
    }

    /// Says that the table is good until then.
    pub(super) fn renew(&self, good_until: Timestamp<Monotonic>) {
        self.good_until.store(good_until.nanos(), Ordering::Relaxed);
    }

    /// An end for one courier.
    pub(super) fn join(self: &Arc<Self>) -> ChartReader {
        let pigeonhole = Pigeonhole {
            inbox: Arc::new(ArrayQueue::new(1)),
            returned: Arc::new(ArrayQueue::new(RETURNED_MAX)),
        };
        let mut papers = self.papers();
        papers.readers.push(pigeonhole.clone());
        ChartReader { current: Arc::clone(&papers.current), pigeonhole, chart: Arc::clone(self) }
    }

    fn papers(&self) -> MutexGuard<'_, Papers> {
        // Every change is whole at each step, so what a panic left behind is usable.
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChartReader {
    /// Takes a new table if there is one, and says whether the table may be believed.
    #[inline]
    pub(super) fn refresh(&mut self) -> bool {
        if !self.pigeonhole.inbox.is_empty()
            && let Some(new) = self.pigeonhole.inbox.pop()
        {
            let old = std::mem::replace(&mut self.current, new);
            let returned = self.pigeonhole.returned.push(old);
            debug_assert!(returned.is_ok(), "there is room: see RETURNED_MAX");
        }
        monotonic().nanos() < self.chart.good_until.load(Ordering::Relaxed)
    }

    /// The table.
    #[inline]
    pub(super) fn hops(&self) -> &Hops {
        &self.current
    }
}

/// Between two tables a courier can take what lay there before and what came: it never gives back more
/// than these before they are taken out.
const RETURNED_MAX: usize = 2;
