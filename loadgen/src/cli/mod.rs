//! The command line.
//!
//! Must never: measure or compute anything itself; each command is a module.

mod compare;
mod error;
mod find;
mod load_args;
mod measure;
mod output_args;
mod report;
mod run;
mod signals;
mod sweep;
mod watch_args;

use std::process::ExitCode;

use error::{CommandError, Ending};

/// Offers a bounded NTP load to a server of your own, checks every reply, and tells what came of it.
#[derive(Debug, clap::Parser)]
#[command(name = "timeball-load", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Offer one load and report.
    Run(Box<run::Args>),
    /// Offer several rates one after the other: where does throughput bend, and latency rise?
    Sweep(Box<sweep::Args>),
    /// Find the highest rate that meets a service level.
    Find(Box<find::Args>),
    /// Compare two servers in turns, or two sets of stored results.
    Compare(Box<compare::Args>),
    /// Show one stored result.
    Report(report::ReportArgs),
    /// Add up what many generators measured at the same time.
    Merge(report::MergeArgs),
}

impl Cli {
    /// Runs the command given; the exit codes are told by `--help`.
    pub fn run(&self) -> ExitCode {
        let result: Result<Ending, CommandError> = match &self.command {
            Command::Run(args) => run::run(args),
            Command::Sweep(args) => sweep::run(args),
            Command::Find(args) => find::run(args),
            Command::Compare(args) => compare::run(args),
            Command::Report(args) => report::report(args),
            Command::Merge(args) => report::merge(args),
        };
        match result {
            Ok(ending) => ExitCode::from(ending as u8),
            Err(error) => {
                eprintln!("timeball-load: {error}");
                ExitCode::from(error.exit_code())
            }
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes:
    0  measured
    1  something failed; stderr says what and what to do
    2  wrong usage
    3  the target is not yours to load
    4  nobody answers: unreachable, port closed, silent, or not one valid answer
    5  measured, but no rate meets the service level (find)
  130  interrupted; what was counted until then is reported";
