//! Looks at a host that is to serve time, says what costs its clients most, and changes what it is
//! asked to.
//!
//! ```text
//! Host (files, tools) ──► checks ──► findings ──► report
//!                                      │ changes
//!                          journal ◄── apply, undo
//! ```
//!
//! All that a check sees comes through one seam, [`Host`], so that the recorded view of another machine is
//! judged by the very code that judges this one. All that is ever changed is a [`Setting`], which can
//! be read
//! before it is written: what cannot be read could not be undone, and is refused.
//!
//! Must never: change anything that was not asked for by name, or touch the clock.

mod change;
mod check;
pub mod cli;
mod error;
mod finding;
mod host;
mod journal;
mod release;
mod report;
mod scene;
mod setting;

pub use change::{Applied, apply, undo};
pub use check::{CHECKS, Check, look};
pub use error::TuneError;
pub use finding::{Change, Finding, State};
pub use host::{Host, LiveHost, RecordedHost, Recorder, Unseen};
pub use journal::{Entry, Journal};
pub use report::{Report, text};
pub use scene::Scene;
pub use setting::Setting;
