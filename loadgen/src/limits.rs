//! Was it the server, or was it us? What says that the generator was the limit.
//!
//! A figure measured past the generator's own limits is a figure of the generator. So every report is
//! asked before it is believed.
//!
//! Must never: blame the server for what was lost or late on our side.

use std::fmt;

use crate::Report;

/// Why figures are, in part, the generator's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Requests that were due were never sent: the rate asked is beyond the senders.
    Missed {
        /// Their share of all that was due, 0 to 1.
        share: f64,
    },
    /// The sockets' send buffers were full.
    Unsent {
        /// Requests not sent.
        count: u64,
    },
    /// Replies were dropped in our own receive buffers.
    Overruns {
        /// Replies dropped.
        count: u64,
    },
    /// Requests left late, by more than can be left out of the latencies.
    Late {
        /// By how much, for the latest 1 %, in nanoseconds.
        lag_p99_ns: i64,
    },
    /// The senders never had a moment without work.
    Busy {
        /// The share of time without work, 0 to 1.
        idle_share: f64,
    },
    /// A device dropped requests as they left.
    Dropped {
        /// Requests dropped.
        count: u64,
    },
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed { share } => write!(
                f,
                "{:.2} % of the requests due were never sent: this rate is beyond the senders; add \
                 senders (--cores), or take --segments or --raw",
                share * 100.0
            ),
            Self::Unsent { count } => write!(
                f,
                "{count} requests found the send buffer full and were dropped; raise net.core.wmem_max \
                 or lower the rate"
            ),
            Self::Overruns { count } => write!(
                f,
                "{count} replies were dropped in the generator's own receive buffer, and count as lost; \
                 add senders, or raise net.core.rmem_max"
            ),
            Self::Late { lag_p99_ns } => write!(
                f,
                "1 % of the requests left {} µs late or more, which is in their latency; give the senders \
                 cores of their own (--cores)",
                lag_p99_ns / 1_000
            ),
            Self::Busy { idle_share } => write!(
                f,
                "the senders had work for {:.0} % of the time: a faster server would not have shown; add \
                 senders (--cores)",
                (1.0 - idle_share) * 100.0
            ),
            Self::Dropped { count } => write!(
                f,
                "{count} requests were dropped by the device as they left; on a veth that is the server's \
                 own backlog, elsewhere the card's queue"
            ),
        }
    }
}

impl Report {
    /// What says that the generator was the limit, the gravest first; empty if nothing does.
    pub fn limits(&self) -> Vec<Limit> {
        let due = self.sent + self.unsent + self.missed;
        let share = |part: u64, of: u64| if of > 0 { part as f64 / of as f64 } else { 0.0 };
        let missed = share(self.missed, due);
        let idle_share = share(self.idle_ns, self.awake_ns);
        let (lag_p99_ns, p99_ns) = (self.lag.quantile(0.99), self.latency.quantile(0.99));
        let candidates = [
            (missed > MISSED_MAX, Limit::Missed { share: missed }),
            (self.unsent > 0, Limit::Unsent { count: self.unsent }),
            (self.overruns > 0, Limit::Overruns { count: self.overruns }),
            (lag_p99_ns > LAG_P99_NS.max(p99_ns / 10), Limit::Late { lag_p99_ns }),
            (self.awake_ns > 0 && idle_share < IDLE_MIN, Limit::Busy { idle_share }),
            (self.dropped > 0, Limit::Dropped { count: self.dropped }),
        ];
        candidates.into_iter().filter(|(is_so, _)| *is_so).map(|(_, limit)| limit).collect()
    }

    /// Whether the load was another than was asked for, so that its figures are not the server's.
    pub fn is_generators(&self) -> bool {
        let own = |limit: &Limit| {
            matches!(limit, Limit::Missed { .. } | Limit::Unsent { .. } | Limit::Overruns { .. })
        };
        self.limits().iter().any(own)
    }

    /// Whether the generator was held up or could not keep up, which another trial may not see again.
    pub fn is_disturbed(&self) -> bool {
        let late = |limit: &Limit| matches!(limit, Limit::Late { .. });
        self.is_generators() || self.limits().iter().any(late)
    }
}

/// The rate sent is the rate asked to within this.
const MISSED_MAX: f64 = 0.001;
/// Less is within what one system call takes on a busy core.
const LAG_P99_NS: i64 = 50_000;
/// Below this there was no room for more.
const IDLE_MIN: f64 = 0.05;

#[cfg(test)]
mod tests {
    use timeball_time::Interval;

    use super::*;

    fn quiet() -> Report {
        let mut report = Report { sent: 1_000, idle_ns: 500, awake_ns: 1_000, ..Report::default() };
        for _ in 0..1_000 {
            report.lag.record(Interval::from_micros(1));
            report.latency.record(Interval::from_micros(30));
        }
        report
    }

    #[test]
    fn a_generator_that_kept_up_has_no_limits() {
        assert_eq!(quiet().limits(), []);
        let almost = Report { sent: 100_000, missed: 99, ..quiet() };
        assert_eq!(almost.limits(), [], "within 0.1 %");
    }

    #[test]
    fn every_limit_is_seen_by_itself_and_named() {
        let cases = [
            (Report { missed: 3, ..quiet() }, "never sent", true),
            (Report { unsent: 1, ..quiet() }, "send buffer", true),
            (Report { overruns: 1, ..quiet() }, "receive buffer", true),
            (Report { idle_ns: 10, ..quiet() }, "99 % of the time", false),
            (Report { dropped: 1, ..quiet() }, "device", false),
        ];
        for (report, words, is_generators) in cases {
            let limits = report.limits();
            assert_eq!(limits.len(), 1, "{limits:?}");
            assert!(limits[0].to_string().contains(words), "{}", limits[0]);
            assert_eq!(report.is_generators(), is_generators, "{words}");
            assert_eq!(report.is_disturbed(), is_generators, "{words}");
        }
    }

    #[test]
    fn lateness_counts_where_it_shows_in_the_latency() {
        let mut report = quiet();
        (0..20).for_each(|_| report.lag.record(Interval::from_micros(300)));
        assert!(
            matches!(report.limits()[..], [Limit::Late { lag_p99_ns }] if lag_p99_ns > 290_000)
        );
        assert!(report.is_disturbed() && !report.is_generators());
        // Beside latencies of 10 ms it is nothing.
        (0..20).for_each(|_| report.latency.record(Interval::from_millis(10)));
        assert_eq!(report.limits(), []);
    }
}
