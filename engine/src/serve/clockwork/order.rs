//! What the main thread may want of the discipline thread, and its handle on it.
//!
//! Must never: give an order that the discipline thread could fail to carry out.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded};

use timeball_discipline::Legacy;
use timeball_sys::{Waker, reading};
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
    /// Say what a successor needs to know, and rest until told otherwise.
    Pause(Sender<Legacy>),
    /// Go on.
    Resume,
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

    /// Has it rest, so that a successor can do its work, and returns what that one needs to know; it goes
    /// on by itself after [`REST_MAX`]. `None` if it is stuck.
    pub(in crate::serve) fn pause(&self) -> Option<Legacy> {
        let (answer, legacy) = bounded(1);
        self.order(Order::Pause(answer));
        legacy.recv_timeout(PATIENCE).ok()
    }

    /// Has it go on.
    pub(in crate::serve) fn resume(&self) {
        self.order(Order::Resume);
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
            Order::Pause(answer) => {
                self.discipline.on_clock_changed(reading(), &mut self.actions);
                self.perform();
                let _ = answer.send(self.discipline.legacy(&reading()));
                self.rest();
            }
            Order::Resume => {}
            Order::Count(workers) => {
                if let Some(chronicle) = &self.chronicle {
                    chronicle.count(workers);
                }
            }
        }
    }
}

impl Clockwork {
    /// Does nothing until it is told to go on or to end, or has rested for too long.
    fn rest(&mut self) {
        let deadline = Instant::now() + REST_MAX;
        while Instant::now() < deadline && !self.stop.load(Ordering::Acquire) {
            match self.orders.1.recv_timeout(LOOK) {
                Ok(Order::Resume) => return,
                Ok(other) => self.obey(other),
                Err(_) => {}
            }
        }
    }
}

/// How long it may rest: less than what it published last is good for.
pub(in crate::serve) const REST_MAX: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(10);
/// The thread looks at its orders at least every second.
const PATIENCE: Duration = Duration::from_secs(5);
