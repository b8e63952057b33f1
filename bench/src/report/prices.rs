//! Rounds of prices: what an answer costs everybody, in turns so short that the machine is the same machine.
//!
//! All servers stay in their seats and wait; in a round each network's contenders, in an order drawn anew,
//! are saturated for a quarter of a second each, and the reference before and after every three of them.
//! What a turn says is its rate, which is known to the request; the core's busy time, which the kernel counts
//! in hundredths of a second, is taken of all turns together.
//! Whoever's ratio is known closely enough is left out of the rounds that follow.
//!
//! Must never: drop a round by what it says. It is dropped only if the hypervisor took time from the server's
//! core or the generator's.

use std::time::Instant;

use timeball_load::SplitMix64;

use super::Candidate;
use crate::error::BenchError;
use crate::estimate::around;
use crate::load::Outcome;

/// A quarter of a second of saturation.
#[derive(Debug)]
pub(super) struct Turn {
    /// In the middle of it, seconds of the run.
    moment_s: f64,
    pub(super) outcome: Outcome,
}

/// Gives everybody of one network, who are not known closely enough, a turn. The first of `candidates` is
/// the reference.
pub(super) fn round(
    candidates: &mut [Candidate<'_>],
    began: Instant,
    random: &mut SplitMix64,
) -> Result<(), BenchError> {
    let Some((reference, contenders)) = candidates.split_first_mut() else { return Ok(()) };
    let mut order: Vec<usize> =
        (0..contenders.len()).filter(|&index| contenders[index].is_open()).collect();
    if order.is_empty() || reference.fault.is_some() {
        return Ok(());
    }
    shuffle(&mut order, random);
    turn(reference, began)?;
    for group in order.chunks(BETWEEN_REFERENCES) {
        for &index in group {
            turn(&mut contenders[index], began)?;
        }
        turn(reference, began)?;
    }
    contenders.iter_mut().for_each(|contender| contender.compare(reference));
    Ok(())
}

/// One turn.
fn turn(candidate: &mut Candidate<'_>, began: Instant) -> Result<(), BenchError> {
    let from_s = began.elapsed().as_secs_f64();
    if let Some(outcome) = candidate.saturate(WARM_UP_S, TURN_S)? {
        let moment_s = (from_s + began.elapsed().as_secs_f64()) / 2.0;
        candidate.turns.push(Turn { moment_s, outcome });
    }
    Ok(())
}

impl Candidate<'_> {
    /// Its turns that were not disturbed: when they were, and the logarithm of what an answer cost.
    fn costs(&self) -> Vec<(f64, f64)> {
        let quiet = || self.turns.iter().filter(|turn| !is_disturbed(&turn.outcome));
        let sum = |figure: fn(&Outcome) -> f64| quiet().map(|it| figure(&it.outcome)).sum::<f64>();
        let busy = sum(|it| it.busy.busy_ns as f64) / sum(|it| it.report.elapsed_s);
        let cost = |turn: &Turn| (busy / turn.outcome.report.answered_per_s()).ln();
        quiet().map(|turn| (turn.moment_s, cost(turn))).filter(|cost| cost.1.is_finite()).collect()
    }

    /// Compares every turn with those of `reference` around it.
    fn compare(&mut self, reference: &Candidate<'_>) {
        let reference = reference.costs();
        let costs = self.costs();
        let ratios = costs.iter().filter_map(|cost| Some(around(&reference, cost.0)? - cost.1));
        self.logarithms = ratios.collect();
        self.dropped = (self.turns.len() - self.logarithms.len()) as u32;
    }
}

/// Whether the hypervisor gave the server's core or the generator's to somebody else.
pub(super) fn is_disturbed(outcome: &Outcome) -> bool {
    let stolen_ns = outcome.busy.stolen_ns.max(outcome.generator_stolen_ns);
    stolen_ns as f64 / 1e9 / outcome.took_s > super::STOLEN_MAX
}

/// Every order is as likely (Fisher and Yates).
fn shuffle(order: &mut [usize], random: &mut SplitMix64) {
    for last in (1..order.len()).rev() {
        order.swap(last, random.draw() as usize % (last + 1));
    }
}

/// How long one turn of `candidates` and of the reference with them takes, roughly, in seconds.
pub(super) fn round_s(contenders: usize) -> f64 {
    let references = contenders.div_ceil(BETWEEN_REFERENCES) + 1;
    (contenders + references) as f64 * (WARM_UP_S + TURN_S + 2.0 * super::plan::BETWEEN_S)
}

/// Contenders between two turns of the reference.
const BETWEEN_REFERENCES: usize = 3;
/// Load before that which counts: caches, and a server's own way of noticing load.
const WARM_UP_S: f64 = 0.05;
/// Long beside the unit of the core's busy time, short beside what the machine's pace takes to change.
const TURN_S: f64 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_permutation_and_not_always_the_same() {
        let mut random = SplitMix64::new(1, 0);
        let mut firsts = [0; 5];
        for _ in 0..1_000 {
            let mut order = [0, 1, 2, 3, 4];
            shuffle(&mut order, &mut random);
            firsts[order[0]] += 1;
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4]);
        }
        assert!(firsts.iter().all(|count| (150..250).contains(count)), "{firsts:?}");
    }
}
