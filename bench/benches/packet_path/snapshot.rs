//! What the time to serve costs to read: alone, and while it is written all the time.
//!
//! Must never: count a torn reading as one.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use criterion::Criterion;
use timeball_time::Publisher;

use crate::fixture::snapshot;

pub(crate) fn idle(criterion: &mut Criterion) {
    let publisher = Publisher::new(snapshot(7));
    let mut reader = publisher.reader();
    criterion.bench_function("snapshot refresh, idle", |bencher| {
        bencher.iter(|| assert_eq!(black_box(&mut reader).refresh().offset.nanos(), 7));
    });
}

/// A writer that never pauses: a million times as often as the discipline does.
pub(crate) fn under_a_writer(criterion: &mut Criterion) {
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
