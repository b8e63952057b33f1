//! What it costs to record a duration.
//!
//! Must never: record one value only.

use std::hint::black_box;

use criterion::Criterion;
use hdrhistogram::Histogram;

/// What the load generator does for each reply.
pub(crate) fn record(criterion: &mut Criterion) {
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
