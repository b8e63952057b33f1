//! The fast path: plain client requests answered in the driver, by a BPF program that reads the snapshot.
//!
//! [`Program`] is loaded once and attached to any number of interfaces. [`Mirror`] is the copy of the
//! snapshot it reads, kept by the publisher; [`Endpoint`]s say which requests are ours; [`Guard`] keeps the
//! rules and limits that it goes by; [`Counts`] say what became of frames. What the program neither answers
//! nor may ignore it leaves as it came, for the workers.
//!
//! The program is C, in `engine/sys/bpf/`: one noun a file, `fast_path.c` the order of it.
//!
//! Must never: replace a program that somebody else has attached, or outlive the process at an interface.

mod attach;
mod counts;
#[cfg(feature = "baseline")]
mod echo;
mod endpoint;
mod error;
mod guard;
pub(crate) mod mapped;
mod mirror;
#[cfg(feature = "baseline")]
mod parts;
mod program;

pub use attach::{Attached, Link, Mode};
pub use counts::{Counts, Outcome, Tally};
#[cfg(feature = "baseline")]
pub use echo::Echo;
pub use endpoint::Endpoint;
pub use error::XdpError;
pub use guard::{Guard, POLICY_WORDS, RULES_MAX, TooManyRules};
pub use mirror::Mirror;
#[cfg(feature = "baseline")]
pub use parts::{PARTS, Parts, REQUEST_LEN};
pub use program::{Program, Verdict};
