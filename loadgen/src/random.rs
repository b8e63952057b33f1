//! The generator's randomness: small, fast, and the same for ever.
//!
//! Must never: be used for a secret, or change: a seed in a report stands for one schedule.

/// The SplitMix64 generator: eight bytes of state, and a seed's numbers never change with a
/// library.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The numbers of `seed` for stream `index`; different streams have nothing in common.
    pub fn new(seed: u64, index: u64) -> Self {
        // A mixed number: seeds that differ by little must not meet along the sequence.
        Self(seed ^ Self(index).next())
    }

    #[inline]
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform over all 32-bit numbers.
    #[inline]
    pub const fn draw(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    /// Uniform in (0, 1], so that its logarithm is finite.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        // The first numbers of seed 1234567, as every implementation of SplitMix64 gives them.
        let mut generator = SplitMix64(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([generator.next(), generator.next()], expected);
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let first = |seed, index| SplitMix64::new(seed, index).next();
        assert_eq!(first(7, 1), first(7, 1));
        assert_ne!(first(7, 1), first(7, 2));
        assert_ne!(first(7, 1), first(8, 1));
    }
}
