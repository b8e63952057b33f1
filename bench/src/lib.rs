//! `timeball-bench`: measures timeball, its peers and plain echoes side by side.
//!
//! Absolute figures move by a fifth within an hour on a virtual machine, so nothing here is
//! measured alone: servers take turns (A B C A B C …), each on the same core, each freshly started,
//! and what is quoted are ratios within one round and their spread over the rounds. The figure is
//! the busy time of the server's core divided by valid answers: it holds whoever the kernel charges
//! the softirq to.
//!
//! Exit codes: 0 measured; 1 something failed (said on stderr); 2 wrong usage; 3 not permitted
//! (needs root and network namespaces); 130 interrupted.
//!
//! Must never: touch the machine's clock (servers run without the capability), send to another
//! host, or leave a process or a namespace behind.
#![forbid(unsafe_code)]

mod accompanied;
mod accuracy;
mod busy;
mod cli;
mod contenders;
mod error;
mod estimate;
mod fast_path;
mod generator;
mod host;
mod load;
mod namespace;
mod overload;
mod place;
mod process;
mod protection;
mod report;
mod rounds;
mod scaling;
mod server;
mod sitting;
mod start;
mod throughput;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use crate::cli::Cli;
use crate::cli::Command;
use crate::error::BenchError;

/// Runs the command given; the exit codes are told by `--help`.
pub fn run(cli: Cli) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    // An echo has nothing to clean up, and blocks in the kernel: it is to die of a signal.
    let is_echo = matches!(cli.command, Command::Echo(_) | Command::Driver(_) | Command::Scrape(_));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        if !is_echo && let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            eprintln!("timeball-bench: cannot handle signal {signal}: {error}");
            return ExitCode::FAILURE;
        }
    }
    match measure(cli, &stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("timeball-bench: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn measure(cli: Cli, stop: &AtomicBool) -> Result<(), BenchError> {
    match cli.command {
        Command::Report(options) => report::run(&options, stop),
        Command::Scaling(options) => scaling::run(&options, stop),
        Command::Throughput(options) => throughput::run(&options, stop),
        Command::Overload(options) => overload::run(&options, stop),
        Command::Accuracy(options) => accuracy::run(&options, stop),
        Command::Generator(options) => generator::run(&options, stop),
        Command::FastPath(options) => fast_path::run(&options, stop),
        Command::Driver(options) => fast_path::serve(&options),
        Command::Protection(options) => protection::run(&options, stop),
        Command::Scrape(options) => protection::scrape(options.address),
        Command::Start(options) => start::run(&options, stop),
        Command::Load(options) => load::serve(&options, stop),
        Command::Echo(options) => server::echo(&options),
    }
}
