//! Any datagram from anyone: the answer is no longer than the question, carries its origin, is in order,
//! is signed if and only if the question was, and provokes no answer itself.
//!
//! Input: 2 octets source port, 4 octets source address, 1 octet of circumstances, then the datagram, which
//! is signed first if the circumstances say so: no fuzzer guesses a code.
#![no_main]

use std::net::SocketAddr;
use std::num::NonZeroU32;

use libfuzzer_sys::fuzz_target;
use timeball_responder::{
    Access, AccessRule, Announcement, HashKey, LimitMode, LimitSettings, Limiter, Limits, Network, Policy,
    Restrictions, Verdict, answer, stamp,
};
use timeball_time::{Interval, Leap, Realtime, Snapshot, Stratum, Timestamp};
use timeball_wire::{Algorithm, Datagram, HEADER_LEN, Header, Key, KeyId, Keys, Trusted};

const NOW: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_123_456_789);

fuzz_target!(|input: &[u8]| {
    let Some((&[p0, p1, a, b, c, d, circumstances], datagram)) = input.split_first_chunk() else {
        return;
    };
    let source = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([p0, p1])));
    let snapshot = snapshot(circumstances);
    let policy = policy();
    let datagram = &signed(&policy, circumstances, datagram);
    let mut limiter = Limiter::new(&policy.limits);
    let Some(reply) = ask(&snapshot, &policy, &mut limiter, source, circumstances, datagram) else { return };
    assert!(reply.len() <= datagram.len());
    let (asked, told) = (Header::parse(datagram).unwrap(), Header::parse(&reply).unwrap());
    assert_eq!(told.origin, asked.transmit);
    assert_eq!(told.flags.version, asked.flags.version);
    assert!(told.transmit.since(told.receive) >= Interval::ZERO);
    assert!((told.root_delay.to_bits() | told.root_dispersion.to_bits()) < 0x8000_0000);
    assert_eq!(ask(&snapshot, &policy, &mut limiter, source, circumstances, &reply), None);
    check_code(&policy, &reply);
    // Whoever asks too often gets nothing, an answer or a kiss, and none of them longer than its question.
    for _ in 0..4 {
        let again = ask(&snapshot, &policy, &mut limiter, source, circumstances, datagram);
        assert!(again.is_none_or(|reply| reply.len() <= datagram.len()));
    }
});

fn ask(
    snapshot: &Snapshot,
    policy: &Policy,
    limiter: &mut Limiter,
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
    let caller = limiter.caller(source.ip());
    let verdict = answer(&announcement, snapshot, policy, limiter, caller, NOW, &mut asked);
    let Verdict::Reply { len, .. } = verdict else { return None };
    assert!(len >= HEADER_LEN);
    memory.truncate(len);
    let departure = if circumstances & 8 == 0 { 3 } else { -3_000_000 };
    stamp(snapshot, policy, NOW + Interval::from_micros(departure), &mut memory);
    Some(memory)
}

/// Key 1 of each kind of length: 20 octets of code, 24, and more before version 4.
fn policy() -> Policy {
    let kinds = [Algorithm::Aes128Cmac, Algorithm::Sha1, Algorithm::Sha512];
    let key = |(id, kind)| Key::new(KeyId(id), kind, &[7; 16]).unwrap();
    let keys = (1..).zip(kinds).map(key).map(|key| Trusted { key, peers: Vec::new() });
    let limits = LimitSettings {
        mode: LimitMode::On,
        interval: Interval::from_secs(1),
        burst: NonZeroU32::MIN,
        leak: NonZeroU32::MIN.saturating_add(1),
        clients: 8,
    };
    // Half of the address space is limited, half of that half is told so.
    let rule = |first, length, restrictions| AccessRule {
        network: Network::new([first, 0, 0, 0].into(), length).unwrap(),
        from_ntp_port: false,
        restrictions,
    };
    let kissed = Restrictions::LIMITED | Restrictions::KISSED;
    let rules = [rule(0, 1, Restrictions::LIMITED), rule(64, 2, kissed)];
    Policy {
        access: Access::new(&rules),
        keys: Keys::new(keys.collect()),
        limits: Limits::new(&limits, HashKey([1, 2])),
        ..Policy::default()
    }
}

fn signed(policy: &Policy, circumstances: u8, datagram: &[u8]) -> Vec<u8> {
    let mut bytes = datagram.to_vec();
    if let Some(key) = policy.keys.by_id(KeyId(u32::from(circumstances >> 6))) {
        bytes.resize(bytes.len() + key.code_len(), 0);
        key.sign(&mut bytes, key.code_len());
    }
    bytes
}

/// What follows the header of a reply is a crypto-NAK or a good code.
fn check_code(policy: &Policy, reply: &[u8]) {
    let (message, code) = reply.split_at(HEADER_LEN);
    if code.is_empty() || code == [0; 4] {
        return;
    }
    let key = KeyId::of_code(code).and_then(|id| policy.keys.by_id(id)).unwrap();
    let version = Header::parse(reply).unwrap().flags.version;
    assert!(key.verifies(version, message, code));
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
