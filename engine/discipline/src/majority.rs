//! How far off the truth may be for all that a majority of the sources says.
//!
//! Selection throws out who contradicts the majority. A liar that stays within the honest sources' own
//! bounds cannot be told from them: it may be followed and even become system peer, and then the bound
//! by way of it holds the truth no more than it does. What does hold:
//!
//! Let n sources testify, out of an electorate of N of which fewer than half are wrong: at most
//! f = ⌈N/2⌉ − 1. However many of those who testify are wrong, at least n − f are right, and whoever is
//! right has the truth within his interval. So the truth lies where at least n − f intervals overlap:
//!
//! ```text
//! R = hull { x : n − f ≤ |{ i : |x − θ_i| ≤ λ_i }| }       |truth − θ| ≤ max(θ − min R, max R − θ)
//! ```
//!
//! That is Marzullo's argument (1984); RFC 5905 (A.5.5.1) has the region too, but claims the system
//! peer's own distance. The region may be in pieces, and only its hull is used. Selection stops at as few
//! liars as it can; here all that are possible must be allowed for.
//!
//! The same is true of frequency, which each source bounds as well: φ, the farther end of where a
//! majority has it, bounds how fast truth and estimate part until the next election, besides the 15 ppm
//! by which any frequency may move. So the claim grows with time as it has to, and as all is kept on the
//! free clock steering does not touch it:
//!
//! ```text
//! |truth − θ|(t) ≤ |truth − θ|(t₀) + (φ + 15 ppm)·(t − t₀)
//! ```
//!
//! Must never: take a source for right because it is precise, near or preferred.

use core::ops::Sub;

/// Intervals, by their ends in order.
pub(crate) struct Intervals<T> {
    ends: Vec<(T, End)>,
}

/// At one point, intervals open before they close.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Lower,
    Upper,
}

impl<T: Copy + Ord> Intervals<T> {
    pub(crate) fn new(intervals: impl Iterator<Item = (T, T)>) -> Self {
        let mut ends: Vec<_> =
            intervals.flat_map(|(low, high)| [(low, End::Lower), (high, End::Upper)]).collect();
        ends.sort_unstable();
        Self { ends }
    }

    /// From the first to the last point at which `depth` of them overlap, if there is any.
    pub(crate) fn overlap(&self, depth: usize) -> Option<(T, T)> {
        let low = climb(self.ends.iter(), End::Lower, depth)?;
        let high = climb(self.ends.iter().rev(), End::Upper, depth)?;
        Some((low, high))
    }
}

/// Walks the ends until `depth` intervals overlap.
fn climb<'a, T: Copy + 'a>(
    ends: impl Iterator<Item = &'a (T, End)>,
    entering: End,
    depth: usize,
) -> Option<T> {
    let mut inside = 0usize;
    for &(at, end) in ends {
        inside = if end == entering { inside + 1 } else { inside.saturating_sub(1) };
        if inside >= depth {
            return Some(at);
        }
    }
    None
}

/// f: how many of an electorate may be wrong while a majority of it is right.
pub(crate) const fn liars_max(electorate: usize) -> usize {
    electorate.div_ceil(2).saturating_sub(1)
}

/// How far `x` is from the farther end of what `intervals`, the testimony of an electorate of at least as
/// many, leave possible; `None` if there are none.
///
/// Should all who testify be possibly wrong, one of them is taken to be right all the same: without that
/// nobody could be followed at all.
pub(crate) fn reach<T>(x: T, intervals: &[(T, T)], electorate: usize) -> Option<T>
where
    T: Copy + Ord + Sub<Output = T>,
{
    let right = intervals.len().saturating_sub(liars_max(electorate)).max(1);
    let (low, high) = Intervals::new(intervals.iter().copied()).overlap(right)?;
    Some((x - low).max(high - x))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_an_electorate_fewer_than_half_may_be_wrong() {
        let most: Vec<usize> = (0..8).map(liars_max).collect();
        assert_eq!(most, [0, 0, 0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn one_source_is_believed_as_far_as_it_goes_and_two_where_they_agree() {
        assert_eq!(reach(3, &[(0, 10)], 1), Some(7));
        assert_eq!(reach(3, &[(0, 10), (2, 6)], 2), Some(3));
        assert_eq!(reach(3, &[], 2), None);
    }

    #[test]
    fn of_three_any_two_may_be_the_right_ones() {
        // The middle one may be the liar: then the truth is where the others meet.
        assert_eq!(reach(5, &[(0, 10), (4, 6), (8, 20)], 3), Some(5));
        assert_eq!(reach(5, &[(0, 10), (4, 6), (5, 20)], 3), Some(5));
    }

    #[test]
    fn who_is_still_to_be_heard_may_be_right_and_those_heard_wrong() {
        let heard = [(0, 4), (2, 6), (3, 9)];
        assert_eq!(reach(3, &heard, 3), Some(3));
        assert_eq!(reach(3, &heard, 5), Some(6));
    }

    proptest! {
        #[test]
        fn the_truth_is_within_reach_of_wherever_one_looks_from(
            honest in prop::collection::vec((0i64..100, 0i64..100), 1..8),
            liars in prop::collection::vec((-500i64..500, 0i64..300), 0..7),
            missing in 0usize..7,
            x in -300i64..300,
        ) {
            // The truth is zero, and a majority of the electorate has it in its intervals.
            prop_assume!(liars.len() < honest.len());
            let silent = missing.min(honest.len() - 1);
            let testimony: Vec<_> = honest[silent..].iter().map(|&(low, high)| (-low, high))
                .chain(liars.iter().map(|&(low, more)| (low, low + more)))
                .collect();
            let electorate = honest.len() + liars.len();
            let reach = reach(x, &testimony, electorate);
            prop_assert!(reach.is_some_and(|reach| x.abs() <= reach), "{:?}", reach);
        }
    }
}
