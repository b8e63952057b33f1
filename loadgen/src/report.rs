//! What came of a load: counts and distributions, whole enough to be added up.
//!
//! One type at every level. A sender thread counts into a report of its own; the reports of all
//! threads, of all intervals and of many machines are merged by [`Report::merge`], and what people
//! read is computed from the result. There is no second way to add figures up.
//!
//! Must never: allocate while a packet is counted, or hold a ratio without its parts.

use serde::{Deserialize, Serialize};

use crate::{Fault, FaultTally, Provocations, SignedHistogram, Treatments};

/// The outcome of one run, or of the part of it that one thread did in one interval.
///
/// Of every request: `sent = answered + lost + causality_violations`. A reply that is invalid for another
/// reason leaves its request waiting for a valid one, and lost when none comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// From the first intended moment to the end of offering, in seconds; draining comes after.
    pub elapsed_s: f64,
    /// Whether it was ended from outside before its time; what was counted till then is here.
    #[serde(default)]
    pub interrupted: bool,
    /// Requests handed to the kernel.
    pub sent: u64,
    /// Requests the socket had no room for; they were dropped, not retried.
    pub unsent: u64,
    /// Requests that were due and not even tried when offering ended: the generator was behind.
    #[serde(default)]
    pub missed: u64,
    /// Of the requests sent, those that a full device dropped at once, where the kernel says so. On a
    /// veth that is the server's own backlog.
    #[serde(default)]
    pub dropped: u64,
    /// Replies dropped because the generator's own socket buffer was full.
    #[serde(default)]
    pub overruns: u64,
    /// Time in which the senders had nothing to do, in nanoseconds of all of them.
    #[serde(default)]
    pub idle_ns: u64,
    /// Time in which the senders ran, draining included, in nanoseconds of all of them.
    #[serde(default)]
    pub awake_ns: u64,
    /// Times that a sender had to leave its core to somebody else.
    #[serde(default)]
    pub preempted: u64,
    /// Valid replies.
    pub answered: u64,
    /// Of these, the ones that had arrived when offering ended.
    pub answered_in_time: u64,
    /// Requests without a reply in time.
    pub lost: u64,
    /// Invalid replies by reason.
    pub faults: FaultTally,
    /// Packets that nobody should have answered; counted nowhere else.
    #[serde(default)]
    pub hostile: Provocations,
    /// Requests by how their clients behave.
    #[serde(default)]
    pub cohorts: Treatments,
    /// Other packets that went along with requests; counted nowhere else, but for [`Report::dropped`].
    #[serde(default)]
    pub companions: u64,
    /// Replies to them.
    #[serde(default)]
    pub companions_answered: u64,
    /// Exchanges that break T1 ≤ T2 ≤ T3 ≤ T4.
    pub causality_violations: u64,
    /// Replies without a kernel stamp of their arrival; they are answers, but no times are taken.
    pub unstamped: u64,
    /// Requests handed over later than intended, by this much: how far the generator fell behind.
    pub lag: SignedHistogram,
    /// Arrival of the reply (kernel stamp) after the request's *intended* moment.
    pub latency: SignedHistogram,
    /// θ = ((T2 − T1) + (T3 − T4)) / 2 with kernel stamps for T1 and T4: the served time's error.
    pub offset: SignedHistogram,
    /// T2 − T1 with the kernel's departure stamp as T1: an upper bound of T2's error.
    pub receive_error: SignedHistogram,
    /// T4 − T3 with the kernel's arrival stamp as T4: an upper bound of T3's error.
    pub transmit_error: SignedHistogram,
    /// T3 − T2.
    pub residence: SignedHistogram,
    /// (T4 − T3) of a burst's last request less that of its first.
    pub burst_position: SignedHistogram,
}

impl Report {
    /// Adds what another thread, interval or machine counted at the same time.
    pub fn merge(&mut self, other: &Self) {
        self.elapsed_s = self.elapsed_s.max(other.elapsed_s);
        self.interrupted |= other.interrupted;
        self.faults.add(&other.faults);
        self.hostile.add(&other.hostile);
        self.cohorts.add(&other.cohorts);
        let (counts, measures) = self.parts();
        counts.into_iter().zip(other.counts()).for_each(|(count, more)| *count += more);
        measures.into_iter().zip(other.measures()).for_each(|(sum, (_, more))| sum.add(more));
    }

    /// Forgets everything, and keeps its room.
    pub fn clear(&mut self) {
        (self.elapsed_s, self.interrupted) = (0.0, false);
        self.faults = FaultTally::default();
        self.hostile = Provocations::default();
        self.cohorts = Treatments::default();
        let (counts, measures) = self.parts();
        counts.into_iter().for_each(|count| *count = 0);
        measures.into_iter().for_each(SignedHistogram::clear);
    }

    /// Every distribution with the name it is stored under.
    pub const fn measures(&self) -> [(&'static str, &SignedHistogram); 7] {
        [
            ("lag", &self.lag),
            ("latency", &self.latency),
            ("offset", &self.offset),
            ("receive_error", &self.receive_error),
            ("transmit_error", &self.transmit_error),
            ("residence", &self.residence),
            ("burst_position", &self.burst_position),
        ]
    }

    /// The counts in the order of [`Report::parts`].
    const fn counts(&self) -> [u64; 15] {
        [
            self.sent,
            self.unsent,
            self.missed,
            self.dropped,
            self.overruns,
            self.idle_ns,
            self.awake_ns,
            self.preempted,
            self.answered,
            self.answered_in_time,
            self.lost,
            self.companions,
            self.companions_answered,
            self.causality_violations,
            self.unstamped,
        ]
    }

    /// All that is added up. A field that is forgotten here does not compile.
    const fn parts(&mut self) -> ([&mut u64; 15], [&mut SignedHistogram; 7]) {
        let Self {
            elapsed_s: _,
            interrupted: _,
            sent,
            unsent,
            missed,
            dropped,
            overruns,
            idle_ns,
            awake_ns,
            preempted,
            answered,
            answered_in_time,
            lost,
            faults: _,
            hostile: _,
            cohorts: _,
            companions,
            companions_answered,
            causality_violations,
            unstamped,
            lag,
            latency,
            offset,
            receive_error,
            transmit_error,
            residence,
            burst_position,
        } = self;
        (
            [
                sent,
                unsent,
                missed,
                dropped,
                overruns,
                idle_ns,
                awake_ns,
                preempted,
                answered,
                answered_in_time,
                lost,
                companions,
                companions_answered,
                causality_violations,
                unstamped,
            ],
            [lag, latency, offset, receive_error, transmit_error, residence, burst_position],
        )
    }

    /// Valid replies a second while load was offered.
    pub fn answered_per_s(&self) -> f64 {
        if self.elapsed_s > 0.0 { self.answered_in_time as f64 / self.elapsed_s } else { 0.0 }
    }

    /// Requests a second that were really sent.
    pub fn sent_per_s(&self) -> f64 {
        if self.elapsed_s > 0.0 { self.sent as f64 / self.elapsed_s } else { 0.0 }
    }

    /// Valid replies as a share of the requests sent, 0 to 1.
    pub fn answered_share(&self) -> f64 {
        if self.sent > 0 { self.answered as f64 / self.sent as f64 } else { 0.0 }
    }

    /// How many replies were invalid for `fault`.
    pub const fn faults_of(&self, fault: Fault) -> u64 {
        self.faults.of(fault)
    }
}

#[cfg(test)]
mod tests {
    use timeball_time::Interval;

    use super::*;

    fn counted(values: std::ops::Range<i64>) -> Report {
        let mut report = Report { elapsed_s: 2.0, ..Report::default() };
        for nanos in values {
            report.sent += 1;
            report.answered += 1;
            report.faults.count(Fault::Late);
            report.latency.record(Interval::from_nanos(nanos));
            report.offset.record(Interval::from_nanos(-nanos));
        }
        report
    }

    #[test]
    fn many_merged_are_one_that_counted_everything() {
        let mut merged = counted(0..1_000);
        merged.merge(&counted(1_000..5_000));
        merged.merge(&Report::default());
        assert_eq!(merged, counted(0..5_000));
    }

    #[test]
    fn a_cleared_report_is_as_new() {
        let mut report = counted(0..10);
        report.interrupted = true;
        report.clear();
        assert_eq!(report, Report::default());
    }

    #[test]
    fn a_stored_report_is_the_same_again_whole() {
        let report = counted(0..3_000);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
