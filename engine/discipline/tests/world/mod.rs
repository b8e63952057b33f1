//! A small deterministic world: one client clock, some servers, a network, and a checker.
//!
//! The real [`Discipline`] runs in it against true time, which it cannot see. Clock: each true
//! second the frequency takes a random step (wander); network: every packet takes `base +
//! jitter·Exp(1)` each way. Each generator has its own stream, so worlds pair by seed. Every
//! second, and at every publication, the promises are checked; see [`World::check`].
#![expect(dead_code, reason = "each test file uses its own part")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};

use timeball_discipline::{
    Action, Actions, Config, Discipline, Event, SourceConfig, SourceId, Steer, Steered, Target,
};
use timeball_time::{
    ClockReading, Interval, Leap, NtpShort, NtpTimestamp, Rate, Realtime, ReferenceId, Snapshot,
    Timestamp,
};
use timeball_wire::{Flags, Header, Mode};

pub(crate) const S: i64 = 1_000_000_000;
/// 22 November 2026.
pub(crate) const EPOCH: i64 = 1_795_300_000 * S;

/// SplitMix64: small, and its seeds will never change under us.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9).wrapping_add(stream << 40));
        random.bits();
        random
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(crate) fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// How the client's clock behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockModel {
    /// True time at the start.
    pub(crate) start: i64,
    /// Clock minus true time at the start, seconds.
    pub(crate) offset: f64,
    /// Clock against true time.
    pub(crate) frequency: f64,
    /// Per √s.
    pub(crate) wander: f64,
}

impl Default for ClockModel {
    fn default() -> Self {
        Self { start: EPOCH, offset: 0.1, frequency: 1e-4, wander: 1e-9 }
    }
}

/// How a server and the way to it behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// Server minus true time, seconds.
    pub(crate) lie: f64,
    pub(crate) base: f64,
    pub(crate) jitter: f64,
    /// Share of requests that get no answer.
    pub(crate) loss: f64,
    pub(crate) stratum: u8,
    pub(crate) leap: Leap,
    pub(crate) root_dispersion: f64,
    pub(crate) reference_id: ReferenceId,
    /// Answers with this kiss code instead.
    pub(crate) kiss: Option<[u8; 4]>,
    pub(crate) silent: bool,
    /// Share of the base delay by which the way out is shorter than the mean and the way back
    /// longer.
    pub(crate) asymmetry: f64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            lie: 0.0,
            base: 1e-4,
            jitter: 1e-4,
            loss: 0.0,
            stratum: 1,
            leap: Leap::None,
            root_dispersion: 0.0,
            reference_id: ReferenceId::from_octets(*b"GPS\0"),
            kiss: None,
            silent: false,
            asymmetry: 0.0,
        }
    }
}

/// What the simulated kernel does with commands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kernel {
    Obeys,
    Refuses,
    /// Applies at most this frequency.
    Clamps(f64),
}

pub(crate) fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, index as u8 + 1], 123))
}

/// A configuration with `count` sources at the addresses of the first servers.
pub(crate) fn config(count: usize) -> Config {
    let source = |index| SourceConfig::new(Target::Address(address(index)));
    Config { sources: (0..count).map(source).collect(), ..Config::default() }
}

pub(crate) struct World {
    pub(crate) discipline: Discipline,
    pub(crate) servers: Vec<Server>,
    pub(crate) events: Vec<(f64, Event)>,
    pub(crate) snapshot: Snapshot,
    /// For each second since the start: error of served time in seconds, and whether synchronised.
    pub(crate) errors: Vec<(f64, bool)>,
    pub(crate) sent: Vec<(f64, SourceId, SocketAddr)>,
    pub(crate) resolves: Vec<(f64, SourceId)>,
    pub(crate) steers: Vec<Steer>,
    pub(crate) drift_saved: Option<Rate>,
    pub(crate) kernel: Kernel,
    /// The notice that the clock was set comes before the report of our own step.
    pub(crate) notice_first: bool,
    /// Whether error ≤ root distance is to hold (not with a majority of liars).
    pub(crate) honest: bool,
    /// What names resolve to.
    pub(crate) addresses: Vec<IpAddr>,
    start: i64,
    clock: Clock,
    actions: Actions,
    nonces: Random,
    links: Vec<Random>,
    arrivals: BinaryHeap<Reverse<Arrival>>,
    last_served: i64,
    step_announced: bool,
    measured: bool,
}

type Arrival = (i64, u64, u16, Vec<u8>);

/// The client's kernel clocks as functions of true time, which only advances.
struct Clock {
    now: i64,
    started: i64,
    frequency: f64,
    wander: f64,
    random: Random,
    /// Ahead of true time by steering and its own error, in ns.
    ahead: f64,
    /// Realtime minus boottime, boottime minus monotonic.
    phase: i64,
    suspended: i64,
    applied: f64,
}

impl Clock {
    fn advance(&mut self, to: i64) {
        while self.now < to {
            let second_end = self.now - (self.now - self.started).rem_euclid(S) + S;
            let until = to.min(second_end);
            let rate = (1.0 + self.frequency) * (1.0 + self.applied) - 1.0;
            self.ahead += (until - self.now) as f64 * rate;
            self.now = until;
            if until == second_end {
                self.frequency += self.wander * self.random.normal();
            }
        }
    }

    fn reading(&self) -> ClockReading {
        let monotonic = self.now - self.started + self.ahead.round() as i64 + 77 * S;
        let boottime = monotonic + self.suspended;
        ClockReading {
            realtime: Timestamp::from_nanos(boottime + self.phase),
            monotonic: Timestamp::from_nanos(monotonic),
            boottime: Timestamp::from_nanos(boottime),
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, config: Config, model: ClockModel, servers: Vec<Server>) -> Self {
        Self::with_drift(seed, config, model, servers, None)
    }

    pub(crate) fn with_drift(
        seed: u64,
        config: Config,
        model: ClockModel,
        servers: Vec<Server>,
        drift: Option<Rate>,
    ) -> Self {
        let clock = Clock {
            now: model.start,
            started: model.start,
            frequency: model.frequency,
            wander: model.wander,
            random: Random::new(seed, 1),
            ahead: 0.0,
            phase: model.start - 77 * S + (model.offset * 1e9).round() as i64,
            suspended: 0,
            applied: 0.0,
        };
        let discipline = Discipline::new(config, clock.reading(), PRECISION, drift);
        Self {
            snapshot: discipline.snapshot(),
            discipline,
            links: (0..2 * servers.len() as u64).map(|k| Random::new(seed, 100 + k)).collect(),
            servers,
            events: Vec::new(),
            errors: Vec::new(),
            sent: Vec::new(),
            resolves: Vec::new(),
            steers: Vec::new(),
            drift_saved: None,
            kernel: Kernel::Obeys,
            notice_first: false,
            honest: true,
            addresses: Vec::new(),
            start: model.start,
            clock,
            actions: Actions::new(),
            nonces: Random::new(seed, 2),
            arrivals: BinaryHeap::new(),
            last_served: i64::MIN,
            step_announced: true,
            measured: true,
        }
    }

    /// True seconds since the start.
    pub(crate) fn elapsed(&self) -> f64 {
        (self.clock.now - self.start) as f64 / 1e9
    }

    pub(crate) fn reading(&self) -> ClockReading {
        self.clock.reading()
    }

    /// Runs to `seconds` of true time after the start.
    pub(crate) fn run_to(&mut self, seconds: i64) {
        let end = self.start + seconds * S;
        while self.clock.now < end {
            let second = self.start + (self.errors.len() as i64 + 1) * S;
            let wakeup = self.wakeup();
            let arrival = self.arrivals.peek().map_or(i64::MAX, |Reverse(arrival)| arrival.0);
            let next = second.min(wakeup).min(arrival).min(end);
            self.clock.advance(next);
            if next == arrival {
                self.deliver();
            } else if next == wakeup {
                let nonces = &mut self.nonces;
                let now = self.clock.reading();
                self.discipline.on_timer(now, &mut || nonces.bits(), &mut self.actions);
            }
            self.carry_out();
            if next == second {
                self.check();
            }
        }
    }

    fn wakeup(&self) -> i64 {
        let wait = self.discipline.next_wakeup() - self.clock.reading().monotonic;
        let rate = (1.0 + self.clock.frequency) * (1.0 + self.clock.applied);
        self.clock.now + ((wait.nanos() as f64 / rate).ceil() as i64).max(1_000)
    }

    fn deliver(&mut self) {
        let Some(Reverse((_, _, source, bytes))) = self.arrivals.pop() else { return };
        let stamp = self.clock.reading().realtime;
        self.clock.advance(self.clock.now + 20_000);
        self.offer(SourceId(source), &bytes, Some(stamp));
    }

    /// Gives the discipline a datagram as if it had arrived now.
    pub(crate) fn offer(
        &mut self,
        source: SourceId,
        bytes: &[u8],
        stamp: Option<Timestamp<Realtime>>,
    ) -> bool {
        let now = self.clock.reading();
        let result = self.discipline.on_datagram(source, bytes, stamp, now, &mut self.actions);
        self.measured |= result.is_ok();
        self.carry_out();
        result.is_ok()
    }

    /// Somebody sets the clock forward by `seconds`; `told`: the host notices at once.
    pub(crate) fn step_clock(&mut self, seconds: f64, told: bool) {
        self.clock.phase += (seconds * 1e9) as i64;
        // The kernel's time is not continuous here: what was published before cannot be compared.
        self.measured = true;
        if told {
            self.discipline.on_clock_changed(self.clock.reading(), &mut self.actions);
            self.carry_out();
        }
    }

    /// Somebody sets the kernel's frequency, and the host notices.
    pub(crate) fn set_kernel_frequency(&mut self, frequency: f64) {
        self.clock.applied = frequency;
        let now = self.clock.reading();
        self.discipline.on_kernel_frequency(Rate::from_ratio(frequency), now, &mut self.actions);
        self.carry_out();
    }

    /// Sleeps; the kernel's count of it is off by `error_s`.
    pub(crate) fn suspend(&mut self, seconds: i64, error_s: f64) {
        let slept = seconds * S + (error_s * 1e9) as i64;
        self.clock.now += seconds * S;
        self.clock.ahead -= (seconds * S) as f64;
        self.clock.suspended += slept;
        for _ in 0..seconds {
            self.errors.push((0.0, false));
        }
        self.last_served = i64::MIN;
        self.step_announced = true;
    }

    fn carry_out(&mut self) {
        let mut again = true;
        // A steer reports back, which may publish; it never asks for another steer at once.
        while std::mem::take(&mut again) {
            let actions: Vec<_> = self.actions.drain().collect();
            for action in actions {
                let at = self.elapsed();
                match action {
                    Action::Send { source, remote, request } => {
                        self.sent.push((at, source, remote));
                        self.travel(source, remote, &request);
                    }
                    Action::Resolve { source } => {
                        self.resolves.push((at, source));
                        let (now, addresses) = (self.clock.reading(), self.addresses.clone());
                        self.discipline.on_resolved(source, &addresses, now, &mut self.actions);
                        again = true;
                    }
                    Action::Publish(snapshot) => self.adopt(snapshot),
                    Action::Steer(steer) => {
                        self.steer(steer);
                        again = true;
                    }
                    Action::SaveDrift(rate) => self.drift_saved = Some(rate),
                    Action::Note(event) => {
                        assert!(!event.to_string().is_empty());
                        self.events.push((at, event));
                        self.step_announced |= matches!(
                            event,
                            Event::Stepped { .. }
                                | Event::Synchronised { .. }
                                | Event::Suspended { .. }
                        );
                    }
                }
            }
        }
    }

    fn travel(&mut self, source: SourceId, remote: SocketAddr, request: &[u8]) {
        let Some(index) = (0..self.servers.len()).find(|&index| address(index) == remote) else {
            return;
        };
        let server = self.servers[index];
        let up = server.base * (1.0 - server.asymmetry)
            + server.jitter * self.links[2 * index].exponential();
        let down = server.base * (1.0 + server.asymmetry)
            + server.jitter * self.links[2 * index + 1].exponential();
        let lost = self.links[2 * index].uniform() < server.loss;
        if server.silent || lost {
            return;
        }
        let received = self.clock.now + (up * 1e9) as i64;
        let sent = received + TURNAROUND;
        let reply = answer(&server, request, received, sent);
        let arrives = sent + (down * 1e9) as i64;
        let order = self.sent.len() as u64;
        self.arrivals.push(Reverse((arrives, order, source.0, reply)));
    }

    fn steer(&mut self, steer: Steer) {
        self.steers.push(steer);
        self.clock.advance(self.clock.now + 5_000);
        let result = match (self.kernel, steer) {
            (Kernel::Refuses, _) => Steered::Refused,
            (kernel, Steer::Frequency(wanted)) => {
                assert!(wanted.as_ratio().abs() <= 500e-6 + 1e-12, "within the kernel's limits");
                let limit = if let Kernel::Clamps(limit) = kernel { limit } else { 500e-6 };
                self.clock.applied = wanted.as_ratio().clamp(-limit, limit);
                Steered::Frequency(Rate::from_ratio(self.clock.applied))
            }
            (_, Steer::Step(amount)) => {
                self.clock.phase += amount.nanos();
                self.measured = true;
                if self.notice_first {
                    let now = self.clock.reading();
                    self.discipline.on_clock_changed(now, &mut self.actions);
                }
                Steered::Stepped(amount)
            }
        };
        self.discipline.on_steered(result, self.clock.reading(), &mut self.actions);
    }

    fn adopt(&mut self, new: Snapshot) {
        let old = std::mem::replace(&mut self.snapshot, new);
        let now = self.clock.reading().realtime;
        let synchronised = |s: &Snapshot| s.leap != Leap::Unsynchronised;
        if synchronised(&old)
            && synchronised(&new)
            && !self.measured
            && !self.step_announced
            && old.reference_id == new.reference_id
            && new.reference_id != ReferenceId::LOCAL
            && old.is_valid_at(now)
        {
            // The bound grows with free time, which may be 500 ppm slower than the kernel's.
            let growth = old.root_dispersion_at(now) - old.root_dispersion;
            let slack = Interval::from_nanos(10 + growth.nanos() / 1_000);
            assert!(
                new.root_dispersion + slack >= old.root_dispersion_at(now) || new.epoch != now,
                "dispersion fell without a measurement: {old:?} {new:?}"
            );
        }
        self.measured = false;
        assert!(new.root_dispersion >= Interval::ZERO && new.dispersion_rate >= Rate::ZERO);
        assert!(new.rate.as_ratio().abs() <= 0.17, "{new:?}");
        self.watch_served();
    }

    /// Served time never runs backwards but for an announced step.
    fn watch_served(&mut self) {
        let served = self.snapshot.served(self.clock.reading().realtime).nanos();
        if !std::mem::take(&mut self.step_announced) {
            assert!(
                served >= self.last_served,
                "served time ran backwards by {} ns at {}",
                self.last_served - served,
                self.elapsed()
            );
        }
        self.last_served = served;
    }

    /// Once a second: the error is within the root distance, and time has not run backwards.
    fn check(&mut self) {
        let now = self.clock.reading().realtime;
        let snapshot = self.discipline.snapshot();
        assert_eq!(snapshot, self.snapshot);
        self.watch_served();
        let error = Interval::from_nanos(snapshot.served(now).nanos() - self.clock.now);
        let usable = snapshot.leap != Leap::Unsynchronised && snapshot.is_valid_at(now);
        let local = snapshot.reference_id == ReferenceId::LOCAL;
        if usable && self.honest && !local {
            let distance = snapshot.root_delay.interval().half() + snapshot.root_dispersion_at(now);
            assert!(
                error.abs() <= distance,
                "at {} s: error {error:?} beyond root distance {distance:?}",
                self.elapsed()
            );
            assert!(distance <= Interval::from_millis(1501), "{distance:?}");
        }
        self.errors.push((error.as_secs_f64(), usable));
    }

    /// Seconds after the start at which served time was first synchronised.
    pub(crate) fn synchronised_at(&self) -> Option<usize> {
        self.errors.iter().position(|&(_, usable)| usable).map(|at| at + 1)
    }

    /// RMS of the served time's error in seconds, from `from` seconds on.
    pub(crate) fn rms(&self, from: usize) -> f64 {
        let errors = &self.errors[from.min(self.errors.len())..];
        let squares: f64 = errors.iter().map(|(error, _)| error * error).sum();
        (squares / errors.len().max(1) as f64).sqrt()
    }

    pub(crate) fn is_synchronised(&self) -> bool {
        self.snapshot.leap != Leap::Unsynchronised
    }

    pub(crate) fn error(&self) -> f64 {
        self.errors.last().map_or(f64::NAN, |&(error, _)| error)
    }

    pub(crate) fn count(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| what(event)).count()
    }

    pub(crate) fn true_nanos(&self) -> i64 {
        self.clock.now
    }

    /// Clock against true time, as the oscillator is now, without steering.
    pub(crate) fn oscillator(&self) -> f64 {
        self.clock.frequency
    }

    pub(crate) fn kernel_error(&self) -> f64 {
        (self.clock.reading().realtime.nanos() - self.clock.now) as f64 / 1e9
    }
}

/// A server's reply to `request`, received and sent at those true times.
pub(crate) fn answer(server: &Server, request: &[u8], received: i64, sent: i64) -> Vec<u8> {
    let Some(request) = Header::parse(request) else { panic!("a request of 48 octets") };
    let lie = (server.lie * 1e9) as i64;
    let stamp = |t: i64| NtpTimestamp::floor(Timestamp::<Realtime>::from_nanos(t + lie));
    let kiss = server.kiss;
    let leap = if kiss.is_some() { Leap::Unsynchronised } else { server.leap };
    let header = Header {
        stratum: if kiss.is_some() { 0 } else { server.stratum },
        poll: 6,
        precision: -25,
        root_delay: NtpShort::ZERO,
        root_dispersion: NtpShort::ceil(Interval::from_secs_f64(server.root_dispersion)),
        reference_id: kiss.map_or(server.reference_id, ReferenceId::from_octets),
        reference: stamp(received - S),
        origin: request.transmit,
        receive: stamp(received),
        transmit: stamp(sent),
        ..Header::new(Flags { leap, version: 4, mode: Mode::Server })
    };
    header.encode().to_vec()
}

pub(crate) const PRECISION: i8 = -24;
const TURNAROUND: i64 = 20_000;
