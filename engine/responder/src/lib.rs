//! Answers NTP requests in place, one batch at a time.
//!
//! Layer 2 of timeball. [`answer`] judges one datagram and turns it into its reply; [`stamp`] writes the
//! transmit timestamp when the reply is about to leave; a [`Limiter`] remembers who has had enough;
//! [`Worker`] drives them over a [`PacketIo`](timeball_wire::PacketIo); [`Counters`] and a [`Census`] are
//! what it leaves behind for others to read.
//!
//! Must never: send more octets than it received, answer an answer, make a system call, allocate, lock,
//! or log.
#![forbid(unsafe_code)]

mod access;
mod announcement;
mod answer;
mod caller;
mod census;
mod counters;
mod gate;
mod histogram;
mod keyed_hash;
mod ledger;
mod limiter;
mod limits;
mod policy;
mod sifted;
mod trie;
mod worker;

pub use access::{Access, AccessRule, Restrictions};
pub use announcement::Announcement;
pub use answer::{Answered, Verdict, answer, stamp};
pub use caller::Caller;
pub use census::{Census, Clerk, Clients, Reading, Senders, Talker, TopTalkers};
pub use counters::{Counters, Totals};
pub use gate::DropReason;
pub use histogram::{BATCH_BOUNDS, Batches, Distribution, RESIDENCE_BOUNDS_NS, Residences};
pub use keyed_hash::HashKey;
pub use limiter::{Limiter, LimiterTally};
pub use limits::{LimitMode, LimitSettings, Limits, SITE_CLIENTS};
pub use policy::{
    Policy, PolicyReceiver, PolicySender, PolicyWords, policy_exchange, worker_exchange,
};
pub use sifted::Sifted;
pub use timeball_wire::Network;
pub use worker::Worker;
