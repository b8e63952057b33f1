//! What it costs to note who asks.
//!
//! Must never: note one client only, who would stay in every cache.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use timeball_responder::{Caller, Census, Clerk};
use timeball_wire::BATCH_MAX;

use crate::fixture::{KEY, NOW, client};

/// One datagram of a full batch, of a crowd.
pub(crate) fn note(criterion: &mut Criterion) {
    let mut clerk = Clerk::new(Arc::new(Census::new(KEY)));
    let mut number = 0;
    criterion.bench_function("note a client", |bencher| {
        bencher.iter(|| {
            if number % BATCH_MAX == 0 {
                clerk.begin(NOW, BATCH_MAX);
            }
            let source = black_box(client(number)).ip();
            clerk.note(source, Caller::of(source, KEY), true);
            number += 1;
        });
    });
}
