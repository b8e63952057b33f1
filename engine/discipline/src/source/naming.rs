//! Where a source is, if it is known by its name: looking it up, and moving on from an address that is
//! silent.
//!
//! Must never: look a name up faster than [`RESOLVE_RETRY`] allows.

use core::net::{IpAddr, SocketAddr};

use timeball_time::{Interval, Monotonic, Timestamp};

use super::{Source, State};
use crate::action::{Action, Actions, Event};
use crate::config::Target;
use crate::filter::FrequencyPrior;
use crate::limits::ADDRESSES_MAX;
use crate::rejection::Rejection;

impl Source {
    /// Where it is asked, unless it is vacant or nobody knows.
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        if self.is_vacant() {
            return None;
        }
        let port = match &self.config.target {
            Target::Address(address) => return Some(*address),
            Target::Name { port, .. } | Target::Pool { port, .. } => *port,
            Target::Heard => return self.heard.as_ref().map(|heard| heard.remote),
        };
        self.addresses.get(self.address).map(|&address| SocketAddr::new(address, port))
    }

    pub(super) fn is_named(&self) -> bool {
        matches!(self.config.target, Target::Name { .. } | Target::Pool { .. })
    }

    pub(super) fn resolve(&mut self, now: Timestamp<Monotonic>, out: &mut Actions) {
        self.state = State::Resolving;
        self.due = now + RESOLVE_WAIT;
        out.push(Action::Resolve { source: self.id });
    }

    pub(crate) fn on_resolved(
        &mut self,
        now: Timestamp<Monotonic>,
        addresses: &[IpAddr],
        prior: FrequencyPrior,
        out: &mut Actions,
    ) {
        if self.state != State::Resolving {
            return;
        }
        if addresses.is_empty() {
            if self.resolve_failures == 0 {
                out.note(Event::ResolveFailed { source: self.id });
            }
            self.absence.settle_if_recalled();
            self.state = State::Unresolved;
            return self.resolve_later(now);
        }
        self.resolve_failures = 0;
        let before = self.remote();
        self.addresses = addresses.iter().copied().take(ADDRESSES_MAX).collect();
        // If the one that went silent is still among them, go on with the one after it.
        let silent = before.and_then(|b| self.addresses.iter().position(|&a| a == b.ip()));
        self.address = silent.map_or(0, |at| (at + 1) % self.addresses.len());
        self.state = State::Polling;
        self.due = now;
        self.unanswered = 0;
        if self.remote() != before {
            self.pace.forgive();
            self.restart(now, prior);
            if let Some(remote) = self.remote() {
                out.note(Event::AddressChanged { source: self.id, remote });
            }
        }
    }

    /// Of `addresses`, those of the name of a pool, the one to be asked: one of which `is_taken` does not
    /// say that another source is asked there, and another than before if there is one. `None` if there is
    /// none left.
    pub(crate) fn choose(
        &self,
        addresses: &[IpAddr],
        is_taken: impl Fn(SocketAddr) -> bool,
    ) -> Option<IpAddr> {
        let Target::Pool { port, .. } = self.config.target else { return None };
        let before = self.addresses.get(self.address).copied();
        let mut free = addresses.iter().filter(|&&ip| !is_taken(SocketAddr::new(ip, port)));
        let other = free.clone().find(|&&ip| Some(ip) != before);
        let denied = matches!(self.unfit, Some(Rejection::KissOfDeath(_)));
        other.or_else(|| free.next().filter(|_| !denied)).copied()
    }

    /// Every address of its pool is another's: it is not needed until one fails.
    pub(crate) fn on_none_left(&mut self, now: Timestamp<Monotonic>) {
        if self.state == State::Resolving {
            self.state = State::Vacant;
            self.resolve_later(now);
        }
    }

    fn resolve_later(&mut self, now: Timestamp<Monotonic>) {
        let exponent = self.resolve_failures.min(RESOLVE_BACKOFF_MAX);
        self.resolve_failures += 1;
        self.due = now + Interval::from_nanos(RESOLVE_RETRY.nanos() << exponent);
    }

    /// After too many requests without an answer: the next address, or a new look at the name.
    pub(super) fn leave_address(
        &mut self,
        now: Timestamp<Monotonic>,
        prior: FrequencyPrior,
        out: &mut Actions,
    ) {
        self.unanswered = 0;
        if self.address + 1 >= self.addresses.len() {
            self.state = State::Unresolved;
            self.due = now;
            return;
        }
        self.address += 1;
        self.pace.forgive();
        self.restart(now, prior);
        if let Some(remote) = self.remote() {
            out.note(Event::AddressChanged { source: self.id, remote });
        }
    }
}

/// A host that has not reported on a name by now will not.
const RESOLVE_WAIT: Interval = Interval::from_secs(15);
/// Wait after a failed look-up; doubles [`RESOLVE_BACKOFF_MAX`] times, to about 17 minutes.
pub(super) const RESOLVE_RETRY: Interval = Interval::from_secs(4);
const RESOLVE_BACKOFF_MAX: u32 = 8;
