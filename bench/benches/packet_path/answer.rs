//! What a request costs from its parse to its stamp, bare and signed.
//!
//! Must never: leave out the check that the answer is one.

use criterion::{BatchSize, Criterion};
use timeball_responder::{Announcement, Caller, Limiter, Policy, Verdict, answer, stamp};
use timeball_time::{Interval, Snapshot};
use timeball_wire::{Algorithm, HEADER_LEN, Header, Key, KeyId, Keys, Mode, Trusted};

use crate::fixture::{NONCE, NOW, datagram, request, snapshot};

/// Answers the request in `bytes`, and stamps the answer.
#[inline(always)]
fn exchange(
    announcement: &Announcement,
    snapshot: &Snapshot,
    policy: &Policy,
    limiter: &mut Limiter,
    bytes: &mut [u8],
) -> Verdict {
    let mut datagram = datagram(bytes);
    let caller = Caller::default();
    let verdict = answer(announcement, snapshot, policy, limiter, caller, NOW, &mut datagram);
    stamp(snapshot, policy, NOW, datagram.bytes);
    verdict
}

pub(crate) fn bare(criterion: &mut Criterion) {
    let snapshot = snapshot(0);
    let announcement = Announcement::at(&snapshot, NOW);
    let (policy, mut limiter) = (Policy::default(), Limiter::default());
    criterion.bench_function("answer one request", |bencher| {
        bencher.iter_batched_ref(
            request,
            |bytes| {
                let verdict = exchange(&announcement, &snapshot, &policy, &mut limiter, bytes);
                assert!(matches!(verdict, Verdict::Reply { len: HEADER_LEN, .. }));
            },
            BatchSize::SmallInput,
        );
    });
    let mut bytes = request();
    exchange(&announcement, &snapshot, &policy, &mut limiter, &mut bytes);
    let header = Header::parse(&bytes).expect("a reply");
    assert_eq!((header.flags.mode, header.origin.to_bits()), (Mode::Server, NONCE));
    assert!(header.transmit.since(header.receive) >= Interval::ZERO);
}

/// What a signed exchange costs beside a bare one: the code verified, and another made.
pub(crate) fn signed(criterion: &mut Criterion) {
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
                    let verdict = exchange(&announcement, &snapshot, &policy, &mut limiter, bytes);
                    assert!(matches!(verdict, Verdict::Reply { answered, .. } if answered.signed));
                },
                BatchSize::SmallInput,
            );
        });
    }
}
