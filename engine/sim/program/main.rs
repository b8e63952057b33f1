//! `timeball-sim`: worlds in which the time is known, run by seed.
//!
//! Must never: do anything but simulate: no socket, no clock but the wall's for `--time`.
#![forbid(unsafe_code)]

mod campaign;
mod cli;
mod conditions;
mod draw;
mod svg;
mod swarm;
mod table;
mod worlds;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Worlds(options) => worlds::run(&options),
        Command::Conditions(options) => conditions::run(&options),
        Command::Draw(options) => draw::run(&options),
        Command::Swarm(options) => swarm::run(&options),
    }
}

/// Ends with what went wrong.
fn fail(problem: &str) -> ExitCode {
    eprintln!("timeball-sim: {problem}");
    ExitCode::from(EXIT_USAGE)
}

/// A goal was missed, and `--strict` given.
const EXIT_MISSED: u8 = 1;
/// Wrong usage, or a file that cannot be read or written.
const EXIT_USAGE: u8 = 2;
/// A promise was broken in some world, or a condition did not hold.
const EXIT_BROKEN: u8 = 3;
