//! Predicts when each reply of a batch leaves.
//!
//! Replies are stamped before the system call that sends them one after the other, so reply `i`
//! leaves about `i` times the cost of a send after the stamp was read. Stamping all with one
//! reading makes the last reply look early by tens of microseconds; overestimating the cost would
//! give a time later than the departure, which breaks causality for the client. So the cost used is
//! a low one: the least average seen over the last one to two windows of [`WINDOW`] measured
//! chunks, less an eighth.
//!
//! Must never: predict later than the reply leaves.

use timeball_time::Interval;

/// The cost of one send, learnt from the elapsed time of whole chunks.
#[derive(Debug)]
pub(crate) struct Departure {
    cost_ns: i64,
    least_ns: i64,
    last_window_ns: i64,
    measured: u32,
}

impl Departure {
    /// Predicts no cost at all until a window has been measured: early, never late.
    pub(crate) const fn new() -> Self {
        Self { cost_ns: 0, least_ns: i64::MAX, last_window_ns: 0, measured: 0 }
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
        self.least_ns = self.least_ns.min(average);
        self.measured += 1;
        if self.measured == WINDOW {
            (self.last_window_ns, self.least_ns, self.measured) = (self.least_ns, i64::MAX, 0);
        }
        let least = self.last_window_ns.min(self.least_ns);
        self.cost_ns = least - least / 8;
    }
}

/// Replies sent between two readings of the clock.
///
/// Sixteen keep what the low cost leaves out below 3 µs, for one system call more per 16 replies:
/// half a percent of their cost.
pub(crate) const CHUNK: usize = 16;

/// Fewer replies than this in one system call teach nothing.
pub(crate) const COUNT_MIN: usize = 8;

/// Chunks after which the least cost so far is forgotten; at 100 000 replies a second, 10 ms.
const WINDOW: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(departure: &mut Departure, average_ns: i64, times: u32) {
        for _ in 0..times {
            departure.observe(Interval::from_nanos(average_ns * 16), 16);
        }
    }

    #[test]
    fn the_cost_is_below_the_least_seen_and_nothing_before_a_window_is_full() {
        let mut departure = Departure::new();
        observe(&mut departure, 1_000, WINDOW - 1);
        assert_eq!(departure.cost_ns(), 0);
        observe(&mut departure, 1_000, 1);
        assert_eq!(departure.cost_ns(), 875);
        observe(&mut departure, 5_000, 1);
        assert_eq!(departure.cost_ns(), 875);
        observe(&mut departure, 400, 1);
        assert_eq!(departure.cost_ns(), 350);
    }

    #[test]
    fn a_cost_that_rose_is_learnt_within_two_windows() {
        let mut departure = Departure::new();
        observe(&mut departure, 400, WINDOW);
        observe(&mut departure, 2_000, 2 * WINDOW);
        assert_eq!(departure.cost_ns(), 1_750);
    }

    #[test]
    fn short_chunks_and_clock_steps_do_not_raise_it() {
        let mut departure = Departure::new();
        departure.observe(Interval::from_secs(1), COUNT_MIN - 1);
        observe(&mut departure, -1_000, WINDOW);
        assert_eq!(departure.cost_ns(), 0);
    }
}
