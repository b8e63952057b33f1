//! What one source's answers say about the clock: offset, frequency, and how sure we are of both.
//!
//! **Model.** On the free-running timescale the truth minus the clock is an offset θ that moves at
//! a frequency f, and f wanders as a random walk of q per second (wander² of the oscillator):
//!
//! ```text
//! θ(t+τ) = θ + f·τ + process noise     Q(τ) = q · | τ³/3  τ²/2 |
//! f(t+τ) = f       + process noise                | τ²/2  τ    |
//! y_k    = θ(t_k) + measurement noise of variance v_k
//! ```
//!
//! **Measurement noise from the delay.** An exchange that took e_k longer than the path's least
//! delay spent e_k in queues, out and back in unknown proportion. Its offset is wrong by (out −
//! back)/2, which lies in ±e_k/2; for exponential queues, given the sum e_k, it is exactly uniform
//! there. So
//!
//! ```text
//! v_k = s²·(e_k + ε)²/12 + g²
//! ```
//!
//! with g the clocks' resolution and ε what the least delay seen still exceeds the true one by: the
//! minimum of n sums of two exponentials lies about 0.63 of their mean over √n above. A sample that
//! met no queue then weighs hundreds of times more than one that did; no sample is thrown away. `s`
//! covers networks whose errors the delay does not show.
//!
//! **What is certain.** Whatever the noise, a right server's answer is off by at most half its delay:
//! |y_k − θ(t_k)| ≤ δ_k/2. Each hypothesis is confined to that after each answer ([`crate::kalman`]).
//! On a path that is mostly queue this is where the precision comes from; on a long quiet one it says
//! nothing and costs a comparison.
//!
//! **Unknown noise.** q, s and how far the first frequency may be from the expected one are
//! unknown. A Kalman filter runs over the history for each of a small grid of hypotheses, each is
//! weighed by its likelihood (the product of its innovations' densities) times a prior, and the
//! answer is the mixture:
//!
//! ```text
//! x = Σ w_i x_i        P = Σ w_i (P_i + (x_i − x)(x_i − x)ᵀ)
//! ```
//!
//! The covariance thus contains our ignorance of the noise, which is what makes the published error
//! bound honest when there are few samples. (Magill 1965, multiple-model adaptive estimation.)
//!
//! **Jumps.** A right server's answer is off by at most half its delay. An answer further from the
//! prediction than that, and than [`JUMP_SD`] predicted deviations and 15 ppm explain, is set
//! aside; [`JUMP_SAMPLES`] in a row that agree with each other mean that the server has moved, and
//! history restarts with them.
//!
//! Must never: hold an absolute time in an `f64`; let a NaN out (the inputs are integers, each
//! variance has a positive floor); forget a sample because it disagrees mildly.

use timeball_time::{Free, Interval, Rate, Timestamp};

use crate::estimate::{Covariance, Estimate};
use crate::exchange::FREQUENCY_TOLERANCE;
use crate::kalman::State;

/// What is expected of the frequency before anything was measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FrequencyPrior {
    /// Expected truth-against-clock frequency, s/s.
    pub mean: f64,
    /// Its standard deviation, s/s; beyond it lies a broad tail, so it may be wrong.
    pub sd: f64,
}

impl FrequencyPrior {
    /// Nothing known: crystals are within a few hundred ppm.
    pub const UNKNOWN: Self = Self { mean: 0.0, sd: 1e-4 };

    /// A frequency learned earlier (drift file, other sources); temperature may have moved it
    /// since.
    pub fn learned(frequency: Rate) -> Self {
        Self { mean: frequency.as_ratio(), sd: 1e-6 }
    }
}

/// One measurement as the filter sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    /// When, half way through the exchange.
    pub time: Timestamp<Free>,
    /// Truth minus the free clock, as the source has it.
    pub offset: Interval,
    /// Round-trip delay.
    pub delay: Interval,
    /// Resolution of the clocks that were read.
    pub resolution: Interval,
}

/// What became of a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Taken into the history.
    Taken,
    /// Too far from the prediction to be noise: set aside until others agree with it.
    Suspect,
    /// The third that agrees on a new offset: history restarted from these.
    Jumped,
    /// Not after the newest point: of no use.
    Stale,
}

/// The history of one source and the estimate drawn from it.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Oldest first, never more than [`HISTORY_MAX`].
    points: Vec<Point>,
    /// Set aside, oldest first, fewer than [`JUMP_SAMPLES`].
    suspects: Vec<Point>,
    prior: FrequencyPrior,
    estimate: Option<Estimate>,
}

impl Filter {
    /// An empty history.
    pub fn new(prior: FrequencyPrior) -> Self {
        Self {
            points: Vec::with_capacity(HISTORY_MAX),
            suspects: Vec::with_capacity(JUMP_SAMPLES),
            prior,
            estimate: None,
        }
    }

    /// Forgets everything, expecting `prior` of the frequency from now on.
    pub fn reset(&mut self, prior: FrequencyPrior) {
        self.points.clear();
        self.suspects.clear();
        self.prior = prior;
        self.estimate = None;
    }

    /// Judges and takes in a measurement.
    pub fn insert(&mut self, point: Point) -> Verdict {
        if self.points.last().is_some_and(|last| point.time <= last.time) {
            return Verdict::Stale;
        }
        if self.is_jump(&point) {
            return self.suspect(point);
        }
        self.suspects.clear();
        if self.points.len() == HISTORY_MAX {
            self.points.remove(0);
        }
        self.points.push(point);
        self.estimate = self.solve();
        Verdict::Taken
    }

    /// A leap second: the truth is `shift` further than all that was measured of it.
    pub fn leap(&mut self, shift: Interval) {
        for point in self.points.iter_mut().chain(&mut self.suspects) {
            point.offset += shift;
        }
        self.estimate = self.estimate.map(|estimate| estimate.moved(shift));
    }

    /// The estimate after the newest point; `None` before the first.
    pub const fn estimate(&self) -> Option<&Estimate> {
        self.estimate.as_ref()
    }

    /// How many points the estimate rests on.
    pub const fn len(&self) -> usize {
        self.points.len()
    }

    /// True before the first point.
    pub const fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// True while a point is set aside: the sooner the next one comes the better.
    pub const fn is_suspicious(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// The least delay in the history.
    pub fn delay_min(&self) -> Interval {
        self.points.iter().map(|point| point.delay).min().unwrap_or(Interval::MAX)
    }

    /// The history, oldest first.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The newest point taken.
    pub fn newest(&self) -> Option<&Point> {
        self.points.last()
    }

    fn is_jump(&self, point: &Point) -> bool {
        let Some(estimate) = &self.estimate else { return false };
        if self.points.len() < JUMP_HISTORY_MIN {
            return false;
        }
        let error = (point.offset - estimate.offset_at(point.time)).abs();
        let sd = Interval::from_secs_f64(JUMP_SD * estimate.offset_sd_at(point.time));
        let drift = FREQUENCY_TOLERANCE.over(point.time - estimate.epoch());
        error > point.delay.half() + sd + drift + JUMP_FLOOR
    }

    fn suspect(&mut self, point: Point) -> Verdict {
        let agrees = |other: &Point| {
            let drift = FREQUENCY_MAX.over(point.time - other.time);
            let slack = (point.delay + other.delay).half() + JUMP_FLOOR + drift;
            (point.offset - other.offset).abs() <= slack
        };
        if !self.suspects.iter().all(agrees) {
            self.suspects.clear();
        }
        self.suspects.push(point);
        if self.suspects.len() < JUMP_SAMPLES {
            return Verdict::Suspect;
        }
        if let Some(estimate) = &self.estimate {
            let sd = estimate.frequency_sd_at(point.time).max(1e-6);
            self.prior = FrequencyPrior { mean: estimate.frequency(), sd };
        }
        self.points.clear();
        self.points.append(&mut self.suspects);
        self.estimate = self.solve();
        Verdict::Jumped
    }

    fn solve(&self) -> Option<Estimate> {
        let problem = Problem::new(&self.points)?;
        let broad = FrequencyPrior { mean: self.prior.mean, sd: FREQUENCY_SD_BROAD };
        // Once the history is long, what was expected at its start no longer matters.
        let narrow = (self.points.len() <= PRIOR_POINTS_MAX).then_some(self.prior);
        let mut mixture = Mixture::default();
        for &(wander, wander_cost) in &WANDERS {
            for &(scale, scale_cost) in &SCALES {
                let cost = wander_cost + scale_cost;
                if let Some(prior) = narrow {
                    mixture.add(wander, problem.run(wander, scale, prior), cost);
                }
                mixture.add(wander, problem.run(wander, scale, broad), cost + BROAD_COST);
            }
        }
        Some(mixture.estimate(&problem))
    }
}

/// The history as differences, ready for the filters.
struct Problem {
    steps: Vec<Step>,
    first: Interval,
    epoch: Timestamp<Free>,
    /// Mean measurement variance at scale 1.
    variance: f64,
}

impl Problem {
    fn new(points: &[Point]) -> Option<Self> {
        let (first, last) = (points.first()?, points.last()?);
        let n = points.len() as f64;
        let least = points.iter().map(|point| point.delay).min()?;
        let excess = |point: &Point| (point.delay - least).as_secs_f64();
        let total: f64 = points.iter().map(excess).sum();
        // The least delay itself stands for one more point, lest two equal delays pass for
        // certainty.
        let mean = (total + least.as_secs_f64().max(0.0)) / (n + 1.0);
        let residual = MINIMUM_EXCESS * mean / n.sqrt();
        let mut previous = first.time;
        let mut steps = Vec::with_capacity(points.len());
        for point in points {
            let resolution = point.resolution.as_secs_f64().max(RESOLUTION_FLOOR_S);
            steps.push(Step {
                gap: (point.time - previous).as_secs_f64(),
                offset: (point.offset - first.offset).as_secs_f64(),
                queueing: (excess(point) + residual).powi(2) / 12.0,
                reading: resolution.powi(2),
                reach: point.delay.half().as_secs_f64() + resolution,
            });
            previous = point.time;
        }
        let variance = steps.iter().map(|step| step.queueing + step.reading).sum::<f64>() / n;
        Some(Self { steps, first: first.offset, epoch: last.time, variance })
    }

    /// One Kalman filter over the whole history.
    fn run(&self, wander: f64, scale: f64, prior: FrequencyPrior) -> Run {
        let variance_of = |step: &Step| scale * scale * step.queueing + step.reading;
        let first = &self.steps[0];
        let covariance =
            Covariance { offset: variance_of(first), cross: 0.0, frequency: prior.sd.powi(2) };
        let mut state = State { offset: first.offset, frequency: prior.mean, covariance };
        let mut cost = 0.0;
        for step in &self.steps[1..] {
            state.predict(step.gap, wander * wander);
            cost += state.measure(step.offset, variance_of(step));
            cost += state.confine(step.offset, step.reach);
        }
        Run { state, cost, scale }
    }
}

/// One measurement, in seconds.
struct Step {
    /// Since the one before.
    gap: f64,
    /// Against the first one's.
    offset: f64,
    /// Variance by the time spent in queues.
    queueing: f64,
    /// Variance of reading the clocks.
    reading: f64,
    /// By how much the offset may be wrong at the most.
    reach: f64,
}

/// Where one hypothesis ends up; `cost` is minus its log likelihood.
struct Run {
    state: State,
    cost: f64,
    scale: f64,
}

/// The hypotheses and their costs.
#[derive(Default)]
struct Mixture {
    runs: Vec<(f64, Run)>,
}

impl Mixture {
    fn add(&mut self, wander: f64, mut run: Run, prior_cost: f64) {
        run.cost += prior_cost;
        self.runs.push((wander, run));
    }

    fn estimate(&self, problem: &Problem) -> Estimate {
        let least = self.runs.iter().map(|(_, run)| run.cost).fold(f64::INFINITY, f64::min);
        let weight = |run: &Run| (least - run.cost).exp();
        let total: f64 = self.runs.iter().map(|(_, run)| weight(run)).sum();
        let mean = |of: &dyn Fn(f64, &Run) -> f64| {
            self.runs.iter().map(|(w, run)| weight(run) * of(*w, run)).sum::<f64>() / total
        };
        let offset = mean(&|_, run| run.state.offset);
        let frequency = mean(&|_, run| run.state.frequency);
        let spread = |run: &Run| [run.state.offset - offset, run.state.frequency - frequency];
        let covariance = Covariance {
            offset: mean(&|_, run| run.state.covariance.offset + spread(run)[0].powi(2)),
            cross: mean(&|_, run| run.state.covariance.cross + spread(run)[0] * spread(run)[1]),
            frequency: mean(&|_, run| run.state.covariance.frequency + spread(run)[1].powi(2)),
        };
        let scale = mean(&|_, run| run.scale.powi(2));
        Estimate::new(
            problem.epoch,
            problem.first + Interval::from_secs_f64(offset),
            frequency,
            covariance,
            mean(&|wander, _| wander * wander),
            mean(&|wander, _| wander.ln()).exp(),
            (problem.variance * scale).sqrt(),
        )
    }
}

/// The most points kept.
pub const HISTORY_MAX: usize = 64;
/// Points that must agree before a server is believed to have moved.
pub const JUMP_SAMPLES: usize = 3;
/// Predicted standard deviations that an answer may be off.
const JUMP_SD: f64 = 6.0;
/// Points needed before a prediction is worth holding against an answer.
const JUMP_HISTORY_MIN: usize = 4;
/// What no jump is smaller than.
const JUMP_FLOOR: Interval = Interval::from_millis(1);
/// How far apart two suspects may drift and still agree.
const FREQUENCY_MAX: Rate = Rate::from_ppb(500_000);

/// Excess of the least of n two-way delays over the true least, in units of mean excess / √n:
/// Γ(3/2)·√2 / 2 for two exponentials.
const MINIMUM_EXCESS: f64 = 0.627;
/// Stamps are never better than this.
const RESOLUTION_FLOOR_S: f64 = 200e-9;

/// Wander of the oscillator, 1/√s, and minus the log of how much less likely it is than the usual.
const WANDERS: [(f64, f64); 10] = [
    (3e-11, 1.5),
    (1e-10, 1.0),
    (3e-10, 0.5),
    (1e-9, 0.0),
    (3e-9, 0.0),
    (1e-8, 0.5),
    (3e-8, 1.0),
    (1e-7, 1.5),
    (3e-7, 2.0),
    (1e-6, 2.5),
];
/// How many times larger than the delays say the offsets' deviations are, and its cost.
const SCALES: [(f64, f64); 3] = [(1.0, 0.0), (2.0, 1.5), (6.0, 4.0)];
/// A frequency far from the expected one: possible (5 %), but one case in a thousand.
const FREQUENCY_SD_BROAD: f64 = 5e-2;
const BROAD_COST: f64 = 7.0;
/// History beyond which the expected frequency is no longer looked at.
const PRIOR_POINTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(at_s: i64, offset_ns: i64, delay_ns: i64) -> Point {
        Point {
            time: Timestamp::from_nanos(at_s * 1_000_000_000),
            offset: Interval::from_nanos(offset_ns),
            delay: Interval::from_nanos(delay_ns),
            resolution: Interval::from_nanos(100),
        }
    }

    fn filter(points: impl IntoIterator<Item = Point>) -> Filter {
        let mut filter = Filter::new(FrequencyPrior::UNKNOWN);
        for point in points {
            assert_eq!(filter.insert(point), Verdict::Taken, "{point:?}");
        }
        filter
    }

    /// 50 ppm, 1 s ahead, no noise.
    fn steady(count: i64) -> impl Iterator<Item = Point> {
        (0..count).map(|k| point(64 * k, 1_000_000_000 + 64 * k * 50_000, 200_000))
    }

    #[test]
    fn a_straight_line_is_found_and_extended() {
        let filter = filter(steady(20));
        let estimate = filter.estimate().unwrap();
        assert!((estimate.frequency() - 50e-6).abs() < 1e-9, "{}", estimate.frequency());
        let later = Timestamp::from_nanos(64 * 30 * 1_000_000_000);
        let error =
            estimate.offset_at(later) - Interval::from_nanos(1_000_000_000 + 64 * 30 * 50_000);
        assert!(error.abs() < Interval::from_micros(2), "{error:?}");
    }

    #[test]
    fn a_sample_that_queued_counts_for_little() {
        let mut filter = filter(steady(20));
        let before = *filter.estimate().unwrap();
        // 10 ms longer on one way: 5 ms off, well within half its delay.
        let late = point(64 * 20, 1_000_000_000 + 64 * 20 * 50_000 - 5_000_000, 10_200_000);
        assert_eq!(filter.insert(late), Verdict::Taken);
        let moved = filter.estimate().unwrap().offset_at(late.time) - before.offset_at(late.time);
        assert!(moved.abs() < Interval::from_micros(20), "{moved:?}");
    }

    #[test]
    fn the_history_is_bounded_and_forgets_the_oldest() {
        let filter = filter(steady(HISTORY_MAX as i64 + 30));
        assert_eq!(filter.len(), HISTORY_MAX);
    }

    #[test]
    fn a_jump_takes_three_that_agree_and_keeps_the_frequency() {
        let mut filter = filter(steady(20));
        let moved = |k: i64| point(1280 + 2 * k, 9_000_000_000 + 2 * k * 50_000, 200_000);
        assert_eq!(filter.insert(moved(0)), Verdict::Suspect);
        assert!(filter.is_suspicious());
        assert_eq!(filter.insert(moved(1)), Verdict::Suspect);
        assert_eq!(filter.insert(moved(2)), Verdict::Jumped);
        let estimate = filter.estimate().unwrap();
        let offset = estimate.offset_at(moved(2).time);
        assert!((offset - moved(2).offset).abs() < Interval::from_micros(100), "{offset:?}");
        assert!((estimate.frequency() - 50e-6).abs() < 1e-6);
    }

    #[test]
    fn wild_answers_that_do_not_agree_are_no_jump() {
        let mut filter = filter(steady(20));
        for k in 0..10 {
            let wild = point(1280 + 2 * k, (k * k + 5) * 1_000_000_000, 200_000);
            assert_eq!(filter.insert(wild), Verdict::Suspect);
        }
        let back = point(1344, 1_000_000_000 + 1344 * 50_000, 200_000);
        assert_eq!(filter.insert(back), Verdict::Taken);
        assert!(!filter.is_suspicious());
    }

    #[test]
    fn a_point_from_the_past_is_not_taken() {
        let mut filter = filter(steady(5));
        assert_eq!(filter.insert(point(100, 0, 200_000)), Verdict::Stale);
    }

    #[test]
    fn deviations_grow_with_time_and_shrink_with_answers() {
        let (few, many) = (filter(steady(4)), filter(steady(40)));
        let sd = |filter: &Filter, later: i64| {
            let estimate = filter.estimate().unwrap();
            estimate.offset_sd_at(estimate.epoch() + Interval::from_secs(later))
        };
        assert!(sd(&few, 0) > sd(&many, 0));
        assert!(sd(&many, 0) < sd(&many, 1_000) && sd(&many, 1_000) < sd(&many, 100_000));
    }

    fn odd_offset() -> impl Strategy<Value = i64> {
        prop_oneof![1 => any::<i64>(), 9 => -1_000_000_000i64..1_000_000_000]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_comes_in_only_finite_numbers_come_out(
            points in prop::collection::vec(
                (1i64..i64::MAX / 200, odd_offset(), 0i64..3_000_000_000), 1..100)
        ) {
            let mut filter = Filter::new(FrequencyPrior::UNKNOWN);
            let mut time = 0i64;
            for (gap, offset, delay) in points {
                time = time.saturating_add(gap);
                filter.insert(Point {
                    time: Timestamp::from_nanos(time),
                    offset: Interval::from_nanos(offset),
                    delay: Interval::from_nanos(delay),
                    resolution: Interval::ZERO,
                });
                let estimate = filter.estimate().unwrap();
                let later = Timestamp::from_nanos(time.saturating_add(1 << 50));
                prop_assert!(estimate.frequency().is_finite());
                prop_assert!(estimate.offset_sd_at(later).is_finite());
                prop_assert!(estimate.frequency_sd_at(later).is_finite());
                prop_assert!(estimate.jitter() > 0.0 && estimate.jitter().is_finite());
                prop_assert!(estimate.wander() > 0.0 && estimate.wander().is_finite());
            }
        }
    }
}
