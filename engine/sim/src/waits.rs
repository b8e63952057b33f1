//! How long packets wait in queues: the shape of jitter.
//!
//! clknetsim's worlds know one shape, the exponential, and an estimator that fits it exactly may fit
//! nothing else. Each shape here is in units of the link's jitter, with a mean near 1 but for the last.
//!
//! Must never: be below zero.

use crate::random::Random;

/// A distribution of waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Waits {
    /// Exponential, as clknetsim has it.
    #[default]
    Exponential,
    /// The magnitude of a normal deviate: a firm floor and no tail.
    HalfNormal,
    /// Any wait from 0 to 2 is as likely as another: hardly a floor at all.
    Uniform,
    /// Pareto of index 1.5: no variance.
    HeavyTailed,
    /// Exponential, but one packet in twenty waits up to fifty times as long.
    Outliers,
}

impl Waits {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Exponential, Self::HalfNormal, Self::Uniform, Self::HeavyTailed, Self::Outliers];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::HalfNormal => "half-normal",
            Self::Uniform => "uniform",
            Self::HeavyTailed => "heavy-tailed",
            Self::Outliers => "outliers",
        }
    }

    /// One wait.
    pub(crate) fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Exponential => random.exponential(),
            Self::HalfNormal => random.normal().abs(),
            Self::Uniform => random.between(0.0, 2.0),
            Self::HeavyTailed => 0.5 * (random.uniform().powf(-1.0 / 1.5) - 1.0),
            Self::Outliers => {
                let (wait, more) = (random.exponential(), random.between(0.0, 50.0));
                if random.chance(0.05) { wait + more } else { wait }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_never_negative_and_as_long_as_they_should_be() {
        for (waits, mean) in Waits::ALL.into_iter().zip([1.0, 0.8, 1.0, 1.0, 2.25]) {
            let random = &mut Random::new(1, 1);
            let drawn: Vec<f64> = (0..200_000).map(|_| waits.draw(random)).collect();
            assert!(drawn.iter().all(|&wait| wait >= 0.0), "{waits:?}");
            let found = drawn.iter().sum::<f64>() / drawn.len() as f64;
            assert!((found / mean - 1.0).abs() < 0.1, "{waits:?}: {found}");
        }
    }
}
