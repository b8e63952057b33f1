//! What the main thread may want of the discipline thread, and its handle on it.
//!
//! Must never: give an order that the discipline thread could fail to carry out.

use std::time::Duration;

use crossbeam::channel::{Sender, bounded};

use timeball_sys::Waker;
use timeball_time::Reader;

use super::change::Change;
use super::{Clockwork, Ear};
use crate::report::Tally;
use crate::thread::Thread;

/// Something the discipline thread is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Go by another configuration; `done` is dropped when that is so.
    Change { change: Box<Change>, done: Sender<()> },
    /// Tell of the work of these workers in statistics.
    Count(Vec<Tally>),
}

/// The running discipline thread.
#[derive(Debug)]
pub(in crate::serve) struct Timekeeper {
    pub(super) thread: Thread,
    pub(super) orders: Sender<Order>,
    pub(super) ear: Ear,
    pub(super) clock: Reader,
}

impl Timekeeper {
    /// Where servers that were heard of are to be told of.
    pub(in crate::serve) fn ear(&self) -> Ear {
        self.ear.clone()
    }

    /// What it publishes.
    pub(in crate::serve) fn reader(&self) -> Reader {
        self.clock.clone()
    }

    /// The thread.
    pub(in crate::serve) const fn thread(&self) -> &Thread {
        &self.thread
    }

    /// What wakes it.
    pub(in crate::serve) fn waker(&self) -> Waker {
        self.ear.waker.clone()
    }

    /// Has it go by another configuration, and waits until it does.
    pub(in crate::serve) fn change(&self, change: Change) {
        let (done, changed) = bounded(0);
        self.order(Order::Change { change: Box::new(change), done });
        // A thread that is stuck will go by it when it gets round to it.
        let _ = changed.recv_timeout(PATIENCE);
    }

    /// Has the work of these workers told of in statistics.
    pub(in crate::serve) fn count(&self, workers: Vec<Tally>) {
        self.order(Order::Count(workers));
    }

    /// Ends the thread; it has then kept what is kept.
    pub(in crate::serve) fn finish(self) {
        self.thread.finish();
    }

    fn order(&self, order: Order) {
        // The thread ends after this value, or takes the process with it.
        let _ = self.orders.send_timeout(order, PATIENCE);
        self.ear.waker.wake();
    }
}

impl Clockwork {
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Change { change, done } => {
                self.change(*change);
                self.perform();
                self.show();
                drop(done);
            }
            Order::Count(workers) => {
                if let Some(chronicle) = &self.chronicle {
                    chronicle.count(workers);
                }
            }
        }
    }
}

/// The thread looks at its orders at least every second.
const PATIENCE: Duration = Duration::from_secs(5);
