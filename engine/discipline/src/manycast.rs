//! Finding servers by asking a group: ever further away, until enough have answered.
//!
//! The expanding ring of RFC 5905 section 3.1 (and appendix A.5.7): the first request goes one hop, each
//! further one twice as far. What answers is a source like any other; this only says when to ask, and how
//! far.
//!
//! Must never: ask faster than it was told to, or go on asking when enough have answered.

use core::net::SocketAddr;

use timeball_time::{Interval, Monotonic, Timestamp};

/// The search for the servers of one group.
#[derive(Clone, Debug)]
pub struct Search {
    ttl: u8,
    ttl_max: u8,
    interval: Interval,
    enough: usize,
    due: Timestamp<Monotonic>,
    /// Who has answered since the search began, or began anew.
    found: Vec<SocketAddr>,
}

impl Search {
    /// A search that begins at `now`: at most `ttl_max` hops, every 2^`poll` seconds, for `enough` servers.
    pub fn new(ttl_max: u8, poll: i8, enough: usize, now: Timestamp<Monotonic>) -> Self {
        let interval = Interval::from_poll(poll);
        Self { ttl: 1, ttl_max, interval, enough, due: now, found: Vec::new() }
    }

    /// When [`Search::next`] is to be called.
    pub const fn due(&self) -> Timestamp<Monotonic> {
        self.due
    }

    /// How many hops to ask now; `None` when enough have answered: then there is a rest of an hour.
    pub fn next(&mut self, now: Timestamp<Monotonic>) -> Option<u8> {
        if self.found.len() >= self.enough {
            self.found.clear();
            self.due = now + REST;
            return None;
        }
        let ttl = self.ttl;
        self.ttl = ttl.saturating_mul(2).min(self.ttl_max);
        self.due = now + self.interval;
        Some(ttl)
    }

    /// A server has answered; true if it is a new one, and not one too many.
    pub fn on_answer(&mut self, remote: SocketAddr) -> bool {
        let is_new = self.found.len() < FOUND_MAX && !self.found.contains(&remote);
        if is_new {
            self.found.push(remote);
        }
        is_new
    }
}

/// Between two searches of which the first was successful: servers come and go slowly.
const REST: Interval = Interval::from_secs(3600);
/// Whoever answers beyond is not needed.
const FOUND_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_expands_until_enough_have_answered_and_rests_then() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let server = |last: u8| SocketAddr::from(([192, 0, 2, last], 123));
        let mut search = Search::new(12, 6, 2, at(0));
        let mut rings = Vec::new();
        for round in 0..6 {
            assert_eq!(search.due(), at(64 * round));
            rings.push(search.next(at(64 * round)));
            if round == 4 {
                assert!(search.on_answer(server(1)) && !search.on_answer(server(1)));
            }
        }
        assert_eq!(rings, [1, 2, 4, 8, 12, 12].map(Some), "one server is not enough");
        assert!(search.on_answer(server(2)));
        assert_eq!((search.next(at(384)), search.due()), (None, at(384 + 3600)));
        assert_eq!(search.next(at(3984)), Some(12));
    }
}
