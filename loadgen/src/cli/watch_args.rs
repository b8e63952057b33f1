//! The options that say how a load is watched while it runs.
//!
//! Must never: change what is offered.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::error::CommandError;
use super::load_args::seconds;
use crate::table::percent;
use crate::text::load_words;
use crate::{Level, Live, Options, Trial};

/// How a load is watched while it runs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Watching")]
pub(super) struct WatchArgs {
    /// Length of the intervals that are shown while load is offered, and of the time series.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = interval)]
    interval: f64,
    /// Show nothing until the result is there.
    #[arg(long, short = 'q')]
    quiet: bool,
}

impl WatchArgs {
    /// Offers the load of `options`, shown while it runs; `whose` says which of several it is.
    pub(super) fn offer(
        &self,
        options: &Options,
        stop: &AtomicBool,
        whose: &str,
    ) -> Result<Trial, CommandError> {
        let every = Duration::from_secs_f64(self.interval);
        let rate = options.load.rate_per_s();
        let mut live =
            Live::new(format!("{whose}{} to {}", load_words(options.load, rate), options.target));
        let trial = Trial::offer(options, stop, every, &mut |point| {
            if !self.quiet && point.has_rates(self.interval) {
                live.show(point);
            }
        })?;
        Ok(trial)
    }
}

impl WatchArgs {
    /// Offers one load of many: its series has the short intervals in which it is judged, and only a line
    /// is shown.
    pub(super) fn probe(
        &self,
        options: &Options,
        stop: &AtomicBool,
        whose: &str,
    ) -> Result<Trial, CommandError> {
        let every = Duration::from_secs_f64(Level::SLOT_S);
        let trial = Trial::offer(options, stop, every, &mut |_| {})?;
        if !self.quiet {
            let words = load_words(options.load, options.load.rate_per_s());
            let answered = percent(trial.report.answered_share());
            eprintln!("{whose}{words}: {answered} answered");
        }
        Ok(trial)
    }
}

/// Seldom enough that watching costs nothing, and that a terminal can be read.
fn interval(text: &str) -> Result<f64, String> {
    let length_s = seconds(text)?;
    if length_s < 0.1 { Err("0.1 to 3600 seconds".to_owned()) } else { Ok(length_s) }
}
