//! A ratio out of many short rounds, each spoilt in its own way, and the interval that holds it.
//!
//! On a virtual machine the pace drifts by a fifth within an hour, bursts of somebody else's work last
//! for some rounds, and single rounds are off by half. So a contender's cost is compared, round by round,
//! with what the reference costs around the same moment ([`around`]), and of the logarithms of these
//! ratios the mean of the middle half is taken: what a quarter of the rounds say, however wrong, does not
//! count. How far to believe it is told by the bootstrap: the same mean over rounds drawn anew from those
//! that were made, some hundred times; 95 % of these means are the interval.
//!
//! Must never: call a ratio known that few rounds stand for, or say two things of the same rounds.

use serde::Serialize;
use timeball_load::SplitMix64;

/// A ratio and where the true one lies, 95 times of 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    /// The best guess.
    pub(crate) ratio: f64,
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
    /// Rounds that it stands on.
    pub(crate) rounds: usize,
}

impl Estimate {
    /// A ratio that is 1 because it is of a thing and itself.
    pub(crate) const ITSELF: Self = Self { ratio: 1.0, low: 1.0, high: 1.0, rounds: 0 };

    /// Of the logarithms of ratios; `None` of less than two.
    pub(crate) fn of_logarithms(logarithms: &[f64]) -> Option<Self> {
        let mut sorted = logarithms.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        if count < 2 {
            return None;
        }
        let once = vec![1; count];
        let middle = middle_mean(&sorted, &once);
        let mut random = SplitMix64::new(SEED, count as u64);
        let mut again: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let mut times = vec![0; count];
                for _ in 0..count {
                    times[((u64::from(random.draw()) * count as u64) >> 32) as usize] += 1;
                }
                middle_mean(&sorted, &times)
            })
            .collect();
        again.sort_by(f64::total_cmp);
        // A sample is narrower than what it was drawn from: by as much as makes a variance divide by n − 1.
        let wider = (count as f64 / (count as f64 - 1.0)).sqrt();
        let end = |index: usize| (middle + (again[index] - middle) * wider).exp();
        let (low, high) = (end(RESAMPLES / 40), end(RESAMPLES - 1 - RESAMPLES / 40));
        Some(Self { ratio: middle.exp(), low, high, rounds: count })
    }

    /// The farther end of the interval, as a share of the ratio.
    pub(crate) fn doubt(&self) -> f64 {
        (self.high / self.ratio - 1.0).max(1.0 - self.low / self.ratio)
    }

    /// Whether it is known to within `doubt` either way, by rounds enough.
    pub(crate) fn is_within(&self, doubt: f64) -> bool {
        self.rounds >= ROUNDS_MIN && self.doubt() <= doubt
    }

    /// `1.020 (0.998–1.035)`.
    pub(crate) fn text(&self) -> String {
        format!("{:.3} ({:.3}–{:.3})", self.ratio, self.low, self.high)
    }
}

/// The mean of the middle half of `sorted`, in which each value stands as often as `times` says.
fn middle_mean(sorted: &[f64], times: &[u32]) -> f64 {
    let count: u32 = times.iter().sum();
    let cut = f64::from(count) / 4.0;
    let (mut before, mut sum) = (0.0, 0.0);
    for (value, &times) in sorted.iter().zip(times) {
        let after = before + f64::from(times);
        // What of it lies between the first quarter and the last.
        let inside: f64 = after.min(3.0 * cut) - before.max(cut);
        sum += value * inside.max(0.0);
        before = after;
    }
    sum / (2.0 * cut)
}

/// What the reference was around `moment`: of its rounds, each a moment and a logarithm, the mean of the
/// middle half of the nearest few.
pub(crate) fn around(rounds: &[(f64, f64)], moment: f64) -> Option<f64> {
    let mut nearest = rounds.to_vec();
    nearest.sort_by(|a, b| (a.0 - moment).abs().total_cmp(&(b.0 - moment).abs()));
    let mut near: Vec<f64> = nearest.iter().take(NEAR).map(|round| round.1).collect();
    near.sort_by(f64::total_cmp);
    (near.len() >= NEAR_MIN).then(|| middle_mean(&near, &vec![1; near.len()]))
}

/// Rounds of the reference that say what it is at a moment: some ten seconds of them.
const NEAR: usize = 8;
/// Fewer do not.
const NEAR_MIN: usize = 2;
/// Fewer rounds than this say nothing of their own spread.
const ROUNDS_MIN: usize = 10;
const RESAMPLES: usize = 400;
const SEED: u64 = 5_905;

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which everything that is known to happen does.
    struct Machine {
        random: SplitMix64,
        moment: f64,
        /// Rounds that a burst of somebody else's work still lasts.
        burst: u32,
    }

    impl Machine {
        fn new(seed: u64) -> Self {
            Self { random: SplitMix64::new(seed, 7), moment: 0.0, burst: 0 }
        }

        fn normal(&mut self) -> f64 {
            let angle = self.random.unit() * std::f64::consts::TAU;
            (-2.0 * self.random.unit().ln()).sqrt() * angle.cos()
        }

        /// What a thing of the price `price` costs now.
        fn cost(&mut self, price: f64) -> (f64, f64) {
            self.moment += 0.3;
            if self.burst == 0 && self.random.unit() < 0.04 {
                self.burst = 1 + (self.random.unit() * 6.0) as u32;
            }
            self.burst = self.burst.saturating_sub(1);
            // A fifth up and down within two minutes, bursts of a third, and a tail with no variance.
            let drift = 0.2 * (self.moment / 20.0).sin();
            let burst = if self.burst > 0 { 0.3 } else { 0.0 };
            let tail = if self.random.unit() < 0.08 { 0.1 / self.random.unit() } else { 0.0 };
            let noise = 0.04 * self.normal() + drift + burst + tail.min(5.0);
            (self.moment, price * noise.exp())
        }

        /// Logarithms of the reference's cost by that of a thing `ratio` times as cheap.
        fn rounds(&mut self, count: usize, ratio: f64) -> Vec<f64> {
            let (mut reference, mut turns) = (Vec::new(), Vec::new());
            for _ in 0..count {
                for turn in 0..4 {
                    let (moment, cost) = self.cost(6_000.0);
                    reference.push((moment, cost.ln()));
                    if turn == 2 {
                        let (moment, cost) = self.cost(6_000.0 / ratio);
                        turns.push((moment, cost.ln()));
                    }
                    // Others' turns.
                    self.moment += 0.6;
                }
                self.moment += 4.0;
            }
            let ratio = |turn: &(f64, f64)| around(&reference, turn.0).unwrap() - turn.1;
            turns.iter().map(ratio).collect()
        }
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        for count in [12, 24, 48] {
            let held = (0..200).filter(|&seed| {
                let logarithms = Machine::new(seed).rounds(count, 0.8);
                let estimate = Estimate::of_logarithms(&logarithms).unwrap();
                assert!(estimate.low <= estimate.ratio && estimate.ratio <= estimate.high);
                (estimate.low..=estimate.high).contains(&0.8)
            });
            let held = held.count();
            assert!((170..=199).contains(&held), "{held} of 200 by {count} rounds");
        }
    }

    #[test]
    fn runs_of_rounds_enough_agree_within_a_twentieth_whatever_the_machine_does() {
        let mut apart = 0;
        for seed in 0..50 {
            let run = |run: u64| {
                let mut machine = Machine::new(1_000 * seed + run);
                let mut logarithms = machine.rounds(12, 1.1);
                // As the report does: until it is known, or the time is up.
                while !Estimate::of_logarithms(&logarithms).unwrap().is_within(0.02)
                    && logarithms.len() < 120
                {
                    logarithms.extend(machine.rounds(6, 1.1));
                }
                Estimate::of_logarithms(&logarithms).unwrap().ratio
            };
            let mut runs = [run(1), run(2), run(3)];
            runs.sort_by(f64::total_cmp);
            let [least, middle, most] = runs;
            apart += u32::from(least / middle < 0.95 || most / middle > 1.05);
            assert!((1.1 * 0.93..1.1 * 1.07).contains(&middle), "{runs:?}");
        }
        assert!(apart <= 1, "{apart} of 50 reports disagree");
    }

    #[test]
    fn a_quarter_of_rounds_that_are_nonsense_does_not_move_it() {
        let mut machine = Machine::new(3);
        let mut logarithms: Vec<f64> = (0..40).map(|_| 0.02 * machine.normal()).collect();
        let clean = Estimate::of_logarithms(&logarithms).unwrap();
        logarithms[..9].iter_mut().for_each(|it| *it = 3.0);
        let spoilt = Estimate::of_logarithms(&logarithms).unwrap();
        assert!((spoilt.ratio / clean.ratio - 1.0).abs() < 0.02, "{clean:?} {spoilt:?}");
    }

    #[test]
    fn a_drift_is_taken_out_and_an_outlier_of_the_reference_left_out() {
        let mut reference: Vec<(f64, f64)> =
            (0..40).map(|turn| (f64::from(turn), 0.01 * f64::from(turn))).collect();
        assert!((around(&reference, 19.5).unwrap() - 0.195).abs() < 1e-9);
        reference[20].1 = 5.0;
        assert!((around(&reference, 19.5).unwrap() - 0.195).abs() < 0.01);
        assert_eq!(around(&reference[..1], 0.0), None);
    }

    #[test]
    fn few_rounds_settle_nothing_and_the_same_rounds_say_the_same() {
        assert_eq!(Estimate::of_logarithms(&[0.1]), None);
        let equal = Estimate::of_logarithms(&[0.0; 9]).unwrap();
        assert_eq!((equal.ratio, equal.doubt()), (1.0, 0.0));
        assert!(!equal.is_within(0.02));
        assert!(Estimate::of_logarithms(&[0.0; 10]).unwrap().is_within(0.02));
        let rounds = Machine::new(1).rounds(20, 1.0);
        assert_eq!(Estimate::of_logarithms(&rounds), Estimate::of_logarithms(&rounds));
        assert_eq!(Estimate::of_logarithms(&[0.5, 0.5]).unwrap().text(), "1.649 (1.649–1.649)");
    }
}
