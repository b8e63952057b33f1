//! Which sources to believe: the largest set that can all be right at once (RFC 5905 section 11.2).
//!
//! A source says that the truth lies within its root distance λ of its offset θ. Of liars nothing
//! else can be assumed than that they are fewer than the honest; so the truth lies where a majority
//! of the intervals [θ − λ, θ + λ] overlap. The intersection algorithm allows 0, 1, 2 … liars until
//! such a place is found, and gives up at half: *no majority, no time*. (Marzullo's own rule; the
//! RFC also wants the midpoints inside, which makes a precise source and a vague one that agree
//! refuse each other. ntpd dropped that, and so does this.)
//!
//! The majority is one of the electorate, not of those who happened to answer first: a source still
//! in its first requests counts as a possible liar, otherwise the fastest answer at start-up would
//! win.
//!
//! The survivors are then thinned: while there are more than [`SURVIVORS_MIN`], whoever lies
//! further from the others than the others' own uncertainty explains is put aside as an outlier.
//!
//! Must never: let a minority decide, even when nobody else is left to ask.

use timeball_time::{Interval, Rate};

use crate::majority::{Intervals, liars_max};

/// A source as selection sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Candidate {
    /// Position among the sources.
    pub index: usize,
    /// Its estimate of truth minus the free clock, now.
    pub offset: Interval,
    /// Root distance now: the bound of that estimate's error.
    pub distance: Interval,
    /// Its estimate of the frequency of truth against the free clock.
    pub frequency: Rate,
    /// The bound of that estimate's error, beside the 15 ppm by which any frequency may move.
    pub skew: Rate,
    /// Standard deviation of the estimate, in seconds.
    pub sd: f64,
    /// Its stratum, 1 to 15.
    pub stratum: u8,
    /// Wanted as system peer.
    pub prefer: bool,
}

impl Candidate {
    /// Where it says the truth is.
    pub(crate) fn interval(&self) -> (Interval, Interval) {
        (self.offset - self.distance, self.offset + self.distance)
    }

    /// Where it says the frequency is.
    pub(crate) fn frequencies(&self) -> (Rate, Rate) {
        (self.frequency - self.skew, self.frequency + self.skew)
    }
}

/// What selection made of a source; the characters are those of ntpq.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tally {
    /// Not usable: unreachable, unsynchronised, too far away, or too few answers.
    #[default]
    Reject,
    /// Disagrees with the majority.
    Falseticker,
    /// Good, but there are better ones enough.
    Excess,
    /// Put aside by the clustering.
    Outlier,
    /// Taken part in the combination.
    Candidate,
    /// The same, and its stratum and reference are announced.
    SystemPeer,
}

impl Tally {
    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Falseticker => "falseticker",
            Self::Excess => "excess",
            Self::Outlier => "outlier",
            Self::Candidate => "candidate",
            Self::SystemPeer => "system_peer",
        }
    }

    /// The character of ntpq's first column.
    pub const fn symbol(self) -> char {
        match self {
            Self::Reject => ' ',
            Self::Falseticker => 'x',
            Self::Excess => '.',
            Self::Outlier => '-',
            Self::Candidate => '+',
            Self::SystemPeer => '*',
        }
    }
}

/// The result: who survived, best first, and what became of each candidate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Survivors as positions in the candidate list; the first is the system peer.
    pub survivors: Vec<usize>,
    /// One for each candidate, in their order.
    pub tallies: Vec<Tally>,
}

/// Selects among `candidates`, out of an electorate of at least as many.
///
/// `peer` is the system peer so far, as a source index: kept among equals, for peers that come and
/// go help nobody.
pub(crate) fn select(
    candidates: &[Candidate],
    electorate: usize,
    peer: Option<usize>,
) -> Selection {
    let mut tallies = vec![Tally::Reject; candidates.len()];
    let electorate = electorate.max(candidates.len()).max(1);
    let Some((low, high)) = intersection(candidates, electorate) else {
        return Selection { survivors: Vec::new(), tallies };
    };
    let mut survivors = Vec::with_capacity(candidates.len());
    for (position, candidate) in candidates.iter().enumerate() {
        let (lower, upper) = candidate.interval();
        let overlaps = lower <= high && upper >= low;
        tallies[position] = if overlaps { Tally::Candidate } else { Tally::Falseticker };
        if overlaps {
            survivors.push(position);
        }
    }
    survivors.sort_by_key(|&at| rank(&candidates[at], peer));
    for at in survivors.drain(survivors.len().min(SURVIVORS_MAX)..) {
        tallies[at] = Tally::Excess;
    }
    while let Some(outlier) = worst_outlier(candidates, &survivors) {
        tallies[survivors.remove(outlier)] = Tally::Outlier;
    }
    if let Some(&best) = survivors.first() {
        tallies[best] = Tally::SystemPeer;
    }
    Selection { survivors, tallies }
}

/// Preferred first, then stratum, then distance; the peer so far is ahead of its equals.
fn rank(candidate: &Candidate, peer: Option<usize>) -> (bool, u8, Interval) {
    let distance = candidate.distance;
    let kept = peer == Some(candidate.index);
    (!candidate.prefer, candidate.stratum, if kept { distance.half() } else { distance })
}

/// Where more than half of `electorate` agree the truth to lie, if anywhere.
fn intersection(candidates: &[Candidate], electorate: usize) -> Option<(Interval, Interval)> {
    let intervals = Intervals::new(candidates.iter().map(Candidate::interval));
    (0..=liars_max(electorate)).find_map(|liars| intervals.overlap(electorate - liars))
}

/// The survivor furthest from the others, if it lies further than they can be wrong.
fn worst_outlier(candidates: &[Candidate], survivors: &[usize]) -> Option<usize> {
    if survivors.len() <= SURVIVORS_MIN {
        return None;
    }
    let spread = |at: usize| {
        let own = candidates[at].offset;
        let square = |&other: &usize| (candidates[other].offset - own).as_secs_f64().powi(2);
        (survivors.iter().map(square).sum::<f64>() / (survivors.len() - 1) as f64).sqrt()
    };
    let least_sd = survivors.iter().map(|&at| candidates[at].sd).fold(f64::INFINITY, f64::min);
    let (position, worst) = survivors
        .iter()
        .enumerate()
        .filter(|&(_, &at)| !candidates[at].prefer)
        .map(|(position, &at)| (position, spread(at)))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let own = candidates[survivors[position]].sd;
    (worst > OUTLIER_SD * least_sd.max(own)).then_some(position)
}

/// NMIN of RFC 5905: clustering stops here.
pub(crate) const SURVIVORS_MIN: usize = 3;
/// NMAX of ntpd: no more than this take part.
pub(crate) const SURVIVORS_MAX: usize = 10;
/// Deviations that a survivor may lie off the others.
const OUTLIER_SD: f64 = 4.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(index: usize, offset_ms: i64, distance_ms: i64) -> Candidate {
        Candidate {
            index,
            offset: Interval::from_millis(offset_ms),
            distance: Interval::from_millis(distance_ms),
            frequency: Rate::ZERO,
            skew: Rate::ZERO,
            sd: 1e-4,
            stratum: 2,
            prefer: false,
        }
    }

    fn symbols(intervals: &[(i64, i64)], electorate: usize) -> String {
        let candidates: Vec<_> =
            intervals.iter().enumerate().map(|(i, &(o, d))| candidate(i, o, d)).collect();
        let selection = select(&candidates, electorate, None);
        selection.tallies.iter().map(|tally| tally.symbol()).collect()
    }

    #[test]
    fn agreeing_sources_all_survive_and_the_nearest_is_peer() {
        assert_eq!(symbols(&[(0, 20), (1, 10), (-1, 15)], 3), "+*+");
        assert_eq!(symbols(&[(5, 10)], 1), "*");
        assert_eq!(symbols(&[], 0), "");
    }

    #[test]
    fn two_liars_of_five_are_falsetickers() {
        assert_eq!(symbols(&[(0, 10), (3000, 10), (1, 10), (4000, 10), (-1, 10)], 5), "*x+x+");
    }

    #[test]
    fn without_a_majority_nobody_is_believed() {
        assert_eq!(symbols(&[(0, 10), (3000, 10)], 2), "  ");
        assert_eq!(symbols(&[(0, 10), (1000, 10), (2000, 10), (3000, 10), (4000, 10)], 5), "     ");
        assert_eq!(symbols(&[(0, 10), (0, 10), (2000, 10), (3000, 10)], 4), "    ");
    }

    #[test]
    fn a_precise_source_and_a_vague_one_that_agree_both_survive() {
        assert_eq!(symbols(&[(0, 1), (50, 60)], 2), "*+");
    }

    #[test]
    fn those_not_yet_heard_count_as_possible_liars() {
        assert_eq!(symbols(&[(0, 10), (0, 10)], 5), "  ");
        assert_eq!(symbols(&[(0, 10), (0, 10), (0, 10)], 5), "*++");
    }

    #[test]
    fn a_preferred_survivor_is_the_peer_and_a_preferred_liar_is_not() {
        let mut candidates = [candidate(0, 0, 10), candidate(1, 0, 50), candidate(2, 1, 10)];
        candidates[1].prefer = true;
        assert_eq!(select(&candidates, 3, None).survivors[0], 1);
        candidates[1].offset = Interval::from_secs(9);
        assert_eq!(select(&candidates, 3, None).tallies[1], Tally::Falseticker);
    }

    #[test]
    fn the_peer_is_kept_among_equals() {
        let candidates = [candidate(0, 0, 10), candidate(1, 0, 11)];
        assert_eq!(select(&candidates, 2, None).survivors[0], 0);
        assert_eq!(select(&candidates, 2, Some(1)).survivors[0], 1);
    }

    #[test]
    fn an_outlier_within_its_bounds_is_put_aside() {
        assert_eq!(symbols(&[(0, 50), (0, 51), (0, 52), (20, 53)], 4), "*++-");
        assert_eq!(symbols(&[(0, 50), (0, 51), (20, 53)], 3), "*++");
    }

    proptest! {
        #[test]
        fn the_truth_is_never_lost_to_a_minority(
            honest in prop::collection::vec((-90i64..=90, 0i64..50), 3..8),
            liars in prop::collection::vec((-5000i64..5000, 1i64..3000), 0..7),
        ) {
            // An honest source's interval holds the truth, zero, whatever its offset.
            prop_assume!(liars.len() < honest.len());
            let mut all: Vec<_> = honest.iter().map(|&(o, more)| (o, o.abs() + more)).collect();
            all.extend(&liars);
            let candidates: Vec<_> =
                all.iter().enumerate().map(|(i, &(o, d))| candidate(i, o, d)).collect();
            if let Some((low, high)) = intersection(&candidates, candidates.len()) {
                // The place found overlaps an honest interval, so it is off by at most one of
                // those.
                let reach = Interval::from_millis(90 + 140);
                prop_assert!(low <= reach && high >= -reach, "{:?} {:?}", low, high);
            }
        }
    }
}
