//! What the packet path costs outside the kernel: parsing, answering, reading the snapshot.
//!
//! Every measurement asserts its answer, so that nothing is measured that was optimised away or
//! wrong.
//!
//! Must never: be read as what serving costs; the kernel's share is twenty times as much (see the
//! `timeball-bench` program).

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use timeball_responder::{Announcement, Policy, Verdict, answer, stamp};
use timeball_time::{
    Interval, Leap, NtpShort, NtpTimestamp, Publisher, Rate, Realtime, ReferenceId, Snapshot,
    Stratum, Timestamp,
};
use timeball_wire::{
    Algorithm, Datagram, Flags, HEADER_LEN, Header, Key, KeyId, Keys, Mode, Trusted,
};

criterion_group!(benches, parse, reply, reply_signed, snapshot_idle, snapshot_under_a_writer);
criterion_main!(benches);

fn parse(criterion: &mut Criterion) {
    let octets = request();
    criterion.bench_function("header parse", |bencher| {
        bencher.iter(|| {
            let header = black_box(Header::parse(black_box(&octets))).expect("48 octets");
            assert_eq!(header.transmit.to_bits(), NONCE);
        });
    });
}

fn reply(criterion: &mut Criterion) {
    let snapshot = snapshot(0);
    let announcement = Announcement::at(&snapshot, NOW);
    let policy = Policy::default();
    criterion.bench_function("answer one request", |bencher| {
        bencher.iter_batched_ref(
            request,
            |bytes| {
                let mut datagram = datagram(bytes);
                let verdict = answer(&announcement, &snapshot, &policy, NOW, &mut datagram);
                assert!(matches!(verdict, Verdict::Reply { len: HEADER_LEN, .. }));
                stamp(&snapshot, &policy, NOW, datagram.bytes);
            },
            BatchSize::SmallInput,
        );
    });
    let mut bytes = request();
    let mut datagram = datagram(&mut bytes);
    answer(&announcement, &snapshot, &policy, NOW, &mut datagram);
    stamp(&snapshot, &policy, NOW, &mut bytes);
    let header = Header::parse(&bytes).expect("a reply");
    assert_eq!((header.flags.mode, header.origin.to_bits()), (Mode::Server, NONCE));
    assert!(header.transmit.since(header.receive) >= Interval::ZERO);
}

/// What a signed exchange costs beside a bare one: the code verified, and another made.
fn reply_signed(criterion: &mut Criterion) {
    let snapshot = snapshot(0);
    let announcement = Announcement::at(&snapshot, NOW);
    for (name, algorithm) in Algorithm::NAMES {
        let secret = &[7; 32][..algorithm.secret_len().unwrap_or(20)];
        let key = Key::new(KeyId(1), algorithm, secret).expect("the right length");
        let trusted = Trusted { key: key.clone(), peers: Vec::new() };
        let policy = Policy { keys: Keys::new(vec![trusted]), ..Policy::default() };
        let mut asked = request().to_vec();
        asked.resize(HEADER_LEN + key.code_len(), 0);
        key.sign(&mut asked, key.code_len());
        criterion.bench_function(&format!("answer one request signed by {name}"), |bencher| {
            bencher.iter_batched_ref(
                || asked.clone(),
                |bytes| {
                    let mut datagram = datagram(bytes);
                    let verdict = answer(&announcement, &snapshot, &policy, NOW, &mut datagram);
                    assert!(matches!(verdict, Verdict::Reply { answered, .. } if answered.signed));
                    stamp(&snapshot, &policy, NOW, datagram.bytes);
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn snapshot_idle(criterion: &mut Criterion) {
    let publisher = Publisher::new(snapshot(7));
    let mut reader = publisher.reader();
    criterion.bench_function("snapshot refresh, idle", |bencher| {
        bencher.iter(|| assert_eq!(black_box(&mut reader).refresh().offset.nanos(), 7));
    });
}

/// A writer that never pauses: a million times as often as the discipline does.
fn snapshot_under_a_writer(criterion: &mut Criterion) {
    let mut publisher = Publisher::new(snapshot(0));
    let mut reader = publisher.reader();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                publisher.publish(snapshot(number));
            }
        });
        criterion.bench_function("snapshot refresh, under a writer", |bencher| {
            bencher.iter(|| {
                let view = black_box(&mut reader).refresh();
                // A torn view would have them differ.
                assert_eq!(view.offset.nanos() as u64, view.reference_time.to_bits());
            });
        });
        done.store(true, Ordering::Relaxed);
    });
}

/// `bytes` as they come from a client.
fn datagram(bytes: &mut [u8]) -> Datagram<'_> {
    Datagram {
        source: ([192, 0, 2, 1], 40_000).into(),
        received: Some(NOW - Interval::from_micros(20)),
        bytes: black_box(bytes),
        truncated: false,
    }
}

fn request() -> [u8; HEADER_LEN] {
    let mut header = Header::new(Flags { leap: Leap::None, version: 4, mode: Mode::Client });
    header.transmit = NtpTimestamp::from_bits(NONCE);
    header.encode()
}

/// A snapshot whose offset and reference time are both `number`.
fn snapshot(number: i64) -> Snapshot {
    Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(2),
        precision: -24,
        root_delay: NtpShort::from_bits(100),
        reference_id: ReferenceId::from_octets([192, 0, 2, 9]),
        reference_time: NtpTimestamp::from_bits(number as u64),
        root_dispersion: Interval::from_micros(100),
        dispersion_rate: Rate::from_ppb(15_000),
        epoch: NOW - Interval::from_millis(300),
        offset: Interval::from_nanos(number),
        rate: Rate::from_ppb(1_234),
        valid_until: NOW + Interval::from_secs(8),
        leap_second: None,
    }
}

const NOW: Timestamp<Realtime> = Timestamp::from_nanos(1_790_000_000_123_456_789);
const NONCE: u64 = 0x0123_4567_89AB_CDEF;
