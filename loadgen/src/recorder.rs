//! Where a sender thread counts, and how others read along without disturbing it.
//!
//! A sender counts into a [`Report`] that is its alone. When an interval is over it hands that report
//! over and goes on with an empty one from its own small stock; whoever reads along sends them back
//! emptied. Nothing is shared, so nothing is locked; if the reader is slow the sender keeps its
//! report and the interval gets longer, but not one packet is left out.
//!
//! Must never: make a sender wait, allocate, or empty a report itself.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use timeball_time::{Interval, Realtime, Timestamp};

use crate::Report;

/// What one sender thread counted in one interval.
#[derive(Debug)]
pub struct Slice {
    /// The sender thread, from 0.
    pub thread: usize,
    /// The interval, from 0; what was counted may reach into the ones after it.
    pub interval: u64,
    /// What was counted.
    pub report: Report,
}

/// The sender's side.
#[derive(Debug)]
pub(crate) struct Recorder {
    slice: Slice,
    start: Timestamp<Realtime>,
    /// When the interval ends.
    end: Timestamp<Realtime>,
    every: Interval,
    full: SyncSender<Slice>,
    empty: Receiver<Slice>,
}

/// The reader's side of all senders.
#[derive(Debug)]
pub(crate) struct Collector {
    full: Receiver<Slice>,
    /// The way back to each sender.
    empty: Vec<SyncSender<Slice>>,
}

/// A recorder for each of `threads` senders, and the collector of what they record.
///
/// An interval is `every` long; the whole run if that is zero.
pub(crate) fn recorders(threads: usize, every: Duration) -> (Vec<Recorder>, Collector) {
    let (full, received) = sync_channel(threads * (SPARE + 1));
    let every = Interval::from_nanos(every.as_nanos().min(u128::from(u64::MAX >> 2)) as i64);
    let (recorders, empty) = (0..threads)
        .map(|thread| {
            let slice = || Slice { thread, interval: 0, report: Report::default() };
            let (back, stock) = sync_channel(SPARE + 1);
            for _ in 0..SPARE {
                // There is room: the channel holds one more.
                let _ = back.try_send(slice());
            }
            let (start, end) = (Timestamp::from_nanos(0), Timestamp::from_nanos(i64::MAX));
            let recorder =
                Recorder { slice: slice(), start, end, every, full: full.clone(), empty: stock };
            (recorder, back)
        })
        .unzip();
    (recorders, Collector { full: received, empty })
}

impl Recorder {
    /// Interval 0 begins at `start`.
    pub(crate) fn begin(&mut self, start: Timestamp<Realtime>) {
        self.start = start;
        if self.every > Interval::ZERO {
            self.end = start + self.every;
        }
    }

    /// Where to count.
    #[inline]
    pub(crate) const fn report(&mut self) -> &mut Report {
        &mut self.slice.report
    }

    /// Hands the interval over if it has ended by `now`.
    #[inline]
    pub(crate) fn turn(&mut self, now: Timestamp<Realtime>) {
        if now >= self.end {
            self.hand_over(now);
        }
    }

    /// Hands over what is left.
    pub(crate) fn finish(self) {
        // Without a reader nobody wants it.
        let _ = self.full.send(self.slice);
    }

    #[cold]
    fn hand_over(&mut self, now: Timestamp<Realtime>) {
        let interval = ((now - self.start).nanos() / self.every.nanos().max(1)) as u64;
        self.end = self.start + Interval::from_nanos((interval as i64 + 1) * self.every.nanos());
        let Ok(mut empty) = self.empty.try_recv() else { return };
        empty.interval = interval;
        let full = std::mem::replace(&mut self.slice, empty);
        // There is room for every report there is; without a reader nobody wants it.
        let _ = self.full.try_send(full);
    }
}

impl Collector {
    /// Shows every slice to `notice` as it comes, until all senders have finished; returns what each
    /// has counted in all.
    pub(crate) fn collect(self, notice: &mut dyn FnMut(&Slice)) -> Vec<Report> {
        let mut totals: Vec<_> = self.empty.iter().map(|_| Report::default()).collect();
        while let Ok(mut slice) = self.full.recv() {
            notice(&slice);
            totals[slice.thread].merge(&slice.report);
            slice.report.clear();
            // A sender that has finished does not want it back.
            let _ = self.empty[slice.thread].try_send(slice);
        }
        totals
    }
}

/// Empty reports a sender has in stock: one to go on with, one more while the reader is busy.
const SPARE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp<Realtime> {
        Timestamp::from_nanos(1_764_000_000_000_000_000) + Interval::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn every_count_arrives_in_its_interval_and_in_the_total() {
        let (recorders, collector) = recorders(2, Duration::from_millis(10));
        let mut seen = Vec::new();
        let totals = std::thread::scope(|scope| {
            for (thread, mut recorder) in recorders.into_iter().enumerate() {
                scope.spawn(move || {
                    recorder.begin(at(0));
                    for millis in 0..20 {
                        recorder.turn(at(millis));
                        recorder.report().sent += 1 + thread as u64;
                    }
                    recorder.finish();
                });
            }
            collector.collect(&mut |slice| {
                seen.push((slice.thread, slice.interval, slice.report.sent));
            })
        });
        seen.sort_unstable();
        assert_eq!(seen, [(0, 0, 10), (0, 1, 10), (1, 0, 20), (1, 1, 20)]);
        assert_eq!((totals[0].sent, totals[1].sent), (20, 40));
    }

    #[test]
    fn a_slow_reader_makes_intervals_longer_and_loses_nothing() {
        let (mut recorders, collector) = recorders(1, Duration::from_millis(10));
        let mut recorder = recorders.remove(0);
        recorder.begin(at(0));
        for millis in 0..100 {
            recorder.turn(at(millis));
            recorder.report().sent += 1;
        }
        recorder.finish();
        let mut seen = Vec::new();
        let totals = collector.collect(&mut |slice| seen.push((slice.interval, slice.report.sent)));
        assert_eq!(seen, [(0, 10), (1, 10), (2, 80)]);
        assert_eq!(totals[0].sent, 100);
    }
}
