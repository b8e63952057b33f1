//! How many different hashes there were, from four kilobytes: HyperLogLog.
//!
//! A hash chooses a register and is remembered there by the number of zeros it goes on with; many zeros are
//! rare, so they are only there when many different hashes were. The estimate is Ertl's, which needs neither
//! tables nor special cases for few and for many (O. Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches", 2017). Its standard error is [`ERROR`], whatever the number.
//!
//! Must never: be added to from two threads.

use core::sync::atomic::{AtomicU64, Ordering};

use super::slice::Clear;

/// The registers, eight to a word, written by one thread.
#[derive(Debug)]
pub(super) struct Sketch([AtomicU64; WORDS]);

/// A sketch at one moment, or several put together.
#[derive(Clone, Debug)]
pub(super) struct Union(Box<[u64; WORDS]>);

impl Default for Sketch {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }
}

impl Clear for Sketch {
    fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

impl Sketch {
    /// Adds a hash.
    #[inline]
    pub(super) fn add(&self, hash: u64) {
        let register = hash >> (u64::BITS - INDEX_BITS);
        let rank = 1 + (hash << INDEX_BITS | 1 << (INDEX_BITS - 1)).leading_zeros();
        let (word, shift) = (&self.0[register as usize / 8], register % 8 * 8);
        let registers = word.load(Ordering::Relaxed);
        if registers >> shift & 0xFF < u64::from(rank) {
            let others = registers & !(0xFF << shift);
            word.store(others | u64::from(rank) << shift, Ordering::Relaxed);
        }
    }

    /// Adds everything that `other` has.
    pub(super) fn add_all(&self, other: &Self) {
        for (mine, others) in self.0.iter().zip(&other.0) {
            let both = larger(mine.load(Ordering::Relaxed), others.load(Ordering::Relaxed));
            mine.store(both, Ordering::Relaxed);
        }
    }
}

impl Default for Union {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl Union {
    /// What `sketch` has now.
    pub(super) fn of(sketch: &Sketch) -> Self {
        Self(Box::new(core::array::from_fn(|word| sketch.0[word].load(Ordering::Relaxed))))
    }

    /// Adds everything that `other` has.
    pub(super) fn add_all(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(*other.0) {
            *mine = larger(*mine, others);
        }
    }

    /// How many different hashes there were.
    pub(super) fn estimate(&self) -> f64 {
        let mut with_rank = [0.0; RANK_MAX + 1];
        for rank in self.0.iter().flat_map(|word| word.to_le_bytes()) {
            with_rank[usize::from(rank)] += 1.0;
        }
        let all = (WORDS * 8) as f64;
        let mut z = all * tau(1.0 - with_rank[RANK_MAX] / all);
        for count in with_rank[1..RANK_MAX].iter().rev() {
            z = 0.5 * (z + count);
        }
        z += all * sigma(with_rank[0] / all);
        all * all / (2.0 * core::f64::consts::LN_2 * z)
    }
}

/// The larger of each pair of octets.
fn larger(one: u64, other: u64) -> u64 {
    let (one, other) = (one.to_le_bytes(), other.to_le_bytes());
    u64::from_le_bytes(core::array::from_fn(|octet| one[octet].max(other[octet])))
}

/// x + Σ x^(2^k) · 2^(k−1) over k ≥ 1: what the empty registers say.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut factor, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * factor;
        factor += factor;
        if sum <= before {
            return sum;
        }
    }
}

/// (1 − x − Σ (1 − x^(2^−k))² · 2^−k over k ≥ 1) / 3: what the full registers say.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut factor, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * factor;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

/// The standard error of an estimate, relative to it: 1.04 / √registers.
pub(super) const ERROR: f64 = 1.04 / (1 << (INDEX_BITS / 2)) as f64;
/// 4096 registers.
const INDEX_BITS: u32 = 12;
const WORDS: usize = (1 << INDEX_BITS) / 8;
/// All of the rest of the hash zero.
const RANK_MAX: usize = (u64::BITS - INDEX_BITS) as usize + 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HashKey;

    fn hash(value: u64) -> u64 {
        HashKey([3, 1]).hash::<8>(value)
    }

    fn estimate(values: impl Iterator<Item = u64>) -> f64 {
        let sketch = Sketch::default();
        values.for_each(|value| sketch.add(hash(value)));
        Union::of(&sketch).estimate()
    }

    #[test]
    fn estimates_are_within_four_standard_errors_from_none_to_millions() {
        assert_eq!(estimate(0..0).round(), 0.0);
        for exponent in 0..=22 {
            let truth = 1u64 << exponent;
            for first in [0, 0xC000_0200, 0x2001_0DB8 << 32] {
                let found = estimate(first..first + truth);
                let error = (found - truth as f64).abs() / truth as f64;
                assert!(error < 4.0 * ERROR, "{truth} from {first:x}: {found}");
            }
        }
    }

    #[test]
    fn the_standard_error_is_what_it_says() {
        let errors: Vec<f64> = (0..200u64)
            .map(|set| estimate((0..20_000).map(|number| set << 32 | number)) / 20_000.0 - 1.0)
            .collect();
        let mean = errors.iter().sum::<f64>() / 200.0;
        let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / 200.0).sqrt();
        assert!(mean.abs() < ERROR / 3.0, "no bias: {mean}");
        assert!((0.8..1.2).contains(&(deviation / ERROR)), "{deviation} for {ERROR}");
    }

    #[test]
    fn repetition_and_order_do_not_count_and_unions_do_not_count_twice() {
        let once = estimate(0..10_000);
        assert_eq!(estimate((0..30_000).rev().map(|number| number % 10_000)), once);
        let (left, right, fold) = (Sketch::default(), Sketch::default(), Sketch::default());
        (0..6_000).for_each(|value| left.add(hash(value)));
        (4_000..10_000).for_each(|value| right.add(hash(value)));
        let mut both = Union::of(&left);
        both.add_all(&Union::of(&right));
        assert_eq!(both.estimate(), once);
        fold.add_all(&left);
        fold.add_all(&right);
        assert_eq!(Union::of(&fold).estimate(), once);
        fold.clear();
        assert_eq!(Union::of(&fold).estimate(), estimate(0..0));
    }
}
