//! `timeball-load run`: one load, one report.
//!
//! Must never: end without a report once load was offered.

use std::net::SocketAddr;

use crate::run as offer;

use super::error::{CommandError, Ending};
use super::load_args::LoadArgs;
use super::output_args::OutputArgs;
use super::signals;

/// Offer one load and report.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server: an address and a port.
    #[arg(value_name = "ADDRESS:PORT")]
    target: SocketAddr,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<Ending, CommandError> {
    let stop = signals::stop_flag()?;
    let report = offer(&args.load.options(args.target)?, &stop)?;
    if args.output.json {
        println!("{}", serde_json::json!({ "report": report }));
    } else {
        println!("{report:#?}");
    }
    Ok(match report {
        _ if report.interrupted => Ending::Interrupted,
        _ if report.answered == 0 => Ending::Unanswered,
        _ => Ending::Measured,
    })
}
