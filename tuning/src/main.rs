//! The program `timeball-tune`: reads the command line and runs one command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use timeball_tune::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
