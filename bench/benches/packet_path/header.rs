//! What parsing a request costs.
//!
//! Must never: measure octets that the optimiser knows.

use std::hint::black_box;

use criterion::Criterion;
use timeball_wire::Header;

use crate::fixture::{NONCE, request};

pub(crate) fn parse(criterion: &mut Criterion) {
    let octets = request();
    criterion.bench_function("header parse", |bencher| {
        bencher.iter(|| {
            let header = black_box(Header::parse(black_box(&octets))).expect("48 octets");
            assert_eq!(header.transmit.to_bits(), NONCE);
        });
    });
}
