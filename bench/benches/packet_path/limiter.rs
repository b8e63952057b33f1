//! What limits cost a worker.
//!
//! Must never: ask in an order that a cache could learn.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use timeball_responder::{LimitMode, Worker, worker_exchange};
use timeball_time::Publisher;
use timeball_wire::{BATCH_MAX, Wait};

use crate::fixture::{FullBatches, limiting, snapshot};

/// What limits cost a worker's turn: without them, from 64 clients that were just heard (hot), and from a
/// million in an order that no cache knows (cold). A 64th of the difference is what they cost a request.
pub(crate) fn ask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a worker's turn of 64, limits");
    group.throughput(Throughput::Elements(BATCH_MAX as u64));
    for (name, mode, clients) in [
        ("off", LimitMode::Off, BATCH_MAX),
        ("off, 1 000 000 clients", LimitMode::Off, 1_000_000),
        ("hot", LimitMode::Observe, BATCH_MAX),
        ("cold, 1 000 000 clients", LimitMode::Observe, 1_000_000),
    ] {
        let publisher = Publisher::new(snapshot(0));
        let (_sender, policy) = worker_exchange(Arc::new(limiting(mode)));
        let batches = FullBatches::of(clients);
        let mut worker = Worker::new(batches, publisher.reader(), policy, Arc::default());
        // Everybody has been heard before.
        for _ in 0..clients.div_ceil(BATCH_MAX) {
            assert_eq!(worker.turn(Wait::Poll), Ok(BATCH_MAX));
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(worker.turn(Wait::Poll), Ok(BATCH_MAX)));
        });
    }
    group.finish();
}
