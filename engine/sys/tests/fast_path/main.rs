//! The BPF program against the responder: the same answers, and no others.
//!
//! The program is run in the kernel, on frames made here (`BPF_PROG_TEST_RUN`). That takes root; without,
//! every test says that it was skipped.

mod bench;
mod conformance;
mod frame;
mod fuzz;
mod guard;
mod live;
#[path = "../network/namespace.rs"]
mod namespace;
mod object;
mod random;
