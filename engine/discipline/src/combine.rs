//! One estimate out of several: each survivor counts by how sure it is.
//!
//! Every estimate is brought to the same instant and enters with its information matrix I = P⁻¹:
//!
//! ```text
//! x = (Σ I_i)⁻¹ · Σ I_i x_i
//! ```
//!
//! which weighs offset and frequency together: a source just heard gives the offset, one followed for
//! long the frequency. If the survivors disagree by more than they admit (paths of unequal ways, say),
//! χ² per degree of freedom exceeds one and the result's covariance is inflated by it. What the one
//! oscillator may have wandered since is common to all of them, so the result is never taken to be surer
//! than the surest of them: the gain shows in the error, not in the claim.
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
    let states: Vec<State> = survivors
        .iter()
        .map(|estimate| State {
            offset: (estimate.offset_at(now) - base).as_secs_f64(),
            frequency: estimate.frequency(),
            information: estimate.covariance_at(now).information(),
        })
        .collect();
    let mut information = [0.0; 3];
    let mut weighted = [0.0; 2];
    for State { offset, frequency, information: [a, b, c] } in &states {
        information = [information[0] + a, information[1] + b, information[2] + c];
        weighted =
            [weighted[0] + a * offset + b * frequency, weighted[1] + b * offset + c * frequency];
    }
    let fused = Covariance::from_information(information);
    let offset = fused.offset * weighted[0] + fused.cross * weighted[1];
    let frequency = fused.cross * weighted[0] + fused.frequency * weighted[1];
    let disagreement = disagreement(&states, offset, frequency);
    let surest = surest(survivors, now);
    let covariance = Covariance {
        offset: surest.offset * disagreement,
        cross: surest.cross * disagreement,
        frequency: surest.frequency * disagreement,
    };
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

struct State {
    offset: f64,
    frequency: f64,
    information: [f64; 3],
}

/// χ² per degree of freedom of the survivors about the result, at least one.
fn disagreement(states: &[State], offset: f64, frequency: f64) -> f64 {
    let squares = states.iter().map(|state| {
        let [a, b, c] = state.information;
        let (x, f) = (state.offset - offset, state.frequency - frequency);
        a * x * x + 2.0 * b * x * f + c * f * f
    });
    (squares.sum::<f64>() / (2 * (states.len() - 1)) as f64).max(1.0)
}

/// The covariance of the survivor with the smallest deviation of offset.
fn surest(survivors: &[Estimate], now: Timestamp<Free>) -> Covariance {
    let covariances = survivors.iter().map(|estimate| estimate.covariance_at(now));
    let least = covariances.min_by(|a, b| a.offset.total_cmp(&b.offset));
    least.unwrap_or(Covariance { offset: 0.0, cross: 0.0, frequency: 0.0 })
}

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
        let apart = combine(&[estimate(0, 1e-5), estimate(1000, 1e-5)], now).unwrap();
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
