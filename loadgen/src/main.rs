//! The program `timeball-load`: reads the command line and runs one command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use timeball_load::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
