//! What message authentication codes cost by themselves, for each algorithm: making one, verifying one.
//!
//! Must never: verify a code that does not belong to the octets.

use std::hint::black_box;

use criterion::Criterion;
use timeball_wire::{Algorithm, HEADER_LEN, Key, KeyId};

use crate::fixture::request;

pub(crate) fn codes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("code of 48 octets");
    for (name, algorithm) in Algorithm::NAMES {
        let secret = &[7; 32][..algorithm.secret_len().unwrap_or(20)];
        let key = Key::new(KeyId(1), algorithm, secret).expect("the right length");
        let mut signed = request().to_vec();
        signed.resize(HEADER_LEN + key.code_len(), 0);
        key.sign(&mut signed, key.code_len());
        let right = signed.clone();
        group.bench_function(format!("{name}, made"), |bencher| {
            bencher.iter(|| {
                signed[HEADER_LEN..].fill(0);
                key.sign(black_box(&mut signed), key.code_len());
                assert_eq!(signed, right);
            });
        });
        let (message, code) = right.split_at(HEADER_LEN);
        group.bench_function(format!("{name}, verified"), |bencher| {
            bencher.iter(|| assert!(key.verifies(4, black_box(message), code)));
        });
    }
    group.finish();
}
