//! One hypothesis's Kalman filter: offset and frequency, predicted, measured and confined.
//!
//! ```text
//! predict    θ += f·τ        P as in Covariance::after
//! measure    S = P_θθ + v    K = (P_θθ, P_θf)/S    x += K·(y − θ)    P −= K·Kᵀ·S
//! confine    θ given low ≤ θ ≤ high: mean and variance of the truncated normal density
//! ```
//!
//! *Confine* is for what is certain whatever the noise: that a right server's answer is off by at most
//! half its delay. Where queues are most of the delay these bounds say more than any variance: of a
//! hundred answers, the two that by chance lie tightest on either side hold the truth between them.
//! With the standardised bounds a, b, the density φ and its integral Φ:
//!
//! ```text
//! Z = Φ(b) − Φ(a)     m = (φ(a) − φ(b))/Z     s² = 1 + (a·φ(a) − b·φ(b))/Z − m²
//! ```
//!
//! the offset moves by m deviations, its variance shrinks to s² of what it was, and the frequency
//! follows through their covariance. (Simon & Simon 2010, constrained filtering by truncation.)
//!
//! Each step returns minus the log of its likelihood, by which hypotheses are compared.
//!
//! Must never: let a bound that contradicts everything known so far move the state; a server that has
//! moved is [`crate::filter`]'s affair.

use core::f64::consts::{SQRT_2, TAU};

use crate::estimate::Covariance;

/// Offset in seconds, frequency in s/s, and how sure they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) offset: f64,
    pub(crate) frequency: f64,
    pub(crate) covariance: Covariance,
}

impl State {
    /// `tau` seconds later, the frequency having wandered by `q` per second.
    pub(crate) fn predict(&mut self, tau: f64, q: f64) {
        self.offset += self.frequency * tau;
        self.covariance = self.covariance.after(tau, q);
    }

    /// Takes in the measurement `offset` of this variance.
    pub(crate) fn measure(&mut self, offset: f64, variance: f64) -> f64 {
        let innovation = offset - self.offset;
        let expected = self.covariance.offset + variance;
        let gain = [self.covariance.offset / expected, self.covariance.cross / expected];
        self.offset += gain[0] * innovation;
        self.frequency += gain[1] * innovation;
        self.covariance.frequency -= gain[1] * self.covariance.cross;
        self.covariance.cross *= 1.0 - gain[0];
        self.covariance.offset *= 1.0 - gain[0];
        0.5 * (expected.ln() + innovation * innovation / expected)
    }

    /// Takes in that the offset is certain to lie within `reach` of `middle`.
    pub(crate) fn confine(&mut self, middle: f64, reach: f64) -> f64 {
        let sd = self.covariance.offset.sqrt();
        let low = (middle - reach - self.offset) / sd;
        let high = (middle + reach - self.offset) / sd;
        if low < -REMOTE_SD && high > REMOTE_SD {
            return 0.0;
        }
        if low > REMOTE_SD || high < -REMOTE_SD {
            return -MASS_MIN.ln();
        }
        let (low, high) = (Edge::at(low), Edge::at(high));
        let mass = high.below - low.below;
        if mass.is_nan() || mass < MASS_MIN {
            return -MASS_MIN.ln();
        }
        let mean = (low.density - high.density) / mass;
        let moments = (low.moment - high.moment) / mass;
        let share = (1.0 + moments - mean * mean).clamp(SHARE_MIN, 1.0);
        let slope = self.covariance.cross / self.covariance.offset;
        self.offset += mean * sd;
        self.frequency += slope * mean * sd;
        self.covariance.frequency -= slope * self.covariance.cross * (1.0 - share);
        self.covariance.cross *= share;
        self.covariance.offset *= share;
        -mass.ln()
    }
}

/// The standard normal distribution at a bound x: Φ(x), φ(x) and x·φ(x).
struct Edge {
    below: f64,
    density: f64,
    moment: f64,
}

impl Edge {
    fn at(x: f64) -> Self {
        // There is nothing left beyond, and an infinite x must not make NaN of it.
        if x.abs() > REMOTE_SD {
            return Self { below: if x > 0.0 { 1.0 } else { 0.0 }, density: 0.0, moment: 0.0 };
        }
        let density = (-0.5 * x * x).exp() / TAU.sqrt();
        Self { below: probability_below(x), density, moment: x * density }
    }
}

/// The standard normal distribution, to 1.5e-7 (Abramowitz & Stegun 1964, 7.1.26).
fn probability_below(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] =
        [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let z = x.abs() / SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, c| t * (sum + c));
    let outside = 0.5 * polynomial * (-z * z).exp();
    if x >= 0.0 { 1.0 - outside } else { outside }
}

/// A bound this many deviations away says nothing new.
const REMOTE_SD: f64 = 4.0;
/// A bound less likely than this to hold contradicts the hypothesis, and is only counted against it.
const MASS_MIN: f64 = 1e-3;
/// One bound never makes the offset more than a hundred times surer.
const SHARE_MIN: f64 = 1e-4;

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let covariance = Covariance { offset: 1e-8, cross: 5e-13, frequency: 1e-16 };
        State { offset: 0.0, frequency: 0.0, covariance }
    }

    #[test]
    fn the_normal_distribution_is_as_tabled() {
        for (x, below) in [(0.0, 0.5), (1.0, 0.841_344_7), (-2.0, 0.022_750_1), (40.0, 1.0)] {
            assert!((probability_below(x) - below).abs() < 2e-7, "{x}");
        }
        assert_eq!(probability_below(f64::NEG_INFINITY), 0.0);
    }

    #[test]
    fn a_bound_on_one_side_moves_the_offset_and_the_frequency_with_it() {
        let mut state = state();
        // Half of the density, the upper one: mean √(2/π), variance 1 − 2/π.
        let cost = state.confine(1.0, 1.0);
        assert!((cost - 2f64.ln()).abs() < 1e-6);
        assert!((state.offset - 0.797_885e-4).abs() < 1e-9, "{state:?}");
        assert!((state.frequency - 5e-5 * state.offset).abs() < 1e-15, "{state:?}");
        assert!((state.covariance.offset - 0.363_38e-8).abs() < 1e-12, "{state:?}");
        let Covariance { offset, cross, frequency } = state.covariance;
        assert!(cross * cross < offset * frequency && frequency < 1e-16);
    }

    #[test]
    fn a_wide_bound_changes_nothing_and_an_impossible_one_only_costs() {
        for (middle, reach, costs) in [(0.0, 1.0, false), (1.0, 0.5, true), (-9.0, 1e-9, true)] {
            let mut state = state();
            assert_eq!(state.confine(middle, reach) > 1.0, costs);
            assert_eq!(state.offset, 0.0);
            assert_eq!(state.covariance.offset, 1e-8);
        }
    }

    #[test]
    fn a_measurement_as_good_as_the_prediction_halves_the_variance() {
        let mut state = state();
        state.measure(1e-4, 1e-8);
        assert!((state.offset - 5e-5).abs() < 1e-15);
        assert!((state.covariance.offset - 5e-9).abs() < 1e-20);
        state.predict(1000.0, 1e-18);
        assert!(state.covariance.offset > 5e-9);
    }
}
