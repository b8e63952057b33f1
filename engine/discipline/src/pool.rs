//! Which source is asked at which address of its name: those of one pool at different ones.
//!
//! Must never: have two sources of a pool asked at one address; they would vote twice for one clock.

use core::net::{IpAddr, SocketAddr};

use timeball_time::ClockReading;

use crate::action::{Actions, SourceId};
use crate::config::Target;
use crate::discipline::Discipline;
use crate::source::{Source, State};

impl Discipline {
    /// The addresses of `source`'s name; none at all if the look-up failed.
    pub fn on_resolved(
        &mut self,
        source: SourceId,
        addresses: &[IpAddr],
        now: ClockReading,
        out: &mut Actions,
    ) {
        if self.observe(&now, out) {
            self.publish(&now, false, out);
        }
        let prior = self.prior();
        let Some(one) = self.sources.get(source.index()) else { return };
        let is_pool = matches!(one.config().target, Target::Pool { .. });
        let chosen = one.choose(addresses, |at| self.is_asked(at, source));
        let one = &mut self.sources[source.index()];
        match chosen {
            Some(address) => one.on_resolved(now.monotonic, &[address], prior, out),
            None if is_pool && !addresses.is_empty() => one.on_none_left(now.monotonic),
            None => one.on_resolved(now.monotonic, addresses, prior, out),
        }
    }

    /// True if another source than `other` is asked at `remote`.
    fn is_asked(&self, remote: SocketAddr, other: SourceId) -> bool {
        let asked = |source: &Source| {
            matches!(source.state(), State::Polling | State::Refused | State::Listening)
                && source.remote() == Some(remote)
        };
        let mut sources = self.sources.iter().enumerate();
        sources.any(|(index, source)| index != other.index() && asked(source))
    }
}
