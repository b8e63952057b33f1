//! What must hold in every world, at every instant looked at: the promises a time server makes.
//!
//! Each second, at each publication and at each command to the kernel the world asks here; the first
//! promise broken ends the run and says what was found. They are judged against true time and what
//! the kernel really did, neither of which the discipline can see.
//!
//! Must never: be lenient where a client would be misled; what is excused is excused by name.

use std::fmt;

use timeball_discipline::{Books, Config, Event, SourceConfig, SourceId};
use timeball_time::{
    ClockReading, Interval, Leap, Monotonic, Rate, ReferenceId, Snapshot, Timestamp,
};

use crate::S;

/// A promise that did not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// True seconds since the start.
    pub at_s: f64,
    /// Which, and how.
    pub promise: Promise,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.6} s: {}", self.at_s, self.promise)
    }
}

/// What was promised, with what was found instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Promise {
    /// Whenever leap ≠ 3 the error is at most the root distance.
    #[error("served time is off by {error:?}, beyond the root distance of {distance:?}")]
    Distance {
        /// Served minus true time.
        error: Interval,
        /// Claimed.
        distance: Interval,
    },
    /// Past the limit of root distance the time is not called synchronised.
    #[error("synchronised at a root distance of {distance:?}, past the limit of {limit:?}")]
    Limit {
        /// Claimed.
        distance: Interval,
        /// As configured.
        limit: Interval,
    },
    /// Served time runs backwards only in an announced step.
    #[error("served time ran backwards by {0:?} without an announced step")]
    Backwards(Interval),
    /// Dispersion falls only by a measurement.
    #[error("dispersion fell from {before:?} to {after:?} without a measurement")]
    Dispersion {
        /// What readers were told until now.
        before: Interval,
        /// What they are told now.
        after: Interval,
    },
    /// What is published is finite and can be served.
    #[error("published an impossible mapping: {0:?}")]
    Mapping(Box<Snapshot>),
    /// Commands to the kernel are within its limits.
    #[error("commanded the kernel to run at {0:?}")]
    Command(Rate),
    /// No more requests than the poll interval allows, bursts apart.
    #[error("{0} was asked more often than its least poll interval and bursts allow")]
    Budget(SourceId),
    /// The books equal what was really done to the kernel clock, by whomever.
    #[error("the books have the unsteered clock wrong by {0:?}")]
    Books(Interval),
    /// Every reply is one to its request, and possible.
    #[error("a reply is wrong: {0}")]
    Reply(&'static str),
    /// A discipline that is stuck shows as leap 3 within ten seconds.
    #[error("called synchronised {0:?} after the last publication")]
    Stale(Interval),
}

/// Watches over one run.
#[derive(Clone, Debug)]
pub(crate) struct Promises {
    limit: Interval,
    /// One for each source.
    budgets: Vec<Budget>,
    last_served: i64,
    /// A step was announced since served time was last looked at.
    step_announced: bool,
    /// A measurement was taken in since the last publication.
    measured: bool,
    /// Commands to the kernel, each of which may cost a rounding.
    commands: i64,
    /// By how much the books differ from the truth since the last suspend, ns.
    books_error: Option<i64>,
    broken: Option<Broken>,
    excused_until_s: f64,
    published_s: f64,
    at_s: f64,
}

impl Promises {
    /// Nothing served yet by a discipline told `config`.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            limit: config.max_root_distance,
            budgets: config.sources.iter().map(Budget::new).collect(),
            last_served: i64::MIN,
            step_announced: true,
            measured: true,
            commands: 0,
            books_error: None,
            broken: None,
            excused_until_s: -1.0,
            published_s: 0.0,
            at_s: 0.0,
        }
    }

    /// It is `at_s` true seconds since the start.
    pub(crate) const fn now(&mut self, at_s: f64) {
        self.at_s = at_s;
    }

    pub(crate) const fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// For `seconds` from now nobody can know better: the host has not been told of a change.
    pub(crate) const fn excuse(&mut self, seconds: f64) {
        self.excused_until_s = self.at_s + seconds;
    }

    pub(crate) fn is_excused(&self) -> bool {
        self.at_s <= self.excused_until_s
    }

    /// Only the first counts: what follows is its consequence.
    pub(crate) fn fail(&mut self, promise: Promise) {
        let at_s = self.at_s;
        self.broken.get_or_insert(Broken { at_s, promise });
    }

    /// An answer was believed, or the kernel's time is not continuous here.
    pub(crate) const fn measurement(&mut self) {
        self.measured = true;
    }

    /// An event that announces a step of served time excuses one; a source that is new again may be
    /// asked in a burst.
    pub(crate) fn noted(&mut self, event: &Event) {
        let everybody = matches!(event, Event::Suspended { .. });
        for (index, budget) in self.budgets.iter_mut().enumerate() {
            if everybody || event.source().is_some_and(|source| source.index() == index) {
                budget.grant(event);
            }
        }
        self.step_announced |= matches!(
            event,
            Event::Stepped { .. }
                | Event::Synchronised { .. }
                | Event::Suspended { .. }
                | Event::LeapMade { .. }
        );
    }

    /// The kernel made the leap second it was told to make.
    pub(crate) const fn leapt(&mut self) {
        self.step_announced = true;
        self.measured = true;
    }

    /// The machine slept: what was served before is of no account.
    pub(crate) const fn slept(&mut self) {
        self.last_served = i64::MIN;
        self.step_announced = true;
        // Nobody can say what the oscillator would have counted while it stood still.
        self.books_error = None;
        self.published_s = self.at_s;
    }

    /// A request goes to `source`.
    pub(crate) fn sent(&mut self, source: SourceId, now: &ClockReading) {
        let spent = self.budgets.get_mut(source.index()).is_none_or(|b| b.spend(now));
        if !spent {
            self.fail(Promise::Budget(source));
        }
    }

    /// The kernel is told to apply `frequency`.
    pub(crate) fn command(&mut self, frequency: Rate) {
        self.commands += 1;
        if frequency.as_ratio().abs() > KERNEL_FREQUENCY_MAX {
            self.fail(Promise::Command(frequency));
        }
    }

    /// `books` are held against `free`, what the unsteered clock would really show.
    pub(crate) fn books(&mut self, books: &Books, free: i64, now: &ClockReading) {
        if self.is_excused() {
            return;
        }
        // A step made a moment ago is entered at the next call, whatever that is.
        let mut books = books.clone();
        books.observe(now);
        let error = books.free(now.realtime).nanos() - free;
        let change = error - *self.books_error.get_or_insert(error);
        if change.abs() > BOOKS_SLACK + COMMAND_SLACK * self.commands {
            self.fail(Promise::Books(Interval::from_nanos(change)));
        }
    }

    /// `new` takes the place of `old`.
    pub(crate) fn publication(&mut self, old: &Snapshot, new: &Snapshot, now: &ClockReading) {
        self.published_s = self.at_s;
        let at = now.realtime;
        let comparable = old.leap != Leap::Unsynchronised
            && new.leap != Leap::Unsynchronised
            && old.reference_id == new.reference_id
            && new.reference_id != ReferenceId::LOCAL
            && old.is_valid_at(at)
            && new.epoch == at;
        let before = old.root_dispersion_at(at);
        // The bound grows with free time, which may be 500 ppm slower than the kernel's.
        let growth = before - old.root_dispersion;
        let slack = Interval::from_nanos(10 + growth.nanos() / 1_000);
        let fell = new.root_dispersion + slack < before;
        if comparable && fell && !self.measured && !self.step_announced {
            self.fail(Promise::Dispersion { before, after: new.root_dispersion });
        }
        self.measured = false;
        let possible = new.root_dispersion >= Interval::ZERO
            && new.dispersion_rate >= Rate::ZERO
            && new.rate.as_ratio().abs() <= RATE_MAX;
        if !possible {
            self.fail(Promise::Mapping(Box::new(*new)));
        }
        self.served(new, now);
    }

    /// Served time is looked at.
    pub(crate) fn served(&mut self, snapshot: &Snapshot, now: &ClockReading) {
        // As if no leap were ahead: its second is not one that runs backwards.
        let served = snapshot.mapped(now.realtime).nanos();
        let excused = std::mem::take(&mut self.step_announced) || self.is_excused();
        if served < self.last_served && !excused {
            self.fail(Promise::Backwards(Interval::from_nanos(self.last_served - served)));
        }
        self.last_served = served;
    }

    /// `snapshot`, which clients may believe, is off by `error`; `excused` if no server could do
    /// better: a majority of its sources lies, or it has none.
    pub(crate) fn error(
        &mut self,
        snapshot: &Snapshot,
        now: &ClockReading,
        error: Interval,
        excused: bool,
    ) {
        let distance = distance(snapshot, now);
        let age = Interval::from_secs_f64(self.at_s - self.published_s);
        if age > STALE_AFTER {
            self.fail(Promise::Stale(age));
        }
        if error.abs() > distance && !excused && !self.is_excused() {
            self.fail(Promise::Distance { error, distance });
        }
        if distance > self.limit + LIMIT_SLACK && snapshot.reference_id != ReferenceId::LOCAL {
            self.fail(Promise::Limit { distance, limit: self.limit });
        }
    }
}

/// Requests that may still be sent to one source: two for each least poll interval, and a burst.
#[derive(Clone, Debug)]
struct Budget {
    per_s: f64,
    saved: f64,
    since: Option<Timestamp<Monotonic>>,
}

impl Budget {
    fn new(source: &SourceConfig) -> Self {
        let gap_s = Interval::from_poll(source.min_poll.max(0)).as_secs_f64();
        // Intervals vary by a 64th, and an answer that looks odd may be looked into.
        Self { per_s: 2.0 * (1.0 + 1.0 / 64.0) / gap_s, saved: BURST, since: None }
    }

    fn grant(&mut self, event: &Event) {
        match event {
            Event::Reachable { .. } | Event::Suspended { .. } | Event::AddressChanged { .. } => {
                self.saved = BURST;
            }
            Event::SourceJumped { .. } => self.saved = (self.saved + SUSPICION).min(BURST),
            _ => {}
        }
    }

    fn spend(&mut self, now: &ClockReading) -> bool {
        let passed = self.since.map_or(0.0, |since| (now.monotonic - since).as_secs_f64());
        self.since = Some(now.monotonic);
        self.saved = (self.saved + passed * self.per_s).min(BURST) - 1.0;
        self.saved >= 0.0
    }
}

/// Root distance as a client computes it.
pub(crate) fn distance(snapshot: &Snapshot, now: &ClockReading) -> Interval {
    snapshot.root_delay.interval().half() + snapshot.root_dispersion_at(now.realtime)
}

/// Root delay is rounded up to 15 µs on the wire, and the limit looked at once a second.
const LIMIT_SLACK: Interval = Interval::from_nanos(S / 1000);
/// Requests in a burst, and to look into two suspicions one after the other.
const BURST: f64 = 8.0 + 2.0 * SUSPICION;
const SUSPICION: f64 = 4.0;
/// How old a snapshot may get.
const STALE_AFTER: Interval = Interval::from_secs(10);
/// Roundings to a nanosecond in the books, by time and by command, ns.
const BOOKS_SLACK: i64 = 100;
const COMMAND_SLACK: i64 = 2;
/// The kernel's, with its own rounding.
const KERNEL_FREQUENCY_MAX: f64 = 500e-6 + 1e-12;
/// 10 % of slewing on an oscillator that is 5 % off, with room for both.
const RATE_MAX: f64 = 0.17;

#[cfg(test)]
mod tests {
    use timeball_discipline::Target;
    use timeball_time::{Realtime, Stratum};

    use super::*;

    const EPOCH: i64 = 1_795_300_000 * S;

    fn reading(seconds: f64) -> ClockReading {
        let nanos = (seconds * 1e9) as i64;
        ClockReading {
            realtime: Timestamp::from_nanos(EPOCH + nanos),
            monotonic: Timestamp::from_nanos(nanos),
            boottime: Timestamp::from_nanos(nanos),
        }
    }

    fn snapshot(seconds: f64, dispersion_us: i64) -> Snapshot {
        let epoch: Timestamp<Realtime> = reading(seconds).realtime;
        Snapshot {
            leap: Leap::None,
            stratum: Stratum::new(2),
            root_dispersion: Interval::from_micros(dispersion_us),
            ..Snapshot::unsynchronised(epoch, -24)
        }
    }

    fn promises() -> Promises {
        let target = Target::Address("192.0.2.1:123".parse().unwrap());
        Promises::new(&Config { sources: vec![SourceConfig::new(target)], ..Config::default() })
    }

    /// Two publications a second apart, and what came between.
    fn published(between: impl FnOnce(&mut Promises), second: Snapshot) -> Option<Promise> {
        let mut promises = promises();
        let first = snapshot(0.0, 100);
        promises.publication(&first, &first, &reading(0.0));
        promises.now(1.0);
        between(&mut promises);
        promises.publication(&first, &second, &reading(1.0));
        promises.broken().map(|broken| broken.promise.clone())
    }

    #[test]
    fn dispersion_may_fall_by_a_measurement_only() {
        assert_eq!(published(|_| (), snapshot(1.0, 115)), None);
        assert_eq!(published(Promises::measurement, snapshot(1.0, 10)), None);
        let fell = published(|_| (), snapshot(1.0, 10));
        assert!(matches!(fell, Some(Promise::Dispersion { .. })), "{fell:?}");
    }

    #[test]
    fn served_time_may_run_backwards_in_an_announced_step_only() {
        let back = Snapshot { offset: Interval::from_secs(-2), ..snapshot(1.0, 200) };
        assert!(matches!(published(|_| (), back), Some(Promise::Backwards(_))));
        let stepped = Event::Stepped { amount: Interval::from_secs(-2) };
        assert_eq!(published(|promises| promises.noted(&stepped), back), None);
    }

    #[test]
    fn an_error_beyond_the_claim_a_claim_beyond_the_limit_and_an_old_claim_are_seen() {
        let look = |error_us: i64, dispersion_us: i64, at_s: f64| {
            let mut promises = promises();
            promises.now(at_s);
            let error = Interval::from_micros(error_us);
            promises.error(&snapshot(at_s, dispersion_us), &reading(at_s), error, false);
            promises.broken().map(|broken| broken.promise.clone())
        };
        assert_eq!(look(-99, 100, 1.0), None);
        assert!(matches!(look(-101, 100, 1.0), Some(Promise::Distance { .. })));
        assert!(matches!(look(0, 1_600_000, 1.0), Some(Promise::Limit { .. })));
        assert!(matches!(look(0, 100, 11.0), Some(Promise::Stale(_))));
    }

    #[test]
    fn commands_and_books_are_held_to_the_kernels_truth() {
        let mut too_fast = promises();
        too_fast.command(Rate::from_ppb(500_000));
        assert_eq!(too_fast.broken(), None);
        too_fast.command(Rate::from_ppb(500_010));
        assert!(matches!(too_fast.broken().unwrap().promise, Promise::Command(_)));
        let mut cooked = promises();
        let books = Books::new(&reading(0.0), Rate::ZERO);
        cooked.books(&books, EPOCH, &reading(0.0));
        cooked.books(&books, EPOCH + S + 50, &reading(1.0));
        assert_eq!(cooked.broken(), None);
        cooked.books(&books, EPOCH + 2 * S + 500, &reading(2.0));
        assert!(matches!(cooked.broken().unwrap().promise, Promise::Books(_)));
    }

    #[test]
    fn a_source_may_be_asked_in_a_burst_and_then_by_its_interval() {
        let mut promises = promises();
        let mut ask = |at_s: f64| {
            promises.sent(SourceId(0), &reading(at_s));
            promises.broken().is_none()
        };
        assert!((0..8).all(|k| ask(2.0 * f64::from(k))));
        assert!((1..100).all(|k| ask(64.0 * f64::from(k))));
        assert!(!(0..20).all(|k| ask(10_000.0 + 2.0 * f64::from(k))));
    }
}
