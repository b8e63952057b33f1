//! A server at the other end of the `veth`, which reads and writes whole frames and answers as it is told.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};
use timeball_sys::realtime;
use timeball_time::{Interval, NtpTimestamp, Realtime, Timestamp};

use crate::frame::{CLIENT, Frame, mend};

pub(crate) const SERVER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0E];

/// The server.
pub(crate) struct Stub(Socket);

/// A reply, right or wrong.
pub(crate) struct Case {
    fault: Option<usize>,
    is_valid: bool,
    families: Families,
    spoil: fn(&Stub, Frame),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Families {
    Both,
    /// In IPv6 there is no such thing.
    V4,
}

impl Case {
    const fn valid(spoil: fn(&Stub, Frame)) -> Self {
        Self { fault: None, is_valid: true, families: Families::Both, spoil }
    }

    const fn wrong(fault: usize, spoil: fn(&Stub, Frame)) -> Self {
        Self { fault: Some(fault), is_valid: false, families: Families::Both, spoil }
    }

    /// The reason it is counted by.
    pub(crate) const fn fault(&self) -> Option<usize> {
        self.fault
    }

    /// Whether its request is answered rightly.
    pub(crate) const fn is_valid(&self) -> bool {
        self.is_valid
    }

    /// Whether there is such a fault in the target's family; if not, the reply is right.
    pub(crate) fn is_for(&self, target: &str) -> bool {
        self.families == Families::Both || !target.starts_with('[')
    }
}

impl Stub {
    /// At the device of this number.
    pub(crate) fn at(interface: u32) -> Self {
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None).expect("root may");
        // JUSTIFICATION: socket2 makes no link-layer addresses.
        // SAFETY: all zero is a valid sockaddr_ll: integers alone.
        let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = interface as i32;
        let len = size_of::<libc::sockaddr_ll>() as u32;
        let pointer = (&raw const address).cast();
        // JUSTIFICATION: as above.
        // SAFETY: `address` lives through the call and is `len` bytes long.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), pointer, len) };
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        // A frame made in the kernel takes a page, and a socket holds some forty of these if not told.
        let (len, bytes) = (size_of::<i32>() as u32, 8 << 20);
        let (level, name) = (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE);
        let value: *const i32 = &raw const bytes;
        // JUSTIFICATION: socket2 respects the limit that is forced here.
        // SAFETY: `value` points to an integer that lives through the call.
        let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.cast(), len) };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
        Self(socket)
    }

    /// The next request that has arrived; what the kernel itself sends is left out.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        let bytes = self.receive_any()?;
        Some(Frame::read(&bytes).expect("a plain request, right in lengths and checksums"))
    }

    /// The next frame from the generator for port 123, by IPv4 or IPv6 at first sight.
    pub(crate) fn receive_any(&mut self) -> Option<Vec<u8>> {
        let mut bytes = [0; 2_048];
        loop {
            let len = self.0.read(&mut bytes).ok()?;
            let bytes = &bytes[..len];
            let port_at = if bytes[12..14] == [0x08, 0] { 36 } else { 56 };
            if bytes[6..12] == CLIENT && bytes.get(port_at..port_at + 2) == Some(&[0, 123]) {
                return Some(bytes.to_vec());
            }
        }
    }

    /// Answers `request` as `case` has it.
    pub(crate) fn answer(&self, request: &Frame, case: &Case) {
        let mut payload = [0; 48];
        payload[0] = 0x24;
        payload[1] = 2;
        payload[24..32].copy_from_slice(&request.payload[40..]);
        let now = realtime();
        set_time(&mut payload, RECEIVE, now);
        set_time(&mut payload, TRANSMIT, now);
        let reply = request.reply(&payload);
        let is_for = case.families == Families::Both || request.to.is_ipv4();
        if is_for { (case.spoil)(self, reply) } else { self.send(&reply.bytes()) }
    }

    /// Sends a datagram of 48 octets from the server to somebody.
    pub(crate) fn send_to(&mut self, to: SocketAddr) {
        let request = Frame {
            destination: CLIENT,
            source: SERVER,
            tag: None,
            from: "203.0.113.77:123".parse().expect("an address"),
            to,
            service: 0,
            id: 0,
            dont_fragment: true,
            hops: 64,
            flow: 0,
            payload: vec![0; 48],
        };
        self.send(&request.bytes());
    }

    fn send(&self, bytes: &[u8]) {
        (&self.0).write_all(bytes).expect("a frame leaves");
    }
}

fn set_time(payload: &mut [u8], at: usize, time: Timestamp<Realtime>) {
    payload[at..at + 8].copy_from_slice(&NtpTimestamp::floor(time).to_bits().to_be_bytes());
}

/// Sends `reply` with octet `at` of its payload changed.
fn send_with(stub: &Stub, mut reply: Frame, at: usize, octets: &[u8]) {
    reply.payload[at..at + octets.len()].copy_from_slice(octets);
    stub.send(&reply.bytes());
}

fn send_with_time(stub: &Stub, mut reply: Frame, at: usize, off: Interval) {
    set_time(&mut reply.payload, at, realtime() + off);
    stub.send(&reply.bytes());
}

/// Sends `reply` with octet `back` from its end, or `at` from its start, flipped after all sums were made.
fn send_flipped(stub: &Stub, reply: &Frame, at: usize) {
    let mut bytes = reply.bytes();
    bytes[at] ^= 0x10;
    stub.send(&bytes);
}

const RECEIVE: usize = 32;
const TRANSMIT: usize = 40;
const HOUR: Interval = Interval::from_secs(3_600);

/// In the order of the reasons that the programs count by.
const STRAY: usize = 0;
const LONG: usize = 1;
const SHORT: usize = 2;
const MODE: usize = 4;
const VERSION: usize = 5;
const REFUSED: usize = 6;
const LEAP: usize = 7;
const STRATUM: usize = 8;
const ZERO_TIME: usize = 9;
const ORIGIN: usize = 10;
const DUPLICATE: usize = 11;
pub(crate) const RECEIVED_BEFORE_SENT: usize = 13;
const TRANSMITTED_BEFORE_RECEIVED: usize = 14;
const ARRIVED_BEFORE_TRANSMITTED: usize = 15;
const DAMAGED: usize = 16;

/// Every way to answer.
pub(crate) const CASES: &[Case] = &[
    Case::valid(|stub, reply| stub.send(&reply.bytes())),
    Case::wrong(STRAY, |stub, mut reply| {
        reply.from.set_port(124);
        stub.send(&reply.bytes());
    }),
    Case::wrong(STRAY, |stub, mut reply| {
        reply.from.set_ip(match reply.from.ip() {
            IpAddr::V4(_) => "192.0.2.9".parse().expect("an address"),
            IpAddr::V6(_) => "2001:db8::9".parse().expect("an address"),
        });
        stub.send(&reply.bytes());
    }),
    Case::wrong(LONG, |stub, mut reply| {
        reply.payload.push(0);
        stub.send(&reply.bytes());
    }),
    Case::wrong(SHORT, |stub, mut reply| {
        reply.payload.pop();
        stub.send(&reply.bytes());
    }),
    Case::wrong(MODE, |stub, reply| send_with(stub, reply, 0, &[0x23])),
    Case::wrong(VERSION, |stub, reply| send_with(stub, reply, 0, &[0x1C])),
    Case::wrong(REFUSED, |stub, mut reply| {
        reply.payload[1] = 0;
        send_with(stub, reply, 12, b"RATE");
    }),
    Case::wrong(LEAP, |stub, reply| send_with(stub, reply, 0, &[0xE4])),
    Case::wrong(STRATUM, |stub, reply| send_with(stub, reply, 1, &[0])),
    Case::wrong(STRATUM, |stub, reply| send_with(stub, reply, 1, &[16])),
    Case::wrong(ZERO_TIME, |stub, reply| send_with(stub, reply, RECEIVE, &[0; 8])),
    Case::wrong(ZERO_TIME, |stub, reply| send_with(stub, reply, TRANSMIT, &[0; 8])),
    // Each octet of the nonce counts: one of the number, one of the proof.
    Case::wrong(ORIGIN, |stub, reply| {
        let octet = reply.payload[24] ^ 1;
        send_with(stub, reply, 24, &[octet]);
    }),
    Case::wrong(ORIGIN, |stub, reply| {
        let octet = reply.payload[31] ^ 1;
        send_with(stub, reply, 31, &[octet]);
    }),
    // Another client's.
    Case::wrong(ORIGIN, |stub, mut reply| {
        let port = if reply.to.port() == 40_000 { 40_001 } else { 40_000 };
        reply.to.set_port(port);
        stub.send(&reply.bytes());
    }),
    Case {
        fault: Some(DUPLICATE),
        is_valid: true,
        families: Families::Both,
        spoil: |stub, reply| {
            stub.send(&reply.bytes());
            stub.send(&reply.bytes());
        },
    },
    Case::wrong(RECEIVED_BEFORE_SENT, |stub, reply| {
        send_with_time(stub, reply, RECEIVE, Interval::ZERO - HOUR);
    }),
    Case::wrong(TRANSMITTED_BEFORE_RECEIVED, |stub, mut reply| {
        set_time(&mut reply.payload, RECEIVE, realtime() + HOUR);
        stub.send(&reply.bytes());
    }),
    Case::wrong(ARRIVED_BEFORE_TRANSMITTED, |stub, reply| {
        send_with_time(stub, reply, TRANSMIT, HOUR);
    }),
    // The last octet of all, whatever comes before it.
    Case::wrong(DAMAGED, |stub, reply| {
        let last = reply.bytes().len() - 1;
        send_flipped(stub, &reply, last);
    }),
    // A length that goes beyond the packet.
    Case::wrong(DAMAGED, |stub, reply| {
        let mut bytes = reply.bytes();
        let at = bytes.len() - 48 - 4;
        bytes[at] = 0x7F;
        stub.send(&bytes);
    }),
    // The IPv4 header's own sum.
    Case {
        fault: Some(DAMAGED),
        is_valid: false,
        families: Families::V4,
        spoil: |stub, reply| send_flipped(stub, &reply, 22),
    },
    // No sum at all is allowed by IPv4 alone.
    Case {
        fault: None,
        is_valid: true,
        families: Families::V4,
        spoil: |stub, reply| {
            let mut bytes = reply.bytes();
            let at = bytes.len() - 48 - 2;
            bytes[at..at + 2].fill(0);
            stub.send(&bytes);
        },
    },
    // What a server's kernel leaves to a card, with the envelope's sum alone in its place.
    Case::valid(|stub, reply| {
        let mut bytes = reply.bytes();
        let payload = bytes.len() - 48;
        let mut envelope = bytes.clone();
        envelope[payload..].fill(0);
        let ports = payload - 8..payload - 4;
        envelope[ports].fill(0);
        envelope[payload - 4..payload - 2].fill(0);
        mend(&mut envelope);
        let half = u16::from_be_bytes([envelope[payload - 2], envelope[payload - 1]]);
        let len = 56u32;
        // The length is in the pseudo-header, but was taken out of the datagram's own.
        let sum = u32::from(!half) + len;
        let sum = ((sum & 0xFFFF) + (sum >> 16)) as u16;
        bytes[payload - 2..payload].copy_from_slice(&sum.to_be_bytes());
        stub.send(&bytes);
    }),
];
