//! One sender: a thread that sends what is due and drains what has come.
//!
//! One thread does both, because two would share the table of requests in flight. Sending goes first: an
//! open loop owes its requests to the schedule, while replies are stamped by the kernel and can wait in
//! the socket buffer without harm to any figure.
//!
//! The clock and what carries packets are arguments, so that the very sender that loads a server can be
//! run through a world of which every delay is known (`accuracy.rs`).
//!
//! Must never: allocate once the load is flowing, retry, or run past its bounds.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use timeball_time::{Interval, NtpTimestamp, Realtime, Timestamp};
use timeball_wire::{HEADER_LEN, field};

use crate::behaviour::Turns;
use crate::carrier::Carrier;
use crate::flight::Flights;
use crate::judge::{Bursts, Judge};
use crate::random::SplitMix64;
use crate::recorder::Recorder;
use crate::{Kind, Load, LoadError, Options, Part, Pattern, Schedule};

/// What a sender works with.
pub(crate) struct Lanes<C> {
    /// For requests.
    pub(crate) requests: Vec<C>,
    /// For hostile packets, each kind of the mix by itself.
    pub(crate) hostile: Vec<HostileLane<C>>,
    /// First source port and number of ports of a lane for requests; 0 where it has one of its own.
    pub(crate) ports: (u16, u16),
}

/// A lane for hostile packets of one kind: whatever arrives answers that kind.
pub(crate) struct HostileLane<C> {
    pub(crate) kind: Kind,
    pub(crate) lane: C,
    pub(crate) port: u16,
}

/// One sender under way.
pub(crate) struct Sender<'a, C, K> {
    options: &'a Options,
    part: Part,
    clock: K,
    lanes: Lanes<C>,
    packets: Vec<Vec<u8>>,
    flights: Flights,
    schedule: Schedule,
    turns: Turns,
    /// Whether all packets are alike, so that nothing need be drawn.
    only: Option<Kind>,
    random: SplitMix64,
    start: Timestamp<Realtime>,
    /// When offering ends; then, when it ended.
    end: Timestamp<Realtime>,
    recorder: Recorder,
    bursts: Bursts,
    /// Packets offered so far, hostile ones included, and the most there may be.
    offered: u64,
    offered_max: u64,
    /// Departure stamps still to come.
    stamps_due: u64,
    /// The clock's last reading, and whether nothing was to be done since.
    last: Timestamp<Realtime>,
    was_idle: bool,
}

impl<'a, C: Carrier, K: FnMut() -> Timestamp<Realtime>> Sender<'a, C, K> {
    /// A sender of its `part` of the load, which begins at `start`. `salt` tells its requests from those
    /// of other senders and runs.
    pub(crate) fn new(
        options: &'a Options,
        part: Part,
        (lanes, clock, mut recorder): (Lanes<C>, K, Recorder),
        start: Timestamp<Realtime>,
        salt: u32,
    ) -> Self {
        let timeout = Interval::from_nanos(options.timeout.as_nanos() as i64);
        let (pattern, rate_hz) = match options.load {
            Load::Open { pattern, rate_hz } => (pattern, rate_hz),
            Load::Closed { .. } => (Pattern::Constant, 1),
        };
        let has_hostile = !lanes.hostile.is_empty();
        let burst = match pattern {
            Pattern::Bursts { size } if !has_hostile => size,
            _ => 0,
        };
        recorder.begin(start);
        Self {
            part,
            clock,
            packets: Kind::ALL.iter().map(|kind| kind.packet()).collect(),
            flights: Flights::new(options.room(part), salt, timeout),
            schedule: Schedule::new(pattern, rate_hz, part, start, options.seed),
            turns: Turns::new(
                options.behaviour,
                options.population.size(),
                options.segments as u64,
                part,
            ),
            only: options.mix.only(),
            // The schedule has the streams from 0.
            random: SplitMix64::new(options.seed, u64::from(part.index) | 1 << 32),
            start,
            end: start + Interval::from_nanos(options.duration.as_nanos() as i64),
            recorder,
            bursts: Bursts::new(burst),
            offered: 0,
            offered_max: part.share(options.requests_max).into(),
            stamps_due: 0,
            last: start,
            was_idle: false,
            lanes,
            options,
        }
    }

    /// Sends until the end of the duration or the last request, or until one of `stops` is raised; then
    /// waits for the replies still to come, no longer than the time-out.
    pub(crate) fn run(mut self, stops: [&AtomicBool; 2]) -> Result<Recorder, LoadError> {
        let mut begun = (self.clock)();
        while begun < self.start && !is_raised(stops) {
            begun = (self.clock)();
        }
        self.last = begun;
        self.offer(stops)?;
        let ended = self.drain()?;
        let report = self.recorder.report();
        report.elapsed_s = (self.end - self.start).as_secs_f64().max(0.0);
        report.awake_ns = (ended - begun).nanos().max(0) as u64;
        let hostile = self.lanes.hostile.iter().map(|hostile| &hostile.lane);
        let all = self.lanes.requests.iter().chain(hostile);
        report.overruns = all.map(Carrier::overruns).sum();
        Ok(self.recorder)
    }

    fn offer(&mut self, stops: [&AtomicBool; 2]) -> Result<(), LoadError> {
        let mut lane = 0;
        loop {
            let now = self.turn();
            let is_stopped = is_raised(stops);
            if now >= self.end || self.offered >= self.offered_max || is_stopped {
                // The end itself is past the end.
                let until = now.min(self.end - Interval::from_nanos(1));
                if let Load::Open { .. } = self.options.load {
                    if !is_stopped {
                        // What fell due while we looked away for the last time.
                        self.send(lane, self.batch(), now, until)?;
                    }
                    self.count_missed(until);
                }
                self.end = now;
                self.recorder.report().interrupted = is_stopped;
                return Ok(());
            }
            let due = self.due(now);
            if due > 0 {
                self.send(lane, due, now, now)?;
                lane = (lane + 1) % self.lanes.requests.len();
            }
            self.was_idle = self.receive()? == 0 && due == 0;
        }
    }

    /// What was due at `until` and is not sent yet never will be.
    fn count_missed(&mut self, until: Timestamp<Realtime>) {
        let mut left = self.offered_max - self.offered;
        // Bounded by the rate times the duration.
        while left > 0 && self.schedule.next() <= until {
            self.schedule.advance();
            self.recorder.report().missed += 1;
            left -= 1;
        }
    }

    fn drain(&mut self) -> Result<Timestamp<Realtime>, LoadError> {
        // Hostile packets have no place in the table; what answers them at all does so at once.
        let provoked = !self.lanes.hostile.is_empty();
        let until = if provoked { self.end + PROVOKED_WAIT } else { self.end };
        loop {
            let received = self.receive()?;
            let now = self.turn();
            if self.flights.pending() == 0 && received == 0 && now >= until {
                return Ok(now);
            }
        }
    }

    /// Reads the clock, gives up what has waited too long, and hands an interval over when it ends.
    #[inline]
    fn turn(&mut self) -> Timestamp<Realtime> {
        let now = (self.clock)();
        self.flights.retire(now);
        let report = self.recorder.report();
        report.lost += self.flights.take_lost();
        if self.was_idle {
            report.idle_ns += (now - self.last).nanos().max(0) as u64;
        }
        self.last = now;
        self.recorder.turn(now);
        now
    }

    /// A batch, or what is left to be offered.
    #[inline]
    fn batch(&self) -> usize {
        (self.options.batch as u64).min(self.offered_max - self.offered) as usize
    }

    /// How many packets may go now, up to a batch.
    #[inline]
    fn due(&self, now: Timestamp<Realtime>) -> usize {
        let batch = self.batch() as u64;
        match self.options.load {
            Load::Open { .. } if self.schedule.next() <= now => batch as usize,
            Load::Open { .. } => 0,
            Load::Closed { window } => {
                let window = u64::from(self.part.share(window));
                let room = window.saturating_sub(self.flights.pending());
                // Single packets would cost the generator, and by their wake-ups the server, more.
                let quantum = (window / 4).clamp(1, batch);
                if room >= quantum { room.min(batch) as usize } else { 0 }
            }
        }
    }

    /// Sends up to `due` packets at `now`; of an open loop those that are due at `until`.
    fn send(
        &mut self,
        lane: usize,
        due: usize,
        now: Timestamp<Realtime>,
        until: Timestamp<Realtime>,
    ) -> Result<(), LoadError> {
        let (mut pushed, mut provoked, mut stamped) = (0, 0, 0);
        while pushed + provoked < due {
            let intended = match self.options.load {
                Load::Closed { .. } => now,
                Load::Open { .. } if self.schedule.next() > until => break,
                Load::Open { .. } => self.schedule.next(),
            };
            let kind = match self.only {
                Some(kind) => kind,
                None => self.options.mix.kind(self.random.draw()),
            };
            if kind.is_hostile() {
                self.provoke(kind);
                provoked += 1;
            } else {
                match self.push(lane, kind, intended, now) {
                    Some(is_stamped) => stamped += u64::from(is_stamped),
                    None => break,
                }
                pushed += 1;
            }
            if let Load::Open { .. } = self.options.load {
                self.schedule.advance();
                self.recorder.report().lag.record(now - intended);
            }
        }
        self.offered += (pushed + provoked) as u64;
        if pushed > 0 {
            self.send_requests(lane, pushed)?;
        }
        if provoked > 0 {
            self.send_hostile()?;
        }
        self.stamps_due += stamped;
        Ok(())
    }

    /// Puts a request into the lane's batch; says whether its departure will be stamped.
    #[inline]
    fn push(
        &mut self,
        lane: usize,
        kind: Kind,
        intended: Timestamp<Realtime>,
        now: Timestamp<Realtime>,
    ) -> Option<bool> {
        let stamp_one_in = u64::from(self.options.stamp_one_in);
        let is_stamped =
            stamp_one_in > 0 && self.flights.next_number().is_multiple_of(stamp_one_in);
        let draw = if self.turns.is_even() { 0 } else { self.random.draw() };
        let (client, cohort) = self.turns.next(draw);
        let source = self.source(client);
        let len = self.options.request_len();
        let Some(request) = self.lanes.requests[lane].push(source, len, is_stamped) else {
            self.turns.take_back(cohort);
            return None;
        };
        let nonce = self.flights.launch((kind, cohort), intended, now);
        request[..HEADER_LEN].copy_from_slice(&self.packets[kind as usize]);
        request[field::TRANSMIT..HEADER_LEN].copy_from_slice(&nonce.to_bits().to_be_bytes());
        if let Some(key) = &self.options.key {
            key.sign(request, key.code_len());
        }
        self.recorder.report().cohorts.of_mut(cohort).sent += 1;
        Some(is_stamped)
    }

    /// Puts a hostile packet into its own lane's batch, which has room for as many as all others.
    fn provoke(&mut self, kind: Kind) {
        let client = u64::from(self.random.draw());
        let packet = &self.packets[kind as usize];
        let lane = self.lanes.hostile.iter_mut().find(|hostile| hostile.kind == kind);
        let slot = lane.and_then(|hostile| {
            let source = SocketAddr::new(self.options.address(client), hostile.port);
            hostile.lane.push(source, packet.len(), false)
        });
        if let Some(slot) = slot {
            slot.copy_from_slice(packet);
        }
    }

    #[inline]
    fn source(&self, client: u64) -> SocketAddr {
        let (first, count) = self.lanes.ports;
        let port = first + (client % u64::from(count.max(1))) as u16;
        SocketAddr::new(self.options.address(client), port)
    }

    fn send_requests(&mut self, lane: usize, pushed: usize) -> Result<(), LoadError> {
        let sent = self.lanes.requests[lane].send().map_err(|cause| {
            LoadError::of_send(cause, self.options.target, self.options.address(0))
        })?;
        let unsent = pushed - sent.taken;
        let report = self.recorder.report();
        self.flights.recall(unsent, |cohort| report.cohorts.of_mut(cohort).sent -= 1);
        report.sent += sent.taken as u64;
        report.unsent += unsent as u64;
        report.dropped += sent.dropped as u64;
        Ok(())
    }

    fn send_hostile(&mut self) -> Result<(), LoadError> {
        let report = self.recorder.report();
        for HostileLane { kind, lane, .. } in &mut self.lanes.hostile {
            let sent = lane.send().map_err(|cause| {
                LoadError::of_send(cause, self.options.target, self.options.address(0))
            })?;
            let octets = self.packets[*kind as usize].len() as u64;
            if let Some(provocation) = report.hostile.of_mut(*kind) {
                provocation.sent += sent.taken as u64;
                provocation.octets_sent += sent.taken as u64 * octets;
            }
        }
        Ok(())
    }

    /// Takes what has come, and says how much that was.
    fn receive(&mut self) -> Result<usize, LoadError> {
        if self.stamps_due > 0 {
            self.note_departures()?;
        }
        let mut received = 0;
        let Self { options, lanes, flights, end, recorder, bursts, .. } = self;
        let report = recorder.report();
        for lane in &mut lanes.requests {
            for _ in 0..RECEIVE_ROUNDS {
                let count = lane.receive()?;
                received += count;
                let mut judge = Judge { options, flights, report, bursts, end: *end };
                (0..count).for_each(|index| judge.reply(&lane.arrival(index)));
                if count < options.batch {
                    break;
                }
            }
        }
        for HostileLane { kind, lane, .. } in &mut lanes.hostile {
            let count = lane.receive()?;
            received += count;
            for index in 0..count {
                let arrival = lane.arrival(index);
                if arrival.source != Some(options.target) {
                    report.faults.count(crate::Fault::Stray);
                } else if let Some(provocation) = report.hostile.of_mut(*kind) {
                    provocation.answered += 1;
                    provocation.octets_answered += arrival.bytes.len() as u64;
                }
            }
        }
        Ok(received)
    }

    /// Reads the departure stamps: on a device without a queue they are there when the send returns,
    /// on others a little later.
    fn note_departures(&mut self) -> Result<(), LoadError> {
        for lane in &mut self.lanes.requests {
            let count = lane.receive_departures()?;
            for index in 0..count {
                let departure = lane.departure(index);
                if let (Some(nonce), Some(at)) = (departure.bytes.last_chunk(), departure.stamp) {
                    let nonce = NtpTimestamp::from_bits(u64::from_be_bytes(*nonce));
                    self.flights.note_departure(nonce, at);
                }
            }
            self.stamps_due = self.stamps_due.saturating_sub(count as u64);
        }
        // A stamp that was lost must not be waited for while nothing else is.
        if self.flights.pending() == 0 {
            self.stamps_due = 0;
        }
        Ok(())
    }
}

fn is_raised(stops: [&AtomicBool; 2]) -> bool {
    stops.iter().any(|stop| stop.load(Ordering::Relaxed))
}

/// Batches taken from one socket before the schedule is looked at again.
const RECEIVE_ROUNDS: usize = 4;
/// How long replies to hostile packets are waited for.
const PROVOKED_WAIT: Interval = Interval::from_millis(100);
