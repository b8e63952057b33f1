//! One world: a client's clock, its servers, the way between them, and the production discipline.
//!
//! An event queue over true time, which the discipline cannot see. Whatever a host does in production
//! is done here by plain functions: timers fire a little late, datagrams get the kernel's stamp and are
//! looked at later, commands to the kernel are obeyed, clamped or refused and their outcome reported.
//!
//! [`World::run_to`] panics at the first promise broken, for tests; [`World::advance_to`] returns it.
//!
//! Must never: tell the discipline anything that a host could not know.

mod clients;
mod kernel;
mod restart;

use std::net::{IpAddr, SocketAddr};

use timeball_discipline::state::State;
use timeball_discipline::{
    Action, Actions, Config, Discipline, Event, SourceConfig, SourceId, Steer, Target,
};
use timeball_time::{
    ClockReading, Interval, Leap, LeapSecond, Rate, Realtime, ReferenceId, Snapshot, Timestamp,
};

use crate::S;
use crate::carrier::Request;
use crate::clock::{Clock, ClockModel};
use crate::figures::{Look, rms};
use crate::promises::{Broken, Promises, distance};
use crate::queue::Queue;
use crate::random::Random;
use crate::server::{Link, Server, address, answer};
use crate::serving::Serving;
use crate::trace::Trace;
use crate::truth;

pub use kernel::Kernel;

/// A configuration with `count` sources at the addresses of the first servers.
pub fn config(count: usize) -> Config {
    let source = |index| SourceConfig::new(Target::Address(address(index)));
    Config { sources: (0..count).map(source).collect(), ..Config::default() }
}

/// How fast the client's machine is.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Host {
    /// By how much a timer, or the looking at a datagram, is late on average, seconds.
    pub latency_s: f64,
    /// How long a request waits on average before it leaves, seconds.
    pub send_s: f64,
    /// Share of datagrams that the kernel does not stamp.
    pub unstamped: f64,
}

/// A run under way.
#[derive(Debug)]
pub struct World {
    /// The one under test.
    pub discipline: Discipline,
    /// May be changed while the world runs.
    pub servers: Vec<Server>,
    /// What the kernel does with commands.
    pub kernel: Kernel,
    /// How fast the client's machine is.
    pub host: Host,
    /// The notice that the clock was set comes before the report of our own step.
    pub notice_first: bool,
    /// Whether error ≤ root distance is to hold (not with a majority of liars).
    pub honest: bool,
    /// The leap second of this world, in true time that goes straight on.
    pub leap: Option<LeapSecond>,
    /// The kernel has been told to make it.
    pub kernel_leaps: bool,
    /// What names resolve to.
    pub addresses: Vec<IpAddr>,
    /// What clients are told at present.
    pub snapshot: Snapshot,
    /// One look at it for each second since the start.
    pub looks: Vec<Look>,
    /// What the discipline had to tell, with the second.
    pub events: Vec<(f64, Event)>,
    /// Requests: when, whose, where to.
    pub sent: Vec<(f64, SourceId, SocketAddr)>,
    /// Names asked for.
    pub resolves: Vec<(f64, SourceId)>,
    /// Commands to the kernel.
    pub steers: Vec<Steer>,
    /// The frequency last kept for the next start.
    pub drift_saved: Option<Rate>,
    /// The state last kept for the next start.
    pub state_saved: Option<State>,
    /// Kept if there is one at the start.
    pub trace: Option<Trace>,
    clock: Clock,
    actions: Actions,
    nonces: Random,
    delays: Random,
    /// By how much the next timer will be late, ns.
    late: i64,
    /// When the last timer fired.
    woken: i64,
    links: Vec<Link>,
    queue: Queue<Happening>,
    promises: Promises,
    serving: Option<Serving>,
    /// Until then the discipline's thread is stuck.
    stalled_until: i64,
    /// When the kernel clock was last set: what was stamped before cannot be told.
    disturbed: i64,
}

/// Something that will happen at a true instant.
#[derive(Debug)]
enum Happening {
    /// A datagram reaches the socket of a source.
    Arrives { source: u16, bytes: Vec<u8> },
    /// It is looked at, with the kernel's stamp of its arrival.
    Read { source: u16, bytes: Vec<u8>, stamp: Option<Timestamp<Realtime>> },
    /// A request leaves.
    Departs { source: SourceId, remote: SocketAddr, request: Vec<u8> },
    /// The host is told that somebody set the clock.
    ClockSet,
    /// Clients send requests.
    Asked,
    /// A request reaches a worker's socket.
    Reaches(Request),
    /// A worker takes a turn.
    Turn(usize),
}

impl World {
    /// A world of `seed` in which `config` meets `servers`.
    pub fn new(seed: u64, config: Config, model: ClockModel, servers: Vec<Server>) -> Self {
        Self::with_drift(seed, config, model, servers, None)
    }

    /// The same for a discipline that kept `drift` from its last run.
    pub fn with_drift(
        seed: u64,
        config: Config,
        model: ClockModel,
        servers: Vec<Server>,
        drift: Option<Rate>,
    ) -> Self {
        let clock = Clock::new(model, Random::new(seed, CLOCK_STREAM));
        let promises = Promises::new(&config);
        let discipline = Discipline::new(config, clock.reading(), PRECISION, drift);
        Self {
            snapshot: discipline.snapshot(),
            discipline,
            links: (0..servers.len() as u64).map(|index| Link::new(seed, index)).collect(),
            servers,
            kernel: Kernel::Obeys,
            host: Host::default(),
            notice_first: false,
            honest: true,
            leap: None,
            kernel_leaps: false,
            addresses: Vec::new(),
            looks: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            resolves: Vec::new(),
            steers: Vec::new(),
            drift_saved: None,
            state_saved: None,
            trace: None,
            clock,
            actions: Actions::new(),
            nonces: Random::new(seed, NONCE_STREAM),
            delays: Random::new(seed, HOST_STREAM),
            late: 0,
            woken: model.start,
            queue: Queue::new(),
            promises,
            serving: None,
            stalled_until: i64::MIN,
            disturbed: i64::MIN,
        }
    }

    /// Takes the requests' nonces from another stream.
    pub(crate) fn use_nonces(&mut self, seed: u64, stream: u64) {
        self.nonces = Random::new(seed, stream);
    }

    /// Runs to `seconds` of true time after the start.
    ///
    /// # Panics
    /// At the first promise broken.
    pub fn run_to(&mut self, seconds: i64) {
        if let Err(broken) = self.advance_to(seconds) {
            panic!("{broken}");
        }
    }

    /// Runs to `seconds` of true time after the start, or to the first promise broken.
    pub fn advance_to(&mut self, seconds: i64) -> Result<(), Broken> {
        let start = self.clock.now() - self.clock.elapsed();
        let end = start + seconds * S;
        while self.clock.now() < end {
            let second = start + (self.looks.len() as i64 + 1) * S;
            let wakeup = self.wakeup();
            let (happening, kernel_leap) = (self.queue.next_at(), self.kernel_leap());
            let next = second.min(wakeup).min(happening).min(kernel_leap).min(end);
            self.move_to(next);
            if next == kernel_leap {
                self.make_kernel_leap();
            } else if next == happening {
                self.happen();
            } else if next == wakeup {
                let nonces = &mut self.nonces;
                let now = self.clock.reading();
                let told = self.leap.filter(|_| self.kernel_leaps).map(|leap| leap.kind);
                self.discipline.on_kernel_leap(told);
                let applied = Rate::from_ratio(self.clock.applied());
                self.discipline.on_kernel_frequency(applied, now, &mut self.actions);
                self.discipline.on_timer(now, &mut || nonces.bits(), &mut self.actions);
                self.woken = self.clock.now();
                self.late = self.delay(self.host.latency_s);
            }
            self.carry_out();
            if next == second {
                self.look();
            }
            if let Some(broken) = self.promises.broken() {
                return Err(broken.clone());
            }
        }
        Ok(())
    }

    fn move_to(&mut self, instant: i64) {
        self.clock.advance(instant);
        self.promises.now(self.elapsed());
    }

    fn wakeup(&self) -> i64 {
        let due = self.clock.when_monotonic(self.discipline.next_wakeup()) + self.late;
        due.max(self.woken + TIMER_LEAST).max(self.stalled_until).max(self.clock.now())
    }

    fn happen(&mut self) {
        let Some(happening) = self.queue.pop() else { return };
        match happening {
            Happening::Arrives { source, bytes } => {
                let stamped = !self.delays.chance(self.host.unstamped);
                let stamp = stamped.then(|| self.clock.reading().realtime);
                let wait = READ_LATENCY + self.delay(self.host.latency_s);
                let read = Happening::Read { source, bytes, stamp };
                self.queue.push(self.clock.now() + wait, read);
            }
            Happening::Read { source, bytes, stamp } if self.clock.now() < self.stalled_until => {
                self.queue.push(self.stalled_until, Happening::Read { source, bytes, stamp });
            }
            Happening::ClockSet => {
                self.discipline.on_clock_changed(self.clock.reading(), &mut self.actions);
            }
            Happening::Read { source, bytes, stamp } => {
                self.offer(SourceId(source), &bytes, stamp);
            }
            Happening::Departs { source, remote, request } => {
                if !self.delays.chance(self.host.unstamped) {
                    self.discipline.on_transmitted(source, self.clock.reading().realtime);
                }
                self.travel(source, remote, &request);
            }
            Happening::Asked => self.ask(),
            Happening::Reaches(request) => self.reach(request),
            Happening::Turn(worker) => self.turn(worker),
        }
    }

    /// A random delay with this mean, in ns.
    fn delay(&mut self, mean_s: f64) -> i64 {
        (mean_s * 1e9 * self.delays.exponential()) as i64
    }

    /// Gives the discipline a datagram as if it had arrived now; true if it was believed.
    pub fn offer(
        &mut self,
        source: SourceId,
        bytes: &[u8],
        stamp: Option<Timestamp<Realtime>>,
    ) -> bool {
        let now = self.clock.reading();
        let result = self.discipline.on_datagram(source, bytes, stamp, now, &mut self.actions);
        if result.is_ok() {
            self.promises.measurement();
        }
        self.carry_out();
        if let Some(mut trace) = self.trace.take_if(|_| result.is_ok()) {
            let now = self.clock.reading();
            let error = self.served_error(&now).as_secs_f64();
            trace.answer(self.elapsed(), source, &self.discipline.status(now), error);
            self.trace = Some(trace);
        }
        result.is_ok()
    }

    /// The discipline's thread is stuck for `seconds`: nothing reaches it, nothing comes from it.
    pub fn stall(&mut self, seconds: i64) {
        self.stalled_until = self.clock.now() + seconds * S;
    }

    fn carry_out(&mut self) {
        // A steer reports back, which may publish; it never asks for another steer at once.
        while !self.actions.as_slice().is_empty() {
            let round: Vec<_> = self.actions.drain().collect();
            for action in round {
                self.perform(action);
            }
        }
    }

    fn perform(&mut self, action: Action) {
        let at = self.elapsed();
        match action {
            Action::Send { source, remote, request } => {
                self.sent.push((at, source, remote));
                self.promises.sent(source, &self.clock.reading());
                let after = self.delay(self.host.send_s);
                let request = request.to_vec();
                let departs = Happening::Departs { source, remote, request };
                self.queue.push(self.clock.now() + after, departs);
            }
            Action::Resolve { source } => {
                self.resolves.push((at, source));
                let now = self.clock.reading();
                self.discipline.on_resolved(source, &self.addresses, now, &mut self.actions);
            }
            Action::Publish(snapshot) => {
                let old = std::mem::replace(&mut self.snapshot, snapshot);
                self.promises.publication(&old, &snapshot, &self.clock.reading());
                if let Some(serving) = &mut self.serving {
                    serving.publish(snapshot);
                }
            }
            Action::Steer(steer) => self.steer(steer),
            Action::SaveDrift(rate) => self.drift_saved = Some(rate),
            Action::SaveState(state) => self.state_saved = Some(state),
            Action::Note(event) => {
                self.promises.noted(&event);
                self.events.push((at, event));
            }
        }
    }

    fn travel(&mut self, source: SourceId, remote: SocketAddr, request: &[u8]) {
        let Some(index) = (0..self.servers.len()).find(|&index| address(index) == remote) else {
            return;
        };
        let (server, now, elapsed_s) = (self.servers[index], self.clock.now(), self.elapsed());
        let Some(journey) = self.links[index].travel(&server, now, elapsed_s) else { return };
        let bytes = answer(&server, request, journey.received, elapsed_s);
        let source = source.0;
        if let Some(again) = journey.again {
            self.queue.push(again, Happening::Arrives { source, bytes: bytes.clone() });
        }
        self.queue.push(journey.arrives, Happening::Arrives { source, bytes });
    }

    /// Once a second: how far off is what clients are told?
    fn look(&mut self) {
        let now = self.clock.reading();
        let snapshot = self.snapshot;
        self.promises.served(&snapshot, &now);
        self.promises.books(self.discipline.books(), self.clock.free(), &now);
        let error = self.served_error(&now);
        if let Some(trace) = &mut self.trace {
            trace.second(&self.discipline.status(now), error.as_secs_f64());
        }
        let usable = snapshot.leap != Leap::Unsynchronised && snapshot.is_valid_at(now.realtime);
        if usable {
            let excused = !self.honest || snapshot.reference_id == ReferenceId::LOCAL;
            self.promises.error(&snapshot, &now, error, excused);
        }
        // Of truth against the free clock, which is what the discipline believes about.
        let frequency = 1.0 / (1.0 + self.clock.frequency()) - 1.0;
        self.looks.push(Look {
            error: error.as_secs_f64(),
            distance: distance(&snapshot, &now).as_secs_f64(),
            synchronised: usable,
            asleep: false,
            frequency_error: self.discipline.frequency().as_ratio() - frequency,
        });
    }

    fn served_error(&self, now: &ClockReading) -> Interval {
        truth::error(self.snapshot.served(now.realtime), self.clock.now(), self.leap)
    }

    /// True seconds since the start.
    pub fn elapsed(&self) -> f64 {
        self.clock.elapsed() as f64 / 1e9
    }

    /// The client's clocks now.
    pub fn reading(&self) -> ClockReading {
        self.clock.reading()
    }

    /// Seconds after the start at which served time was first synchronised.
    pub fn synchronised_at(&self) -> Option<usize> {
        self.looks.iter().position(|look| look.synchronised).map(|at| at + 1)
    }

    /// RMS of the served time's error in seconds, from `from` seconds on.
    pub fn rms(&self, from: usize) -> f64 {
        rms(self.looks[from.min(self.looks.len())..].iter().map(|look| look.error))
    }

    /// Whether clients are told to believe the time.
    pub fn is_synchronised(&self) -> bool {
        self.snapshot.leap != Leap::Unsynchronised
    }

    /// The served time's error in seconds when last looked at.
    pub fn error(&self) -> f64 {
        self.looks.last().map_or(f64::NAN, |look| look.error)
    }

    /// How many events were of this kind.
    pub fn count(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| what(event)).count()
    }

    /// True time, ns since 1970.
    pub fn true_nanos(&self) -> i64 {
        self.clock.now()
    }

    /// Clock against true time, as the oscillator is now, without steering.
    pub fn oscillator(&self) -> f64 {
        self.clock.frequency()
    }

    /// The kernel clock's error in seconds.
    pub fn kernel_error(&self) -> f64 {
        (self.clock.reading().realtime.nanos() - self.clock.now()) as f64 / 1e9
    }
}

/// log2 seconds: the simulated kernel clock's resolution.
const PRECISION: i8 = -24;
/// Timers fire at least so far apart, ns.
const TIMER_LEAST: i64 = 1_000;
/// From a datagram's arrival to the discipline's looking at it, ns.
const READ_LATENCY: i64 = 20_000;
const CLOCK_STREAM: u64 = 1;
const CLIENT_STREAM: u64 = 3;
const HOST_STREAM: u64 = 4;
pub(crate) const NONCE_STREAM: u64 = 2;
