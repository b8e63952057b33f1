//! Every setting there is: its name, meaning, unit, range and default. The one place that says so.
//!
//! Reading enforces these limits, error messages quote them, and the shipped example is printed
//! from them, so none of the three can say anything else. A section lists its settings once, in the
//! order in which the example shows them; a setting that is read but not listed fails every test
//! that reads it.
//!
//! Must never: leave a setting without a unit (where it is a number), a range and a default.

mod clients;
mod clock;
mod fast_path;
mod lan;
mod limits;
mod operation;
mod server;
mod sources;

use super::kind::Section;
use super::metrics::METRICS;
use super::sandbox::SANDBOX;
use super::statistics::STATISTICS;

pub(super) use clients::*;
pub(super) use clock::*;
pub(super) use fast_path::*;
pub(super) use lan::*;
pub(super) use limits::*;
pub(super) use operation::*;
pub(super) use server::*;
pub(crate) use sources::SOURCES_MAX;
pub(super) use sources::*;

/// Every section, in the order of the example.
pub(super) static SECTIONS: [&Section; 17] = [
    &SERVER,
    &FAST_PATH,
    &CLOCK,
    &LOG,
    &CONTROL,
    &STATISTICS,
    &SANDBOX,
    &METRICS,
    &LOCAL,
    &ACCESS,
    &LIMITS,
    &KEYS,
    &SOURCE,
    &BROADCAST,
    &BROADCAST_CLIENT,
    &MANYCAST_SERVER,
    &MANYCAST_CLIENT,
];
