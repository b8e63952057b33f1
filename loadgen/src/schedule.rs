//! When each request is meant to be sent.
//!
//! An open loop sends at moments that do not depend on the server: that is how real clients behave,
//! and the only load whose latency means anything. A closed loop keeps a fixed number of requests
//! in flight: that finds what a server can do, and its latency only says how long the queue was.
//!
//! Moments are computed from the request's number, not from the moment before, so that nothing
//! drifts and a generator that was held up is late by what it was held up, no more.
//!
//! Must never: read a clock, or depend on when anything was really sent.

use serde::{Deserialize, Serialize};
use timeball_time::{Interval, Realtime, Timestamp};

use crate::random::SplitMix64;

/// What kind of load is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// Requests at moments of their own.
    Open {
        /// How the moments are spread.
        pattern: Pattern,
        /// Requests a second on average, at least 1.
        rate_hz: u32,
    },
    /// As many requests in flight as fit, the next as soon as a reply makes room.
    Closed {
        /// Requests in flight, at least 1.
        window: u32,
    },
}

impl Load {
    /// Requests a second on average; `None` of a closed loop, which leaves that to the server.
    pub fn rate_per_s(self) -> Option<f64> {
        match self {
            Self::Open { rate_hz, .. } => Some(f64::from(rate_hz)),
            Self::Closed { .. } => None,
        }
    }
}

/// How the moments of an open loop are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Equal gaps.
    Constant,
    /// Exponential gaps: many clients that know nothing of each other.
    Poisson,
    /// `size` requests at once, then a pause: clients started by the same cron minute.
    Bursts {
        /// Requests in a burst, at least 1.
        size: u32,
    },
    /// All requests of a second at its very turn: clients that poll by the wall clock.
    Crowd,
}

/// Which part of a load one of several schedules is; together they are the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub index: u32,
    /// How many there are, at least 1.
    pub of: u32,
}

impl Part {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// This part of `count` things dealt out in turn.
    pub const fn share(self, count: u32) -> u32 {
        let of = if self.of == 0 { 1 } else { self.of };
        count / of + (self.index < count % of) as u32
    }
}

/// The moments of one open loop.
#[derive(Clone, Debug)]
pub struct Schedule {
    pattern: Pattern,
    rate_hz: u32,
    part: Part,
    start: Timestamp<Realtime>,
    random: SplitMix64,
    number: u64,
    next: Timestamp<Realtime>,
    poisson_ns: f64,
}

impl Schedule {
    /// The schedule from `start` on; `rate_hz` and a burst's size are taken as at least 1.
    ///
    /// Two schedules of the same `seed` and part are the same. For [`Pattern::Crowd`], `start` is the
    /// turn of a second.
    pub fn new(
        pattern: Pattern,
        rate_hz: u32,
        part: Part,
        start: Timestamp<Realtime>,
        seed: u64,
    ) -> Self {
        let mut schedule = Self {
            pattern,
            rate_hz: rate_hz.max(1),
            part: Part { index: part.index, of: part.of.max(1) },
            start,
            random: SplitMix64::new(seed, part.index.into()),
            number: 0,
            next: start,
            poisson_ns: 0.0,
        };
        schedule.next = schedule.moment();
        schedule
    }

    /// When the next request is meant to be sent.
    #[inline]
    pub const fn next(&self) -> Timestamp<Realtime> {
        self.next
    }

    /// Goes on to the request after the next.
    #[inline]
    pub fn advance(&mut self) {
        self.number += 1;
        self.next = self.moment();
    }

    fn moment(&mut self) -> Timestamp<Realtime> {
        let (index, of) = (u128::from(self.part.index), u128::from(self.part.of));
        let (number, rate_hz) = (u128::from(self.number), u128::from(self.rate_hz));
        let after_ns = match self.pattern {
            Pattern::Constant => ((number * of + index) * NANOS_PER_S / rate_hz) as i64,
            // Whole bursts are dealt out, so that a burst is the work of one sender.
            Pattern::Bursts { size } => {
                let size = u128::from(size.max(1));
                let first_of_burst = (number / size * of + index) * size;
                (first_of_burst * NANOS_PER_S / rate_hz) as i64
            }
            // Independent Poisson processes add up to one.
            Pattern::Poisson => {
                let mean_ns =
                    NANOS_PER_S as f64 * f64::from(self.part.of) / f64::from(self.rate_hz);
                self.poisson_ns += -self.random.unit().ln() * mean_ns;
                self.poisson_ns as i64
            }
            Pattern::Crowd => match self.part.share(self.rate_hz) {
                0 => NEVER_NS,
                share => (number / u128::from(share) * NANOS_PER_S) as i64,
            },
        };
        self.start + Interval::from_nanos(after_ns)
    }
}

const NANOS_PER_S: u128 = 1_000_000_000;
/// Beyond every run's end.
const NEVER_NS: i64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(pattern: Pattern, rate_hz: u32, count: usize) -> Vec<i64> {
        part_of(pattern, rate_hz, Part::WHOLE, count)
    }

    fn part_of(pattern: Pattern, rate_hz: u32, part: Part, count: usize) -> Vec<i64> {
        let start = Timestamp::from_nanos(1_000);
        let mut schedule = Schedule::new(pattern, rate_hz, part, start, 7);
        let mut moments = Vec::new();
        for _ in 0..count {
            moments.push(schedule.next().nanos() - 1_000);
            schedule.advance();
        }
        moments
    }

    #[test]
    fn constant_spacing_is_exact_and_does_not_drift() {
        let seen = moments(Pattern::Constant, 1_000, 100);
        assert!(seen.iter().enumerate().all(|(k, &at)| at == k as i64 * 1_000_000));
        // A rate that does not divide a second: the third request of each three is exact again.
        let seen = moments(Pattern::Constant, 3, 10);
        assert_eq!(&seen[..4], &[0, 333_333_333, 666_666_666, 1_000_000_000]);
        assert_eq!(seen[9], 3_000_000_000);
    }

    #[test]
    fn a_burst_shares_one_moment_and_the_rate_is_kept() {
        let seen = moments(Pattern::Bursts { size: 64 }, 64_000, 64 * 3);
        assert!(seen[..64].iter().all(|&at| at == 0));
        assert!(seen[64..128].iter().all(|&at| at == 1_000_000));
        assert!(seen[128..].iter().all(|&at| at == 2_000_000));
    }

    /// The gaps pass a Kolmogorov–Smirnov test against the exponential distribution at the 0.1 %
    /// level, and gaps of another distribution with the same mean do not.
    #[test]
    fn poisson_gaps_are_exponential() {
        let count = 20_000;
        let rate_hz = 1_000;
        let critical = 1.95 / (count as f64).sqrt();
        let seen = moments(Pattern::Poisson, rate_hz, count + 1);
        let gaps: Vec<f64> = seen.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        assert!(deviation(gaps, 1e6) < critical);
        let constant = moments(Pattern::Constant, rate_hz, count + 1);
        let gaps: Vec<f64> = constant.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        assert!(deviation(gaps, 1e6) > critical);
    }

    /// The largest distance between the gaps' distribution and the exponential one of mean
    /// `mean_ns`.
    fn deviation(mut gaps: Vec<f64>, mean_ns: f64) -> f64 {
        gaps.sort_by(f64::total_cmp);
        let count = gaps.len() as f64;
        let distance = |(k, gap): (usize, &f64)| {
            let expected = 1.0 - (-gap / mean_ns).exp();
            (expected - k as f64 / count).abs().max((expected - (k + 1) as f64 / count).abs())
        };
        gaps.iter().enumerate().map(distance).fold(0.0, f64::max)
    }

    #[test]
    fn a_crowd_comes_at_the_turn_of_each_second() {
        let seen = moments(Pattern::Crowd, 100, 250);
        assert!(seen[..100].iter().all(|&at| at == 0));
        assert!(seen[100..200].iter().all(|&at| at == 1_000_000_000));
        assert!(seen[200..].iter().all(|&at| at == 2_000_000_000));
    }

    /// Of every pattern but Poisson the parts are the whole, moment for moment.
    #[test]
    fn parts_together_are_the_whole() {
        let patterns = [Pattern::Constant, Pattern::Bursts { size: 8 }, Pattern::Crowd];
        for pattern in patterns {
            let mut dealt = Vec::new();
            for index in 0..3 {
                dealt.extend(part_of(pattern, 64, Part { index, of: 3 }, 1_000));
            }
            dealt.sort_unstable();
            let whole = moments(pattern, 64, 1_500);
            assert_eq!(dealt[..1_500], whole, "{pattern:?}");
        }
        let few = part_of(Pattern::Crowd, 2, Part { index: 2, of: 3 }, 1);
        assert!(few[0] > 1_000_000_000 * 3_600, "two requests are nothing to the third of three");
    }

    #[test]
    fn the_parts_of_a_poisson_load_are_one_poisson_load() {
        let parts = 4;
        let mut seen: Vec<i64> = (0..parts)
            .flat_map(|index| part_of(Pattern::Poisson, 1_000, Part { index, of: parts }, 10_000))
            .collect();
        seen.sort_unstable();
        // Beyond the first part's end the others are missing.
        let gaps: Vec<f64> =
            seen[..30_001].windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        assert!(deviation(gaps, 1e6) < 1.95 / 30_000f64.sqrt());
    }

    /// After any time the requests due are the rate times the time, within 0.1 % (Poisson: within
    /// five standard deviations).
    #[test]
    fn the_rate_asked_is_the_rate_due() {
        let patterns = [Pattern::Constant, Pattern::Bursts { size: 64 }, Pattern::Crowd];
        for pattern in patterns {
            let seen = moments(pattern, 33_333, 33_333 * 10 + 100);
            let due = seen.iter().filter(|&&at| at < 10_000_000_000).count();
            assert!(due.abs_diff(333_330) <= 333, "{pattern:?}: {due}");
        }
        let due = moments(Pattern::Poisson, 33_333, 400_000)
            .iter()
            .filter(|&&at| at < 10_000_000_000)
            .count();
        assert!(due.abs_diff(333_330) < 5 * 578, "{due}");
    }

    #[test]
    fn the_same_seed_gives_the_same_moments() {
        assert_eq!(moments(Pattern::Poisson, 50, 100), moments(Pattern::Poisson, 50, 100));
    }
}
