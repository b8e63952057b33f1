//! The fast path in the running server: what is answered in the driver and what by workers, through all that
//! happens to interfaces, configurations and processes.

mod addresses;
mod answers;
mod asker;
#[path = "../common/mod.rs"]
mod common;
mod guard;
mod life;
mod link;
mod refusal;
