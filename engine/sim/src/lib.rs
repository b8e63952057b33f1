//! Worlds in which the time is known.
//!
//! Layer 3 of timeball, without an operating system: the production discipline on a virtual clock and
//! a virtual network. Only the clock, the network, the timers and the randomness are replaced, and a
//! seed makes them all. See docs/src/simulator.md.
//!
//! Must never: link `timeball-sys`, read a clock, or draw a random number that no seed made.
#![forbid(unsafe_code)]

mod carrier;
mod clock;
mod conditions;
mod figures;
mod promises;
mod queue;
mod random;
mod scenario;
mod server;
mod serving;
mod swarm;
mod trace;
mod truth;
mod waits;
mod world;
mod worlds;

pub use clock::{ClockModel, EPOCH, Temperature};
pub use conditions::{Condition, Outcome, conditions};
pub use figures::{Figures, Look, Window, median, sign_test};
pub use promises::{Broken, Promise};
pub use random::Random;
pub use scenario::{Incident, Scenario};
pub use server::{Congestion, Server, Shift, address, answer};
pub use swarm::odd_world;
pub use trace::{Answer, Believed, Trace};
pub use waits::Waits;
pub use world::{Host, Kernel, World, config};
pub use worlds::{Chrony, Named, worlds};

/// Nanoseconds in a second.
pub const S: i64 = 1_000_000_000;
