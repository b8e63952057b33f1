//! What every command that offers load does: look at the machine, offer one load or many, show the result.
//!
//! Must never: throw away loads that were measured because a later one failed.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::error::{CommandError, Ending};
use super::load_args::LoadArgs;
use super::output_args::OutputArgs;
use super::signals;
use super::watch_args::WatchArgs;
use crate::{Document, Experiment, Machine, Options, Trial};

/// The options of every command that offers load.
#[derive(Debug, clap::Args)]
pub(super) struct MeasureArgs {
    #[command(flatten)]
    pub(super) load: LoadArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// The loads of one command.
#[derive(Debug)]
pub(super) struct Measurement<'a> {
    args: &'a MeasureArgs,
    machine: Machine,
    stop: Arc<AtomicBool>,
    trials: Vec<Trial>,
}

impl MeasureArgs {
    /// Fails now if the result could not be written after the load.
    pub(super) fn begin(&self) -> Result<Measurement<'_>, CommandError> {
        self.output.check()?;
        let (machine, stop) = (Machine::look(), signals::stop_flag()?);
        Ok(Measurement { args: self, machine, stop, trials: Vec::new() })
    }
}

impl Measurement<'_> {
    /// Offers a load and keeps what came of it; `whose` says which of several it is.
    ///
    /// A server that has answered once is not asked first again: under overload it may not answer.
    pub(super) fn offer(
        &mut self,
        options: &Options,
        whose: &str,
        subject: Option<&str>,
    ) -> Result<&Trial, CommandError> {
        let options = self.unless_answered(options);
        let trial = self.args.watch.offer(&options, &self.stop, whose)?;
        self.trials.push(Trial { subject: subject.map(str::to_owned), ..trial });
        Ok(&self.trials[self.trials.len() - 1])
    }

    /// Offers one load of a search and keeps what came of it, in short intervals.
    pub(super) fn probe(&mut self, options: &Options, whose: &str) -> Result<&Trial, CommandError> {
        let options = self.unless_answered(options);
        let trial = self.args.watch.probe(&options, &self.stop, whose)?;
        self.trials.push(trial);
        Ok(&self.trials[self.trials.len() - 1])
    }

    /// Offers a short load of which nothing is kept, and says what came of it.
    pub(super) fn pace(&self, options: &Options) -> Result<Trial, CommandError> {
        let options = self.unless_answered(options);
        Ok(Trial::offer(&options, &self.stop, options.duration, &mut |_| {})?)
    }

    /// Without a first request where the server has answered before.
    fn unless_answered(&self, options: &Options) -> Options {
        let has_answered = self
            .trials
            .iter()
            .any(|trial| trial.target == options.target && trial.report.answered > 0);
        Options { probe: options.probe && !has_answered, ..options.clone() }
    }

    /// Offers a load of which nothing is kept.
    pub(super) fn warm_up(&self, options: &Options, whose: &str) -> Result<(), CommandError> {
        self.args.watch.offer(options, &self.stop, whose).map(|_| ())
    }

    /// Whether no more is to be offered.
    pub(super) fn is_over(&self) -> bool {
        self.trials.last().is_some_and(|trial| trial.report.interrupted)
    }

    /// Shows what was measured, completed by `finish`; of a failure, everything before it.
    pub(super) fn end(
        self,
        kind: Experiment,
        outcome: Result<(), CommandError>,
        finish: impl FnOnce(&mut Document),
    ) -> Result<Ending, CommandError> {
        if self.trials.is_empty() {
            outcome?;
            return Ok(Ending::Interrupted);
        }
        let mut document = Document::new(kind, self.machine, self.trials);
        finish(&mut document);
        if let Err(error) = &outcome {
            document.remarks.push(format!("ended early: {error}"));
        }
        self.args.output.put(&document)?;
        outcome.map(|()| Ending::of(&document))
    }
}
