//! Randomness from a seed: one stream for each thing that is random.
//!
//! The oscillator, each direction of each link, and so on have a stream of their own, so that two runs
//! of one seed meet the same weather whatever the discipline does in them: results pair by seed, and a
//! difference of two algorithms is not drowned in the luck of the draw.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): small, and its values will never change under us.
//!
//! Must never: be shared by two generators, or draw more or fewer numbers for a reason that is not the
//! generator's own.

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    /// Normal deviates come in pairs.
    spare: Option<f64>,
}

impl Random {
    /// The stream number `stream` of `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { state: mix(seed.wrapping_add(mix(stream.wrapping_add(GOLDEN)))), spare: None }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform between 0 and 1, both excluded.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Uniform from `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Ten to a power uniform from `low` to `high`.
    pub fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        10f64.powf(self.between(low, high))
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// One of the choices, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.bits() % choices.len() as u64) as usize]
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let n = 100_000;
        let values: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n))
    }

    fn assert_near(found: (f64, f64), wanted: (f64, f64)) {
        assert!(
            (found.0 - wanted.0).abs() < 0.02 && (found.1 - wanted.1).abs() < 0.03,
            "{found:?}"
        );
    }

    #[test]
    fn distributions_have_their_mean_and_variance() {
        let mut random = Random::new(1, 1);
        assert_near(moments(|| random.uniform()), (0.5, 1.0 / 12.0));
        assert_near(moments(|| random.exponential()), (1.0, 1.0));
        assert_near(moments(|| random.normal()), (0.0, 1.0));
    }

    #[test]
    fn streams_and_seeds_are_unrelated_and_repeatable() {
        let first = |seed, stream| Random::new(seed, stream).bits();
        assert_eq!(first(7, 3), first(7, 3));
        let mut all: Vec<_> =
            (0..100).flat_map(|seed| (0..100).map(move |stream| first(seed, stream))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
        let (mut a, mut b) = (Random::new(1001, 100), Random::new(1001, 101));
        let product = moments(|| a.normal() * b.normal());
        assert!(product.0.abs() < 0.02, "{product:?}");
    }
}
