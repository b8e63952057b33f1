//! What it costs a worker, once a batch, to see that its policy is still the one it has.
//!
//! Must never: include the making of a policy, which is no work of a worker's.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use timeball_responder::{Policy, policy_exchange};

pub(crate) fn refresh(criterion: &mut Criterion) {
    let policy = Arc::<Policy>::default();
    let (_sender, mut receiver) = policy_exchange(Arc::clone(&policy));
    criterion.bench_function("policy refresh, idle", |bencher| {
        bencher.iter(|| {
            let (current, _) = black_box(&mut receiver).refresh();
            assert!(std::ptr::eq(current, &raw const *policy));
        });
    });
}
