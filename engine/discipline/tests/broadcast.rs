//! Servers that announce themselves: asked first, then listened to, and never believed about an old time.

use timeball_discipline::{
    Action, Actions, Announced, Broadcast, Config, Discipline, Rejection, SourceConfig, State,
    Target, open_broadcast,
};
use timeball_time::{
    ClockReading, Interval, Leap, NtpShort, NtpTimestamp, Realtime, ReferenceId, Timestamp,
};
use timeball_wire::{Algorithm, Flags, HEADER_LEN, Header, Key, KeyId, Keys, Mode, Trusted};

const START: i64 = 1_764_000_000_000_000_000;
/// One way.
const WAY: Interval = Interval::from_micros(200);
/// How far the server is ahead of the client's clock.
const AHEAD: Interval = Interval::from_millis(40);

/// A client with two places, and the server it hears of.
struct Wire {
    discipline: Discipline,
    actions: Actions,
    now: Interval,
    /// Answers to requests are on; there are none from a server that has gone.
    answers: bool,
    requests: usize,
}

impl Wire {
    fn new() -> Self {
        let place = || SourceConfig::new(Target::Heard);
        let config = Config { sources: vec![place(), place()], ..Config::default() };
        let start = reading(Interval::ZERO);
        let discipline = Discipline::new(config, start, -24, None);
        let (actions, now) = (Actions::new(), Interval::ZERO);
        Self { discipline, actions, now, answers: true, requests: 0 }
    }

    /// Lets time pass to `until`, with every request answered as it comes.
    fn run(&mut self, until: Interval) {
        while self.now < until {
            let due = self.discipline.next_wakeup() - Timestamp::from_nanos(0);
            self.now = due.max(self.now).min(until);
            let mut nonce = 7 + self.now.nanos() as u64;
            let mut random = || {
                nonce += 1;
                nonce
            };
            self.discipline.on_timer(reading(self.now), &mut random, &mut self.actions);
            let round: Vec<_> = self.actions.drain().collect();
            for action in round {
                if let Action::Send { source, request, .. } = action {
                    self.requests += 1;
                    let asked = Header::parse(&request).unwrap();
                    let arrival = self.now + WAY + WAY;
                    let reply = Header {
                        origin: asked.transmit,
                        receive: server(self.now + WAY),
                        transmit: server(self.now + WAY),
                        ..header(Mode::Server, self.now)
                    };
                    if self.answers {
                        let (bytes, now) = (reply.encode(), reading(arrival));
                        let stamp = Some(now.realtime);
                        let actions = &mut self.actions;
                        self.discipline.on_datagram(source, &bytes, stamp, now, actions).unwrap();
                    }
                }
            }
        }
    }

    /// A broadcast sent at `sent` arrives now.
    fn hear(&mut self, sent: Interval, delay: Option<Interval>) -> Result<(), Rejection> {
        let now = reading(self.now);
        let header = Header { transmit: server(sent), ..header(Mode::Broadcast, sent) };
        let broadcast = Some(Broadcast { header, received: now.realtime, delay });
        let remote = "192.0.2.1:123".parse().unwrap();
        let announced = Announced { remote, key: None, broadcast };
        self.discipline.on_announced(&announced, now, &mut self.actions)
    }

    fn state(&self) -> State {
        self.discipline.status(reading(self.now)).sources[0].state
    }

    /// Lets the server be heard of and asked until it is known.
    fn calibrate(&mut self) {
        self.hear(Interval::ZERO - WAY, None).unwrap();
        assert_eq!(self.state(), State::Polling);
        self.run(Interval::from_secs(15));
        assert_eq!(self.state(), State::Listening);
    }
}

fn reading(since_start: Interval) -> ClockReading {
    ClockReading {
        realtime: Timestamp::from_nanos(START) + since_start,
        monotonic: Timestamp::from_nanos(0) + since_start,
        boottime: Timestamp::from_nanos(0) + since_start,
    }
}

fn server(since_start: Interval) -> NtpTimestamp {
    NtpTimestamp::floor(Timestamp::<Realtime>::from_nanos(START) + since_start + AHEAD)
}

fn header(mode: Mode, now: Interval) -> Header {
    Header {
        stratum: 2,
        poll: 4,
        precision: -24,
        root_delay: NtpShort::from_bits(10),
        root_dispersion: NtpShort::from_bits(20),
        reference_id: ReferenceId::from_octets([192, 0, 2, 9]),
        reference: server(now - Interval::from_secs(30)),
        ..Header::new(Flags { leap: Leap::None, version: 4, mode })
    }
}

fn seconds(count: i64) -> Interval {
    Interval::from_secs(count)
}

#[test]
fn a_server_is_asked_until_it_is_known_how_far_it_is_and_then_listened_to() {
    let mut wire = Wire::new();
    wire.calibrate();
    let asked = wire.requests;
    for round in 1..=20 {
        wire.run(seconds(15 + 16 * round));
        wire.hear(wire.now - WAY, None).unwrap();
    }
    assert_eq!(wire.requests, asked, "nothing is asked any more");
    let status = wire.discipline.status(reading(wire.now));
    assert_eq!((status.sources[0].reach, status.sources[1].state), (0xff, State::Vacant));
    let served = wire.discipline.snapshot().served(reading(wire.now).realtime);
    let error = served.reinterpret() - reading(wire.now).realtime - AHEAD;
    assert!(error.abs() < Interval::from_micros(50), "{error:?}");
}

#[test]
fn with_a_known_delay_nothing_is_ever_asked() {
    let mut wire = Wire::new();
    for round in 0..8 {
        wire.run(seconds(16 * round));
        wire.hear(wire.now - WAY, Some(WAY + WAY)).unwrap();
    }
    assert_eq!((wire.requests, wire.state()), (0, State::Listening));
    let served = wire.discipline.snapshot().served(reading(wire.now).realtime);
    let error = served.reinterpret() - reading(wire.now).realtime - AHEAD;
    assert!(error.abs() < Interval::from_micros(50), "{error:?}");
}

#[test]
fn a_recorded_broadcast_is_worth_nothing_sent_again_or_late() {
    let mut wire = Wire::new();
    wire.calibrate();
    wire.run(seconds(31));
    let sent = wire.now - WAY;
    wire.hear(sent, None).unwrap();
    wire.run(seconds(32));
    assert_eq!(wire.hear(sent, None), Err(Rejection::Replayed));
    assert_eq!(wire.hear(sent - seconds(16), None), Err(Rejection::Replayed));
    assert_eq!(wire.state(), State::Listening);
    // Held back by a second, and newer than any before: its server is asked what is true.
    wire.run(seconds(48));
    let asked = wire.requests;
    assert_eq!(wire.hear(wire.now - seconds(1), None), Err(Rejection::Implausible));
    wire.run(seconds(49));
    assert!(wire.requests > asked);
    let served = wire.discipline.snapshot().served(reading(wire.now).realtime);
    let error = served.reinterpret() - reading(wire.now).realtime - AHEAD;
    assert!(error.abs() < Interval::from_micros(50), "{error:?}");
}

#[test]
fn a_server_that_falls_silent_gives_its_place_up() {
    let mut wire = Wire::new();
    wire.calibrate();
    wire.answers = false;
    wire.run(seconds(400));
    assert_eq!(wire.state(), State::Vacant);
    // One that was only ever heard of, and never answers, too.
    wire.hear(wire.now - WAY, None).unwrap();
    wire.run(wire.now + seconds(3600));
    assert_eq!(wire.state(), State::Vacant);
}

#[test]
fn a_broadcast_counts_only_if_signed_with_a_trusted_key_unless_told_otherwise() {
    let key = |id, secret| Key::new(KeyId(id), Algorithm::Aes128Cmac, &[secret; 16]).unwrap();
    let keys = Keys::new(vec![Trusted { key: key(3, 1), peers: Vec::new() }]);
    let from = "192.0.2.1".parse().unwrap();
    let bare = Header { transmit: server(WAY), ..header(Mode::Broadcast, WAY) }.encode();
    let signed = |key: &Key| {
        let mut bytes = bare.to_vec();
        bytes.resize(HEADER_LEN + key.code_len(), 0);
        key.sign(&mut bytes, key.code_len());
        bytes
    };
    let judged = |bytes: &[u8], authenticate| {
        open_broadcast(bytes, from, &keys, authenticate).map(|(_, key)| key.is_some())
    };
    assert_eq!(judged(&signed(&key(3, 1)), true), Ok(true));
    assert_eq!(judged(&bare, true), Err(Rejection::Unsigned));
    assert_eq!(judged(&bare, false), Ok(false));
    for authenticate in [true, false] {
        assert_eq!(judged(&signed(&key(3, 2)), authenticate), Err(Rejection::Code));
        assert_eq!(judged(&signed(&key(4, 1)), authenticate), Err(Rejection::Code));
        let nak = [&bare[..], &[0; 4]].concat();
        assert_eq!(judged(&nak, authenticate), Err(Rejection::CryptoNak));
        assert_eq!(judged(&bare[..47], authenticate), Err(Rejection::Malformed));
        let reply = header(Mode::Server, WAY).encode();
        assert_eq!(judged(&reply, authenticate), Err(Rejection::Mode));
    }
}
