//! A run over time: what all senders together counted in each interval.
//!
//! Must never: keep a whole histogram per interval: an hour of them would fill the memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DamagedHistogram, PackedHistogram, Report, SignedHistogram, Slice};

/// One interval of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// From the start of the run, in seconds.
    pub start_s: f64,
    /// How much of it load was offered, in seconds; zero when only replies were still awaited.
    pub length_s: f64,
    /// Requests handed to the kernel.
    pub sent: u64,
    /// Requests the kernel had no room for.
    pub unsent: u64,
    /// Valid replies.
    pub answered: u64,
    /// Requests given up.
    pub lost: u64,
    /// Invalid replies.
    pub invalid: u64,
    /// See [`Report::latency`].
    pub latency: PackedHistogram,
    /// See [`Report::offset`].
    pub offset: PackedHistogram,
    /// What each sender did.
    pub senders: Vec<SenderPoint>,
}

/// What one sender did in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderPoint {
    /// Requests handed to the kernel.
    pub sent: u64,
    /// Valid replies.
    pub answered: u64,
}

impl Point {
    /// `count` of this interval per second; zero when no load was offered.
    pub fn per_s(&self, count: u64) -> f64 {
        if self.length_s > 0.0 { count as f64 / self.length_s } else { 0.0 }
    }

    /// Whether enough of an interval of `interval_s` seconds is in it for its rates to mean something:
    /// what is left at the end, or only awaits replies, is not.
    pub(crate) fn has_rates(&self, interval_s: f64) -> bool {
        self.length_s >= interval_s * INTERVAL_SHARE_MIN
    }

    /// Adds what another machine counted in the same interval.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), DamagedHistogram> {
        self.length_s = self.length_s.max(other.length_s);
        self.sent += other.sent;
        self.unsent += other.unsent;
        self.answered += other.answered;
        self.lost += other.lost;
        self.invalid += other.invalid;
        let pairs = [(&mut self.latency, &other.latency), (&mut self.offset, &other.offset)];
        for (mine, theirs) in pairs {
            let mut sum = SignedHistogram::try_from(&*mine)?;
            sum.add(&SignedHistogram::try_from(theirs)?);
            *mine = PackedHistogram::from(&sum);
        }
        self.senders.extend(&other.senders);
        Ok(())
    }
}

const INTERVAL_SHARE_MIN: f64 = 0.2;

/// Puts the slices of all senders together, interval by interval.
#[derive(Debug)]
pub(crate) struct Series {
    every_s: f64,
    senders: usize,
    /// Intervals that not every sender has handed over yet.
    open: BTreeMap<u64, Interval>,
}

#[derive(Debug)]
struct Interval {
    sum: Report,
    senders: Vec<SenderPoint>,
    missing: usize,
}

impl Series {
    pub(crate) const fn new(senders: usize, every_s: f64) -> Self {
        Self { every_s, senders, open: BTreeMap::new() }
    }

    /// Adds `slice`; returns the points of the intervals that are complete with it.
    pub(crate) fn add(&mut self, slice: &Slice) -> Vec<Point> {
        let senders = self.senders;
        let interval = self.open.entry(slice.interval).or_insert_with(|| Interval {
            sum: Report::default(),
            senders: vec![SenderPoint::default(); senders],
            missing: senders,
        });
        interval.sum.merge(&slice.report);
        let SenderPoint { sent, answered } = &mut interval.senders[slice.thread];
        *sent += slice.report.sent;
        *answered += slice.report.answered;
        interval.missing = interval.missing.saturating_sub(1);
        let mut points = Vec::new();
        // In order: an interval waits for the ones before it.
        while let Some(first) = self.open.first_entry().filter(|first| first.get().missing == 0) {
            let (number, interval) = first.remove_entry();
            points.extend(self.point(number, interval));
        }
        points
    }

    /// The points of all intervals that are still open: no more slices will come.
    pub(crate) fn finish(mut self) -> Vec<Point> {
        let open = std::mem::take(&mut self.open);
        open.into_iter().filter_map(|(number, interval)| self.point(number, interval)).collect()
    }

    /// What happened in an interval; `None` if nothing did, as at the end of waiting for replies.
    fn point(&self, number: u64, interval: Interval) -> Option<Point> {
        let Interval { sum, senders, .. } = interval;
        let start_s = number as f64 * self.every_s;
        // Only a sender's last slice says when it ended.
        let length_s = match sum.elapsed_s {
            elapsed_s if elapsed_s > 0.0 => (elapsed_s - start_s).clamp(0.0, self.every_s),
            _ => self.every_s,
        };
        let point = Point {
            start_s,
            length_s,
            sent: sum.sent,
            unsent: sum.unsent,
            answered: sum.answered,
            lost: sum.lost,
            invalid: sum.faults.total(),
            latency: PackedHistogram::from(&sum.latency),
            offset: PackedHistogram::from(&sum.offset),
            senders,
        };
        let happened = [point.sent, point.unsent, point.answered, point.lost, point.invalid];
        (length_s > 0.0 || happened.iter().any(|count| *count > 0)).then_some(point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(thread: usize, interval: u64, sent: u64, elapsed_s: f64) -> Slice {
        let mut report = Report { sent, elapsed_s, ..Report::default() };
        report.latency.record(timeball_time::Interval::from_nanos(1_000 * sent as i64));
        Slice { thread, interval, report }
    }

    #[test]
    fn a_point_is_complete_when_every_sender_has_handed_over_and_comes_in_order() {
        let mut series = Series::new(2, 0.5);
        assert!(series.add(&slice(0, 0, 10, 0.0)).is_empty());
        assert!(series.add(&slice(0, 1, 11, 0.6)).is_empty());
        assert!(series.add(&slice(1, 1, 21, 0.7)).is_empty(), "interval 0 is still open");
        let points = series.add(&slice(1, 0, 20, 0.0));
        assert_eq!(points.iter().map(|point| point.sent).collect::<Vec<_>>(), [30, 32]);
        assert_eq!((points[0].start_s, points[0].length_s), (0.0, 0.5));
        assert_eq!(points[1].start_s, 0.5);
        assert!((points[1].length_s - 0.2).abs() < 1e-9, "the run ended after 0.7 s");
        assert_eq!(points[1].senders[1], SenderPoint { sent: 21, answered: 0 });
        assert!(series.finish().is_empty());
    }

    #[test]
    fn what_a_sender_never_completed_comes_at_the_end() {
        let mut series = Series::new(2, 1.0);
        assert!(series.add(&slice(0, 0, 5, 0.3)).is_empty());
        let points = series.finish();
        assert_eq!((points.len(), points[0].sent, points[0].per_s(6)), (1, 5, 20.0));
    }

    #[test]
    fn points_of_two_machines_add_up_to_one() {
        let point = |sent| Series::new(1, 1.0).add(&slice(0, 0, sent, 1.0)).remove(0);
        let mut sum = point(3);
        sum.merge(&point(5)).unwrap();
        assert_eq!((sum.sent, sum.latency.distribution.count, sum.senders.len()), (8, 2, 2));
        assert_eq!(sum.latency.distribution.max_ns, point(5).latency.distribution.max_ns);
    }
}
