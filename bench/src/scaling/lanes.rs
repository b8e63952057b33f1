//! Lanes: a worker and a generator on each of several cores.
//!
//! Must never: compare lanes of different rounds.

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::cli::ScalingOptions;
use crate::error::BenchError;
use crate::load::{self, Outcome, Spec};
use crate::place::Place;
use crate::server::{Seat, Server};
use crate::sitting::{Sitting, WARM_UP_S};

/// What so many lanes carried, round by round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lanes {
    pub(super) server: String,
    pub(super) workers: usize,
    pub(super) rounds: Vec<Round>,
}

/// The three ways, measured within seconds of each other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Round {
    /// One lane, all other cores idle.
    pub(super) alone: Carried,
    /// All lanes, each with a worker of one server.
    pub(super) together: Carried,
    /// All lanes, each with a server of its own.
    pub(super) separate: Carried,
}

/// What lanes carried together.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Carried {
    pub(super) answered_per_s: f64,
    /// Busy time of all their cores by valid answers, the generators' share included.
    pub(super) core_ns_per_answer: f64,
}

impl Lanes {
    /// Nothing measured yet: for each of `servers`, with each of these numbers of workers.
    pub(super) fn of_each(servers: &[Server], counts: &[usize]) -> Vec<Self> {
        let lanes = |server: &Server, workers| Self {
            server: server.name.clone(),
            workers,
            rounds: Vec::new(),
        };
        servers.iter().flat_map(|it| counts.iter().map(move |&count| lanes(it, count))).collect()
    }

    /// One more round, on `cores`.
    pub(super) fn measure(
        &mut self,
        options: &ScalingOptions,
        place: &Place,
        server: &Server,
        cores: &[usize],
        stop: &AtomicBool,
    ) -> Result<(), BenchError> {
        let begin = |cores: &[usize]| {
            let seat = Seat { cores: cores.to_vec(), priority: None };
            Sitting::begin(place, server, seat, &options.common, stop)
        };
        let duration_s = options.duration;
        let alone = {
            let sitting = begin(&cores[..1])?;
            carry(place, &[lane(sitting.base(), cores[0])], duration_s, stop)?
        };
        let together = {
            let sitting = begin(cores)?;
            let specs: Vec<Spec> = cores.iter().map(|&core| lane(sitting.base(), core)).collect();
            carry(place, &specs, duration_s, stop)?
        };
        let sittings = cores.iter().map(|&core| begin(&[core])).collect::<Result<Vec<_>, _>>()?;
        let of = |(sitting, &core): (&Sitting<'_>, &usize)| lane(sitting.base(), core);
        let specs: Vec<Spec> = sittings.iter().zip(cores).map(of).collect();
        let separate = carry(place, &specs, duration_s, stop)?;
        self.rounds.push(Round { alone, together, separate });
        Ok(())
    }

    /// What all lanes of one server carry by what one lane does, round by round.
    pub(super) fn times_alone(&self) -> Vec<f64> {
        self.ratios(|round| round.alone)
    }

    /// What all lanes of one server carry by what separate servers do, round by round.
    pub(super) fn times_separate(&self) -> Vec<f64> {
        self.ratios(|round| round.separate)
    }

    fn ratios(&self, to: fn(&Round) -> Carried) -> Vec<f64> {
        let ratio = |round: &Round| round.together.answered_per_s / to(round).answered_per_s;
        self.rounds.iter().map(ratio).collect()
    }
}

/// The closed loop of `base`, offered and observed on `core`.
fn lane(base: &Spec, core: usize) -> Spec {
    Spec { core, server_core: core, ..base.clone() }
}

/// Offers all `specs` at once, after a short time in which they only warm up.
fn carry(
    place: &Place,
    specs: &[Spec],
    duration_s: f64,
    stop: &AtomicBool,
) -> Result<Carried, BenchError> {
    let offer = |duration_s| {
        std::thread::scope(|scope| {
            let lanes: Vec<_> = specs
                .iter()
                .map(|spec| {
                    let spec = Spec { duration_s, ..spec.clone() };
                    scope.spawn(move || load::offer(place, &spec, stop))
                })
                .collect();
            let join = |lane: std::thread::ScopedJoinHandle<'_, _>| {
                lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            lanes.into_iter().map(join).collect::<Result<Vec<Outcome>, BenchError>>()
        })
    };
    offer(WARM_UP_S)?;
    let outcomes = offer(duration_s)?;
    let busy_ns: u64 = outcomes.iter().map(|outcome| outcome.busy.busy_ns).sum();
    let answered: u64 = outcomes.iter().map(|outcome| outcome.report.answered).sum();
    Ok(Carried {
        answered_per_s: outcomes.iter().map(|outcome| outcome.report.answered_per_s()).sum(),
        core_ns_per_answer: busy_ns as f64 / answered as f64,
    })
}
