//! Ten million datagrams from anybody: never more out than in, never two for one, and nothing for our own
//! answers: no reflection, no amplification, no loop (CVE-2013-5211, CVE-2009-3563).

use std::net::SocketAddr;

use timeball_responder::{Announcement, Caller, Limiter, Policy, Verdict, answer, stamp};
use timeball_time::{Interval, Leap, Realtime, Snapshot, Stratum, Timestamp};
use timeball_wire::{Algorithm, Datagram, Key, KeyId, Keys, Trusted};

const NOW: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_123_456_789);

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Makes a datagram of `memory` and returns its length and source: any first octet, the lengths at which
/// something is decided oftener than others, ports of reflectors oftener than others.
fn datagram(random: &mut Random, memory: &mut [u8]) -> (usize, SocketAddr) {
    const LENGTHS: [usize; 16] = [0, 1, 12, 47, 48, 49, 52, 56, 60, 64, 68, 72, 76, 112, 468, 1984];
    const PORTS: [u16; 8] = [0, 7, 13, 17, 19, 123, 124, 65_535];
    let draw = random.next();
    let len =
        if draw & 1 == 0 { LENGTHS[(draw >> 1) as usize % 16] } else { (draw >> 1) as usize % 600 };
    let filling = random.next();
    for (index, octet) in memory[..len].iter_mut().enumerate() {
        *octet = (filling >> (index % 8 * 8)) as u8;
    }
    if len > 0 {
        let any = (draw >> 16) as u8;
        memory[0] =
            if draw >> 60 & 1 == 0 { any } else { [0x23, 0xe3, 0x1b, 0x11][usize::from(any % 4)] };
    }
    if len > 52 && draw >> 24 & 3 == 0 {
        // An extension field that fits exactly, so that what follows it is looked at too.
        let field = (len - 48) as u16;
        memory[50..52].copy_from_slice(&field.to_be_bytes());
    }
    let port =
        if draw >> 26 & 1 == 0 { PORTS[(draw >> 27) as usize % 8] } else { (draw >> 40) as u16 };
    let address = (random.next() as u32).to_be_bytes();
    (len, (address, port).into())
}

#[test]
fn ten_million_datagrams_get_no_more_than_they_brought() {
    let snapshot = Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(2),
        ..Snapshot::unsynchronised(NOW, -24)
    };
    let key = Key::new(KeyId(1), Algorithm::Aes128Cmac, &[7; 16]).unwrap();
    let keys = Keys::new(vec![Trusted { key, peers: Vec::new() }]);
    let policy = Policy { keys, ..Policy::default() };
    let announcement = Announcement::at(&snapshot, NOW);
    let mut limiter = Limiter::default();
    let mut ask = |memory: &mut [u8], source| {
        let received = Some(NOW - Interval::from_micros(40));
        let mut datagram = Datagram { source, received, bytes: memory, truncated: false };
        let caller = Caller::default();
        match answer(&announcement, &snapshot, &policy, &mut limiter, caller, NOW, &mut datagram) {
            Verdict::Reply { len, .. } => Some(len),
            Verdict::Drop(_) => None,
        }
    };
    let (mut random, mut memory) = (Random(2013_5211), [0; 1984]);
    let (mut replies, mut octets_in, mut octets_out) = (0u64, 0u64, 0u64);
    for _ in 0..DATAGRAMS {
        let (len, source) = datagram(&mut random, &mut memory);
        octets_in += len as u64;
        let Some(reply_len) = ask(&mut memory[..len], source) else { continue };
        assert!(reply_len <= len, "{reply_len} octets for {len}");
        let reply = &mut memory[..reply_len];
        stamp(&snapshot, &policy, NOW + Interval::from_micros(5), reply);
        assert_eq!(ask(reply, source), None, "an answer was answered");
        (replies, octets_out) = (replies + 1, octets_out + reply_len as u64);
    }
    println!("{DATAGRAMS} datagrams of {octets_in} octets: {replies} replies of {octets_out}");
    assert!(replies > DATAGRAMS / 50, "many must be requests: {replies}");
    assert!(octets_out < octets_in);
}

const DATAGRAMS: u64 = 10_000_000;
