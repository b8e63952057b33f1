//! What the packet path costs outside the kernel: parsing, answering, reading the snapshot.
//!
//! Every measurement asserts its answer, so that nothing is measured that was optimised away or
//! wrong.
//!
//! Must never: be read as what serving costs; the kernel's share is twenty times as much (see the
//! `timeball-bench` program).

mod fixture;

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fixture::{FullBatches, NONCE, NOW, client, datagram, limiting, request, snapshot};
use hdrhistogram::Histogram;
use timeball_responder::{
    Announcement, Census, Clerk, HashKey, LimitMode, Limiter, Policy, Verdict, Worker, answer,
    policy_exchange, stamp,
};
use timeball_time::{Interval, Publisher};
use timeball_wire::{
    Algorithm, BATCH_MAX, Datagram, HEADER_LEN, Header, Key, KeyId, Keys, Mode, Trusted, Wait,
};

criterion_group!(
    benches,
    parse,
    reply,
    reply_signed,
    snapshot_idle,
    snapshot_under_a_writer,
    clients_noted,
    histogram,
    worker_turn,
    limits
);
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
    let (policy, mut limiter) = (Policy::default(), Limiter::default());
    criterion.bench_function("answer one request", |bencher| {
        bencher.iter_batched_ref(
            request,
            |bytes| {
                let mut datagram = datagram(bytes);
                let verdict =
                    answer(&announcement, &snapshot, &policy, &mut limiter, NOW, &mut datagram);
                assert!(matches!(verdict, Verdict::Reply { len: HEADER_LEN, .. }));
                stamp(&snapshot, &policy, NOW, datagram.bytes);
            },
            BatchSize::SmallInput,
        );
    });
    let mut bytes = request();
    let mut datagram = datagram(&mut bytes);
    answer(&announcement, &snapshot, &policy, &mut limiter, NOW, &mut datagram);
    stamp(&snapshot, &policy, NOW, &mut bytes);
    let header = Header::parse(&bytes).expect("a reply");
    assert_eq!((header.flags.mode, header.origin.to_bits()), (Mode::Server, NONCE));
    assert!(header.transmit.since(header.receive) >= Interval::ZERO);
}

/// What a signed exchange costs beside a bare one: the code verified, and another made.
fn reply_signed(criterion: &mut Criterion) {
    let snapshot = snapshot(0);
    let (announcement, mut limiter) = (Announcement::at(&snapshot, NOW), Limiter::default());
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
                    let verdict =
                        answer(&announcement, &snapshot, &policy, &mut limiter, NOW, &mut datagram);
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

/// One datagram of a full batch, of a crowd.
fn clients_noted(criterion: &mut Criterion) {
    let mut clerk = Clerk::new(Arc::new(Census::new(HashKey([1, 2]))));
    let mut number = 0;
    criterion.bench_function("note a client", |bencher| {
        bencher.iter(|| {
            if number % BATCH_MAX == 0 {
                clerk.begin(NOW, BATCH_MAX);
            }
            clerk.note(black_box(client(number)).ip(), true);
            number += 1;
        });
    });
}

/// What the load generator does for each reply.
fn histogram(criterion: &mut Criterion) {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("sound");
    let mut count = 0;
    criterion.bench_function("record in a histogram", |bencher| {
        bencher.iter(|| {
            count += 1;
            histogram.saturating_record(black_box(20_000 + count % 100_000));
        });
    });
    assert_eq!(histogram.len(), count);
}

/// Everything a worker does for a full batch, without the kernel.
fn worker_turn(criterion: &mut Criterion) {
    let publisher = Publisher::new(snapshot(0));
    let (_sender, policy) = policy_exchange(Arc::default());
    let clerk = Clerk::new(Arc::new(Census::new(HashKey([1, 2]))));
    let worker = Worker::new(FullBatches::new(), publisher.reader(), policy, Arc::default());
    let mut worker = worker.with_clerk(clerk);
    let mut group = criterion.benchmark_group("a worker's turn");
    group.throughput(Throughput::Elements(BATCH_MAX as u64));
    group.bench_function("64 requests", |bencher| {
        bencher.iter(|| assert_eq!(worker.turn(Wait::Poll), Ok(BATCH_MAX)));
    });
    group.finish();
}

/// What limits cost: a request answered without them, from a client that was just heard (hot), and from one
/// of a million in an order that no cache knows (cold). The limiter is the difference.
fn limits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer one request, with limits");
    for (name, mode, clients) in [
        ("off", LimitMode::Off, 1),
        ("hot", LimitMode::Observe, 1),
        ("cold, 1 000 000 clients", LimitMode::Observe, 1_000_000),
    ] {
        let policy = limiting(mode);
        let mut limiter = Limiter::new(&policy.limits);
        let snapshot = snapshot(0);
        let announcement = Announcement::at(&snapshot, NOW);
        let mut number = 0_u32;
        let mut ask = || {
            number = number.wrapping_add(1) % clients;
            // An odd factor visits every address once, in no order that a cache could learn.
            let address =
                Ipv4Addr::from_bits(0x0100_0000 + number.wrapping_mul(0x9E37_79B1) % 0xD000_0000);
            let mut bytes = request();
            let source = SocketAddr::new(address.into(), 40_000);
            let mut datagram = Datagram { source, ..datagram(&mut bytes) };
            answer(&announcement, &snapshot, &policy, &mut limiter, NOW, &mut datagram)
        };
        // Everybody has been heard before.
        assert!((0..clients).all(|_| matches!(ask(), Verdict::Reply { .. })));
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(matches!(ask(), Verdict::Reply { .. })));
        });
    }
    group.finish();
}
