//! The command line.
//!
//! Must never: do anything itself; each command is a module.

use std::process::ExitCode;

use crate::{check, import, query, reload, serve, status, why};

/// A high-performance NTP server: one clock, read by every core at once, at no cost per reader.
#[derive(Debug, clap::Parser)]
#[command(name = "timeball", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Each is described where its arguments are, exit codes included.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(serve::Args),
    Query(query::Args),
    Status(status::Args),
    Reload(reload::Args),
    Why(why::Args),
    Check(check::Args),
    Import(import::Args),
}

impl Cli {
    /// Runs the command given; the exit code is documented with each.
    pub fn run(&self) -> ExitCode {
        match &self.command {
            Command::Serve(args) => serve::run(args),
            Command::Query(args) => query::run(args),
            Command::Status(args) => status::run(args),
            Command::Reload(args) => reload::run(args),
            Command::Why(args) => why::run(args),
            Command::Check(args) => check::run(args),
            Command::Import(args) => import::run(args),
        }
    }
}
