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

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Serve time. Without a config: port 123 if allowed, else 11123, from this machine's own clock.
    Serve(serve::Args),
    /// Ask servers for the time once, as with ntpdate or sntp.
    Query(query::Args),
    /// Show what the server running here is doing.
    Status(status::Args),
    /// Have the server running here read its configuration again.
    Reload(reload::Args),
    /// Say why the server running here is serving the time, or why not.
    Why(why::Args),
    /// Read a config, look up its names and print what `serve` would do with it.
    Check(check::Args),
    /// Turn an ntp.conf or chrony.conf into a timeball config.
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
