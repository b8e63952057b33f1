//! How large something was, and how often: counts in fixed buckets, written by one worker.
//!
//! Bounds are few and round, so that a scrape stays small and a person can read them; a bound belongs to the
//! bucket below it.
//!
//! Must never: be written by two threads.

use core::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the buckets of a histogram: 1, 2 and 5 of each power of ten, in nanoseconds from 1 µs to
/// 1 s. What is above the last has a bucket of its own.
pub const RESIDENCE_BOUNDS_NS: [u64; 19] = {
    let mut bounds = [1_000; 19];
    let mut i = 1;
    while i < bounds.len() {
        bounds[i] = if i % 3 == 2 { bounds[i - 1] / 2 * 5 } else { bounds[i - 1] * 2 };
        i += 1;
    }
    bounds
};

/// Upper bounds of the sizes of batches; none is larger than the last.
pub const BATCH_BOUNDS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Counts by size, for others to read while they are written.
#[derive(Debug)]
pub(crate) struct Histogram<const BUCKETS: usize> {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

/// A reading of a histogram, or the sum of several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Distribution<const BUCKETS: usize> {
    /// How many lay in each bucket.
    pub counts: [u64; BUCKETS],
    /// All of them together, in their unit.
    pub sum: u64,
}

/// How long requests stayed here, T3 − T2; nanoseconds.
pub type Residences = Distribution<{ RESIDENCE_BOUNDS_NS.len() + 1 }>;
/// How many datagrams were taken at once.
pub type Batches = Distribution<{ BATCH_BOUNDS.len() }>;

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    /// The numbers now.
    pub(crate) fn read(&self) -> Distribution<BUCKETS> {
        Distribution {
            counts: core::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed)),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }

    /// Counts one of size `value`, which lies in `bucket`.
    #[inline]
    pub(crate) fn count(&self, bucket: usize, value: u64) {
        add(&self.counts[bucket], 1);
        add(&self.sum, value);
    }
}

impl<const BUCKETS: usize> Default for Distribution<BUCKETS> {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0 }
    }
}

impl<const BUCKETS: usize> core::ops::AddAssign for Distribution<BUCKETS> {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.counts.iter_mut().zip(other.counts) {
            *sum += more;
        }
        self.sum += other.sum;
    }
}

/// The bucket of a residence of `ns` nanoseconds.
#[inline]
pub(crate) fn residence_bucket(ns: u64) -> usize {
    // Bounds are a factor of two apart at least: at most one lies between two powers of two.
    let first = usize::from(FIRST_BOUND[ns.leading_zeros() as usize]);
    first + usize::from(RESIDENCE_BOUNDS_NS.get(first).is_some_and(|&bound| ns > bound))
}

/// The bucket of a batch of `datagrams`, 1 to 64.
#[inline]
pub(crate) const fn batch_bucket(datagrams: usize) -> usize {
    let bucket = datagrams.next_power_of_two().trailing_zeros() as usize;
    if bucket < BATCH_BOUNDS.len() { bucket } else { BATCH_BOUNDS.len() - 1 }
}

/// Load and store instead of a locked add: there is one writer.
#[inline]
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// For numbers with so many leading zeros the first bound that is not below all of them.
const FIRST_BOUND: [u8; 65] = {
    let mut first = [0; 65];
    let mut zeros = 0;
    while zeros < 64 {
        let smallest = 1 << (63 - zeros);
        let mut bound = 0;
        while bound < RESIDENCE_BOUNDS_NS.len() && RESIDENCE_BOUNDS_NS[bound] < smallest {
            bound += 1;
        }
        first[zeros] = bound as u8;
        zeros += 1;
    }
    first
};

#[cfg(test)]
mod tests {
    use timeball_wire::BATCH_MAX;

    use super::*;

    #[test]
    fn bounds_are_round_and_end_where_they_say() {
        assert_eq!(RESIDENCE_BOUNDS_NS[..5], [1_000, 2_000, 5_000, 10_000, 20_000]);
        assert_eq!(RESIDENCE_BOUNDS_NS[18], 1_000_000_000);
        assert_eq!(BATCH_BOUNDS.last(), Some(&(BATCH_MAX as u64)));
    }

    #[test]
    fn every_value_lies_in_the_first_bucket_whose_bound_is_not_below_it() {
        let bounds = RESIDENCE_BOUNDS_NS.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]);
        let powers = (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for ns in bounds.chain(powers).chain([u64::MAX]) {
            let expected = RESIDENCE_BOUNDS_NS.partition_point(|&bound| bound < ns);
            assert_eq!(residence_bucket(ns), expected, "{ns}");
        }
        for datagrams in 1..=BATCH_MAX {
            let expected = BATCH_BOUNDS.partition_point(|&bound| bound < datagrams as u64);
            assert_eq!(batch_bucket(datagrams), expected, "{datagrams}");
        }
    }
}
