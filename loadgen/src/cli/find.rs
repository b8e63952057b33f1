//! `timeball-load find`: the highest rate that meets a service level.
//!
//! Must never: give a rate without saying how sure it is.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::error::{CommandError, Ending};
use super::measure::MeasureArgs;
use super::sweep::STEP_S;
use crate::random::SplitMix64;
use crate::table::thousands;
use crate::{Ask, Capacity, Experiment, FindOptions, Level, Step, find};
use timeball_time::Interval;

/// Find the highest rate that meets a service level, and the interval that holds it.
///
/// --duration is that of each trial, 2 s unless given; some twenty to eighty are made. Between them a closed
/// loop of --window requests says for a moment what the server answers at its own pace just then: the rate
/// found is for the mean of those paces, of which there are enough for minutes. One tenth of a second of a
/// trial may miss the level.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server: an address and a port.
    #[arg(value_name = "ADDRESS:PORT")]
    target: SocketAddr,
    #[command(flatten)]
    level: LevelArgs,
    #[command(flatten)]
    measure: MeasureArgs,
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
    /// The rate to begin with; a quarter of the server's own pace unless given.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    from: Option<u32>,
    /// The highest rate to try.
    #[arg(long, default_value_t = 100_000_000, value_name = "PER_SECOND", hide_default_value = true,
          value_parser = clap::value_parser!(u32).range(1..))]
    up_to: u32,
    /// The search ends when it knows the rate to this share, either way, with a probability of 95 %.
    #[arg(long, default_value_t = 0.02, value_name = "SHARE", value_parser = share)]
    precision: f64,
    /// Trials after which it ends in any case.
    #[arg(long, default_value_t = 80, value_name = "TRIALS",
          value_parser = clap::value_parser!(u16).range(1..))]
    trials: u16,
}

pub(super) fn run(args: &Args) -> Result<Ending, CommandError> {
    let mut options = args.measure.load.options(args.target, STEP_S)?;
    let mut measurement = args.measure.begin()?;
    let level = args.level.level();
    let search = FindOptions {
        first_hz: args.level.from,
        max_hz: args.level.up_to,
        precision: args.level.precision.max(PRECISION_MIN),
        trials_max: usize::from(args.level.trials),
        level,
        paced: true,
    };
    let mut random = SplitMix64::new(options.seed, 0);
    let found = find(&search, |step| {
        if step.ask == Ask::Pace {
            thread::sleep(SETTLE.mul_f64(random.unit()));
        }
        match step.ask {
            Ask::Pace => measurement.pace(&args.measure.load.saturating(&options, PACE)),
            Ask::Rate(rate_hz) => {
                options.load = args.measure.load.open_at(rate_hz);
                measurement.probe(&options, &progress(step)).cloned()
            }
        }
    });
    let (capacity, outcome) = match found {
        Ok(found) => (Some(Capacity::new(level, found)), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let missed = capacity.as_ref().is_some_and(|capacity| capacity.found.rate_hz == 0);
    let ending =
        measurement.end(Experiment::Find, outcome, |document| document.capacity = capacity)?;
    Ok(if ending == Ending::Measured && missed { Ending::LevelNotMet } else { ending })
}

/// How far the search has come, before what is offered next.
fn progress(step: Step) -> String {
    let known = step.between.map_or(String::new(), |between| {
        let [low, high] = between.map(|rate_hz| thousands(f64::from(rate_hz)));
        format!(", {low} to {high}/s so far")
    });
    format!("trial {}{known}: ", step.trials + 1)
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

/// Most time between trials, of which each gets a random part: trials must not keep step with what disturbs
/// the machine every second.
const SETTLE: Duration = Duration::from_millis(300);
/// Long enough for a pace, and short beside a trial.
const PACE: Duration = Duration::from_millis(250);
/// Rates closer than this are not told apart.
const PRECISION_MIN: f64 = 0.001;
