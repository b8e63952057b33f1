//! A load that the kernel makes and checks itself: one thread lends it a core, another reads along.
//!
//! What a sender does for every packet in user space, programs do here where the packets are; what is left is
//! to give up requests that nobody answers, and to enter what was counted into the same report.
//!
//! Must never: report a figure that was not counted, or keep the kernel at work past the options' bounds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use timeball_sys::traffic::Link;
use timeball_sys::traffic::driver::{
    Account, Driver, DriverOptions, FAULTS, Measure, Moments, Value, Watch,
};
use timeball_sys::{pin, realtime};
use timeball_time::{Interval, Realtime, Timestamp};

use crate::run::{NAP, preemptions};
use crate::{Fault, Kind, Load, LoadError, Options, Part, Pattern, Report, Slice};

/// The programs for a load of `options` by `link`; `salt` tells its requests from those of other runs.
pub(crate) fn prepare(options: &Options, link: Link, salt: u64) -> Result<Driver, LoadError> {
    let kind = options.mix.only().unwrap_or(Kind::V4);
    let mut request = [0; timeball_wire::HEADER_LEN];
    request.copy_from_slice(&kind.packet());
    let moments = match options.load {
        Load::Closed { window } => Moments::Window(window),
        Load::Open { pattern: Pattern::Constant, rate_hz } => Moments::Constant(rate_hz),
        Load::Open { pattern: Pattern::Poisson, rate_hz } => Moments::Poisson(rate_hz),
        Load::Open { pattern: Pattern::Bursts { size }, rate_hz } => Moments::Bursts(size, rate_hz),
        Load::Open { pattern: Pattern::Crowd, rate_hz } => Moments::Crowd(rate_hz),
    };
    let ports = options.ports as u16;
    Ok(Driver::open(DriverOptions {
        target: options.target,
        link: Link { ports, ..link },
        network: options.population.network(),
        first_client: options.address(0),
        clients: options.population.size(),
        request,
        reply_mode: kind.reply_mode() as u8,
        moments,
        batch: options.batch as u32,
        requests_max: options.requests_max,
        room: options.room(Part::WHOLE),
        is_echo: options.expectation == crate::Expectation::Echo,
        has_one_clock: options.shared_clock,
        company: options.company.clone(),
        salt,
        seed: options.seed,
    })?)
}

/// Offers the load from the moment on that `start` says once the kernel is at work. Every interval of `every`
/// (never if zero), and at the end, `notice` is shown what was counted; returns all of it.
pub(crate) fn run(
    options: &Options,
    driver: &Driver,
    stop: &AtomicBool,
    start: impl FnOnce() -> Result<Timestamp<Realtime>, LoadError>,
    (every, notice): (Duration, &mut dyn FnMut(&Slice)),
) -> Result<Report, LoadError> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| lend(options, driver, [stop, &is_over]));
        let read = || {
            while !(driver.is_awake() || sender.is_finished()) {
                thread::sleep(NAP);
            }
            let mut reader = Reader::new(driver.watch(), (start()?, every));
            driver.begin(reader.start, reader.start + interval(options.duration));
            reader.read(options, driver, (stop, &|| sender.is_finished()), notice)?;
            Ok::<_, LoadError>(reader)
        };
        let read = read();
        // Whatever happened, the sender must come to an end.
        is_over.store(true, Ordering::Relaxed);
        while !sender.is_finished() {
            driver.recall();
            thread::sleep(NAP);
        }
        let lent = sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (preempted, mut reader) = (lent?, read?);
        reader.await_last(options)?;
        Ok(reader.finish(driver, (preempted, stop.load(Ordering::Relaxed)), notice))
    })
}

/// Lends the kernel this thread's core until all is sent; says how often it had to be left to somebody else.
fn lend(options: &Options, driver: &Driver, stops: [&AtomicBool; 2]) -> Result<u64, LoadError> {
    if let Some(core) = options.senders.core(0) {
        pin(core).map_err(|_| LoadError::Core(core))?;
    }
    let is_early = || options.start_at.is_some_and(|start_at| realtime() < start_at - AWAKE_BEFORE);
    while is_early() && !stops.iter().any(|stop| stop.load(Ordering::Relaxed)) {
        thread::sleep(NAP);
    }
    let before = preemptions();
    // The program itself sees when all is sent, and when it is to stop.
    while !stops[1].load(Ordering::Relaxed) {
        driver.offer()?;
    }
    Ok(preemptions().saturating_sub(before))
}

/// Takes over what the programs count.
struct Reader<'a> {
    watch: Watch<'a>,
    start: Timestamp<Realtime>,
    every: Duration,
    /// When the interval that is being counted ends.
    turn: Timestamp<Realtime>,
    interval: u64,
    total: Report,
    drops_before: Option<u64>,
}

impl<'a> Reader<'a> {
    fn new(watch: Watch<'a>, (start, every): (Timestamp<Realtime>, Duration)) -> Self {
        let turn =
            if every.is_zero() { Timestamp::from_nanos(i64::MAX) } else { start + interval(every) };
        let drops_before = watch.device_drops();
        let total = Report::default();
        Self { watch, start, every, turn, interval: 0, total, drops_before }
    }

    /// Until all is sent, or the sender has failed.
    fn read(
        &mut self,
        options: &Options,
        driver: &Driver,
        (stop, has_failed): (&AtomicBool, &dyn Fn() -> bool),
        notice: &mut dyn FnMut(&Slice),
    ) -> Result<(), LoadError> {
        let timeout = interval(options.timeout);
        while driver.ended().is_none() && !has_failed() {
            if stop.load(Ordering::Relaxed) {
                driver.stop();
            }
            let now = realtime();
            self.watch.give_up(now - timeout)?;
            if now >= self.turn {
                self.hand_over(now, notice);
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Until everything sent is answered or given up.
    fn await_last(&mut self, options: &Options) -> Result<(), LoadError> {
        let timeout = interval(options.timeout);
        while self.watch.give_up(realtime() - timeout)? {
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn hand_over(&mut self, now: Timestamp<Realtime>, notice: &mut dyn FnMut(&Slice)) {
        let report = report_of(&self.watch.take());
        let slice = self.slice(report);
        self.total.merge(&slice.report);
        notice(&slice);
        let every = interval(self.every);
        self.interval = ((now - self.start).nanos() / every.nanos().max(1)) as u64;
        self.turn = self.start + Interval::from_nanos((self.interval as i64 + 1) * every.nanos());
    }

    fn slice(&self, report: Report) -> Slice {
        Slice { thread: 0, interval: self.interval, report }
    }

    /// Enters what is known only now that all is over.
    fn finish(
        mut self,
        driver: &Driver,
        (preempted, interrupted): (u64, bool),
        notice: &mut dyn FnMut(&Slice),
    ) -> Report {
        let now = realtime();
        let mut report = report_of(&self.watch.take());
        let ended = driver.ended().unwrap_or(now);
        let refused = self.watch.refused();
        report.elapsed_s = (ended - self.start).as_secs_f64().max(0.0);
        report.awake_ns = (now - self.start).nanos().max(0) as u64;
        report.idle_ns += (now - ended).nanos().max(0) as u64;
        report.interrupted = interrupted;
        report.preempted = preempted;
        report.missed = self.watch.missed();
        // They were made and never left, so nobody can have lost them.
        report.unsent = refused;
        report.sent = report.sent.saturating_sub(refused);
        report.lost = report.lost.saturating_sub(refused);
        report.cohorts.well_behaved.sent = report.sent;
        let drops = self.drops_before.zip(self.watch.device_drops());
        report.overruns = drops.map_or(0, |(before, after)| after.saturating_sub(before));
        self.total.merge(&report);
        notice(&self.slice(report));
        self.total
    }
}

/// What was counted, as senders in user space would have counted it.
fn report_of(account: &Account) -> Report {
    let mut report = Report {
        sent: account.sent,
        dropped: account.dropped,
        lost: account.lost,
        answered: account.answered,
        answered_in_time: account.answered_in_time,
        causality_violations: account.causality_violations,
        companions: account.along,
        companions_answered: account.along_answered,
        idle_ns: account.idle_ns,
        ..Report::default()
    };
    for (fault, count) in Fault::ALL.into_iter().zip(account.faults) {
        report.faults.count_many(fault, count);
    }
    let everybody = &mut report.cohorts.well_behaved;
    (everybody.sent, everybody.answered) = (account.sent, account.answered);
    everybody.refused = report.faults.of(Fault::Refused);
    for (measure, sum_ns) in Measure::ALL.into_iter().zip(account.sums_ns) {
        distribution(&mut report, measure).add_sum(sum_ns);
    }
    for Value { measure, nanos, count } in &account.values {
        distribution(&mut report, *measure).add_counted(*nanos, *count);
    }
    report
}

const fn distribution(report: &mut Report, measure: Measure) -> &mut crate::SignedHistogram {
    match measure {
        Measure::Lag => &mut report.lag,
        Measure::Latency => &mut report.latency,
        Measure::Offset => &mut report.offset,
        Measure::ReceiveError => &mut report.receive_error,
        Measure::TransmitError => &mut report.transmit_error,
        Measure::Residence => &mut report.residence,
    }
}

fn interval(duration: Duration) -> Interval {
    Interval::from_nanos(duration.as_nanos().min(i64::MAX as u128 >> 2) as i64)
}

const _: () = assert!(FAULTS == Fault::ALL.len(), "the programs count in this order");
/// The kernel takes its time to begin.
const AWAKE_BEFORE: Interval = Interval::from_millis(500);
/// How often requests without a reply are looked for.
const LOOK: Duration = Duration::from_millis(5);
