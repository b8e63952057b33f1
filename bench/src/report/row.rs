//! The figures of one contender on one network.
//!
//! Must never: give a median without its least and greatest, or a ratio without its interval.

use serde::Serialize;
use timeball_load::table::percent;
use timeball_load::{Distribution, Pattern, Report, SignedHistogram};

use super::candidate::Candidate;
use super::plan::{self, Plan};
use super::prices;
use crate::accuracy::open_loop;
use crate::contenders;
use crate::error::BenchError;
use crate::estimate::Estimate;
use crate::load::Outcome;
use crate::overload::{beyond, invalid, is_behind};
use crate::place::On;
use crate::rounds::Spread;
use crate::server::Family;
use crate::sitting::{Sitting, WARM_UP_S};

/// The loads at and beyond a contender's capacity.
#[derive(Debug)]
pub(super) struct Loads {
    saturated: Outcome,
    half: Outcome,
    /// One for each factor.
    beyond: Vec<Outcome>,
}

impl Loads {
    /// All of `plan`.
    pub(super) fn offer(sitting: &mut Sitting<'_>, plan: &Plan) -> Result<Self, BenchError> {
        let saturated = sitting.saturate_warm(WARM_UP_S, plan.duration_s)?;
        let capacity = saturated.report.answered_per_s();
        // Before the overloads, after which queues have to empty.
        let half_hz = (capacity / 2.0).max(1.0) as u32;
        let half_s = plan.duration_s * plan::HALF_TIMES;
        let half = open_loop(sitting.base(), Pattern::Poisson, half_hz, half_s);
        let half = sitting.offer(&half)?;
        let mut outcomes = Vec::new();
        for factor in plan.factors {
            let spec = beyond(sitting.base(), factor * capacity, plan.duration_s);
            outcomes.push(sitting.offer(&spec)?);
        }
        Ok(Self { saturated, half, beyond: outcomes })
    }

    /// Answers a second when it was saturated.
    pub(super) fn capacity(&self) -> f64 {
        self.saturated.report.answered_per_s()
    }

    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.beyond.iter().chain([&self.half, &self.saturated])
    }
}

/// One contender on one network.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) on: On,
    pub(super) server: String,
    pub(super) family: Family,
    pub(super) answered_per_s: Spread,
    /// Busy time of the server's core by valid answers.
    pub(super) core_ns_per_answer: Spread,
    /// How much of that was software interrupts, of all turns together.
    pub(super) softirq_share: f64,
    /// How much the hypervisor took of the core's time, of all turns together.
    pub(super) stolen_share: f64,
    /// The reference's core time per answer divided by this one's.
    pub(super) times_reference: Option<Estimate>,
    /// Whether that is known to [`plan::SETTLED`].
    pub(super) settled: bool,
    /// Round by round; those dropped are not here.
    pub(super) ratios: Vec<f64>,
    /// Rounds dropped, because the machine was not the contender's alone.
    pub(super) dropped: u32,
    /// At each load beyond its capacity.
    pub(super) beyond: Vec<Beyond>,
    /// At half of its capacity.
    pub(super) half: Option<Half>,
    /// Replies that were wrong, of all loads.
    pub(super) invalid: u64,
    /// How it was started: command and configuration.
    pub(super) recipe: String,
}

/// What is left when more is offered than can be answered.
#[derive(Debug, Serialize)]
pub(super) struct Beyond {
    /// What was to be offered, by capacity.
    pub(super) factor: f64,
    pub(super) offered_per_s: f64,
    /// Replies that arrived while load was offered.
    pub(super) goodput_per_s: f64,
    /// That by the capacity a moment before.
    pub(super) share_of_capacity: f64,
    /// Whether the generator offered less.
    pub(super) is_behind: bool,
}

/// How late and how wrong answers are at half of capacity, Poisson.
#[derive(Debug, Serialize)]
pub(super) struct Half {
    pub(super) rate_hz: f64,
    pub(super) answered_share: f64,
    /// From the moment a request was meant to leave.
    pub(super) latency: Distribution,
    /// θ, the served time's error.
    pub(super) offset: Distribution,
    /// Replies that break T1 ≤ T2 ≤ T3 ≤ T4.
    pub(super) acausal: u64,
    #[serde(skip)]
    pub(super) latencies: SignedHistogram,
}

impl Row {
    /// Of a contender that has had a turn.
    pub(super) fn of(plan: &Plan, candidate: &Candidate<'_>) -> Option<Self> {
        let turns: Vec<&Outcome> = candidate.turns.iter().map(|turn| &turn.outcome).collect();
        let quiet = turns.iter().copied().filter(|turn| !prices::is_disturbed(turn));
        let sum = |figure: fn(&Outcome) -> f64| turns.iter().map(|it| figure(it)).sum::<f64>();
        let busy_ns = sum(|it| it.busy.busy_ns as f64);
        let is_reference = candidate.server.name == contenders::reference().name;
        let estimate = if is_reference { Some(Estimate::ITSELF) } else { candidate.estimate() };
        let loads = candidate.loads.as_ref();
        let outcomes = turns.iter().copied().chain(loads.into_iter().flat_map(Loads::outcomes));
        Some(Self {
            on: candidate.on,
            server: candidate.server.name.clone(),
            family: candidate.server.family(),
            answered_per_s: Spread::of(quiet.clone().map(|it| it.report.answered_per_s()))?,
            core_ns_per_answer: Spread::of(quiet.map(Outcome::busy_ns_per_answer))?,
            softirq_share: sum(|it| it.busy.softirq_ns as f64) / busy_ns,
            stolen_share: sum(|it| it.busy.stolen_ns as f64) / 1e9 / sum(|it| it.took_s),
            times_reference: estimate,
            settled: is_reference || estimate.is_some_and(|it| it.is_within(plan::SETTLED)),
            ratios: candidate.logarithms.iter().map(|it| it.exp()).collect(),
            dropped: candidate.dropped,
            beyond: loads.map_or_else(Vec::new, |loads| Beyond::of(loads, plan)),
            half: loads.map(|loads| Half::of(&loads.half.report)),
            invalid: outcomes.map(|it| invalid(&it.report)).sum(),
            recipe: candidate.recipe.clone(),
        })
    }

    /// Who it is and how closely its ratio is known, if that is not settled.
    pub(super) fn unsettled(&self) -> Option<String> {
        let doubt = self.times_reference.map_or("unknown".to_owned(), |it| percent(it.doubt()));
        (!self.settled).then(|| format!("{} on {} ({doubt})", self.server, self.on.name()))
    }
}

impl Beyond {
    fn of(loads: &Loads, plan: &Plan) -> Vec<Self> {
        let each = plan.factors.iter().zip(&loads.beyond);
        each.map(|(&factor, outcome)| Self {
            factor,
            offered_per_s: outcome.report.sent_per_s(),
            goodput_per_s: outcome.report.answered_per_s(),
            share_of_capacity: outcome.report.answered_per_s() / loads.capacity(),
            is_behind: is_behind(outcome),
        })
        .collect()
    }
}

impl Half {
    fn of(report: &Report) -> Self {
        Self {
            rate_hz: report.sent_per_s(),
            answered_share: report.answered_share(),
            latency: report.latency.distribution(),
            offset: report.offset.distribution(),
            acausal: report.causality_violations,
            latencies: report.latency.clone(),
        }
    }
}
