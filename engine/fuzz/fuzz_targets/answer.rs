//! Any datagram from anyone: the answer is no longer than the question, carries its origin, is in order,
//! and provokes no answer itself.
//!
//! Input: 2 octets source port, 4 octets source address, 1 octet of circumstances, then the datagram.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use timeball_responder::{Announcement, Policy, Verdict, answer, stamp};
use timeball_time::{Interval, Leap, Realtime, Snapshot, Stratum, Timestamp};
use timeball_wire::{Datagram, HEADER_LEN, Header};

const NOW: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_123_456_789);

fuzz_target!(|input: &[u8]| {
    let Some((&[p0, p1, a, b, c, d, circumstances], datagram)) = input.split_first_chunk() else {
        return;
    };
    let source = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([p0, p1])));
    let snapshot = snapshot(circumstances);
    let Some(reply) = ask(&snapshot, source, circumstances, datagram) else { return };
    assert!(reply.len() <= datagram.len());
    let (asked, told) = (Header::parse(datagram).unwrap(), Header::parse(&reply).unwrap());
    assert_eq!(told.origin, asked.transmit);
    assert_eq!(told.flags.version, asked.flags.version);
    assert!(told.transmit.since(told.receive) >= Interval::ZERO);
    assert!((told.root_delay.to_bits() | told.root_dispersion.to_bits()) < 0x8000_0000);
    assert_eq!(ask(&snapshot, source, circumstances, &reply), None);
});

fn ask(
    snapshot: &Snapshot,
    source: SocketAddr,
    circumstances: u8,
    datagram: &[u8],
) -> Option<Vec<u8>> {
    let mut memory = datagram.to_vec();
    let received = match circumstances & 3 {
        0 => None,
        1 => Some(NOW - Interval::from_micros(20)),
        2 => Some(NOW + Interval::from_secs(20)),
        _ => Some(NOW - Interval::from_secs(20)),
    };
    let mut asked =
        Datagram { source, received, bytes: &mut memory, truncated: circumstances & 4 != 0 };
    let announcement = Announcement::at(snapshot, NOW);
    let verdict = answer(&announcement, snapshot, &Policy::default(), NOW, &mut asked);
    let Verdict::Reply { len, .. } = verdict else { return None };
    assert!(len >= HEADER_LEN);
    memory.truncate(len);
    let departure = if circumstances & 8 == 0 { 3 } else { -3_000_000 };
    stamp(snapshot, NOW + Interval::from_micros(departure), &mut memory);
    Some(memory)
}

fn snapshot(circumstances: u8) -> Snapshot {
    let fresh = Snapshot::unsynchronised(NOW, -24);
    match circumstances >> 4 & 3 {
        0 => fresh,
        1 => Snapshot { leap: Leap::Insert, stratum: Stratum::new(15), ..fresh },
        2 => Snapshot { valid_until: NOW - Interval::from_secs(1), ..fresh },
        _ => {
            Snapshot { leap: Leap::None, stratum: Stratum::new(1), offset: Interval::MAX, ..fresh }
        }
    }
}
