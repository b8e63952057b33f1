//! Another configuration while running.
//!
//! Sources that are in both configurations keep all that is known of them: filter, reach, pace. What is
//! served goes on from where it stands, by the last reference, until a source of the new configuration has
//! something to say. Only if there is no source left at all is the reference given up, for whatever the
//! configuration has instead.
//!
//! Must never: make served time jump.

use timeball_time::{ClockReading, ReferenceId};

use crate::action::{Actions, SourceId};
use crate::config::{Config, Target};
use crate::discipline::{Discipline, reference_ids};
use crate::limits::SOURCES_MAX;
use crate::selection::Tally;
use crate::source::Source;
use crate::status::Basis;

impl Discipline {
    /// Goes by `config` from now on, but for its steering, which stays as it was at the start. Says of each
    /// source which one of the old it is.
    ///
    /// Numbers of sources are those of `config` from here on: answers to earlier [`Actions`] must have been
    /// reported or be forgotten.
    pub fn reconfigure(
        &mut self,
        config: Config,
        now: ClockReading,
        out: &mut Actions,
    ) -> Vec<Option<SourceId>> {
        self.observe(&now, out);
        let prior = self.prior();
        let mut old: Vec<_> = std::mem::take(&mut self.sources).into_iter().map(Some).collect();
        let mut origins = Vec::new();
        for (id, wanted) in (0u16..).map(SourceId).zip(config.sources.iter().take(SOURCES_MAX)) {
            let origin = origin_of(&wanted.target, &old);
            let source = match origin.and_then(|at| old[at].take()) {
                Some(mut source) => {
                    source.reconfigure(id, wanted, now.monotonic, prior);
                    source
                }
                None => Source::new(id, wanted.clone(), now.monotonic, prior),
            };
            self.sources.push(source);
            origins.push(origin.map(|at| SourceId(at as u16)));
        }
        let was = |origin: &Option<SourceId>| {
            origin.and_then(|id| self.tallies.get(id.index()).copied()).unwrap_or(Tally::Reject)
        };
        self.tallies = origins.iter().map(was).collect();
        let peer = self.peer.take();
        let stays = |origin: &Option<SourceId>| origin.map(SourceId::index) == peer;
        self.peer = peer.and_then(|_| origins.iter().position(stays));
        self.own_ids = reference_ids(&config.own_addresses);
        self.leap.replace_table(config.leap_table.clone());
        self.config = Config { steering: self.config.steering, ..config };
        if self.sources.is_empty() && self.basis == Basis::Sources {
            self.basis = Basis::Nothing;
            self.reference = None;
            self.kiss = ReferenceId::LOST;
        }
        if self.config.local.is_none() && self.basis == Basis::Local {
            self.basis = Basis::Nothing;
            self.kiss = ReferenceId::LOST;
        }
        self.hold_election(&now, None, out);
        self.publish(&now, false, out);
        origins
    }
}

/// Which of the `old` sources is the one at `target`; of places for servers that are heard of, first one that
/// is taken.
fn origin_of(target: &Target, old: &[Option<Source>]) -> Option<usize> {
    let same = |one: &Option<Source>, vacant: bool| {
        let one = one.as_ref();
        one.is_some_and(|one| one.config().target == *target && one.is_vacant() == vacant)
    };
    [false, true].iter().find_map(|&vacant| old.iter().position(|one| same(one, vacant)))
}
