//! The generator: one thread on one core that sends what is due and drains what has come.
//!
//! One thread, because two would share the table of requests in flight, and because a second core
//! is better given to the server. Sending goes first: an open loop owes its requests to the
//! schedule, while replies are stamped by the kernel and can wait in the socket buffer without harm
//! to any figure.
//!
//! Must never: allocate once the load is flowing, retry, or run past its bounds.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use timeball_sys::traffic::{SEGMENTS_MAX, Traffic, TrafficOptions};
use timeball_sys::{Stamping, realtime};
use timeball_time::{Interval, NtpTimestamp, Realtime, Timestamp};
use timeball_wire::{Flags, HEADER_LEN, Header, Mode, field};

use crate::check::Times;
use crate::flight::{Flight, Flights};
use crate::recorder::{Recorder, recorders};
use crate::{
    Expectation, Fault, Load, OutOfScope, Pattern, Population, Reply, Report, Schedule, Slice,
    refuse_foreign,
};

/// What load to offer to whom, and its bounds.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server; see [`refuse_foreign`].
    pub target: SocketAddr,
    /// Who asks.
    pub population: Population,
    /// Source ports the population is spread over, 1 to [`Options::PORTS_MAX`].
    pub ports: usize,
    /// When requests are sent.
    pub load: Load,
    /// How long load is offered, up to [`Options::DURATION_MAX`].
    pub duration: Duration,
    /// Requests after which offering ends earlier.
    pub requests_max: u32,
    /// Requests handed to the kernel at once, 1 to [`Options::BATCH_MAX`].
    pub batch: usize,
    /// Requests of one client that are handed over as one message when they are due together, 1 to
    /// [`SEGMENTS_MAX`]. More than 1 makes the generator faster by as much, and the clients take
    /// turns of this many requests.
    pub segments: usize,
    /// One request in this many gets a kernel stamp of its departure; 0 for none.
    pub stamp_one_in: u32,
    /// After this long without a reply a request is lost.
    pub timeout: Duration,
    /// What replies are held to.
    pub expectation: Expectation,
    /// The core to run on; the caller's affinity if `None`.
    pub core: Option<usize>,
    /// Seed of the schedule's randomness.
    pub seed: u64,
}

impl Options {
    /// Most source ports.
    pub const PORTS_MAX: usize = 64;
    /// Most requests at once.
    pub const BATCH_MAX: usize = 64;
    /// Longest run.
    pub const DURATION_MAX: Duration = Duration::from_secs(3_600);
    /// Most requests in flight.
    pub const WINDOW_MAX: u32 = 1 << 20;

    /// A closed loop of 256 requests in flight for a second, from one address of `population`.
    pub const fn new(target: SocketAddr, population: Population) -> Self {
        Self {
            target,
            population,
            ports: 1,
            load: Load::Closed { window: 256 },
            duration: Duration::from_secs(1),
            requests_max: u32::MAX,
            batch: 64,
            segments: 1,
            stamp_one_in: 0,
            timeout: Duration::from_millis(250),
            expectation: Expectation::Server,
            core: None,
            seed: 1,
        }
    }

    fn check(&self) -> Result<(), LoadError> {
        refuse_foreign(self.target)?;
        let window_ok = match self.load {
            Load::Closed { window } => (1..=Self::WINDOW_MAX).contains(&window),
            Load::Open { rate_hz, .. } => rate_hz > 0,
        };
        let family_ok = self.population.address(0).is_ipv4() == self.target.is_ipv4();
        let checks = [
            (window_ok, "the window must be 1 to 1048576 and a rate at least 1"),
            (family_ok, "the clients' network must be of the target's address family"),
            ((1..=Self::PORTS_MAX).contains(&self.ports), "ports must be 1 to 64"),
            ((1..=Self::BATCH_MAX).contains(&self.batch), "the batch must be 1 to 64"),
            ((1..=SEGMENTS_MAX).contains(&self.segments), "segments must be 1 to 64"),
            (self.duration <= Self::DURATION_MAX, "the duration must be at most an hour"),
            (
                !self.timeout.is_zero() && self.timeout <= TIMEOUT_MAX,
                "the time-out must be 0 to 10 s",
            ),
        ];
        match checks.into_iter().find(|(is_ok, _)| !is_ok) {
            Some((_, text)) => Err(LoadError::Option(text)),
            None => Ok(()),
        }
    }

    /// Slots for requests in flight: what the load can have outstanding, to the power of two above.
    fn room(&self) -> usize {
        let outstanding = match self.load {
            Load::Closed { window } => u64::from(window) * 2,
            Load::Open { rate_hz, .. } => {
                u64::from(rate_hz) * self.timeout.as_millis() as u64 / 1_000 * 2
            }
        };
        outstanding.clamp(ROOM_MIN, u64::from(Self::WINDOW_MAX) * 2) as usize
    }
}

/// Why no load was offered, or why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The caller asked for load on somebody else's machine.
    #[error(transparent)]
    OutOfScope(#[from] OutOfScope),
    /// An option is out of its range; the caller is at fault.
    #[error("{0}")]
    Option(&'static str),
    /// The kernel gave no socket, or took no request.
    #[error(
        "the load's socket failed: {0}; is there a route to the target, and are its clients local?"
    )]
    Socket(#[from] io::Error),
    /// The core is not there or not allowed.
    #[error("core {0} cannot be used; choose one that this process may run on")]
    Core(usize),
    /// Somebody set the clock during the run: no figure of it means anything.
    #[error("the clock was set by {0:?} during the run; stop whatever steps it and run again")]
    ClockSet(Interval),
}

/// Offers the load and reports. If `stop` is raised, offering ends there and what was counted until
/// then is reported as interrupted.
pub fn run(options: &Options, stop: &AtomicBool) -> Result<Report, LoadError> {
    let threads = run_watched(options, stop, Duration::ZERO, &mut |_| {})?;
    let mut total = Report::default();
    threads.iter().for_each(|report| total.merge(report));
    Ok(total)
}

/// The same, with what each sender counted shown to `notice` every interval of `every` (never if
/// zero) and at the end; returns the report of each sender.
pub fn run_watched(
    options: &Options,
    stop: &AtomicBool,
    every: Duration,
    notice: &mut dyn FnMut(&Slice),
) -> Result<Vec<Report>, LoadError> {
    options.check()?;
    let (recorders, collector) = recorders(1, every);
    std::thread::scope(|scope| {
        let senders: Vec<_> = recorders
            .into_iter()
            .map(|recorder| scope.spawn(|| send_all(options, stop, recorder)))
            .collect();
        let reports = collector.collect(notice);
        for sender in senders {
            sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(reports)
    })
}

/// What one sender thread does.
fn send_all(options: &Options, stop: &AtomicBool, recorder: Recorder) -> Result<(), LoadError> {
    if let Some(core) = options.core
        && timeball_sys::pin(core).is_err()
    {
        return Err(LoadError::Core(core));
    }
    // Before the schedule starts, so that the first replies are stamped like the rest.
    let _stamping = Stamping::in_force();
    let mut generator = Generator::new(options, recorder)?;
    let before = timeball_sys::reading();
    generator.offer(stop)?;
    generator.drain()?;
    let after = timeball_sys::reading();
    let set_by = (after.realtime - before.realtime) - (after.monotonic - before.monotonic);
    if set_by.abs() > CLOCK_SET_MIN {
        return Err(LoadError::ClockSet(set_by));
    }
    generator.finish();
    Ok(())
}

/// One run under way.
struct Generator<'a> {
    options: &'a Options,
    lanes: Vec<Traffic>,
    flights: Flights,
    schedule: Schedule,
    start: Timestamp<Realtime>,
    /// When offering ends; then, when it ended.
    end: Timestamp<Realtime>,
    recorder: Recorder,
    /// Number of a burst and T4 − T3 of its first request.
    burst_first: (u64, Interval),
}

impl<'a> Generator<'a> {
    fn new(options: &'a Options, mut recorder: Recorder) -> Result<Self, LoadError> {
        let socket = TrafficOptions {
            target: options.target,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            departure_stamps: options.stamp_one_in > 0,
            segments: options.segments,
        };
        let flags = Flags { leap: timeball_time::Leap::None, version: VERSION, mode: Mode::Client };
        let request = Header::new(flags).encode();
        let lanes = (0..options.ports)
            .map(|_| Traffic::open(socket, &request, options.batch))
            .collect::<Result<_, _>>()?;
        let timeout = Interval::from_nanos(options.timeout.as_nanos() as i64);
        // The salt tells this run's replies from an earlier one's; a clock reading is salt enough.
        let salt = (realtime().nanos() >> 10) as u32 | 1;
        let flights = Flights::new(options.room(), salt, timeout);
        // Read last: whatever is set up after the start makes the first requests late.
        let start = realtime();
        let (pattern, rate_hz) = match options.load {
            Load::Open { pattern, rate_hz } => (pattern, rate_hz),
            Load::Closed { .. } => (Pattern::Constant, 1),
        };
        let schedule = Schedule::new(pattern, rate_hz, start, options.seed);
        let end = start + Interval::from_nanos(options.duration.as_nanos() as i64);
        recorder.begin(start);
        let burst_first = (u64::MAX, Interval::ZERO);
        Ok(Self { options, lanes, flights, schedule, start, end, recorder, burst_first })
    }

    /// Sends until the end of the duration or the last request.
    fn offer(&mut self, stop: &AtomicBool) -> Result<(), LoadError> {
        let mut lane = 0;
        loop {
            let now = realtime();
            let is_over = self.flights.next_number() >= u64::from(self.options.requests_max);
            let is_stopped = stop.load(Ordering::Relaxed);
            if now >= self.end || is_over || is_stopped {
                self.end = now;
                self.recorder.report().interrupted = is_stopped;
                return Ok(());
            }
            self.turn(now);
            let due = self.due(now);
            if due > 0 {
                self.send(lane, due, now)?;
                lane = (lane + 1) % self.lanes.len();
            }
            self.receive()?;
        }
    }

    /// Waits for the replies still to come, no longer than the time-out.
    fn drain(&mut self) -> Result<(), LoadError> {
        while self.flights.pending() > 0 {
            self.receive()?;
            self.turn(realtime());
        }
        Ok(())
    }

    /// Gives up what has waited too long, and hands an interval over when it ends.
    fn turn(&mut self, now: Timestamp<Realtime>) {
        self.flights.retire(now);
        self.recorder.report().lost += self.flights.take_lost();
        self.recorder.turn(now);
    }

    /// Hands over what is left.
    fn finish(mut self) {
        self.recorder.report().elapsed_s = (self.end - self.start).as_secs_f64();
        self.recorder.finish();
    }

    /// How many requests may go now, up to a batch.
    fn due(&self, now: Timestamp<Realtime>) -> usize {
        let left = u64::from(self.options.requests_max) - self.flights.next_number();
        let batch = (self.options.batch as u64).min(left);
        match self.options.load {
            Load::Open { .. } if self.schedule.next() <= now => batch as usize,
            Load::Open { .. } => 0,
            Load::Closed { window } => {
                let window = u64::from(window);
                let room = window.saturating_sub(self.flights.pending());
                // Single packets would cost the generator, and by their wake-ups the server, more.
                let quantum = (window / 4).clamp(1, batch);
                if room >= quantum { room.min(batch) as usize } else { 0 }
            }
        }
    }

    fn send(&mut self, lane: usize, due: usize, now: Timestamp<Realtime>) -> Result<(), LoadError> {
        let sender = &mut self.lanes[lane].sender;
        let stamp_one_in = u64::from(self.options.stamp_one_in);
        let segments = self.options.segments as u64;
        let (mut pushed, mut stamped) = (0, false);
        while pushed < due {
            let intended = match self.options.load {
                Load::Closed { .. } => now,
                Load::Open { .. } if self.schedule.next() > now => break,
                Load::Open { .. } => self.schedule.next(),
            };
            let number = self.flights.next_number();
            let is_stamped = stamp_one_in > 0 && number.is_multiple_of(stamp_one_in);
            let source = self.options.population.address(number / segments);
            let Some(request) = sender.push(source, is_stamped) else { break };
            let nonce = self.flights.launch(intended, now);
            request[field::TRANSMIT..HEADER_LEN].copy_from_slice(&nonce.to_bits().to_be_bytes());
            if let Load::Open { .. } = self.options.load {
                self.schedule.advance();
                self.recorder.report().lag.record(now - intended);
            }
            stamped |= is_stamped;
            pushed += 1;
        }
        let sent = sender.send()?;
        self.flights.recall(pushed - sent);
        let report = self.recorder.report();
        report.sent += sent as u64;
        report.unsent += (pushed - sent) as u64;
        if stamped {
            self.note_departures(lane)?;
        }
        Ok(())
    }

    /// Reads the departure stamps, which on a device without a queue are there when the send
    /// returns.
    fn note_departures(&mut self, lane: usize) -> Result<(), LoadError> {
        let departures = &mut self.lanes[lane].departures;
        let count = departures.receive()?;
        for index in 0..count {
            let departure = departures.departure(index);
            if let (Some(nonce), Some(at)) = (departure.bytes.last_chunk(), departure.stamp) {
                let nonce = NtpTimestamp::from_bits(u64::from_be_bytes(*nonce));
                self.flights.note_departure(nonce, at);
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), LoadError> {
        let Self { options, lanes, flights, end, recorder, burst_first, .. } = self;
        let mut judge = Judge { options, report: recorder.report(), burst_first, end: *end };
        for lane in lanes {
            for _ in 0..RECEIVE_ROUNDS {
                let count = lane.receiver.receive()?;
                for index in 0..count {
                    let arrival = lane.receiver.arrival(index);
                    let result = if arrival.source != Some(options.target) {
                        Err(Fault::Stray)
                    } else {
                        options.expectation.inspect(arrival.bytes, HEADER_LEN, VERSION)
                    };
                    let result = result.and_then(|reply| Ok((reply, flights.land(reply.origin)?)));
                    match result {
                        Ok((reply, flight)) => judge.judge(&reply, &flight, arrival.stamp),
                        Err(fault) => judge.report.faults.count(fault),
                    }
                }
                if count < options.batch {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Checks the times of replies and counts them.
struct Judge<'a> {
    options: &'a Options,
    report: &'a mut Report,
    burst_first: &'a mut (u64, Interval),
    /// When offering ends.
    end: Timestamp<Realtime>,
}

impl Judge<'_> {
    /// Counts a reply that found its request as an answer if its times can be true.
    #[inline]
    fn judge(&mut self, reply: &Reply, flight: &Flight, arrived: Option<Timestamp<Realtime>>) {
        let Some(t4) = arrived else {
            self.report.unstamped += 1;
            self.report.answered += 1;
            return;
        };
        if self.options.expectation == Expectation::Server {
            let times = Times::of(reply, flight.departed.unwrap_or(flight.sent), t4);
            // Impossible times are measured too: how far they are wrong is the worst there is to
            // know.
            self.record(flight, &times);
            if let Err(fault) = times.check_causality() {
                self.report.faults.count(fault);
                self.report.causality_violations += 1;
                return;
            }
        }
        self.report.answered += 1;
        self.report.answered_in_time += u64::from(t4 <= self.end);
        self.report.latency.record(t4 - flight.intended);
    }

    #[inline]
    fn record(&mut self, flight: &Flight, times: &Times) {
        let transmit_error = times.t4 - times.t3;
        self.report.transmit_error.record(transmit_error);
        self.report.residence.record(times.t3 - times.t2);
        if flight.departed.is_some() {
            let receive_error = times.t2 - times.t1;
            self.report.receive_error.record(receive_error);
            self.report.offset.record((receive_error - transmit_error).half());
        }
        if let Load::Open { pattern: Pattern::Bursts { size }, .. } = self.options.load {
            let size = u64::from(size.max(1));
            let (burst, position) = (flight.number / size, flight.number % size);
            if position == 0 {
                *self.burst_first = (burst, transmit_error);
            } else if position == size - 1 && self.burst_first.0 == burst {
                self.report.burst_position.record(transmit_error - self.burst_first.1);
            }
        }
    }
}

/// The version asked with.
const VERSION: u8 = 4;
/// Batches taken from one socket before the schedule is looked at again.
const RECEIVE_ROUNDS: usize = 4;
/// Holds some twenty thousand replies: a generator that is held up must not lose what it asked for.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;
/// Least slots in the table of requests in flight.
const ROOM_MIN: u64 = 1_024;
/// A change of realtime against monotonic that no slewing explains.
const CLOCK_SET_MIN: Interval = Interval::from_micros(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(10);
