//! The figures of one contender on one network.
//!
//! Must never: give a median without its least and greatest, or a ratio of different rounds.

use serde::Serialize;
use timeball_load::table::thousands;
use timeball_load::{Distribution, Pattern, Report, SignedHistogram};

use super::Candidate;
use super::plan::Plan;
use crate::accuracy::open_loop;
use crate::contenders;
use crate::error::BenchError;
use crate::load::Outcome;
use crate::overload::{beyond, invalid, is_behind};
use crate::place::On;
use crate::rounds::Spread;
use crate::server::Family;
use crate::sitting::Sitting;

/// One sitting.
#[derive(Debug)]
pub(super) struct Turn {
    saturated: Outcome,
    /// One for each factor; none where that is not measured.
    beyond: Vec<Outcome>,
    half: Option<Outcome>,
    recipe: String,
}

impl Turn {
    /// All loads of `plan` for a network of the kind `on`.
    pub(super) fn of(sitting: &mut Sitting<'_>, plan: &Plan, on: On) -> Result<Self, BenchError> {
        let saturated = sitting.saturate_warm(plan.duration_s)?;
        let recipe = sitting.recipe();
        let mut turn = Self { saturated, beyond: Vec::new(), half: None, recipe };
        if Plan::is_whole(on) {
            let capacity = turn.capacity();
            // Before the overloads, after which queues have to empty.
            let half_hz = (capacity / 2.0).max(1.0) as u32;
            let spec = open_loop(sitting.base(), Pattern::Poisson, half_hz, plan.duration_s * 2.0);
            turn.half = Some(sitting.offer(&spec)?);
            for factor in plan.factors {
                let spec = beyond(sitting.base(), factor * capacity, plan.duration_s);
                turn.beyond.push(sitting.offer(&spec)?);
            }
        }
        Ok(turn)
    }

    /// What it came to, on one line.
    pub(super) fn progress(&self) -> String {
        format!(
            "{:>9} answered/s, {:>6} ns per answer",
            thousands(self.capacity()),
            thousands(self.saturated.busy_ns_per_answer())
        )
    }

    pub(super) fn capacity(&self) -> f64 {
        self.saturated.report.answered_per_s()
    }

    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.beyond.iter().chain(&self.half).chain([&self.saturated])
    }
}

/// One contender on one network, over the rounds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) on: On,
    pub(super) server: String,
    pub(super) family: Family,
    pub(super) answered_per_s: Spread,
    /// Busy time of the server's core by valid answers.
    pub(super) core_ns_per_answer: Spread,
    /// How much of that was software interrupts.
    pub(super) softirq_share: Spread,
    /// How much the hypervisor took of the core's time.
    pub(super) stolen_share: Spread,
    /// The reference's core time per answer divided by this one's, round by round.
    pub(super) times_reference: Option<Spread>,
    /// At each load beyond its capacity.
    pub(super) beyond: Vec<Beyond>,
    /// At half of its capacity.
    pub(super) half: Option<Half>,
    /// Replies that were wrong, of all loads.
    pub(super) invalid: u64,
    /// How it was started in the last round: command and configuration.
    pub(super) recipe: String,
}

/// What is left when more is offered than can be answered.
#[derive(Debug, Serialize)]
pub(super) struct Beyond {
    /// What was to be offered, by capacity.
    pub(super) factor: f64,
    pub(super) offered_per_s: Spread,
    /// Replies that arrived while load was offered.
    pub(super) goodput_per_s: Spread,
    /// That by the capacity of the same round.
    pub(super) share_of_capacity: Spread,
    /// Rounds in which the generator offered less.
    pub(super) behind_rounds: u32,
}

/// How late and how wrong answers are at half of capacity, Poisson, all rounds together.
#[derive(Debug, Serialize)]
pub(super) struct Half {
    pub(super) rate_hz: Spread,
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
    /// The rows of everybody who has had a turn.
    pub(super) fn all(plan: &Plan, candidates: &[Candidate<'_>]) -> Vec<Self> {
        let reference = contenders::reference().name;
        let costs_of = |candidate: &Candidate<'_>| -> Vec<f64> {
            candidate.turns.iter().map(|turn| turn.saturated.busy_ns_per_answer()).collect()
        };
        let row = |candidate: &Candidate<'_>| {
            let same = |it: &&Candidate<'_>| it.on == candidate.on && it.server.name == reference;
            let reference = candidates.iter().find(same).map(costs_of);
            let times = reference.and_then(|it| Spread::of_ratios(&it, &costs_of(candidate)));
            Self::of(plan, candidate, times)
        };
        // Network by network.
        let on = |on: On| candidates.iter().filter(move |candidate| candidate.on == on);
        plan.networks.iter().flat_map(|&network| on(network)).filter_map(row).collect()
    }

    fn of(plan: &Plan, candidate: &Candidate<'_>, times_reference: Option<Spread>) -> Option<Self> {
        let turns = &candidate.turns;
        let spread = |figure: fn(&Outcome) -> f64| {
            Spread::of(turns.iter().map(|turn| figure(&turn.saturated)))
        };
        let wrong = turns.iter().flat_map(Turn::outcomes).map(|it| invalid(&it.report));
        let beyond = plan.factors.iter().enumerate();
        Some(Self {
            on: candidate.on,
            server: candidate.server.name.clone(),
            family: candidate.server.family(),
            answered_per_s: spread(|it| it.report.answered_per_s())?,
            core_ns_per_answer: spread(Outcome::busy_ns_per_answer)?,
            softirq_share: spread(|it| it.busy.softirq_ns as f64 / it.busy.busy_ns as f64)?,
            stolen_share: spread(|it| it.busy.stolen_ns as f64 / 1e9 / it.took_s)?,
            times_reference,
            beyond: beyond.filter_map(|(at, &factor)| Beyond::of(turns, at, factor)).collect(),
            half: Half::of(turns),
            invalid: wrong.sum(),
            recipe: turns.last()?.recipe.clone(),
        })
    }
}

impl Beyond {
    /// Of the load at place `at`, if it was offered.
    fn of(turns: &[Turn], at: usize, factor: f64) -> Option<Self> {
        let (turns, outcomes): (Vec<&Turn>, Vec<&Outcome>) =
            turns.iter().filter_map(|turn| Some((turn, turn.beyond.get(at)?))).unzip();
        let capacities: Vec<f64> = turns.iter().map(|turn| turn.capacity()).collect();
        let goodputs: Vec<f64> = outcomes.iter().map(|it| it.report.answered_per_s()).collect();
        Some(Self {
            factor,
            offered_per_s: Spread::of(outcomes.iter().map(|it| it.report.sent_per_s()))?,
            share_of_capacity: Spread::of_ratios(&goodputs, &capacities)?,
            goodput_per_s: Spread::of(goodputs)?,
            behind_rounds: outcomes.iter().filter(|it| is_behind(it)).count() as u32,
        })
    }
}

impl Half {
    fn of(turns: &[Turn]) -> Option<Self> {
        let mut halves = turns.iter().filter_map(|turn| Some(&turn.half.as_ref()?.report));
        let rates = Spread::of(halves.clone().map(Report::sent_per_s))?;
        let mut sum = halves.next()?.clone();
        halves.for_each(|report| sum.merge(report));
        Some(Self {
            rate_hz: rates,
            answered_share: sum.answered_share(),
            latency: sum.latency.distribution(),
            offset: sum.offset.distribution(),
            acausal: sum.causality_violations,
            latencies: sum.latency,
        })
    }
}
