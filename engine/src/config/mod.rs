//! Configuration: a TOML file in, a checked [`Plan`] out, or every problem of the file at once.
//!
//! A plan cannot be wrong: it is only made by [`Plan::parse`] and [`Plan::load`], from values that
//! were each in range and together free of contradiction, so nobody downstream checks them again.
//! Each setting is described once, in `settings/`; the limits enforced, the hints in error
//! messages and the shipped example are all taken from there.
//!
//! Must never: guess at what was meant, stop at the first problem, or touch the network or a clock.

mod access;
mod address;
mod clock;
mod example;
mod fast_path;
mod key_file;
mod keys;
mod kind;
mod lan;
mod limits;
mod metrics;
mod parse;
mod plan;
mod problem;
mod sandbox;
mod section;
mod settings;
mod statistics;
mod syntax;

pub use access::{Access, Whom, everybody, words_of};
pub use address::{Endpoint, Host};
pub use example::example;
pub use fast_path::{DriverMode, FastPath};
pub use key_file::KeyFile;
pub use lan::{BroadcastClient, BroadcastTo, Lan, ManycastClient};
pub(crate) use limits::{limits_json, limits_text};
pub use metrics::Metrics;
pub use plan::{
    Backend, Clock, Control, Family, KeyFormat, KeySettings, KeyUse, LeapMode, Listen, Local,
    LogLevel, Machine, Plan, PollRange, Server, Source, Spread, Steering, Transmit, UringReplies,
    Words,
};
pub(crate) use problem::permit;
pub use problem::{ConfigError, Position, Problem, Problems};
pub use sandbox::SandboxMode;
pub(crate) use section::nearest;
pub(crate) use settings::SOURCES_MAX;
pub use statistics::{FileScheme, Statistics, StatisticsKind};
