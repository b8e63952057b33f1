//! `timeball-load run`: one load, one report.
//!
//! Must never: end without a report once load was offered.

use std::net::SocketAddr;

use super::error::{CommandError, Ending};
use super::measure::MeasureArgs;
use crate::Experiment;

/// Offer one load and report.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server: an address and a port.
    #[arg(value_name = "ADDRESS:PORT")]
    target: SocketAddr,
    #[command(flatten)]
    measure: MeasureArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, CommandError> {
    let options = args.measure.load.options(args.target, RUN_S)?;
    let mut measurement = args.measure.begin()?;
    let outcome = measurement.offer(&options, "", None).map(|_| ());
    measurement.end(Experiment::Run, outcome, |_| ())
}

/// Unless told otherwise.
const RUN_S: f64 = 10.0;
