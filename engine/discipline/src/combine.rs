//! One estimate out of several: each survivor counts by how sure it is.
//!
//! Sources differ for two reasons: their estimates are noisy (variance v_i, known), and their paths
//! are unequal out and back, which nobody can see (variance τ² between sources). The classical
//! answer is the random-effects mean of DerSimonian and Laird (1986):
//!
//! ```text
//! w_i = 1/v_i     Q = Σ w_i (θ_i − θ̄)²     τ² = max(0, (Q − (n − 1)) / (Σw_i − Σw_i²/Σw_i))
//! θ = Σ θ_i/(v_i + τ²) / Σ 1/(v_i + τ²)
//! ```
//!
//! Where sources agree within their noise it is the inverse-variance mean; where they do not, it
//! tends to the plain mean, which stays put when first one and then the other was heard last.
//! Frequency is the one oscillator's and has no such bias: there the inverse-variance mean is
//! right, and it is taken apart from the offset, lest a bias of offset leak into it.
//!
//! What the oscillator may have wandered since is common to all sources, so the result is never
//! taken to be surer than the surest of them: the gain shows in the error, not in the claim.
//!
//! Must never: be given a source that selection has not passed.

use timeball_time::{Free, Interval, Leap, Timestamp};

use crate::estimate::{Covariance, Estimate};

/// Combines the survivors' estimates at `now`; `None` if there are none.
pub(crate) fn combine(survivors: &[Estimate], now: Timestamp<Free>) -> Option<Estimate> {
    let first = survivors.first()?;
    if survivors.len() == 1 {
        return Some(*first);
    }
    let base = first.offset_at(now);
    let covariances: Vec<Covariance> =
        survivors.iter().map(|estimate| estimate.covariance_at(now)).collect();
    let offsets: Vec<(f64, f64)> = survivors
        .iter()
        .zip(&covariances)
        .map(|(estimate, c)| ((estimate.offset_at(now) - base).as_secs_f64(), c.offset))
        .collect();
    let between = between_sources(&offsets);
    let offset = weighted_mean(offsets.iter().map(|&(x, variance)| (x, variance + between)));
    let frequencies = survivors.iter().zip(&covariances);
    let frequency = weighted_mean(frequencies.map(|(e, c)| (e.frequency(), c.frequency)));
    let surest = covariances.iter().min_by(|a, b| a.offset.total_cmp(&b.offset))?;
    let covariance =
        Covariance { offset: surest.offset + between / survivors.len() as f64, ..*surest };
    let mean =
        |of: fn(&Estimate) -> f64| survivors.iter().map(of).sum::<f64>() / survivors.len() as f64;
    Some(Estimate::new(
        now,
        base + Interval::from_secs_f64(offset),
        frequency,
        covariance,
        mean(Estimate::wander_variance),
        mean(Estimate::wander),
        mean(Estimate::jitter),
    ))
}

/// The leap warning that more than half of the survivors give.
pub(crate) fn leap_of_majority(leaps: &[Leap]) -> Leap {
    let most = |leap: Leap| 2 * leaps.iter().filter(|&&other| other == leap).count() > leaps.len();
    [Leap::Insert, Leap::Delete].into_iter().find(|&leap| most(leap)).unwrap_or(Leap::None)
}

/// The mean of values with variances, each weighed by the inverse of its variance.
fn weighted_mean(values: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (sum, weights) = values.fold((0.0, 0.0), |(sum, weights), (value, variance)| {
        let weight = 1.0 / variance.max(VARIANCE_MIN);
        (sum + weight * value, weights + weight)
    });
    sum / weights
}

/// τ²: by how much the values differ beyond their variances.
fn between_sources(values: &[(f64, f64)]) -> f64 {
    let mean = weighted_mean(values.iter().copied());
    let (mut excess, mut weights, mut squares) = (1.0 - values.len() as f64, 0.0, 0.0);
    for &(value, variance) in values {
        let weight = 1.0 / variance.max(VARIANCE_MIN);
        excess += weight * (value - mean).powi(2);
        weights += weight;
        squares += weight * weight;
    }
    let denominator = weights - squares / weights;
    // One weight may outweigh the others beyond what an f64 tells apart: then there is one source.
    if denominator > 0.0 { excess.max(0.0) / denominator } else { 0.0 }
}

/// Far below any clock's: keeps a weight finite.
const VARIANCE_MIN: f64 = 1e-30;

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(offset_us: i64, sd: f64) -> Estimate {
        let covariance = Covariance { offset: sd * sd, cross: 0.0, frequency: 1e-14 };
        let offset = Interval::from_micros(offset_us);
        Estimate::new(Timestamp::from_nanos(0), offset, 2e-6, covariance, 1e-18, 1e-9, 1e-4)
    }

    #[test]
    fn the_surer_source_counts_for_more() {
        let now = Timestamp::from_nanos(0);
        let both = combine(&[estimate(0, 1e-4), estimate(100, 2e-4)], now).unwrap();
        assert_eq!(both.offset_at(now), Interval::from_micros(20));
        assert!((both.frequency() - 2e-6).abs() < 1e-15);
        assert!((both.offset_sd_at(now) - 1e-4).abs() < 1e-9);
        assert!(combine(&[], now).is_none());
    }

    #[test]
    fn sources_that_disagree_make_the_result_less_sure() {
        let now = Timestamp::from_nanos(0);
        let apart = combine(&[estimate(0, 1e-5), estimate(1000, 2e-5)], now).unwrap();
        let middle = apart.offset_at(now) - Interval::from_micros(500);
        assert!(middle.abs() < Interval::from_micros(10), "no longer weighed by noise alone");
        assert!(apart.offset_sd_at(now) > 2e-4, "{}", apart.offset_sd_at(now));
    }

    #[test]
    fn a_leap_needs_a_majority() {
        use Leap::{Delete, Insert, None};
        assert_eq!(leap_of_majority(&[Insert, None, Insert]), Insert);
        assert_eq!(leap_of_majority(&[Insert, None]), None);
        assert_eq!(leap_of_majority(&[Delete, Delete, Insert]), Delete);
        assert_eq!(leap_of_majority(&[]), None);
    }
}
