//! How much may be answered by datagrams in a second, over all who ask.
//!
//! Must never: be reached by a person with ntpq, whose requests wait for each other.

use timeball_time::{Interval, Monotonic, Timestamp};

/// A bucket of datagrams that fills with time.
#[derive(Debug)]
pub(super) struct Allowance {
    left: i64,
    at: Timestamp<Monotonic>,
}

impl Allowance {
    /// A full bucket.
    pub(super) const fn new(now: Timestamp<Monotonic>) -> Self {
        Self { left: BURST, at: now }
    }

    /// Whether anything may be sent now.
    pub(super) fn has(&mut self, now: Timestamp<Monotonic>) -> bool {
        let gained = (now - self.at).nanos() / SPACING.nanos();
        if gained > 0 {
            self.left = BURST.min(self.left.saturating_add(gained));
            self.at = now;
        }
        self.left > 0
    }

    /// One datagram is sent; an answer of several may go below zero by a few.
    pub(super) const fn take(&mut self) {
        self.left -= 1;
    }
}

/// A server with 64 sources is read whole with a few hundred.
const BURST: i64 = 500;
/// 500 datagrams a second: two Mbit/s at the most.
const SPACING: Interval = Interval::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_then_the_rate() {
        let start = Timestamp::from_nanos(0);
        let mut allowance = Allowance::new(start);
        let mut sent = 0;
        for millis in 0..3000 {
            let now = start + Interval::from_millis(millis);
            // As many as anybody likes.
            for _ in 0..10 {
                if allowance.has(now) {
                    allowance.take();
                    sent += 1;
                }
            }
        }
        assert!((1999..=2001).contains(&sent), "{sent}");
    }
}
