//! One load that was offered to one server, with all that is known of how it went.
//!
//! Must never: start a load that [`Options`] would not bound.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::series::Series;
use crate::{DamagedHistogram, Load, LoadError, Options, Point, Report, run_watched};

/// One load and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Whom of two it concerns, in a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The server.
    pub target: SocketAddr,
    /// What each generator was told to offer.
    pub load: Load,
    /// Requests a second that all generators together were to offer; `None` in a closed loop.
    pub offered_per_s: Option<f64>,
    /// Client addresses, those of every generator added up.
    pub clients: u64,
    /// How long load was to be offered, in seconds.
    pub duration_s: f64,
    /// After this long without a reply a request is lost, in seconds.
    pub timeout_s: f64,
    /// When it began, in nanoseconds since 1970.
    pub started_unix_ns: i64,
    /// Length of the intervals of `series`, in seconds.
    pub interval_s: f64,
    /// The threads that sent.
    pub senders: Vec<Sender>,
    /// What happened when.
    pub series: Vec<Point>,
    /// What came of it.
    pub report: Report,
}

/// A thread that sent, and how it kept up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sender {
    /// The core it was pinned to.
    pub core: Option<usize>,
    /// Requests it handed to the kernel.
    pub sent: u64,
    /// Requests the kernel had no room for.
    pub unsent: u64,
    /// Valid replies it got.
    pub answered: u64,
    /// It handed 99 % of its requests over no later than this after their moment.
    pub lag_p99_ns: i64,
    /// The worst of them.
    pub lag_max_ns: i64,
}

impl Trial {
    /// Offers the load of `options`; `notice` hears of every interval of `every` as it ends.
    pub fn offer(
        options: &Options,
        stop: &AtomicBool,
        every: Duration,
        notice: &mut dyn FnMut(&Point),
    ) -> Result<Self, LoadError> {
        let now = timeball_sys::realtime();
        let started_unix_ns = options.start_at.map_or(now, |start_at| start_at.max(now)).nanos();
        let cores: Vec<_> =
            (0..options.senders.count()).map(|index| options.senders.core(index)).collect();
        let mut series = Series::new(cores.len(), every.as_secs_f64());
        let mut points = Vec::new();
        let reports = run_watched(options, stop, every, &mut |slice| {
            for point in series.add(slice) {
                notice(&point);
                points.push(point);
            }
        })?;
        points.extend(series.finish());
        let mut report = Report::default();
        reports.iter().for_each(|part| report.merge(part));
        let senders = cores.into_iter().zip(&reports);
        Ok(Self {
            subject: None,
            target: options.target,
            load: options.load,
            offered_per_s: options.load.rate_per_s(),
            clients: u64::from(options.population.size()),
            duration_s: options.duration.as_secs_f64(),
            timeout_s: options.timeout.as_secs_f64(),
            started_unix_ns,
            interval_s: every.as_secs_f64(),
            senders: senders.map(|(core, report)| Sender::of(core, report)).collect(),
            series: points,
            report,
        })
    }

    /// Adds what another machine did at the same time with the same load.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), DamagedHistogram> {
        self.offered_per_s = self.offered_per_s.zip(other.offered_per_s).map(|(a, b)| a + b);
        self.clients += other.clients;
        self.senders.extend(other.senders.iter().cloned());
        self.report.merge(&other.report);
        // The machines' intervals need not begin together; each goes to the nearest.
        let apart_s = (other.started_unix_ns - self.started_unix_ns) as f64 / 1e9;
        for point in &other.series {
            let start_s = point.start_s + apart_s;
            let near = |mine: &&mut Point| (mine.start_s - start_s).abs() <= self.interval_s / 2.0;
            match self.series.iter_mut().find(near) {
                Some(mine) => mine.merge(point)?,
                None => self.series.push(Point { start_s, ..point.clone() }),
            }
        }
        self.series.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        self.started_unix_ns = self.started_unix_ns.min(other.started_unix_ns);
        Ok(())
    }

    /// When offering ended, in nanoseconds since 1970.
    pub(crate) fn ended_unix_ns(&self) -> i64 {
        self.started_unix_ns + (self.report.elapsed_s * 1e9) as i64
    }
}

impl Sender {
    fn of(core: Option<usize>, report: &Report) -> Self {
        Self {
            core,
            sent: report.sent,
            unsent: report.unsent,
            answered: report.answered,
            lag_p99_ns: report.lag.quantile(0.99),
            lag_max_ns: report.lag.quantile(1.0),
        }
    }
}

/// The knee of a sweep: the highest rate of which, and of all below it, [`KNEE_SHARE`] was answered and the
/// generator was not the limit. `None` if there is none, or only one load.
pub fn knee(trials: &[Trial]) -> Option<&Trial> {
    let mut sorted: Vec<(f64, &Trial)> =
        trials.iter().filter_map(|trial| Some((trial.offered_per_s?, trial))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let good = |trial: &Trial| {
        trial.report.answered_share() >= KNEE_SHARE && !trial.report.is_generators()
    };
    let met = sorted.iter().take_while(|(_, trial)| good(trial)).last()?;
    (sorted.len() > 1).then_some(met.1)
}

/// Up to the knee a server answers at least this share.
pub const KNEE_SHARE: f64 = 0.99;

#[cfg(test)]
pub(crate) mod tests {
    use timeball_time::Interval;

    use super::*;
    use crate::{PackedHistogram, Pattern};

    /// A run of two seconds at `rate_hz` in which every request was answered, the k-th after
    /// `base_ns` and k nanoseconds.
    pub(crate) fn trial(rate_hz: u32, base_ns: i64) -> Trial {
        let count = u64::from(rate_hz);
        let mut report = Report { elapsed_s: 2.0, ..Report::default() };
        (report.sent, report.answered, report.answered_in_time) = (count, count, count);
        for k in 0..i64::from(rate_hz) {
            report.latency.record(Interval::from_nanos(base_ns + k));
            report.offset.record(Interval::from_nanos(k % 400 - 100));
            report.lag.record(Interval::from_nanos(k % 50));
        }
        let point = |start_s| Point {
            start_s,
            length_s: 1.0,
            sent: count / 2,
            answered: count / 2,
            latency: PackedHistogram::from(&report.latency),
            offset: PackedHistogram::from(&report.offset),
            ..Point::default()
        };
        Trial {
            subject: None,
            target: "127.0.0.1:11123".parse().unwrap(),
            load: Load::Open { pattern: Pattern::Poisson, rate_hz },
            offered_per_s: Some(f64::from(rate_hz)),
            clients: 1_000,
            duration_s: 2.0,
            timeout_s: 0.5,
            started_unix_ns: 1_795_420_763_000_000_000,
            interval_s: 1.0,
            senders: vec![Sender::of(Some(1), &report)],
            series: vec![point(0.0), point(1.0)],
            report,
        }
    }

    #[test]
    fn generators_that_ran_together_are_one_load() {
        let mut sum = trial(10_000, 1_000);
        sum.merge(&Trial { started_unix_ns: 1_795_420_763_100_000_000, ..trial(5_000, 9_000) })
            .unwrap();
        assert_eq!(
            (sum.offered_per_s, sum.report.sent, sum.clients),
            (Some(15_000.0), 15_000, 2_000)
        );
        assert_eq!((sum.senders.len(), sum.series.len()), (2, 2));
        assert_eq!(sum.series[1].sent, 7_500);
        let mut both = trial(10_000, 1_000).report.latency;
        both.add(&trial(5_000, 9_000).report.latency);
        assert_eq!(sum.report.latency, both);
    }

    #[test]
    fn the_knee_is_the_last_rate_before_the_first_that_was_not_answered() {
        let with = |rate, answered| {
            let mut trial = trial(rate, 1_000);
            trial.report.answered = answered;
            trial
        };
        let trials =
            [with(4_000, 2_000), with(1_000, 1_000), with(8_000, 8_000), with(2_000, 1_990)];
        assert_eq!(knee(&trials).unwrap().offered_per_s, Some(2_000.0));
        assert_eq!(knee(&trials[..1]), None);
        assert_eq!(knee(&[]), None);
    }
}
