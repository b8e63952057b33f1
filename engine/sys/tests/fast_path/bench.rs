//! A loaded program with a snapshot and endpoints of its own, and what the workers would have answered.

use std::net::{IpAddr, SocketAddr};

use timeball_responder::{Announcement, Caller, Limiter, Policy, Verdict as Judged, answer, stamp};
use timeball_sys::reading;
use timeball_sys::xdp::{Endpoint, Mirror, Program, Verdict, XdpError};
use timeball_time::{
    Interval, Leap, NtpShort, NtpTimestamp, Rate, Realtime, ReferenceId, Snapshot, Stratum,
    Timestamp,
};
use timeball_wire::{Datagram, HEADER_LEN, field};

use crate::frame::Frame;

pub(crate) const STATION: [u8; 6] = [0x02, 0, 0, 0, 0, 0x05];

/// The program, and the clocks it is told.
pub(crate) struct Bench {
    pub(crate) program: Program,
    mirror: Mirror,
    pub(crate) snapshot: Snapshot,
    /// CLOCK_REALTIME − CLOCK_BOOTTIME, as the program is told; no clock of this machine's need stand there.
    ahead: Interval,
}

impl Bench {
    /// With a snapshot; `None`, with the reason said, where BPF programs may not be loaded.
    pub(crate) fn new() -> Option<Self> {
        let mut bench = Self::fresh()?;
        bench.publish(bench.snapshot);
        Some(bench)
    }

    /// Before anything is published.
    pub(crate) fn fresh() -> Option<Self> {
        Self::of(Program::load)
    }

    /// The same with a program that was loaded in another way.
    pub(crate) fn of(load: impl FnOnce() -> Result<Program, XdpError>) -> Option<Self> {
        let mut program = match load() {
            Ok(program) => program,
            Err(error) if error.is_of_this_place() => {
                eprintln!("skipped: {error}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        program.set_endpoints(endpoints().into()).expect("a few endpoints");
        let mirror = program.mirror().expect("its memory");
        let ahead = Interval::from_nanos(1_764_000_000_000_000_000);
        let now = reading().boottime.reinterpret::<Realtime>() + ahead;
        Some(Self { program, mirror, snapshot: synchronised(now), ahead })
    }

    pub(crate) fn publish(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
        self.mirror.write_with(snapshot.to_words(), self.ahead, Interval::ZERO);
    }

    /// Tells the program that it is `now`, with a snapshot of that moment.
    pub(crate) fn set_clock(&mut self, now: Timestamp<Realtime>) {
        self.ahead = now - reading().boottime.reinterpret::<Realtime>();
        self.publish(synchronised(now));
    }

    /// The program, and what a publisher needs.
    pub(crate) fn apart(self) -> (Program, Mirror) {
        (self.program, self.mirror)
    }

    /// The kernel's time, as the program is told.
    pub(crate) fn now(&self) -> Timestamp<Realtime> {
        // From one clock to the other by the distance that the program is given, too.
        Timestamp::from_nanos(reading().boottime.nanos()) + self.ahead
    }

    /// The frame that the program sends for this one; `None` if it passes it on, and then as it was.
    pub(crate) fn run(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let (verdict, out) = self.run_through(frame);
        assert_ne!(verdict, Verdict::Drop, "nobody is held back here");
        (verdict == Verdict::Transmit).then_some(out)
    }

    /// What the program wants done with a frame, and what it has made of it.
    pub(crate) fn run_through(&self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut out = vec![0; frame.len() + 64];
        let (verdict, len) = self.program.run(frame, &mut out).expect("a test run");
        out.truncate(len);
        assert!(verdict == Verdict::Transmit || out == frame, "not answered, but written to");
        (verdict, out)
    }

    /// Sends `frame` through the program and compares its answer with the responder's, octet by octet.
    pub(crate) fn agrees(&self, frame: &Frame) -> Result<Vec<u8>, String> {
        let before = self.now();
        let sent = self.run(&frame.bytes()).ok_or("no answer")?;
        self.is_exact(frame, &sent, before, self.now()).map(|()| sent)
    }

    /// Whether `sent` is the responder's answer to `frame`, arrived and left at some instants in this order
    /// between `before` and `after`.
    pub(crate) fn is_exact(
        &self,
        frame: &Frame,
        sent: &[u8],
        before: Timestamp<Realtime>,
        after: Timestamp<Realtime>,
    ) -> Result<(), String> {
        let payload = payload_of(sent)?;
        let arrival = self
            .instant(payload, field::RECEIVE, before, after, |at| self.reference(frame, at, at))?;
        let departure = self.instant(payload, field::TRANSMIT, arrival, after, |at| {
            self.reference(frame, arrival, at)
        })?;
        let reference = self.reference(frame, arrival, departure).ok_or(SILENT)?;
        is_frame(sent, &frame.reply(&reference).bytes())
    }

    /// The same by less work: the stamps are only looked at for their order.
    pub(crate) fn is_right(
        &self,
        frame: &Frame,
        sent: &[u8],
        before: Timestamp<Realtime>,
        after: Timestamp<Realtime>,
    ) -> Result<(), String> {
        let payload = payload_of(sent)?;
        let mut expected = self.reference(frame, before, before).ok_or(SILENT)?;
        let earliest = bits(&expected, field::RECEIVE);
        let latest = NtpTimestamp::floor(self.snapshot.served(after)).to_bits();
        let order =
            [earliest, bits(payload, field::RECEIVE), bits(payload, field::TRANSMIT), latest];
        if order.windows(2).any(|pair| (pair[1].wrapping_sub(pair[0]) as i64) < 0) {
            return Err(format!("stamps out of order: {order:x?}"));
        }
        expected[field::RECEIVE..].copy_from_slice(&payload[field::RECEIVE..]);
        if payload[..field::REFERENCE_ID] != expected[..field::REFERENCE_ID] {
            // The bound may have grown by its last bit meanwhile.
            let later = self.reference(frame, after, after).ok_or(SILENT)?;
            expected[..field::REFERENCE_ID].copy_from_slice(&later[..field::REFERENCE_ID]);
        }
        is_frame(sent, &frame.reply(&expected).bytes())
    }

    /// Whether a request is one that is answered in the driver.
    pub(crate) fn is_served(&self, frame: &Frame) -> bool {
        let vlan = frame.tag.map(|tag| tag & 0xFFF);
        let (station, address) = (frame.destination, frame.to);
        let ours = endpoints().contains(&Endpoint { station, vlan, address });
        let version = frame.payload.first().map_or(0, |first| first >> 3 & 7);
        let is_client = frame.payload.first().is_some_and(|first| first & 7 == 3);
        let is_host = match frame.from.ip() {
            IpAddr::V4(ip) => !ip.is_loopback(),
            IpAddr::V6(ip) => ip.octets()[..8] != [0; 8],
        };
        let plain = frame.payload.len() == HEADER_LEN && is_client && matches!(version, 3 | 4);
        // Of the rest the responder's gate is the judge.
        let at = self.snapshot.epoch;
        ours && plain
            && is_host
            && frame.source[0] & 1 == 0
            && self.reference(frame, at, at).is_some()
    }

    /// The kernel time between `from` and `to` at which the responder would have written the stamp that is
    /// at `field`.
    ///
    /// Served time runs at one nanosecond in a nanosecond but for a few parts in ten thousand.
    fn instant(
        &self,
        payload: &[u8],
        at: usize,
        from: Timestamp<Realtime>,
        to: Timestamp<Realtime>,
        reply_at: impl Fn(Timestamp<Realtime>) -> Option<[u8; HEADER_LEN]>,
    ) -> Result<Timestamp<Realtime>, String> {
        let bits = |payload: &[u8]| bits(payload, at);
        let wanted = NtpTimestamp::from_bits(bits(payload));
        let (mut low, mut high) = (from.nanos(), to.nanos());
        while low < high {
            let middle = low + (high - low) / 2;
            let reply = reply_at(Timestamp::from_nanos(middle)).ok_or(SILENT)?;
            let reached = NtpTimestamp::from_bits(bits(&reply));
            if (reached.to_bits().wrapping_sub(wanted.to_bits()) as i64) < 0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let reply = reply_at(Timestamp::from_nanos(low)).ok_or(SILENT)?;
        if bits(&reply) == bits(payload) {
            return Ok(Timestamp::from_nanos(low));
        }
        Err(format!("stamp {wanted:?} at {at} lies not between {from:?} and {to:?}"))
    }

    /// What a worker answers to what is in `frame`, if it arrives and leaves then.
    pub(crate) fn reference(
        &self,
        frame: &Frame,
        arrival: Timestamp<Realtime>,
        departure: Timestamp<Realtime>,
    ) -> Option<[u8; HEADER_LEN]> {
        let settled = self.snapshot.settled(arrival);
        let mut bytes = frame.payload.clone();
        let mut datagram = Datagram {
            source: frame.from,
            received: Some(arrival),
            bytes: &mut bytes,
            truncated: false,
        };
        let announcement = Announcement::at(&settled, arrival);
        let (policy, mut limiter) = (Policy::default(), Limiter::default());
        let judged = answer(
            &announcement,
            &settled,
            &policy,
            &mut limiter,
            Caller::default(),
            arrival,
            &mut datagram,
        );
        let Judged::Reply { len: HEADER_LEN, .. } = judged else { return None };
        stamp(&settled, &policy, departure, &mut bytes);
        bytes.as_slice().try_into().ok()
    }
}

fn payload_of(sent: &[u8]) -> Result<&[u8], String> {
    let start = sent.len().checked_sub(HEADER_LEN).ok_or("a short answer")?;
    Ok(&sent[start..])
}

fn bits(payload: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(payload[at..at + 8].try_into().expect("eight octets"))
}

fn is_frame(sent: &[u8], expected: &[u8]) -> Result<(), String> {
    let same = sent == expected;
    if same { Ok(()) } else { Err(format!("sent\n{sent:02x?}, expected\n{expected:02x?}")) }
}

const SILENT: &str = "the responder is silent";

/// One endpoint of each shape.
pub(crate) fn endpoints() -> [Endpoint; 4] {
    let at = |address: &str, vlan| Endpoint { station: STATION, vlan, address: socket(address) };
    [
        at("192.0.2.1:123", None),
        at("[2001:db8::1]:123", None),
        at("198.51.100.1:1123", Some(77)),
        at("[2001:db8:77::1]:123", Some(4094)),
    ]
}

pub(crate) fn socket(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

/// A client's address of the family of `endpoint`.
pub(crate) fn client_of(endpoint: &Endpoint) -> SocketAddr {
    socket(if endpoint.address.is_ipv4() { "203.0.113.9:54321" } else { "[2001:db8:9::9]:54321" })
}

pub(crate) fn synchronised(now: Timestamp<Realtime>) -> Snapshot {
    Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(2),
        precision: -24,
        root_delay: NtpShort::from_bits(0x1234),
        reference_id: ReferenceId::from_octets([192, 0, 2, 199]),
        reference_time: NtpTimestamp::floor(now - Interval::from_secs(3)),
        root_dispersion: Interval::from_micros(777),
        dispersion_rate: Rate::from_ppb(15_000),
        epoch: now - Interval::from_millis(400),
        offset: Interval::from_micros(-123_456),
        rate: Rate::from_ppb(-42_424),
        valid_until: now + Interval::from_secs(3_600),
        leap_second: None,
    }
}

/// A plain request; `salt` makes each one different.
pub(crate) fn request(version: u8, poll: i8, salt: u64) -> Vec<u8> {
    let mut octets = vec![0; HEADER_LEN];
    octets[0] = 0xC0 | version << 3 | 3;
    octets[2] = poll as u8;
    for (n, word) in octets[4..].chunks_mut(4).enumerate() {
        let mixed = (salt ^ n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        word.copy_from_slice(&(mixed as u32).to_be_bytes());
    }
    octets
}
