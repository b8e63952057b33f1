//! From all sources to one reference: who is usable, who is believed, and what they say together.
//!
//! Must never: use a source that does not vouch for itself (stratum, leap, reach), whatever its
//! offset.

use timeball_time::{Free, Interval, Leap, Rate, ReferenceId, Stratum, Timestamp};

use crate::combine::{combine, leap_of_majority};
use crate::distance::{BOUND_SD, Proven};
use crate::estimate::Estimate;
use crate::exchange::FREQUENCY_TOLERANCE;
use crate::majority::{liars_max, reach};
use crate::selection::{Candidate, Selection, Tally, select};
use crate::servo::Bound;
use crate::source::Source;

/// What the survivors of one election say together.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Reference {
    pub(crate) estimate: Estimate,
    pub(crate) leap: Leap,
    pub(crate) stratum: Stratum,
    pub(crate) reference_id: ReferenceId,
    pub(crate) root_delay: Interval,
    /// Root dispersion without the estimate's own deviation and without age.
    pub(crate) dispersion: Interval,
    /// What is not excluded of its error, beyond half the root delay: the least that may be claimed,
    /// however sure the estimate is of itself. The system peer's answers prove it by themselves, and it
    /// is never less than what a majority leaves possible.
    pub(crate) proven: Proven,
    /// When the system peer was heard last.
    pub(crate) heard: Timestamp<Free>,
}

impl Reference {
    /// The bound of the estimate's error, as a line from `now` on.
    pub(crate) fn bound(&self, now: Timestamp<Free>) -> Bound {
        let sd = Interval::from_secs_f64(BOUND_SD * self.estimate.offset_sd_at(now));
        let age = (now - self.heard).max(Interval::ZERO);
        let skew = Rate::from_ratio(BOUND_SD * self.estimate.frequency_sd_at(now));
        let error = sd.max(self.proven.after(age));
        let dispersion = self.dispersion + error + FREQUENCY_TOLERANCE.over(age);
        Bound::new(now, dispersion, FREQUENCY_TOLERANCE + skew.max(self.proven.skew))
    }

    /// The same, with an error claimed that is no less than what a majority of the `electorate` leaves
    /// possible, if the `candidates` testify and the others do not.
    fn claiming(
        self,
        candidates: &[Candidate],
        electorate: usize,
        now: Timestamp<Free>,
    ) -> Option<Self> {
        let intervals: Vec<_> = candidates.iter().map(Candidate::interval).collect();
        let frequencies: Vec<_> = candidates.iter().map(Candidate::frequencies).collect();
        let error = reach(self.estimate.offset_at(now), &intervals, electorate)?;
        let frequency = Rate::from_ratio(self.estimate.frequency());
        let skew = reach(frequency, &frequencies, electorate)?;
        Some(self.admitting(error, skew, now))
    }

    /// The same, with at least `error` claimed at `now` and `skew` of its frequency.
    pub(crate) fn admitting(mut self, error: Interval, skew: Rate, now: Timestamp<Free>) -> Self {
        self.proven.skew = self.proven.skew.max(skew);
        let age = (now - self.heard).max(Interval::ZERO);
        let otherwise = self.root_delay.half() + self.dispersion;
        let grown = (FREQUENCY_TOLERANCE + self.proven.skew).over(age);
        self.proven.error = self.proven.error.max(error - otherwise - grown);
        self
    }

    /// Root distance of the estimate at `now`.
    pub(crate) fn distance(&self, now: Timestamp<Free>) -> Interval {
        self.root_delay.half() + self.bound(now).at(now)
    }
}

/// The outcome of an election.
#[derive(Clone, Debug)]
pub(crate) struct Election {
    /// `None` if nobody is usable or no majority agrees.
    pub(crate) reference: Option<Reference>,
    /// The system peer, as a source index.
    pub(crate) peer: Option<usize>,
    /// One for each source.
    pub(crate) tallies: Vec<Tally>,
    /// How many sources were usable.
    pub(crate) usable: usize,
    /// How many were still waited for.
    pub(crate) awaited: usize,
    /// At least one of the usable is right, if a majority is of these and those waited for.
    pub(crate) has_majority: bool,
}

/// Holds an election at `now`.
///
/// Sources that have not had their chance count as possible dissenters in what is claimed; with
/// `wait_for_all` nobody is elected against them either. But those that are asked at leisure (without
/// iburst) take minutes for theirs, and once only such are missing those that were asked in a burst do not
/// wait for them, if so many agree that one of these is right whatever they will say.
pub(crate) fn elect(
    sources: &[Source],
    now: Timestamp<Free>,
    distance_max: Interval,
    wait_for_all: bool,
    peer: Option<usize>,
) -> Election {
    let candidates: Vec<Candidate> = sources
        .iter()
        .enumerate()
        .filter_map(|(index, source)| candidate(index, source, now))
        .filter(|candidate| candidate.distance <= distance_max)
        .collect();
    let awaited = sources.iter().filter(|s| s.is_pending() || s.is_cut_off()).count();
    let all = candidates.len() + awaited;
    let liars = liars_max(all);
    let leisurely = sources.iter().filter(|s| s.is_pending() && !s.config().iburst).count();
    let has_prompt = candidates.iter().any(|one| sources[one.index].config().iburst);
    let electorate = match wait_for_all {
        true if has_prompt && leisurely > 0 && leisurely == awaited => 2 * liars + 1,
        true => all,
        false => candidates.len(),
    };
    let selection = select(&candidates, electorate, peer);
    let mut tallies = vec![Tally::Reject; sources.len()];
    for (candidate, &tally) in candidates.iter().zip(&selection.tallies) {
        tallies[candidate.index] = tally;
    }
    let reference = refer(sources, &candidates, &selection, now)
        .and_then(|reference| reference.claiming(&candidates, all, now));
    let peer = selection.survivors.first().map(|&at| candidates[at].index);
    let (usable, has_majority) = (candidates.len(), candidates.len() > liars);
    Election { reference, peer, tallies, usable, awaited, has_majority }
}

fn candidate(index: usize, source: &Source, now: Timestamp<Free>) -> Option<Candidate> {
    if !source.is_fit() {
        return None;
    }
    let (estimate, sample) = (source.filter().estimate()?, source.last()?);
    let frequency = estimate.frequency();
    let skew = Rate::from_ratio(BOUND_SD * estimate.frequency_sd_at(now));
    Some(Candidate {
        index,
        offset: estimate.offset_at(now),
        distance: source.distance(now)?.total(),
        frequency: Rate::from_ratio(frequency),
        skew: skew.max(source.proven(frequency).skew),
        sd: estimate.offset_sd_at(now),
        stratum: sample.stratum.get(),
        prefer: source.config().prefer,
    })
}

fn refer(
    sources: &[Source],
    candidates: &[Candidate],
    selection: &Selection,
    now: Timestamp<Free>,
) -> Option<Reference> {
    let survivors = || selection.survivors.iter().map(|&at| &sources[candidates[at].index]);
    let peer_at = *selection.survivors.first()?;
    let peer = &sources[candidates[peer_at].index];
    let (sample, distance) = (peer.last()?, peer.distance(now)?);
    let estimates: Vec<_> =
        survivors().filter_map(|source| source.filter().estimate().copied()).collect();
    let estimate = combine(&estimates, now)?;
    let leaps: Vec<_> = survivors().filter_map(|source| source.last()).map(|s| s.leap).collect();
    let apart = (estimate.offset_at(now) - candidates[peer_at].offset).abs();
    Some(Reference {
        estimate,
        leap: leap_of_majority(&leaps),
        stratum: sample.stratum.next(),
        reference_id: peer.reference_id(),
        root_delay: distance.delay,
        dispersion: sample.root_dispersion.interval() + sample.dispersion + apart,
        proven: peer.proven(estimate.frequency()),
        heard: sample.received,
    })
}
