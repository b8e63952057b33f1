//! The server's other half: workers that answer simulated clients while the discipline runs.
//!
//! The production workers read the snapshot through the production publisher and reader; clients send
//! plain requests of every version, requests in batches larger than a turn, and rubbish. Every reply is
//! judged against true time and against its request, by what it says itself: that is all a client has.
//!
//! Must never: excuse a reply for what it cannot know of the server.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crossbeam::utils::CachePadded;
use timeball_responder::{Counters, PolicyReceiver, Worker};
use timeball_time::{
    Interval, Leap, LeapSecond, NtpTimestamp, Publisher, Realtime, ReferenceId, Snapshot, Timestamp,
};
use timeball_wire::{Flags, HEADER_LEN, Header, Mode, Wait, field};

use crate::S;
use crate::carrier::{EARLY_BIAS, Post, Reply, Request, SimIo};
use crate::promises::Promise;
use crate::random::Random;
use crate::truth;

/// Workers and those who ask them.
#[derive(Debug)]
pub(crate) struct Serving {
    publisher: Publisher,
    desks: Vec<Desk>,
    random: Random,
    /// Mean time between two batches of requests, ns.
    every: f64,
    /// Replies judged.
    pub(crate) replies: u64,
}

#[derive(Debug)]
struct Desk {
    worker: Worker<SimIo>,
    post: Rc<RefCell<Post>>,
    /// A turn is coming.
    woken: bool,
}

impl Serving {
    /// Workers that serve `snapshot`, asked every `every_s` seconds on average.
    pub(crate) fn new(snapshot: Snapshot, every_s: f64, random: Random) -> Self {
        let publisher = Publisher::new(snapshot);
        let desk = |_| {
            let post = Rc::new(RefCell::new(Post::default()));
            let io = SimIo::new(Rc::clone(&post));
            let counters = Arc::new(CachePadded::new(Counters::default()));
            let reader = publisher.reader();
            let worker = Worker::new(io, reader, PolicyReceiver::default(), counters);
            Desk { worker, post, woken: false }
        };
        let desks = (0..WORKERS).map(desk).collect();
        Self { publisher, desks, random, every: every_s * S as f64, replies: 0 }
    }

    pub(crate) fn publish(&mut self, snapshot: Snapshot) {
        self.publisher.publish(snapshot);
    }

    /// Nanoseconds until somebody asks next.
    pub(crate) fn pause(&mut self) -> i64 {
        1 + (self.every * self.random.exponential()) as i64
    }

    /// What is sent at the true instant `now`: requests, and when each reaches the server.
    pub(crate) fn ask(&mut self, now: i64) -> Vec<(i64, Request)> {
        let crowd = self.random.chance(CROWD_SHARE);
        let count = if crowd { 1 + self.random.bits() % CROWD_MAX } else { 1 };
        let ask = |_| {
            let way = WAY * (1.0 + self.random.exponential());
            (now + way as i64, request(&mut self.random, now))
        };
        (0..count).map(ask).collect()
    }

    /// `request` has reached the socket of its worker when the kernel clock stood at `clock`. Returns
    /// the worker, and after how many ns it will look, if it is to be woken.
    pub(crate) fn arrive(
        &mut self,
        request: Request,
        now: i64,
        clock: Timestamp<Realtime>,
    ) -> Option<(usize, i64)> {
        let index = request.client.port() as usize % WORKERS;
        let stamped = self.random.chance(STAMPED_SHARE);
        let desk = &mut self.desks[index];
        let stamp = stamped.then_some(clock);
        desk.post.borrow_mut().inbox.push_back(Request { arrived: now, stamp, ..request });
        if std::mem::replace(&mut desk.woken, true) {
            return None;
        }
        let busy = if self.random.chance(BUSY_SHARE) { 50.0 } else { 1.0 };
        Some((index, (WAKE * busy * self.random.exponential()) as i64))
    }

    /// The worker `index` takes its turn at the kernel time `clock`. Its replies, and whether it has
    /// more to do.
    pub(crate) fn turn(&mut self, index: usize, clock: Timestamp<Realtime>) -> (Vec<Reply>, bool) {
        let desk = &mut self.desks[index];
        desk.post.borrow_mut().now = Some(clock);
        let Ok(_) = desk.worker.turn(Wait::Poll);
        let mut post = desk.post.borrow_mut();
        desk.woken = !post.inbox.is_empty();
        let replies = std::mem::take(&mut post.outbox);
        self.replies += replies.len() as u64;
        (replies, desk.woken)
    }
}

/// A request sent at the true instant `now`; one in ten is rubbish.
fn request(random: &mut Random, now: i64) -> Request {
    let mut bytes = vec![0; HEADER_LEN];
    if random.chance(RUBBISH_SHARE) {
        bytes.resize((random.bits() % 120) as usize, 0);
        bytes.iter_mut().for_each(|octet| *octet = random.bits() as u8);
    } else {
        let version = 1 + (random.bits() % 4) as u8;
        let flags = Flags { leap: Leap::None, version, mode: Mode::Client };
        let transmit = NtpTimestamp::from_bits(random.bits());
        bytes.copy_from_slice(&Header { transmit, ..Header::new(flags) }.encode());
    }
    let client =
        SocketAddr::from(([198, 51, 100, random.bits() as u8], 1024 + random.bits() as u16 / 2));
    Request { bytes, client, arrived: now, stamp: None }
}

/// Judges `reply`, whose turn began at the true instant `turn`. `excused`: nobody could know the time.
pub(crate) fn judge(
    reply: &Reply,
    turn: i64,
    leap: Option<LeapSecond>,
    excused: bool,
) -> Result<(), Promise> {
    let request = &reply.request;
    let wrong = |what| Err(Promise::Reply(what));
    if reply.bytes.len() > request.bytes.len() {
        return wrong("it is longer than the request");
    }
    let Some(header) = Header::parse(&reply.bytes) else { return wrong("it is no packet") };
    let asked = Flags::from_octet(request.bytes[field::FLAGS]);
    let answers = match asked.mode {
        Mode::Client => header.flags.mode == Mode::Server,
        Mode::SymmetricActive => header.flags.mode == Mode::SymmetricPassive,
        Mode::Reserved => asked.version == 1 && header.flags.mode == Mode::Server,
        _ => false,
    };
    if !answers || header.flags.version != asked.version {
        return wrong("its mode or version does not answer the request");
    }
    if header.origin.to_bits().to_be_bytes() != request.bytes[field::TRANSMIT..HEADER_LEN] {
        return wrong("its origin is not the request's transmit time");
    }
    if header.transmit.since(header.receive) < Interval::ZERO {
        return wrong("it left before its request came");
    }
    if header.flags.leap == Leap::Unsynchronised {
        return if header.stratum == 0 { Ok(()) } else { wrong("leap 3 at a stratum") };
    }
    if header.transmit.since(header.reference) < Interval::ZERO {
        return wrong("its reference time is yet to come");
    }
    if excused || header.reference_id == ReferenceId::LOCAL {
        return Ok(());
    }
    within_distance(&header, request, turn + reply.after, leap)
}

/// T2 and T3 are those of the true instants, give or take the root distance; what T3 is predicted too
/// early, and what a request without a stamp has waited, is known to be the worker's.
fn within_distance(
    header: &Header,
    request: &Request,
    departure: i64,
    leap: Option<LeapSecond>,
) -> Result<(), Promise> {
    let distance = header.root_delay.interval().half() + header.root_dispersion.interval();
    let waited = if request.stamp.is_some() { 0 } else { departure - request.arrived };
    for (stamp, at, late, early) in
        [(header.receive, request.arrived, waited, 0), (header.transmit, departure, 0, EARLY_BIAS)]
    {
        let error = truth::error(stamp.unfold(truth::utc(at, leap)), at, leap);
        let high = distance + Interval::from_nanos(late + STAMP_UNIT);
        let low = distance + Interval::from_nanos(early + STAMP_UNIT);
        if error > high || error < -low {
            return Err(Promise::Distance { error, distance });
        }
    }
    Ok(())
}

const WORKERS: usize = 2;
/// Share of the times at which many ask at once, and how many at most: more than fit into a turn.
const CROWD_SHARE: f64 = 0.02;
const CROWD_MAX: u64 = 100;
const RUBBISH_SHARE: f64 = 0.1;
/// Share of requests that the kernel stamps.
const STAMPED_SHARE: f64 = 0.95;
/// A client's way to the server, ns.
const WAY: f64 = 50_000.0;
/// Mean time in which a worker wakes, ns, and how often it takes fifty times as long.
const WAKE: f64 = 20_000.0;
const BUSY_SHARE: f64 = 0.02;
/// Roundings of a timestamp, ns.
const STAMP_UNIT: i64 = 3;

#[cfg(test)]
mod tests {
    use timeball_time::NtpShort;

    use super::*;

    const ARRIVED: i64 = 1_795_300_000 * S;

    /// A right reply to a right request, 3 µs after it, from a server 1 ms from the truth at most; changed
    /// by `change`.
    fn verdict(change: impl FnOnce(&mut Header)) -> Result<(), Promise> {
        let flags = Flags { leap: Leap::None, version: 4, mode: Mode::Client };
        let transmit = NtpTimestamp::from_bits(0x1234_5678_9ABC_DEF0);
        let asked = Header { transmit, ..Header::new(flags) };
        let stamp = |t: i64| NtpTimestamp::floor(Timestamp::<Realtime>::from_nanos(t));
        let mut header = Header {
            flags: Flags { leap: Leap::None, version: 4, mode: Mode::Server },
            stratum: 2,
            root_dispersion: NtpShort::ceil(Interval::from_millis(1)),
            reference: stamp(ARRIVED - S),
            origin: transmit,
            receive: stamp(ARRIVED),
            transmit: stamp(ARRIVED + 3_000),
            ..Header::new(flags)
        };
        change(&mut header);
        let request = Request {
            bytes: asked.encode().to_vec(),
            client: SocketAddr::from(([198, 51, 100, 1], 4000)),
            arrived: ARRIVED,
            stamp: Some(Timestamp::from_nanos(ARRIVED)),
        };
        let reply = Reply { request, bytes: header.encode().to_vec(), after: 2_000 };
        judge(&reply, ARRIVED + 1_000, None, false)
    }

    fn later(stamp: NtpTimestamp, nanos: i64) -> NtpTimestamp {
        stamp.plus(Interval::from_nanos(nanos))
    }

    #[test]
    fn a_right_reply_passes_and_each_wrong_one_is_seen() {
        assert_eq!(verdict(|_| ()), Ok(()));
        assert_eq!(verdict(|h| h.receive = later(h.receive, -900_000)), Ok(()), "within its claim");
        let wrong: [fn(&mut Header); 9] = [
            |h| h.flags.mode = Mode::Client,
            |h| h.flags.version = 3,
            |h| h.origin = later(h.origin, 1),
            |h| h.transmit = later(h.receive, -10),
            |h| h.reference = later(h.transmit, 10),
            |h| h.receive = later(h.receive, -1_100_000),
            |h| h.transmit = later(h.transmit, 1_100_000),
            |h| {
                h.root_dispersion = NtpShort::ZERO;
                h.receive = later(h.receive, 100);
            },
            |h| h.flags.leap = Leap::Unsynchronised,
        ];
        for (which, change) in wrong.into_iter().enumerate() {
            assert!(verdict(change).is_err(), "{which}");
        }
    }
}
