//! What is still to happen, in order of true time; of one instant, what was put in first comes first.
//!
//! Must never: depend on anything but what was put in: a run must be repeatable.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A queue over true time.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
    count: u64,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: BinaryHeap::new(), count: 0 }
    }

    /// `what` will happen at the true instant `at`.
    pub(crate) fn push(&mut self, at: i64, what: T) {
        self.entries.push(Reverse(Entry { at, order: self.count, what }));
        self.count += 1;
    }

    /// When the next thing happens; the end of time if nothing does.
    pub(crate) fn next_at(&self) -> i64 {
        self.entries.peek().map_or(i64::MAX, |Reverse(entry)| entry.at)
    }

    /// Takes out what happens next.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.entries.pop().map(|Reverse(entry)| entry.what)
    }
}

#[derive(Debug)]
struct Entry<T> {
    at: i64,
    order: u64,
    what: T,
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_order_of_time_and_then_of_arrival() {
        let mut queue = Queue::new();
        assert_eq!(queue.next_at(), i64::MAX);
        for (at, what) in [(5, 'c'), (3, 'a'), (5, 'd'), (4, 'b')] {
            queue.push(at, what);
        }
        assert_eq!(queue.next_at(), 3);
        let order: String = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, "abcd");
    }
}
