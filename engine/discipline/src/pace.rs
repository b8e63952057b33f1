//! How often a source is asked.
//!
//! Asking opens with a burst (iburst): four requests 2 s apart, which suffice for the first time,
//! then gaps of 4, 8, 16 and 32 s: the same eight packets that ntpd sends in a row, but with a
//! lever arm of a minute, which measures the frequency ten times better.
//!
//! The interval then doubles while the oscillator's wander over the next one, `wander·τ^(3/2)/√3`,
//! stays below [`WANDER_SHARE`] of a single measurement's jitter: asking more often would only
//! measure noise. It takes [`RAMP_POINTS`] answers per doubling, because wander is not known from a
//! few; and [`RAMP_POINTS_VAGUE`] while the estimate is off by milliseconds, because there each answer
//! still improves it much.
//!
//! A source that is silent, as others were until one of them came back, is asked five times within half
//! a minute, in order to know whether it is back as well; a poll interval may be hours.
//!
//! Must never: be faster than a server asked us to be.

use timeball_time::Interval;

use crate::config::SourceConfig;
use crate::estimate::Estimate;
use crate::filter::JUMP_SAMPLES;
use crate::limits::POLL_MAX;

/// The pace of one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    iburst: bool,
    min_poll: i8,
    max_poll: i8,
    poll: i8,
    /// Raised by the server itself (RATE).
    floor: i8,
    /// Requests sent since the burst began.
    burst: usize,
    /// Requests sent to look into suspicions; each ordinary interval that passes pays one back.
    rechecks: usize,
    /// The interval under way is an ordinary one, and nothing has cut it short.
    is_ordinary: bool,
    /// Requests sent to find out whether it has come back.
    recalls: usize,
}

impl Pace {
    pub(crate) fn new(config: &SourceConfig) -> Self {
        let min_poll = config.min_poll.clamp(0, POLL_MAX);
        Self {
            iburst: config.iburst,
            min_poll,
            max_poll: config.max_poll.clamp(min_poll, POLL_MAX),
            poll: min_poll,
            floor: min_poll,
            burst: if config.iburst { 0 } else { BURST_GAPS_S.len() },
            rechecks: 0,
            is_ordinary: false,
            recalls: RECALL_GAPS_S.len(),
        }
    }

    /// Goes by other settings from now on; what the server asked for by RATE remains.
    pub(crate) fn reconfigure(&mut self, config: &SourceConfig) {
        let (slowed, new) = (self.is_slowed(), Self::new(config));
        self.floor = if slowed { self.floor.max(new.min_poll) } else { new.min_poll };
        self.poll = self.poll.clamp(new.min_poll, new.max_poll);
        (self.iburst, self.min_poll, self.max_poll) = (new.iburst, new.min_poll, new.max_poll);
    }

    /// log2 seconds between requests, bursts apart.
    pub(crate) fn poll(&self) -> i8 {
        self.poll.max(self.floor)
    }

    /// Time to the request after the one just sent.
    pub(crate) fn gap(&mut self, is_suspicious: bool, random: u64) -> Interval {
        let has_rested = std::mem::take(&mut self.is_ordinary);
        if is_suspicious && self.may_recheck() {
            self.rechecks += 1;
            return RECHECK_GAP;
        }
        if let Some(&seconds) = RECALL_GAPS_S.get(self.recalls) {
            self.recalls += 1;
            return Interval::from_secs(seconds);
        }
        if let Some(&seconds) = BURST_GAPS_S.get(self.burst) {
            self.burst += 1;
            return Interval::from_secs(seconds);
        }
        // Up to 1/32 longer, so that clients do not meet again and again at one server; never
        // shorter than agreed.
        self.is_ordinary = true;
        self.rechecks = self.rechecks.saturating_sub(has_rested.into());
        let nominal = Interval::from_poll(self.poll());
        let share = (random % 2048) as i64;
        nominal + Interval::from_nanos((nominal.nanos() >> 16) * share)
    }

    /// An answer is suspicious: whether that may be looked into at once. A server that is odd at every other
    /// answer is not asked all the time for it.
    pub(crate) fn suspect(&mut self) -> bool {
        let now = self.may_recheck();
        self.is_ordinary &= !now;
        now
    }

    const fn may_recheck(&self) -> bool {
        self.rechecks < JUMP_SAMPLES
    }

    /// Begins anew, as with another server; what this one asked for by RATE remains.
    pub(crate) fn restart(&mut self) {
        self.rechecks = 0;
        self.recalls = RECALL_GAPS_S.len();
        self.poll = self.min_poll;
        self.burst = if self.iburst && !self.is_slowed() { 0 } else { BURST_GAPS_S.len() };
    }

    /// Forgets what the server asked for.
    pub(crate) fn forgive(&mut self) {
        self.floor = self.min_poll;
    }

    /// The source has answered after silence: true if it is to be asked in a burst.
    pub(crate) fn burst_again(&mut self) -> bool {
        self.recalls = RECALL_GAPS_S.len();
        let again = self.iburst && self.burst >= BURST_GAPS_S.len() && !self.is_slowed();
        if again {
            self.burst = 0;
            self.poll = self.min_poll;
        }
        again
    }

    /// Whether it has come back is to be found out.
    pub(crate) fn recall(&mut self) {
        self.recalls = 0;
    }

    /// An answer was taken in: the interval grows or shrinks by one step at most.
    pub(crate) fn adapt(&mut self, estimate: &Estimate, points: usize) {
        let next = estimate.epoch() + Interval::from_poll(self.poll + 1);
        let vague = estimate.offset_sd_at(next) > VAGUE_SD_S;
        let per_doubling = if vague { RAMP_POINTS_VAGUE } else { RAMP_POINTS };
        let ramp = (points.saturating_sub(RAMP_START) / per_doubling) as i8;
        let ceiling = self.min_poll.saturating_add(ramp).min(self.max_poll);
        let allowed = WANDER_SHARE * estimate.jitter();
        let mut poll = self.min_poll;
        // At most POLL_MAX turns.
        while poll < ceiling {
            let next = Interval::from_poll(poll + 1).as_secs_f64();
            if estimate.wander() * next.powf(1.5) / 3f64.sqrt() > allowed {
                break;
            }
            poll += 1;
        }
        // One odd likelihood does not throw the interval about.
        self.poll = poll.clamp(self.poll - 1, self.poll + 1).max(self.min_poll);
    }

    /// The server's clock has moved: there is a new offset and frequency to learn.
    pub(crate) fn relearn(&mut self) {
        self.rechecks = 0;
        self.poll = self.min_poll;
    }

    /// Obeys RATE: no burst, and at most half as often as so far. Returns the new interval.
    pub(crate) fn slow_down(&mut self) -> Interval {
        self.burst = BURST_GAPS_S.len();
        self.rechecks = JUMP_SAMPLES;
        self.recalls = RECALL_GAPS_S.len();
        self.floor = (self.poll() + 1).min(POLL_MAX);
        Interval::from_poll(self.floor)
    }

    /// Whether the server has asked to be asked less often.
    pub(crate) const fn is_slowed(&self) -> bool {
        self.floor > self.min_poll
    }
}

/// Gap to the request that confirms or refutes a suspicion.
pub(crate) const RECHECK_GAP: Interval = Interval::from_secs(2);
/// Gaps between the requests to a source that may have come back, in seconds.
const RECALL_GAPS_S: [i64; 4] = [2, 4, 8, 16];
/// Gaps between the first eight requests, in seconds.
const BURST_GAPS_S: [i64; 7] = [2, 2, 2, 4, 8, 16, 32];
/// Wander over the next interval, as a share of one measurement's jitter, up to which polls are
/// spaced.
const WANDER_SHARE: f64 = 0.3;
/// Points before the interval may grow, and per doubling after.
const RAMP_START: usize = 6;
const RAMP_POINTS: usize = 2;
/// The same while the estimate is vague.
const RAMP_POINTS_VAGUE: usize = 7;
/// An estimate less sure than this is vague: more answers help it more than they cost.
const VAGUE_SD_S: f64 = 5e-3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Target;

    fn pace(iburst: bool) -> Pace {
        let target = Target::Address("192.0.2.1:123".parse().unwrap());
        Pace::new(&SourceConfig { iburst, ..SourceConfig::new(target) })
    }

    #[test]
    fn a_burst_is_eight_requests_then_the_poll_interval() {
        let mut pace = pace(true);
        let gaps: Vec<i64> = (0..9).map(|_| pace.gap(false, 0).nanos() / 1_000_000_000).collect();
        assert_eq!(gaps, [2, 2, 2, 4, 8, 16, 32, 64, 64]);
    }

    #[test]
    fn gaps_are_longer_by_a_32nd_at_most_and_never_shorter() {
        let mut pace = pace(false);
        for random in [0, 1, 1024, 2047, u64::MAX] {
            let gap = pace.gap(false, random).as_secs_f64();
            assert!((64.0..66.0).contains(&gap), "{gap}");
        }
    }

    #[test]
    fn a_source_that_stays_odd_is_not_asked_all_the_time() {
        let mut pace = pace(false);
        // Every other answer is odd: the interval after a good one is cut short by the next.
        let mut passed = Interval::ZERO;
        let requests = 200;
        for turn in 0..requests {
            let is_odd = turn % 2 == 0;
            let gap = pace.gap(!is_odd, 0);
            passed += if is_odd && pace.suspect() { RECHECK_GAP } else { gap };
        }
        let least = Interval::from_poll(6).nanos() * (requests / 4);
        assert!(passed.nanos() > least, "{requests} requests in {passed:?}");
    }

    #[test]
    fn rate_doubles_the_interval_ends_bursts_and_outlives_a_restart() {
        let mut pace = pace(true);
        assert_eq!(pace.slow_down(), Interval::from_secs(128));
        assert_eq!(pace.slow_down(), Interval::from_secs(256));
        pace.restart();
        assert!(!pace.burst_again());
        assert!(pace.gap(true, 1024) >= Interval::from_secs(2));
        assert_eq!(pace.poll(), 8);
        for _ in 0..20 {
            pace.slow_down();
        }
        assert_eq!(pace.poll(), POLL_MAX);
        pace.forgive();
        assert_eq!(pace.poll(), 6);
    }
}
