//! Predicts when each reply of a batch leaves.
//!
//! Replies are stamped before the system call that sends them one after the other, so reply `i`
//! leaves about `i` times the cost of a send after the stamp was read. Stamping all with one
//! reading makes the last reply look early by tens of microseconds; overestimating the cost would
//! give a time later than the departure, which breaks causality for the client. A core's speed
//! doubles and halves with what its neighbours do, so the cost used is the least average ever seen,
//! less an eighth, and is forgotten slowly: by a 64th per [`FORGET_EVERY`] measured chunks.
//!
//! Must never: predict later than the reply leaves, but for the one chunk that sets a new record.

use timeball_time::Interval;

/// The cost of one send, learnt from the elapsed time of whole chunks.
#[derive(Debug)]
pub(crate) struct Departure {
    cost_ns: i64,
    least_ns: i64,
    measured: u32,
}

impl Departure {
    /// Predicts no cost at all until [`LEARN_FIRST`] chunks have been measured: early, never late.
    pub(crate) const fn new() -> Self {
        Self { cost_ns: 0, least_ns: i64::MAX, measured: 0 }
    }

    /// What lies between one reply's departure and the next.
    #[inline]
    pub(crate) const fn cost_ns(&self) -> i64 {
        self.cost_ns
    }

    /// Learns from a system call that took `elapsed` to send `count` replies; short ones are
    /// ignored, because the entry into the kernel weighs too much in their average.
    #[inline]
    pub(crate) fn observe(&mut self, elapsed: Interval, count: usize) {
        if count < COUNT_MIN {
            return;
        }
        // A step of the clock in between: negative is nothing, and too long never is the least.
        let average = elapsed.nanos().max(0) / count as i64;
        self.measured = self.measured.wrapping_add(1);
        if self.measured.is_multiple_of(FORGET_EVERY) {
            self.least_ns = self.least_ns.saturating_add(self.least_ns / 64 + 1);
        }
        self.least_ns = self.least_ns.min(average);
        if self.cost_ns > 0 || self.measured >= LEARN_FIRST {
            self.cost_ns = self.least_ns - self.least_ns / 8;
        }
    }
}

/// Replies sent between two readings of the clock.
///
/// Sixteen keep what the low cost leaves out below 3 µs, for one system call more per 16 replies:
/// half a percent of their cost.
pub(crate) const CHUNK: usize = 16;

/// Fewer replies than this in one system call teach nothing.
pub(crate) const COUNT_MIN: usize = 8;

/// Chunks measured before anything is predicted.
const LEARN_FIRST: u32 = 64;

/// Chunks after which a 64th of the least cost is forgotten: at 100 000 replies a second the least
/// cost doubles in seven seconds if it is never seen again.
const FORGET_EVERY: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(departure: &mut Departure, average_ns: i64, times: u32) {
        for _ in 0..times {
            departure.observe(Interval::from_nanos(average_ns * 16), 16);
        }
    }

    #[test]
    fn the_cost_is_below_the_least_seen_and_nothing_before_enough_is_measured() {
        let mut departure = Departure::new();
        observe(&mut departure, 1_000, LEARN_FIRST - 1);
        assert_eq!(departure.cost_ns(), 0);
        observe(&mut departure, 1_000, 1);
        assert_eq!(departure.cost_ns(), 875);
        observe(&mut departure, 5_000, 500);
        assert_eq!(departure.cost_ns(), 875, "a slow spell is not forgotten into");
        observe(&mut departure, 400, 1);
        assert_eq!(departure.cost_ns(), 350, "a record counts at once");
    }

    #[test]
    fn a_cost_that_rose_for_good_is_learnt_slowly() {
        let mut departure = Departure::new();
        observe(&mut departure, 400, LEARN_FIRST);
        observe(&mut departure, 2_000, 20 * FORGET_EVERY);
        assert!((400..800).contains(&departure.cost_ns()), "{}", departure.cost_ns());
        observe(&mut departure, 2_000, 200 * FORGET_EVERY);
        assert_eq!(departure.cost_ns(), 1_750);
    }

    #[test]
    fn short_chunks_and_clock_steps_do_not_raise_it() {
        let mut departure = Departure::new();
        departure.observe(Interval::from_secs(1), COUNT_MIN - 1);
        observe(&mut departure, -1_000, LEARN_FIRST);
        assert_eq!(departure.cost_ns(), 0);
        observe(&mut departure, 1_000, 10 * FORGET_EVERY);
        assert!(departure.cost_ns() < 30);
    }
}
