//! Sources that come back after many of them had fallen silent together: the first may be a liar.
//!
//! While nobody answers, time goes on from what was known (holdover), and the bound of its error grows.
//! It holds because a majority stood behind it. The first source to come back has nobody beside it: it may
//! be followed as far as it does not contradict the holdover, but what it alone says excludes nothing. Let
//! θ be the new estimate, h the old one and H the bound that the old one has grown to by now:
//!
//! ```text
//! |truth − θ| ≤ |θ − h| + H
//! ```
//!
//! That is claimed while those who testify may all be wrong though a majority of the electorate is right
//! ([`crate::majority`]). To the electorate belong, besides those who testify, the sources that are *cut
//! off*: they have fallen silent, but not while others went on answering, so the fault may be ours as well as
//! theirs. When the first answers again they are asked at once, a few times ([`Source::recall`]); one that
//! misses [`MISSES_MAX`] requests while others answer is gone, and not waited for any longer.
//!
//! If nothing is known any more there is nothing to hold the first one against: then it is not followed
//! before the others have had their chance, as at a start.
//!
//! Must never: wait for ever for a source that does not come back.

use timeball_time::{Free, Monotonic, Rate, Timestamp};

use crate::discipline::Discipline;
use crate::distance::BOUND_SD;
use crate::election::Reference;
use crate::source::{Source, State};
use crate::status::Basis;

impl Discipline {
    /// Before an election because somebody was heard: those cut off are asked whether they are back, too.
    pub(crate) fn recall(&mut self, now: Timestamp<Monotonic>) {
        for source in &mut self.sources {
            source.recall(now);
        }
    }

    /// After an election: keeps what was known before, as long as no majority is among those who testify.
    pub(crate) fn keep_holdover(&mut self, has_majority: bool) {
        let known = self.reference.filter(|_| self.basis == Basis::Sources);
        self.holdover = if has_majority { None } else { self.holdover.or(known) };
    }

    /// `new`, claiming no less than what the holdover, if there is one, leaves possible.
    pub(crate) fn admit_holdover(&self, new: Reference, now: Timestamp<Free>) -> Reference {
        let Some(old) = self.holdover else { return new };
        let apart = (new.estimate.offset_at(now) - old.estimate.offset_at(now)).abs();
        let faster = (new.estimate.frequency() - old.estimate.frequency()).abs();
        let skew = Rate::from_ratio(BOUND_SD * old.estimate.frequency_sd_at(now));
        let skew = Rate::from_ratio(faster) + skew.max(old.proven.skew);
        new.admitting(apart + old.distance(now), skew, now)
    }
}

/// Whether a source that is silent may be so through no fault of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Absence {
    /// It has answered once, so there is somebody to come back.
    known: bool,
    /// Requests it has not answered though it had the chance.
    missed: u32,
    /// It has been asked whether it is back.
    recalled: bool,
}

impl Absence {
    /// Of a source that the last run of the program heard.
    pub(crate) const EXPECTED: Self = Self { known: true, missed: 0, recalled: false };

    /// It has answered.
    pub(crate) const fn over(&mut self) {
        *self = Self::EXPECTED;
    }

    /// A request was not answered; `others_heard`: another source was, after that request.
    pub(crate) fn missed(&mut self, others_heard: bool) {
        self.missed += u32::from((others_heard || self.recalled) && self.missed < MISSES_MAX);
    }

    /// It has shown that it is there but of no use, or nowhere: there is nobody to wait for.
    pub(crate) const fn settle(&mut self) {
        self.missed = MISSES_MAX;
    }

    /// The same, if it was asked because others are back.
    pub(crate) const fn settle_if_recalled(&mut self) {
        if self.recalled {
            self.settle();
        }
    }
}

impl Source {
    /// Whether it fell silent together with others, and has not had its chance since.
    pub(crate) fn is_cut_off(&self) -> bool {
        let asked = matches!(self.state(), State::Unresolved | State::Resolving | State::Polling);
        let absent = self.absence.known && self.absence.missed < MISSES_MAX;
        asked && absent && self.reach() == 0 && !self.is_pending()
    }

    /// Another source has come back, so this one is asked, unless it wants to be asked less.
    pub(crate) fn recall(&mut self, now: Timestamp<Monotonic>) {
        if self.is_cut_off() && !self.absence.recalled && self.hasten(now) {
            self.absence.recalled = true;
        }
    }
}

/// As many requests in a row are lost together on no path worth asking.
const MISSES_MAX: u32 = 5;
