//! The discipline: from what servers answer to what is served.
#![forbid(unsafe_code)]

mod exchange;
mod rejection;

pub use exchange::{Exchange, FREQUENCY_TOLERANCE, Sample, TRANSMIT_WAIT_MAX};
pub use rejection::{Kiss, Rejection};
