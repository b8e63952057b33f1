//! `timeball-load run`: one load, one report.
//!
//! Must never: end without a report once load was offered.

use std::net::SocketAddr;

use super::error::{CommandError, Ending};
use super::load_args::LoadArgs;
use super::output_args::OutputArgs;
use super::signals;
use super::watch_args::WatchArgs;
use crate::{Document, Experiment, Machine};

/// Offer one load and report.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server: an address and a port.
    #[arg(value_name = "ADDRESS:PORT")]
    target: SocketAddr,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, CommandError> {
    args.output.check()?;
    let options = args.load.options(args.target, RUN_S)?;
    let stop = signals::stop_flag()?;
    let machine = Machine::look();
    let trial = args.watch.offer(&options, &stop, "")?;
    let document = Document::new(Experiment::Run, machine, vec![trial]);
    args.output.put(&document)?;
    Ok(Ending::of(&document))
}

/// Unless told otherwise.
const RUN_S: f64 = 10.0;
