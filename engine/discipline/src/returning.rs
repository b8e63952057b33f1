//! Sources that come back after all of them had fallen silent: the first may be a liar.
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
//! That is claimed until enough have testified for a majority to be among them ([`crate::majority`]), or
//! the others have had their chance. Whether they are gone for good or were cut off by the same fault cannot
//! be told from their silence so far; so they are asked again at once, a few times ([`Source::recall`]), and
//! who has not answered [`RETURN_WAIT`] after the first did is not waited for any longer.
//!
//! If nothing is known any more there is nothing to hold the first one against: then it is not followed
//! before the others have had their chance, as at a start.
//!
//! Must never: wait for a source that does not come back.

use timeball_time::{Free, Interval, Monotonic, Rate, Timestamp};

use crate::discipline::Discipline;
use crate::distance::BOUND_SD;
use crate::election::{Election, Reference};
use crate::status::Basis;

/// Sources are coming back, or are yet to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Return {
    /// What was known before; none if it is too old.
    pub(crate) holdover: Option<Reference>,
    /// Until then those that are silent are waited for.
    until: Timestamp<Monotonic>,
}

impl Discipline {
    /// Before an election: begins to wait while nobody is usable, and ends when the wait is over.
    pub(crate) fn watch_return(&mut self, now: Timestamp<Monotonic>) {
        let waiting = self.returning.is_some_and(|returning| now < returning.until);
        if self.usable == 0 && !self.fresh {
            let holdover = self.reference.filter(|_| self.basis == Basis::Sources);
            self.returning = Some(Return { holdover, until: now + RETURN_WAIT });
        } else if !waiting && !self.sources.iter().any(|source| source.is_pending()) {
            self.returning = None;
        }
    }

    /// After an election: if somebody is back, the others are asked.
    pub(crate) fn recall_others(&mut self, election: &Election, now: Timestamp<Monotonic>) {
        if self.returning.is_some() && self.usable == 0 && election.usable > 0 {
            for source in &mut self.sources {
                source.recall(now);
            }
        }
    }

    /// `new`, behind which no majority stands, claiming no less than what the holdover leaves possible.
    pub(crate) fn admit_holdover(&self, new: Reference, now: Timestamp<Free>) -> Reference {
        let Some(old) = self.returning.and_then(|returning| returning.holdover) else { return new };
        let apart = (new.estimate.offset_at(now) - old.estimate.offset_at(now)).abs();
        let faster = (new.estimate.frequency() - old.estimate.frequency()).abs();
        let skew = Rate::from_ratio(BOUND_SD * old.estimate.frequency_sd_at(now));
        let skew = Rate::from_ratio(faster) + skew.max(old.proven.skew);
        new.admitting(apart + old.distance(now), skew, now)
    }
}

/// Four requests within sixteen seconds and time to answer the last, or for a name to be looked up.
const RETURN_WAIT: Interval = Interval::from_secs(30);
