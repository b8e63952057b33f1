//! `timeball-load sweep`: several rates, one after the other, each with a result of its own.
//!
//! Must never: go on to the next rate when told to stop.

use std::net::SocketAddr;

use super::error::{CommandError, Ending};
use super::load_args::LoadArgs;
use super::output_args::OutputArgs;
use super::signals;
use super::watch_args::WatchArgs;
use crate::{Document, Experiment, Machine, Steps};

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
    load: LoadArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, CommandError> {
    args.output.check()?;
    let mut options = args.load.options(args.target, STEP_S)?;
    let stop = signals::stop_flag()?;
    let machine = Machine::look();
    let mut trials = Vec::new();
    for &rate_hz in args.rates.rates_hz() {
        options.load = args.load.open_at(rate_hz);
        trials.push(args.watch.offer(&options, &stop, "")?);
        if trials.last().is_some_and(|trial| trial.report.interrupted) {
            break;
        }
        // It has answered; under overload it may not answer a single probe in time.
        options.probe = false;
    }
    let document = Document::new(Experiment::Sweep, machine, trials);
    args.output.put(&document)?;
    Ok(Ending::of(&document))
}

/// Of each rate, unless told otherwise.
pub(super) const STEP_S: f64 = 2.0;
