//! How true the generator is: the very sender that loads servers, run through a world of which every delay
//! is known.
//!
//! Time is virtual: each look at the clock costs some, each packet sent costs some, and nothing else
//! passes. The stub server draws a delay for each request and writes down what the client must see; the
//! sender's report is held against those notes. So the figures hold on any machine, however busy.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use timeball_sys::traffic::{Arrival, Sent};
use timeball_time::{Leap, NtpTimestamp, Realtime, Timestamp};
use timeball_wire::{Flags, HEADER_LEN, Header, Mode};

use crate::carrier::Carrier;
use crate::random::SplitMix64;
use crate::recorder::recorders;
use crate::sender::{Lanes, Sender};
use crate::{Load, Options, Part, Pattern, Report, Schedule};

/// A world with one server in it.
struct World {
    now_ns: i64,
    /// What a look at the clock costs.
    look_ns: i64,
    /// What sending a packet costs.
    send_ns: i64,
    /// How long the server takes for a request.
    delay_ns: Box<dyn FnMut(&mut SplitMix64) -> i64>,
    /// From when to when it stands still.
    stall: Option<(i64, i64)>,
    /// When the generator itself is held up, and until when.
    hold_up: Option<(i64, i64)>,
    random: SplitMix64,
    /// Replies on their way, by arrival.
    coming: BinaryHeap<Reverse<(i64, [u8; HEADER_LEN])>>,
    /// When each request left, in order, and when its reply will arrive.
    notes: Vec<(i64, i64)>,
}

impl World {
    fn new(look_ns: i64, delay_ns: impl FnMut(&mut SplitMix64) -> i64 + 'static) -> Self {
        Self {
            now_ns: START_NS - 1_000_000,
            look_ns,
            send_ns: 100,
            delay_ns: Box::new(delay_ns),
            stall: None,
            hold_up: None,
            random: SplitMix64::new(11, 0),
            coming: BinaryHeap::new(),
            notes: Vec::new(),
        }
    }

    fn look(&mut self) -> Timestamp<Realtime> {
        self.now_ns += self.look_ns;
        if let Some((from, until)) = self.hold_up.filter(|(from, _)| self.now_ns >= *from) {
            self.now_ns += until - from;
            self.hold_up = None;
        }
        Timestamp::from_nanos(self.now_ns)
    }

    fn serve(&mut self, request: &[u8]) {
        self.now_ns += self.send_ns;
        let left = self.now_ns;
        let mut answered = left + (self.delay_ns)(&mut self.random);
        if let Some((from, until)) = self.stall
            && (from..until).contains(&answered)
        {
            answered = until;
        }
        let asked = Header::parse(request).unwrap();
        let flags = Flags { leap: Leap::None, version: asked.flags.version, mode: Mode::Server };
        let mut reply = Header::new(flags);
        reply.stratum = 1;
        reply.origin = asked.transmit;
        reply.receive = NtpTimestamp::floor(Timestamp::<Realtime>::from_nanos(left));
        reply.transmit = NtpTimestamp::floor(Timestamp::<Realtime>::from_nanos(answered));
        self.coming.push(Reverse((answered, reply.encode())));
        self.notes.push((left, answered));
    }
}

/// A lane into the world.
struct VirtualLane {
    world: Rc<RefCell<World>>,
    batch: Vec<[u8; HEADER_LEN]>,
    arrived: Vec<(i64, [u8; HEADER_LEN])>,
}

impl Carrier for VirtualLane {
    fn push(&mut self, _: SocketAddr, len: usize, _: bool) -> Option<&mut [u8]> {
        assert_eq!(len, HEADER_LEN);
        self.batch.push([0; HEADER_LEN]);
        self.batch.last_mut().map(|request| &mut request[..])
    }

    fn send(&mut self) -> io::Result<Sent> {
        let taken = self.batch.len();
        let mut world = self.world.borrow_mut();
        self.batch.drain(..).for_each(|request| world.serve(&request));
        Ok(Sent { taken, dropped: 0 })
    }

    fn receive(&mut self) -> io::Result<usize> {
        self.arrived.clear();
        let mut world = self.world.borrow_mut();
        let now_ns = world.now_ns;
        while self.arrived.len() < BATCH
            && let Some(Reverse((at, _))) = world.coming.peek()
            && *at <= now_ns
        {
            self.arrived.extend(world.coming.pop().map(|Reverse(reply)| reply));
        }
        Ok(self.arrived.len())
    }

    fn arrival(&self, index: usize) -> Arrival<'_> {
        let (at, bytes) = &self.arrived[index];
        let stamp = Some(Timestamp::from_nanos(*at));
        Arrival { source: Some(target()), stamp, bytes, truncated: false }
    }

    fn receive_departures(&mut self) -> io::Result<usize> {
        Ok(0)
    }

    fn departure(&self, index: usize) -> Arrival<'_> {
        self.arrival(index)
    }

    fn overruns(&self) -> u64 {
        0
    }
}

/// Runs an open loop through `world`; returns what the sender reports, and the world with its notes.
fn offer(world: World, pattern: Pattern, rate_hz: u32, seconds: f64) -> (Report, World) {
    let mut options = Options::new(target(), "127.0.0.0/8".parse().unwrap());
    options.load = Load::Open { pattern, rate_hz };
    options.duration = Duration::from_secs_f64(seconds);
    options.timeout = Duration::from_secs(1);
    options.batch = BATCH;
    let world = Rc::new(RefCell::new(world));
    let lane = VirtualLane { world: world.clone(), batch: Vec::new(), arrived: Vec::new() };
    let clock = || world.borrow_mut().look();
    let (mut recorders, collector) = recorders(1, Duration::ZERO);
    let lanes = Lanes { requests: vec![lane], hostile: Vec::new(), ports: (0, 1) };
    let start = Timestamp::from_nanos(START_NS);
    let sender = Sender::new(&options, Part::WHOLE, (lanes, clock, recorders.remove(0)), start, 7);
    let never = AtomicBool::new(false);
    sender.run([&never; 2]).unwrap().finish();
    let report = collector.collect(&mut |_| {}).remove(0);
    let world = Rc::into_inner(world).unwrap().into_inner();
    (report, world)
}

/// What each request's latency must be: from the moment it was meant to leave, by a schedule of the test's
/// own, to its reply's arrival; rising.
fn truth(world: &World, pattern: Pattern, rate_hz: u32) -> Vec<i64> {
    let start = Timestamp::from_nanos(START_NS);
    let mut schedule = Schedule::new(pattern, rate_hz, Part::WHOLE, start, 1);
    let latencies = world.notes.iter().map(|(_, answered)| {
        let intended = schedule.next().nanos();
        schedule.advance();
        answered - intended
    });
    let mut latencies: Vec<i64> = latencies.collect();
    latencies.sort_unstable();
    latencies
}

fn at(rising: &[i64], quantile: f64) -> i64 {
    rising[((quantile * rising.len() as f64).ceil() as usize).max(1) - 1]
}

/// Within 2 % or 1 µs.
fn assert_close(seen: i64, truth: i64, what: &str) {
    let allowed = (truth / 50).max(1_000);
    assert!((seen - truth).abs() <= allowed, "{what}: {seen} ns instead of {truth} ns");
}

/// Mostly some tens of microseconds, one in fifty some milliseconds.
fn mixed_delay(random: &mut SplitMix64) -> i64 {
    let tail = random.unit() < 0.02;
    let mean_ns = if tail { 4e6 } else { 60e3 };
    15_000 + (-random.unit().ln() * mean_ns) as i64
}

#[test]
fn percentiles_are_those_of_the_server_in_every_pattern() {
    for pattern in [Pattern::Constant, Pattern::Poisson, Pattern::Bursts { size: 64 }] {
        let (report, world) = offer(World::new(2_000, mixed_delay), pattern, 20_000, 3.0);
        let truth = truth(&world, pattern, 20_000);
        assert_eq!(report.answered, truth.len() as u64, "{pattern:?}");
        assert!(report.answered.abs_diff(60_000) < 1_300, "{pattern:?}: {}", report.answered);
        for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
            let what = format!("{pattern:?} at {quantile}");
            assert_close(report.latency.quantile(quantile), at(&truth, quantile), &what);
        }
        assert_eq!((report.lost, report.missed, report.faults.total()), (0, 0, 0));
        assert_eq!(report.limits(), [], "{pattern:?}");
    }
}

#[test]
fn a_server_that_stops_for_100_ms_shows_it_in_full() {
    let mut world = World::new(2_000, |_| 30_000);
    world.stall = Some((START_NS + 1_000_000_000, START_NS + 1_100_000_000));
    let (report, world) = offer(world, Pattern::Constant, 10_000, 4.0);
    // A thousand of forty thousand requests met it, each from its own moment on.
    let truth = truth(&world, Pattern::Constant, 10_000);
    assert_close(report.latency.quantile(0.999), at(&truth, 0.999), "p99.9");
    assert!(report.latency.quantile(0.999) > 95_000_000, "{}", report.latency.quantile(0.999));
    assert!(report.latency.quantile(1.0) > 99_800_000, "{}", report.latency.quantile(1.0));
    assert!(report.latency.quantile(0.97) < 40_000);
    assert_eq!((report.answered, report.lost), (40_000, 0));
}

#[test]
fn a_generator_that_is_held_up_is_late_and_says_so() {
    let mut world = World::new(2_000, |_| 30_000);
    world.hold_up = Some((START_NS + 500_000_000, START_NS + 550_000_000));
    let (report, world) = offer(world, Pattern::Constant, 10_000, 2.0);
    let truth = truth(&world, Pattern::Constant, 10_000);
    for quantile in [0.5, 0.99, 0.999] {
        assert_close(report.latency.quantile(quantile), at(&truth, quantile), "latency");
    }
    assert!(report.lag.quantile(1.0) > 49_000_000, "{}", report.lag.quantile(1.0));
    assert_eq!((report.sent, report.missed), (20_000, 0), "what was late is sent all the same");
}

#[test]
fn what_fell_due_before_the_end_is_sent_even_if_the_end_was_overslept() {
    let mut world = World::new(2_000, |_| 30_000);
    world.hold_up = Some((START_NS + 995_500_000, START_NS + 1_050_000_000));
    let (report, _) = offer(world, Pattern::Constant, 1_000, 1.0);
    assert_eq!((report.sent, report.missed), (1_000, 0));
}

#[test]
fn the_rate_asked_is_the_rate_sent_up_to_four_fifths_of_what_can_be_sent() {
    // 10 µs a packet: 100 000 a second are the most.
    let slow = || World { send_ns: 10_000, ..World::new(1_000, |_| 50_000) };
    for (pattern, tolerance) in [(Pattern::Constant, 80), (Pattern::Bursts { size: 50 }, 80)] {
        let (report, _) = offer(slow(), pattern, 80_000, 1.0);
        assert!(report.sent.abs_diff(80_000) <= tolerance, "{pattern:?}: {}", report.sent);
        assert!(!report.is_generators(), "{pattern:?}: {:?}", report.limits());
    }
    // The number of Poisson's requests is random; what was due was sent.
    let (report, _) = offer(slow(), Pattern::Poisson, 80_000, 1.0);
    assert!(report.missed * 1_000 <= report.sent, "{} of {}", report.missed, report.sent);
    let (report, _) = offer(slow(), Pattern::Constant, 150_000, 1.0);
    assert!(report.is_generators(), "{:?}", report.limits());
    let due = report.sent + report.missed;
    assert!(due.abs_diff(150_000) <= 64 && report.sent < 101_000, "{} of {due}", report.sent);
}

/// The gaps between requests that really left pass a Kolmogorov–Smirnov test against the exponential
/// distribution at the 0.1 % level.
#[test]
fn poisson_requests_leave_with_exponential_gaps() {
    let (_, world) = offer(World::new(4_000, |_| 50_000), Pattern::Poisson, 1_000, 10.0);
    let left: Vec<i64> = world.notes.iter().map(|(left, _)| *left).collect();
    let mut gaps: Vec<f64> = left.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    gaps.sort_by(f64::total_cmp);
    let count = gaps.len() as f64;
    let distance = |(k, gap): (usize, &f64)| {
        let expected = 1.0 - (-gap / 1e6).exp();
        (expected - k as f64 / count).abs().max((expected - (k + 1) as f64 / count).abs())
    };
    let deviation = gaps.iter().enumerate().map(distance).fold(0.0, f64::max);
    assert!(deviation < 1.95 / count.sqrt(), "{deviation} over {count} gaps");
}

fn target() -> SocketAddr {
    "127.0.0.1:123".parse().unwrap()
}

const BATCH: usize = 64;
const START_NS: i64 = 1_764_000_000_000_000_000;
