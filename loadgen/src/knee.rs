//! The knee: how likely a rate meets a service level, as far as trials tell.
//!
//! Near a server's limit it is chance whether a trial meets the level, so no single trial is believed. The
//! chance is taken to fall from one to none along the logarithm of the rate, around the rate of which half
//! of the trials meet it and within some width (a logistic curve), but for a share of trials spoilt at any
//! rate by what has nothing to do with it. Neither is known; every pair that might be is weighed by how well
//! it explains the trials (Bayes' rule over a grid). From that follow the rate, an interval that holds it,
//! and the rate at which the next trial would tell most.
//!
//! Must never: be sure of a rate that few trials, or contradicting ones, stand for.

/// A trial: its rate in requests a second, and whether it met the level.
pub(crate) type Outcome = (f64, bool);

/// What is known of a server's knee.
#[derive(Debug)]
pub(crate) struct Knee {
    /// Logarithms of the rates that may be it, ascending.
    places: Vec<f64>,
    /// For each of them and each of [`WIDTHS`]: how likely it is.
    weights: Vec<[f64; WIDTHS.len()]>,
}

impl Knee {
    /// What `outcomes` tell, of which some met the level and some did not; rates are told apart to about the
    /// share `step`.
    pub(crate) fn of(outcomes: &[Outcome], step: f64) -> Self {
        let logarithm = |&(rate_hz, _): &Outcome| rate_hz.max(MIN_HZ).ln();
        let met = outcomes.iter().filter(|outcome| outcome.1).map(logarithm);
        let missed = outcomes.iter().filter(|outcome| !outcome.1).map(logarithm);
        let (met, missed) = (met.fold(f64::MIN, f64::max), missed.fold(f64::MAX, f64::min));
        let (from, to) = (met.min(missed) - MARGIN, met.max(missed) + MARGIN);
        let count = ((to - from) / step).clamp(PLACES_MIN, PLACES_MAX) as usize;
        let place = |index| from + (to - from) * index as f64 / (count - 1) as f64;
        let places: Vec<f64> = (0..count).map(place).collect();
        let mut weights = vec![[1.0; WIDTHS.len()]; count];
        for outcome in outcomes {
            let rate = logarithm(outcome);
            for (place, weights) in places.iter().zip(&mut weights) {
                for (width, weight) in WIDTHS.iter().zip(weights) {
                    let chance = chance(rate, *place, *width);
                    *weight *= if outcome.1 { chance } else { 1.0 - chance };
                }
            }
            normalise(&mut weights);
        }
        Self { places, weights }
    }

    /// The rate below which the knee lies with the probability `share`.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut below = 0.0;
        let mut last = self.places[0];
        for (place, weights) in self.places.iter().zip(&self.weights) {
            let here = weights.iter().sum::<f64>();
            if below + here >= share && here > 0.0 {
                return (last + (place - last) * (share - below) / here).exp();
            }
            (below, last) = (below + here, *place);
        }
        last.exp()
    }

    /// The interval that holds the knee with a probability of 95 %.
    pub(crate) fn interval(&self) -> (f64, f64) {
        (self.quantile(0.025), self.quantile(0.975))
    }

    /// The rate at which a trial is expected to leave the least doubt.
    pub(crate) fn most_telling(&self) -> f64 {
        let median = self.quantile(0.5);
        let steep = |(index, width): (usize, &f64)| {
            width * self.weights.iter().map(|weights| weights[index]).sum::<f64>()
        };
        let width: f64 = WIDTHS.iter().enumerate().map(steep).sum();
        let by_chance = LOOKS.iter().map(|share| self.quantile(*share));
        let by_width = [-2.0, -1.0, 1.0, 2.0].iter().map(|times| median * (times * width).exp());
        let doubts = by_chance.chain(by_width).map(|rate| (self.doubt_after(rate), rate));
        doubts.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(median, |(_, rate)| rate)
    }

    /// The variance of the knee's place that is expected after a trial at `rate`.
    fn doubt_after(&self, rate: f64) -> f64 {
        let rate = rate.ln();
        // Of trials that meet the level, and of those that do not: weight, and first two moments.
        let mut sums = [[0.0; 3]; 2];
        for (place, weights) in self.places.iter().zip(&self.weights) {
            for (width, weight) in WIDTHS.iter().zip(weights) {
                if *weight < NEGLIGIBLE {
                    continue;
                }
                let chance = chance(rate, *place, *width);
                for (sum, share) in sums.iter_mut().zip([chance, 1.0 - chance]) {
                    let weight = weight * share;
                    let terms = [weight, weight * place, weight * place * place];
                    sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
                }
            }
        }
        let spread = |[weight, first, second]: [f64; 3]| {
            if weight > 0.0 { second - first * first / weight } else { 0.0 }
        };
        sums.into_iter().map(spread).sum()
    }
}

/// The chance that a trial at `rate` meets the level if the knee is at `place`; both are logarithms.
fn chance(rate: f64, place: f64, width: f64) -> f64 {
    SPOILT + (1.0 - 2.0 * SPOILT) / (1.0 + ((rate - place) / width).exp())
}

fn normalise(weights: &mut [[f64; WIDTHS.len()]]) {
    let sum: f64 = weights.iter().flatten().sum();
    weights.iter_mut().flatten().for_each(|weight| *weight /= sum);
}

/// Widths that a knee may have, as shares of its rate: from sharper than can be told to hardly one.
const WIDTHS: [f64; 7] = [0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128];
/// This share of trials says the contrary of what is so: a hiccup, or luck.
const SPOILT: f64 = 0.03;
/// How far beyond the rates tried the knee may lie: a factor of one and a half.
const MARGIN: f64 = 0.4;
/// Less than any rate there is.
const MIN_HZ: f64 = 0.5;
/// What is less likely than this need not be thought of.
const NEGLIGIBLE: f64 = 1e-9;
/// Bounds of the grid's size.
const PLACES_MIN: f64 = 50.0;
const PLACES_MAX: f64 = 2_000.0;
/// Where a next trial may be: at these shares of what the knee may be.
const LOOKS: [f64; 9] = [0.025, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.975];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let (truth, width) = (100_000.0f64, 0.02);
        let held = (0..60).filter(|&seed| {
            let mut random = SplitMix64::new(seed, 0);
            let mut outcomes = vec![(64e3, true), (128e3, false)];
            for _ in 0..20 {
                let rate = Knee::of(&outcomes, 0.01).most_telling();
                outcomes.push((rate, random.unit() < chance(rate.ln(), truth.ln(), width)));
            }
            let (low, high) = Knee::of(&outcomes, 0.01).interval();
            (low..=high).contains(&truth)
        });
        // Of 60 that hold it with 95 % each, less than 51 is a matter of one in two thousand.
        assert!(held.count() >= 51);
    }

    #[test]
    fn contradictions_widen_the_interval() {
        let width = |outcomes: &[Outcome]| {
            let (low, high) = Knee::of(outcomes, 0.005).interval();
            high / low
        };
        let clear =
            [(900.0, true), (950.0, true), (980.0, true), (1_020.0, false), (1_050.0, false)];
        let mixed =
            [(900.0, true), (950.0, false), (980.0, true), (1_020.0, true), (1_050.0, false)];
        assert!(width(&mixed) > 1.2 * width(&clear), "{} {}", width(&mixed), width(&clear));
    }

    #[test]
    fn one_spoilt_trial_does_not_move_the_knee() {
        let mut outcomes: Vec<Outcome> =
            (80..120).map(|rate| (f64::from(rate) * 1e3, rate < 100)).collect();
        outcomes.push((60e3, false));
        let median = Knee::of(&outcomes, 0.005).quantile(0.5);
        assert!((98_000.0..=101_000.0).contains(&median), "{median}");
    }
}
