//! timeball: an NTP server engine. One clock, read by every core at once, at no cost per reader.
//!
//! This crate is the program's upper half: the command line, the configuration, and the threads. What it is
//! made of lies in the crates below `engine/`; `docs/src/architecture.md` draws the whole.
#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod config;
mod control;
mod difference;
pub mod given;
mod host;
pub mod import;
mod metrics;
pub mod names;
mod output;
pub mod query;
pub mod reload;
pub mod report;
pub mod serve;
mod statistics;
pub mod status;
mod thread;
pub mod why;
