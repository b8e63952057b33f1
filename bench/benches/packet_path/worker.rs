//! What a whole turn of a worker costs without the kernel.
//!
//! Must never: be read as what serving costs: the kernel's share is twenty times as much.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use timeball_responder::{Census, Clerk, Worker, policy_exchange};
use timeball_time::Publisher;
use timeball_wire::{BATCH_MAX, Wait};

use crate::fixture::{FullBatches, KEY, snapshot};

/// Everything a worker does for a full batch, without the kernel.
pub(crate) fn turn(criterion: &mut Criterion) {
    let publisher = Publisher::new(snapshot(0));
    let (_sender, policy) = policy_exchange(Arc::default());
    let clerk = Clerk::new(Arc::new(Census::new(KEY)));
    let worker =
        Worker::new(FullBatches::of(BATCH_MAX), publisher.reader(), policy, Arc::default());
    let mut worker = worker.with_clerk(clerk);
    let mut group = criterion.benchmark_group("a worker's turn");
    group.throughput(Throughput::Elements(BATCH_MAX as u64));
    group.bench_function("64 requests", |bencher| {
        bencher.iter(|| assert_eq!(worker.turn(Wait::Poll), Ok(BATCH_MAX)));
    });
    group.finish();
}
