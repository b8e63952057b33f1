//! `timeball-load sweep`: several rates, one after the other, each with a result of its own.
//!
//! Must never: go on to the next rate when told to stop.

use std::net::SocketAddr;

use super::error::{CommandError, Ending};
use super::measure::MeasureArgs;
use crate::{Experiment, Steps};

/// Offer several rates one after the other: where does throughput bend, and latency rise?
///
/// --duration is that of each rate, 2 s unless given.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server: an address and a port.
    #[arg(value_name = "ADDRESS:PORT")]
    target: SocketAddr,
    /// Requests a second: a list as in 1k,2k,5k, or a ramp as in 1k..64k*2 or 10k..50k+10k.
    #[arg(long, value_name = "RATES", conflicts_with_all = ["rate", "window"])]
    rates: Steps,
    #[command(flatten)]
    measure: MeasureArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, CommandError> {
    let mut options = args.measure.load.options(args.target, STEP_S)?;
    let mut measurement = args.measure.begin()?;
    let mut outcome = Ok(());
    for &rate_hz in args.rates.rates_hz() {
        options.load = args.measure.load.open_at(rate_hz);
        outcome = measurement.offer(&options, "", None).map(|_| ());
        if outcome.is_err() || measurement.is_over() {
            break;
        }
    }
    measurement.end(Experiment::Sweep, outcome, |_| ())
}

/// Of each rate, unless told otherwise.
pub(super) const STEP_S: f64 = 2.0;
