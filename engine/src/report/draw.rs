//! Drawing a [`Report`] from the running server.
//!
//! The discipline thread puts its state on a [`Board`] whenever it has done something; workers are read
//! through their counters, the served time through the snapshot. Nobody notices.
//!
//! Must never: make the discipline thread or a worker wait for a reader.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crossbeam::utils::CachePadded;
use timeball_discipline as discipline;
use timeball_responder::{
    Announcement, BATCH_BOUNDS, Counters, Distribution, RESIDENCE_BOUNDS_NS, Totals,
};
use timeball_sys::realtime;
use timeball_time::{Interval, NtpTimestamp, Reader, Realtime, Snapshot, Timestamp};
use timeball_wire::Fallback;

use super::{
    Answer, Censuses, Clock, Driver, Header, Histogram, Local, Overflow, PastAnswer, Report,
    Sandbox, Source, VERSION, Waiting, Work, fast_path,
};
use crate::names::reference;

/// The discipline's last state, and what is wrong with the threads.
#[derive(Debug, Default)]
pub(crate) struct Board {
    shown: Mutex<Option<Shown>>,
    stuck: Mutex<Vec<String>>,
    overflow: Mutex<Overflow>,
    reloads: AtomicU64,
    reloads_refused: AtomicU64,
}

/// What is on the board.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The discipline's state.
    pub(crate) status: discipline::Status,
    /// What its sources are called, in its order.
    pub(crate) names: Arc<[String]>,
}

/// What one worker has done, and whoever worked at its place before; or what the driver has.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    counted: Counted,
    before: Totals,
}

/// Who counts.
#[derive(Clone, Debug)]
enum Counted {
    Worker(Arc<CachePadded<Counters>>),
    Driver(Driver),
}

impl Tally {
    /// Of the worker that counts in `counters`.
    pub(crate) fn of(counters: Arc<CachePadded<Counters>>) -> Self {
        Self { counted: Counted::Worker(counters), before: Totals::default() }
    }

    /// Of the program in `driver`.
    pub(crate) fn of_driver(driver: Driver) -> Self {
        Self { counted: Counted::Driver(driver), before: Totals::default() }
    }

    /// Counts what another has done before.
    pub(crate) fn add(&mut self, before: Totals) {
        self.before += before;
    }

    /// What was counted before.
    pub(crate) const fn before(&self) -> &Totals {
        &self.before
    }

    /// Turns of the worker: it moves if it lives. (A driver has none.)
    pub(crate) fn turns(&self) -> u64 {
        match &self.counted {
            Counted::Worker(counters) => counters.turns(),
            Counted::Driver(_) => 0,
        }
    }

    /// The numbers now.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.before;
        totals += match &self.counted {
            Counted::Worker(counters) => counters.totals(),
            Counted::Driver(driver) => driver.totals(),
        };
        totals
    }
}

impl Board {
    /// Shows `status` from now on; if somebody is reading this very moment, the old one stays.
    pub(crate) fn show(&self, status: discipline::Status, names: &Arc<[String]>) {
        if let Ok(mut shown) = self.shown.try_lock() {
            *shown = Some(Shown { status, names: Arc::clone(names) });
        }
    }

    /// Where the sources are.
    pub(crate) fn source_addresses(&self) -> Vec<IpAddr> {
        let shown = self.read();
        let sources = shown.iter().flat_map(|shown| &shown.status.sources);
        sources.filter_map(|source| Some(source.remote?.ip())).collect()
    }

    fn read(&self) -> Option<Shown> {
        self.shown.lock().map_or(None, |shown| shown.clone())
    }

    /// Threads of these names do not go on.
    pub(crate) fn show_stuck(&self, names: Vec<String>) {
        if let Ok(mut stuck) = self.stuck.lock() {
            *stuck = names;
        }
    }

    /// So much was lost before any worker had it.
    pub(crate) fn show_overflow(&self, now: Overflow) {
        if let Ok(mut overflow) = self.overflow.lock() {
            *overflow = now;
        }
    }

    /// What was lost before any worker had it.
    pub(crate) fn overflow(&self) -> Overflow {
        self.overflow.lock().map_or_else(|_| Overflow::default(), |overflow| overflow.clone())
    }

    /// The configuration was read again, and put into force or `refused`.
    pub(crate) fn count_reload(&self, refused: bool) {
        let counter = if refused { &self.reloads_refused } else { &self.reloads };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the configuration was read again: put into force, refused.
    pub(crate) fn reloads(&self) -> (u64, u64) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (get(&self.reloads), get(&self.reloads_refused))
    }

    /// Counts on from the `reloads` of a predecessor, and from what it had `lost`: to a full queue, and while
    /// senders were held back.
    pub(crate) fn inherit(&self, reloads: (u64, u64), lost: (u64, u64)) {
        self.reloads.fetch_add(reloads.0, Ordering::Relaxed);
        self.reloads_refused.fetch_add(reloads.1, Ordering::Relaxed);
        let mut overflow = self.overflow();
        (overflow.queue_full, overflow.held_back) =
            (overflow.queue_full + lost.0, overflow.held_back + lost.1);
        self.show_overflow(overflow);
    }

    fn stuck(&self) -> Vec<String> {
        self.stuck.lock().map_or_else(|_| Vec::new(), |stuck| stuck.clone())
    }
}

/// Everything a report is drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    /// When the program began.
    pub(crate) started: Instant,
    /// When counting began, seconds since 1970: with the program, or the first of its predecessors.
    pub(crate) counting_since_unix_s: f64,
    /// The addresses answered on.
    pub(crate) listening: Vec<String>,
    /// What had to be done otherwise than usual.
    pub(crate) notes: Vec<String>,
    /// How each worker carries its datagrams.
    pub(crate) carriers: Vec<String>,
    /// How the server is confined.
    pub(crate) sandbox: Sandbox,
    /// Of each worker.
    pub(crate) tallies: Vec<Tally>,
    /// What is answered in network drivers, if anything is to be.
    pub(crate) driver: Option<Driver>,
    /// Whom they have met.
    pub(crate) censuses: Arc<Censuses>,
    /// What workers read.
    pub(crate) clock: Reader,
    /// What the discipline shows.
    pub(crate) board: Arc<Board>,
}

impl Witness {
    /// The server now; `None` until the discipline thread has run once.
    pub(crate) fn report(&mut self) -> Option<Report> {
        let Shown { status, names } = self.board.read()?;
        let totals: Vec<Totals> = self.tallies.iter().map(Tally::totals).collect();
        let mut all = Totals::default();
        for more in totals.iter().copied().chain(self.driver.as_ref().map(Driver::totals)) {
            all += more;
        }
        let (now, snapshot) = (realtime(), *self.clock.refresh());
        let uptime_s = self.started.elapsed().as_secs_f64();
        let (reloads, reloads_refused) = self.board.reloads();
        let sources = status.sources.iter().zip(names.iter()).filter(|(one, _)| is_held(one));
        let fast_path = self.driver.as_ref().map(Driver::report);
        let driver_notes = fast_path.iter().flat_map(fast_path::notes);
        Some(Report {
            version: VERSION,
            program: concat!("timeball ", env!("CARGO_PKG_VERSION")).to_owned(),
            pid: std::process::id(),
            time_unix_s: Interval::from_nanos(snapshot.served(now).nanos()).as_secs_f64(),
            uptime_s,
            counting_since_unix_s: self.counting_since_unix_s,
            listening: self.listening.clone(),
            notes: self.notes.iter().cloned().chain(driver_notes).collect(),
            stuck: self.board.stuck(),
            overflow: self.board.overflow(),
            carriers: self.carriers.clone(),
            sandbox: self.sandbox.clone(),
            header: header(&snapshot, now),
            clock: clock(&status),
            local: status.local.map(|local| Local {
                stratum: local.stratum.get(),
                wait_s: local.wait.as_secs_f64(),
            }),
            sources: sources.map(|(one, name)| source(one, name)).collect(),
            clients: work(&all),
            workers: totals.iter().map(work).collect(),
            fast_path,
            reloads,
            reloads_refused,
            census: self.censuses.read(now, uptime_s),
        })
    }
}

/// A place for servers that nobody holds is nothing to show.
fn is_held(one: &discipline::SourceStatus) -> bool {
    one.state != discipline::State::Vacant
}

fn header(snapshot: &Snapshot, now: Timestamp<Realtime>) -> Header {
    let snapshot = &snapshot.settled(now);
    let header = Announcement::at(snapshot, now).header();
    let (delay, dispersion) = (header.root_delay.interval(), header.root_dispersion.interval());
    let since = NtpTimestamp::floor(snapshot.served(now)).since(header.reference);
    Header {
        leap: header.flags.leap.to_bits(),
        stratum: header.stratum,
        precision_log2_s: header.precision,
        root_delay_s: delay.as_secs_f64(),
        root_dispersion_s: dispersion.as_secs_f64(),
        root_distance_s: (delay.half() + dispersion).as_secs_f64(),
        reference_id: reference(header.stratum, header.reference_id),
        reference_age_s: (!header.reference.is_zero()).then(|| since.as_secs_f64()),
    }
}

fn clock(status: &discipline::Status) -> Clock {
    Clock {
        basis: match status.basis {
            discipline::Basis::Nothing => "nothing",
            discipline::Basis::Sources => "sources",
            discipline::Basis::Local => "local",
        }
        .to_owned(),
        waiting: waiting(status.waiting),
        frequency_ppm: status.frequency.as_ppm(),
        frequency_error_ppm: status.frequency_error.as_ppm(),
        correction_s: status.correction.as_secs_f64(),
        residual_s: status.residual.as_secs_f64(),
        offset_error_s: status.offset_error.as_secs_f64(),
        root_distance_s: status.root_distance.map(Interval::as_secs_f64),
        max_root_distance_s: status.max_root_distance.as_secs_f64(),
        leap_second: status.leap_ahead.map(|leap| leap.to_string()),
        tai_offset_s: status.tai_offset_s,
        steering: match status.steering {
            discipline::SteeringStatus::Virtual => "virtual",
            discipline::SteeringStatus::Kernel(_) => "kernel",
            discipline::SteeringStatus::Refused => "refused",
        }
        .to_owned(),
        steps: status.steps,
        foreign_steps: status.foreign_steps,
        updates: status.updates,
        system_peer: status
            .system_peer
            .map(|at| status.sources[..at].iter().filter(|one| is_held(one)).count()),
    }
}

fn waiting(waiting: discipline::Waiting) -> Option<Waiting> {
    let name = match waiting {
        discipline::Waiting::Nothing => return None,
        discipline::Waiting::Names => "names",
        discipline::Waiting::Answers(_) => "answers",
        discipline::Waiting::Majority(_) => "majority",
        discipline::Waiting::Distance => "distance",
        discipline::Waiting::Operator => "operator",
        discipline::Waiting::Sources => "sources",
    };
    Some(Waiting { r#for: name.to_owned(), text: waiting.to_string() })
}

fn source(status: &discipline::SourceStatus, name: &str) -> Source {
    let seconds = |value: Option<Interval>| value.map(Interval::as_secs_f64);
    let rejected = discipline::Rejection::ALL.iter().zip(status.rejections);
    Source {
        pool: matches!(status.config.target, discipline::Target::Pool { .. }),
        name: name.to_owned(),
        address: status.remote.map(|remote| remote.to_string()),
        state: match status.state {
            discipline::State::Unresolved => "unresolved",
            discipline::State::Resolving => "resolving",
            discipline::State::Polling => "polling",
            discipline::State::Refused => "refused",
            discipline::State::Listening => "listening",
            discipline::State::Vacant => "vacant",
        }
        .to_owned(),
        tally: status.tally.name().to_owned(),
        symbol: status.tally.symbol(),
        reach: status.reach,
        poll_log2_s: status.poll,
        when_s: seconds(status.when),
        next_s: status.next.as_secs_f64(),
        offset_s: seconds(status.offset),
        offset_error_s: seconds(status.offset_error),
        frequency_ppm: status.frequency.map(timeball_time::Rate::as_ppm),
        delay_s: seconds(status.delay),
        jitter_s: seconds(status.jitter),
        root_distance_s: seconds(status.root_distance),
        points: status.points,
        history: status.history.iter().map(past_answer).collect(),
        last: status.last.as_ref().map(answer),
        unfit: status.unfit.map(|rejection| rejection.to_string()),
        prefer: status.config.prefer,
        requests: status.requests,
        rejected: occurred(rejected.map(|(reason, count)| (reason.name(), count))),
    }
}

fn past_answer(past: &discipline::PastAnswer) -> PastAnswer {
    PastAnswer {
        age_s: past.age.as_secs_f64(),
        offset_s: past.offset.as_secs_f64(),
        delay_s: past.delay.as_secs_f64(),
    }
}

fn answer(last: &discipline::LastAnswer) -> Answer {
    Answer {
        offset_s: last.offset.as_secs_f64(),
        delay_s: last.delay.as_secs_f64(),
        leap: last.leap.to_bits(),
        stratum: last.stratum.get(),
        precision_log2_s: last.precision,
        poll_log2_s: last.poll,
        root_delay_s: last.root_delay.as_secs_f64(),
        root_dispersion_s: last.root_dispersion.as_secs_f64(),
        reference_id: reference(last.stratum.get(), last.reference_id),
        reference_time_ntp: last.reference_time.to_bits(),
    }
}

/// One worker's counters, or the sum of several.
pub(crate) fn work(totals: &Totals) -> Work {
    Work {
        received: totals.received,
        answered: totals.answers(),
        answered_by_version: totals.answered.to_vec(),
        answered_symmetric: totals.symmetric,
        sent: totals.io.sent,
        residence_s: histogram(&RESIDENCE_BOUNDS_NS, &totals.residences, 1e9),
        batch_datagrams: histogram(&BATCH_BOUNDS, &totals.batch_sizes, 1.0),
        unanswered: totals.drops(),
        unanswered_by_reason: occurred(
            totals.drops_by_reason().map(|(reason, count)| (reason.name(), count)),
        ),
        noted: occurred(noted(totals)),
    }
}

/// What else happened, and how often.
fn noted(totals: &Totals) -> impl Iterator<Item = (String, u64)> {
    let io = &totals.io;
    let fallbacks = Fallback::ALL.into_iter().zip(io.by_socket);
    let fallbacks = fallbacks.map(|(why, count)| (format!("by_socket_{}", why.name()), count));
    let others = [
        ("unsynchronised", totals.unsynchronised),
        ("signed", totals.signed),
        ("crypto_nak", totals.crypto_naks),
        ("kisses", totals.limiter.kisses),
        ("unstamped", totals.unstamped),
        ("sent_raw", io.raw),
        ("send_full", io.send_full),
        ("send_refused", io.send_refused),
        ("frames_exhausted", io.frames_exhausted),
        ("limited_answered_by_chance", totals.limiter.leaked),
        ("limited_if_it_were_on", totals.limiter.observed),
        ("clients_forgotten", totals.limiter.forgotten),
        ("overloaded_batches", totals.limiter.overloaded),
    ];
    others.into_iter().map(|(name, count)| (name.to_owned(), count)).chain(fallbacks)
}

/// `distribution` with its `bounds`, of which a unit has `parts`.
fn histogram<const BUCKETS: usize>(
    bounds: &[u64],
    distribution: &Distribution<BUCKETS>,
    parts: f64,
) -> Histogram {
    Histogram {
        bounds: bounds.iter().map(|&bound| bound as f64 / parts).collect(),
        counts: distribution.counts.to_vec(),
        sum: distribution.sum as f64 / parts,
    }
}

pub(super) fn occurred<Name: Into<String>, Count: Into<u64>>(
    counts: impl IntoIterator<Item = (Name, Count)>,
) -> std::collections::BTreeMap<String, u64> {
    let counts = counts.into_iter().map(|(name, count)| (name.into(), count.into()));
    counts.filter(|(_, count)| *count > 0).collect()
}
