//! The program `timeball-bench`: reads the command line and runs one command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    timeball_bench::run(timeball_bench::Cli::parse())
}
