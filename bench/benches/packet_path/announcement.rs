//! What it costs, once a batch, to work out what all its replies say.
//!
//! Must never: announce the same moment each time, which could be kept.

use std::hint::black_box;

use criterion::Criterion;
use timeball_responder::Announcement;
use timeball_time::Interval;

use crate::fixture::{NOW, snapshot};

pub(crate) fn announce(criterion: &mut Criterion) {
    let snapshot = snapshot(0);
    let mut now = NOW;
    criterion.bench_function("announce a moment", |bencher| {
        bencher.iter(|| {
            now = now + Interval::from_nanos(1);
            let announcement = Announcement::at(black_box(&snapshot), now);
            assert_eq!(black_box(announcement).leap(), snapshot.leap);
        });
    });
}
