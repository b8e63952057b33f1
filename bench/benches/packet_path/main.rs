//! What the packet path costs outside the kernel, part by part and as a whole turn.
//!
//! Every measurement asserts its answer, so that nothing is measured that was optimised away or
//! wrong. Access rules have a bench of their own: `access`.
//!
//! Must never: be read as what serving costs; the kernel's share is twenty times as much (see the
//! `timeball-bench` program).

mod announcement;
mod answer;
mod census;
#[path = "../fixture/mod.rs"]
mod fixture;
mod header;
mod histogram;
mod limiter;
mod mac;
mod policy;
mod snapshot;
mod worker;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    header::parse,
    answer::bare,
    answer::signed,
    mac::codes,
    snapshot::idle,
    snapshot::under_a_writer,
    announcement::announce,
    policy::refresh,
    census::note,
    histogram::record,
    worker::turn,
    limiter::ask
);
criterion_main!(benches);
