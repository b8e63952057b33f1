//! The servers upstream: what they say, and the way to them and back.
//!
//! Per packet and per direction the way takes `base + jitter·Exp(1)`, times 1 − 2a there and 1 + 2a
//! back, which is how clknetsim defines it; a delay below zero is a lost packet. On top of that come
//! loss, duplicates, packets held back so that later ones overtake them, and hours of congestion.
//!
//! Must never: draw a delay from a stream that anything else draws from.

use std::net::SocketAddr;

use timeball_time::{Interval, Leap, LeapSecond, NtpShort, NtpTimestamp, ReferenceId};
use timeball_wire::{Flags, Header, Mode};

use crate::S;
use crate::random::Random;
use crate::truth::utc;
use crate::waits::Waits;

/// How a server and the way to it behave.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Server {
    /// Server minus true time at the start, seconds.
    pub lie: f64,
    /// By how much the lie grows, s/s.
    pub lie_rate: f64,
    /// Mean delay of one direction without any queue, seconds.
    pub base: f64,
    /// Mean of what queues add to it, seconds.
    pub jitter: f64,
    /// How what queues add is distributed.
    pub waits: Waits,
    /// The way there is shorter by twice this share, the way back longer; −0.5 to 0.5.
    pub asymmetry: f64,
    /// Share of requests that get no answer.
    pub loss: f64,
    /// Share of answers that arrive twice.
    pub duplicates: f64,
    /// Share of answers held back by up to four times the usual delay.
    pub held_back: f64,
    /// Hours in which the way is crowded.
    pub congestion: Option<Congestion>,
    /// Stratum announced.
    pub stratum: u8,
    /// Leap indicator announced.
    pub leap: Leap,
    /// The leap second it makes.
    pub leap_second: Option<LeapSecond>,
    /// Root dispersion announced, seconds.
    pub root_dispersion: f64,
    /// Reference ID announced.
    pub reference_id: ReferenceId,
    /// Answers with this kiss code instead.
    pub kiss: Option<[u8; 4]>,
    /// Does not answer at all.
    pub silent: bool,
    /// Answers only part of the time.
    pub shift: Option<Shift>,
}

impl Default for Server {
    /// An honest stratum 1 server 0.1 ms away, with 0.1 ms of jitter.
    fn default() -> Self {
        Self {
            lie: 0.0,
            lie_rate: 0.0,
            base: 1e-4,
            jitter: 1e-4,
            waits: Waits::Exponential,
            asymmetry: 0.0,
            loss: 0.0,
            duplicates: 0.0,
            held_back: 0.0,
            congestion: None,
            stratum: 1,
            leap: Leap::None,
            leap_second: None,
            root_dispersion: 0.0,
            reference_id: ReferenceId::from_octets(*b"GPS\0"),
            kiss: None,
            silent: false,
            shift: None,
        }
    }
}

impl Server {
    /// Whether it answers, `elapsed_s` seconds after the start.
    fn is_up(&self, elapsed_s: f64) -> bool {
        !self.silent && self.shift.is_none_or(|shift| shift.is_on(elapsed_s))
    }

    /// Whether its time is the true one.
    pub fn is_honest(&self) -> bool {
        self.lie == 0.0 && self.lie_rate == 0.0
    }

    /// Server minus true time, in ns.
    fn error(&self, elapsed_s: f64) -> i64 {
        ((self.lie + self.lie_rate * elapsed_s) * 1e9).round() as i64
    }
}

/// On for the first `on_s` of every `period_s` seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shift {
    /// Seconds from one beginning to the next.
    pub period_s: f64,
    /// Seconds on in each period.
    pub on_s: f64,
}

impl Shift {
    fn is_on(self, elapsed_s: f64) -> bool {
        elapsed_s.rem_euclid(self.period_s) < self.on_s
    }
}

/// Queues along the way back: every packet of these times waits longer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Congestion {
    /// When.
    pub when: Shift,
    /// Mean of the added wait, seconds.
    pub wait: f64,
}

/// The way to one server and back, with its random streams.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    there: Random,
    back: Random,
    /// Loss, duplication and the like, apart so that delays pair by seed.
    fate: Random,
}

/// An answer on its way.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Journey {
    /// True instant at which the server receives the request.
    pub(crate) received: i64,
    /// True instants at which the answer arrives, and arrives again.
    pub(crate) arrives: i64,
    pub(crate) again: Option<i64>,
}

impl Link {
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        let stream = |kind| Random::new(seed, LINK_STREAMS + 3 * index + kind);
        Self { there: stream(0), back: stream(1), fate: stream(2) }
    }

    /// What becomes of a request sent at the true time `now`; `None` if no answer comes back.
    pub(crate) fn travel(&mut self, server: &Server, now: i64, elapsed_s: f64) -> Option<Journey> {
        let up = delay(server, -server.asymmetry, &mut self.there);
        let down = delay(server, server.asymmetry, &mut self.back);
        let fate: [f64; 5] = std::array::from_fn(|_| self.fate.uniform());
        if up < 0.0 || down < 0.0 || fate[0] < server.loss || !server.is_up(elapsed_s) {
            return None;
        }
        let usual = server.base + server.jitter;
        let held = if fate[1] < server.held_back { 4.0 * usual * fate[2] } else { 0.0 };
        let crowded = server.congestion.filter(|congestion| congestion.when.is_on(elapsed_s));
        let queued = crowded.map_or(0.0, |congestion| -congestion.wait * fate[3].ln());
        let received = now + (up * 1e9) as i64;
        let arrives = received + TURNAROUND + ((down + held + queued) * 1e9) as i64;
        let twice = fate[4] < server.duplicates;
        Some(Journey { received, arrives, again: twice.then_some(arrives + (usual * 1e9) as i64) })
    }
}

fn delay(server: &Server, asymmetry: f64, random: &mut Random) -> f64 {
    (server.base + server.jitter * server.waits.draw(random)) * (1.0 + 2.0 * asymmetry)
}

/// Where the server at `index` is.
pub fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, index as u8 + 1], 123))
}

/// The answer of `server` to `request`, received at the true time `received`, `elapsed_s` after the start.
pub fn answer(server: &Server, request: &[u8], received: i64, elapsed_s: f64) -> Vec<u8> {
    let Some(request) = Header::parse(request) else { return Vec::new() };
    let error = server.error(elapsed_s);
    let error = Interval::from_nanos(error);
    let stamp = |t: i64| NtpTimestamp::floor(utc(t, server.leap_second) + error);
    let kiss = server.kiss;
    let warning = if kiss.is_some() { Leap::Unsynchronised } else { server.leap };
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
        transmit: stamp(received + TURNAROUND),
        ..Header::new(Flags { leap: warning, version: 4, mode: Mode::Server })
    };
    header.encode().to_vec()
}

/// Time a server takes for a request, ns.
const TURNAROUND: i64 = 20_000;
/// Streams of links are counted from here.
const LINK_STREAMS: u64 = 100;
