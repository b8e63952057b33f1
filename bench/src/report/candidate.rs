//! A contender on a network, from its seat to its figures.
//!
//! Must never: give somebody up for a single failure, or without saying why.

use std::sync::atomic::AtomicBool;

use super::plan::{self, Plan};
use super::prices::Turn;
use super::row::Loads;
use crate::cli::CommonOptions;
use crate::error::BenchError;
use crate::estimate::Estimate;
use crate::load::Outcome;
use crate::place::{On, Place};
use crate::server::{Seat, Server};
use crate::sitting::Sitting;
use timeball_load::table::{percent, thousands};

/// A contender on a network.
pub(super) struct Candidate<'a> {
    pub(super) on: On,
    pub(super) server: &'a Server,
    place: &'a Place,
    common: &'a CommonOptions,
    stop: &'a AtomicBool,
    sitting: Option<Sitting<'a>>,
    /// All turns at saturation, those that were disturbed too.
    pub(super) turns: Vec<Turn>,
    /// Of the reference's cost by its own, round by round, without those that were dropped.
    pub(super) logarithms: Vec<f64>,
    /// Rounds that were.
    pub(super) dropped: u32,
    /// The loads at and beyond its capacity, where they are offered.
    pub(super) loads: Option<Loads>,
    /// How it was started.
    pub(super) recipe: String,
    /// One after the other.
    failures: u32,
    /// Why it was given up.
    pub(super) fault: Option<String>,
}

impl<'a> Candidate<'a> {
    pub(super) const fn new(
        on: On,
        (place, server): (&'a Place, &'a Server),
        common: &'a CommonOptions,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            on,
            server,
            place,
            common,
            stop,
            sitting: None,
            turns: Vec::new(),
            logarithms: Vec::new(),
            dropped: 0,
            loads: None,
            recipe: String::new(),
            failures: 0,
            fault: None,
        }
    }

    /// Starts it, if it does not sit already.
    pub(super) fn sit(&mut self) -> Result<(), BenchError> {
        while self.sitting.is_none() && self.fault.is_none() {
            let seat = Seat::on(self.common.server_core);
            let sitting = Sitting::begin(self.place, self.server, seat, self.common, self.stop);
            if let Some(sitting) = self.unless_failed(sitting)? {
                self.recipe = sitting.recipe();
                self.sitting = Some(sitting);
            }
        }
        Ok(())
    }

    /// The closed loop; `None` if it failed.
    pub(super) fn saturate(
        &mut self,
        warm_up_s: f64,
        duration_s: f64,
    ) -> Result<Option<Outcome>, BenchError> {
        let outcome = self.offer(|sitting| sitting.saturate_warm(warm_up_s, duration_s))?;
        match outcome {
            // A price by no answers would be no figure.
            Some(outcome) if outcome.report.answered == 0 => {
                self.fail(silence(&outcome));
                Ok(None)
            }
            Some(outcome) => {
                self.failures = 0;
                Ok(Some(outcome))
            }
            None => Ok(None),
        }
    }

    /// The loads at and beyond its capacity.
    pub(super) fn load(&mut self, plan: &Plan) -> Result<(), BenchError> {
        while self.loads.is_none() && self.fault.is_none() {
            self.loads = self.offer(|sitting| Loads::offer(sitting, plan))?;
        }
        Ok(())
    }

    fn offer<T>(
        &mut self,
        offer: impl FnOnce(&mut Sitting<'a>) -> Result<T, BenchError>,
    ) -> Result<Option<T>, BenchError> {
        self.sit()?;
        let Some(sitting) = &mut self.sitting else { return Ok(None) };
        let offered = offer(sitting);
        self.unless_failed(offered)
    }

    /// What came of a try, or one failure more.
    fn unless_failed<T>(&mut self, tried: Result<T, BenchError>) -> Result<Option<T>, BenchError> {
        match tried {
            Ok(it) => Ok(Some(it)),
            Err(BenchError::Interrupted) => Err(BenchError::Interrupted),
            Err(error) => {
                self.fail(error.to_string());
                Ok(None)
            }
        }
    }

    /// Who fails is started anew, and after some failures in a row given up; the others go on.
    fn fail(&mut self, cause: String) {
        self.failures += 1;
        self.sitting = None;
        eprintln!("{} on {}: {cause}", self.server.name, self.on.name());
        if self.failures >= FAILURES_MAX {
            self.fault = Some(cause);
        }
    }

    /// What is known of its ratio to the reference.
    pub(super) fn estimate(&self) -> Option<Estimate> {
        Estimate::of_logarithms(&self.logarithms)
    }

    /// Whether more rounds are wanted.
    pub(super) fn is_open(&self) -> bool {
        self.fault.is_none() && !self.estimate().is_some_and(|it| it.is_within(plan::ENOUGH))
    }

    /// What its loads came to, on one line.
    pub(super) fn progress(&self) -> String {
        let place = format!("{:<8} {:<18}", self.on.name(), self.server.name);
        match (&self.fault, &self.loads) {
            (Some(fault), _) => format!("{place} given up: {fault}"),
            (None, Some(loads)) => {
                format!("{place} {:>9} answered/s at saturation", thousands(loads.capacity()))
            }
            (None, None) => place,
        }
    }
}

/// Why a load of which nothing was answered says nothing.
fn silence(outcome: &Outcome) -> String {
    let report = &outcome.report;
    let mut text = format!(
        "it answered none of {} requests when it was saturated, its core {} busy",
        thousands(report.sent as f64),
        percent(outcome.busy_share())
    );
    for (fault, count) in report.faults.seen() {
        text.push_str(&format!("; {count} replies: {}", fault.text()));
    }
    text
}

/// A server that fails so often, one time after the other, has no figures.
const FAILURES_MAX: u32 = 3;
