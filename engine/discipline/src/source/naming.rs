//! Where a source is, if it is known by its name: looking it up, and moving on from an address that is
//! silent.
//!
//! Must never: look a name up faster than [`RESOLVE_RETRY`] allows.

use core::net::IpAddr;

use timeball_time::{Interval, Monotonic, Timestamp};

use super::{Source, State};
use crate::action::{Action, Actions, Event};
use crate::filter::FrequencyPrior;
use crate::limits::ADDRESSES_MAX;

impl Source {
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
            let exponent = self.resolve_failures.min(RESOLVE_BACKOFF_MAX);
            self.resolve_failures += 1;
            self.state = State::Unresolved;
            self.due = now + Interval::from_nanos(RESOLVE_RETRY.nanos() << exponent);
            return;
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
const RESOLVE_RETRY: Interval = Interval::from_secs(4);
const RESOLVE_BACKOFF_MAX: u32 = 8;
