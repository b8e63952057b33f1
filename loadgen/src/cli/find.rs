//! `timeball-load find`: the highest rate that meets a service level.
//!
//! Must never: give a rate without saying how sure it is.

use std::net::SocketAddr;

use super::error::{CommandError, Ending};
use super::load_args::LoadArgs;
use super::output_args::OutputArgs;
use super::signals;
use super::sweep::STEP_S;
use super::watch_args::WatchArgs;
use crate::{Capacity, Document, Experiment, FindOptions, Level, Machine, find};
use timeball_time::Interval;

/// Find the highest rate that meets a service level: search until three searches in a row agree.
///
/// --duration is that of each rate tried, 2 s unless given; some twenty to sixty are.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server: an address and a port.
    #[arg(value_name = "ADDRESS:PORT")]
    target: SocketAddr,
    #[command(flatten)]
    level: LevelArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What a rate must meet, and where to look for it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Service level")]
struct LevelArgs {
    /// Most requests without a valid reply in time, as a share: 0.001 is one in a thousand.
    #[arg(long, default_value_t = 0.001, value_name = "SHARE", value_parser = share)]
    loss: f64,
    /// Longest latency of all but the slowest 1 %.
    #[arg(long, value_name = "MICROSECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    p99: Option<u32>,
    /// Largest error of the served time, of either sign, of all but the worst 1 %.
    #[arg(long, value_name = "MICROSECONDS", requires = "shared_clock",
          value_parser = clap::value_parser!(u32).range(1..))]
    error_p99: Option<u32>,
    /// The rate to begin with.
    #[arg(long, default_value_t = 1_000, value_name = "PER_SECOND",
          value_parser = clap::value_parser!(u32).range(1..))]
    from: u32,
    /// The highest rate to try.
    #[arg(long, default_value_t = 100_000_000, value_name = "PER_SECOND", hide_default_value = true,
          value_parser = clap::value_parser!(u32).range(1..))]
    up_to: u32,
    /// A search ends when it knows the rate to this share.
    #[arg(long, default_value_t = 0.02, value_name = "SHARE", value_parser = share)]
    precision: f64,
}

pub(super) fn run(args: &Args) -> Result<Ending, CommandError> {
    args.output.check()?;
    let mut options = args.load.options(args.target, STEP_S)?;
    let stop = signals::stop_flag()?;
    let machine = Machine::look();
    let level = args.level.level();
    let search = FindOptions {
        first_hz: args.level.from,
        max_hz: args.level.up_to,
        precision: args.level.precision,
        ..FindOptions::new(level)
    };
    let mut trials = Vec::new();
    let found = find(&search, |rate_hz| {
        options.load = args.load.open_at(rate_hz);
        let trial = args.watch.offer(&options, &stop, "")?;
        options.probe = false;
        let report = trial.report.clone();
        trials.push(trial);
        Ok::<_, CommandError>(report)
    })?;
    let mut document = Document::new(Experiment::Find, machine, trials);
    let missed = found.rate_hz == 0;
    document.capacity = Some(Capacity::new(level, found));
    args.output.put(&document)?;
    Ok(match Ending::of(&document) {
        Ending::Measured if missed => Ending::LevelNotMet,
        ending => ending,
    })
}

impl LevelArgs {
    fn level(&self) -> Level {
        let micros = |micros: u32| Interval::from_micros(i64::from(micros));
        Level {
            loss_max: self.loss,
            p99_max: self.p99.map(micros),
            error_p99_max: self.error_p99.map(micros),
        }
    }
}

/// A share of one.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..1.0).contains(&share) { Ok(share) } else { Err("0 to below 1".to_owned()) }
}
