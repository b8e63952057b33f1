//! Predicts when each reply of a system call leaves.
//!
//! Replies are stamped before the system call that sends them one after the other, so a stamp that is the
//! reading of the clock would be early by all that the kernel does until the reply leaves; a stamp that is
//! later than that would break causality for the client. What the kernel cannot do without is what it does
//! for a reply sent alone: the least that its own stamps of such departures have shown, less a quarter and
//! what stamping takes. Reply `i` of a call leaves no earlier than
//!
//! ```text
//! first + i · first / 2
//! ```
//!
//! after the clock was read: half of that for each further reply, because entering the kernel and what is
//! cold at first is done once. The time from reply to reply is *not* learnt, though it is mostly longer:
//! most of it is what the kernel receives in between, and waking the client up. When others take that over
//! it stops from one call to the next, and whoever had learnt it would promise departures that are past.
//!
//! One reply every [`CALLS_PER_SAMPLE`] system calls is sent alone and stamped by the kernel. A core's speed
//! doubles and halves with what its neighbours do, so the least falls as fast as it is undercut and rises
//! slowly: by a 65536th of what a sample lies above it, of which no more counts than the least itself.
//!
//! Must never: predict later than the reply leaves.

use timeball_time::{Interval, Realtime, Timestamp};

/// The course of departures, learnt from samples.
#[derive(Debug)]
pub(crate) struct Departure {
    first: Floor,
    /// Since the last sample.
    calls: u32,
    sample: Option<Sample>,
}

/// A reply whose departure the kernel stamps.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The reading of the clock before it was sent.
    begun: Timestamp<Realtime>,
    /// Looks left until the stamp is given up.
    patience: u32,
}

impl Departure {
    /// Predicts that replies leave at once until samples have shown otherwise: early, never late.
    pub(crate) const fn new() -> Self {
        Self { first: Floor::UNKNOWN, calls: CALLS_PER_SAMPLE, sample: None }
    }

    /// Least time from the reading of the clock to the departure of the first reply of a call.
    #[inline]
    pub(crate) fn first(&self) -> Interval {
        Interval::from_nanos((self.first.safe_ns() - STAMPING_NS).max(0))
    }

    /// Least time from each departure of a call to the next.
    #[inline]
    pub(crate) fn each(&self) -> Interval {
        self.first().half()
    }

    /// Whether the next reply is to be sent alone, to be sampled.
    #[inline]
    pub(crate) const fn is_due(&self) -> bool {
        let every = match self.first.samples {
            0..EAGER_SAMPLES => 1,
            EAGER_SAMPLES..SAMPLES_MANY => CALLS_PER_SAMPLE / 16,
            _ => CALLS_PER_SAMPLE,
        };
        self.calls >= every && self.sample.is_none()
    }

    /// Whether the kernel is to stamp the reply about to be sent; `count` are sent by this call.
    ///
    /// Called once for every reading of the clock, which is `begun`.
    #[inline]
    pub(crate) fn begin(&mut self, begun: Timestamp<Realtime>, count: usize) -> bool {
        let is_sampled = count == 1 && self.is_due();
        if is_sampled {
            self.calls = 0;
            self.sample = Some(Sample { begun, patience: PATIENCE });
        }
        self.calls = self.calls.saturating_add(1);
        is_sampled
    }

    /// Whether a stamp is waited for.
    #[inline]
    pub(crate) const fn is_waiting(&self) -> bool {
        self.sample.is_some()
    }

    /// Learns from the kernel's stamp of the reply sampled, or from there being none yet.
    pub(crate) fn learn(&mut self, departed: Option<Timestamp<Realtime>>) {
        let Some(mut sample) = self.sample.take() else { return };
        match departed {
            Some(departed) => {
                let took = departed - sample.begun;
                // Else the clock was set in between, or the stamp is another's.
                if (Interval::ZERO..=TOOK_MAX).contains(&took) {
                    self.first.enter(took.nanos());
                }
            }
            None if sample.patience > 0 => {
                sample.patience -= 1;
                self.sample = Some(sample);
            }
            // Lost, or never sent.
            None => {}
        }
    }
}

/// The least of what was seen, rising slowly.
#[derive(Clone, Copy, Debug)]
struct Floor {
    /// In units of 2⁻¹⁶ ns: it rises by less than a nanosecond at a time.
    least: i64,
    samples: u32,
}

impl Floor {
    const UNKNOWN: Self = Self { least: 0, samples: 0 };

    /// What may be counted on: nothing at first, then half of the least, later three quarters.
    const fn safe_ns(&self) -> i64 {
        let least_ns = self.least_ns();
        match self.samples {
            0..SAMPLES_MIN => 0,
            SAMPLES_MIN..SAMPLES_MANY => least_ns / 2,
            _ => least_ns - least_ns / 4,
        }
    }

    const fn least_ns(&self) -> i64 {
        self.least >> RISE_BITS
    }

    fn enter(&mut self, seen_ns: i64) {
        let seen = seen_ns << RISE_BITS;
        let above = seen - self.least;
        let record = self.samples == 0 || above < 0;
        // However long an interruption lasts, it is one sample.
        let rise = above.min(self.least) >> RISE_BITS;
        self.least = if record { seen } else { self.least + rise };
        self.samples = self.samples.saturating_add(1);
    }
}

/// System calls from one sample to the next: a sample costs about as much as two replies.
const CALLS_PER_SAMPLE: u32 = 256;
/// The first samples are taken as fast as they come in.
const EAGER_SAMPLES: u32 = 128;
/// The kernel takes memory for its report before it reads the clock: its stamp is late by at least this.
const STAMPING_NS: i64 = 100;
/// A floor rises by 2⁻¹⁶ of what a sample lies above it, and of itself at most.
const RISE_BITS: u32 = 16;
/// Samples before a floor is believed at all, and before it is unlikely that a new record far below it
/// will be seen.
const SAMPLES_MIN: u32 = 64;
const SAMPLES_MANY: u32 = 1024;
/// Looks at the error queue before a stamp is given up; it is there at once unless a device queues.
const PATIENCE: u32 = 64;
/// Anything longer was no departure but an interruption.
const TOOK_MAX: Interval = Interval::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_000_000_000);

    /// Lets calls go by until one is to be sampled, and samples it.
    fn sample(departure: &mut Departure, took_ns: i64) {
        while !departure.is_due() {
            departure.begin(BEGUN, 8);
        }
        assert!(departure.begin(BEGUN, 1));
        departure.learn(Some(BEGUN + Interval::from_nanos(took_ns)));
    }

    fn samples(departure: &mut Departure, took_ns: i64, times: u32) {
        for _ in 0..times {
            sample(departure, took_ns);
        }
    }

    #[test]
    fn departures_are_predicted_below_the_least_seen_and_not_at_all_from_little() {
        let mut departure = Departure::new();
        samples(&mut departure, 1_600, SAMPLES_MIN - 1);
        assert_eq!(departure.first().nanos(), 0);
        samples(&mut departure, 1_600, 1);
        assert_eq!(departure.first().nanos(), 700);
        samples(&mut departure, 1_600, SAMPLES_MANY);
        assert_eq!(departure.first().nanos(), 1_100);
        samples(&mut departure, 800, 1);
        assert_eq!(departure.first().nanos(), 500, "a record counts at once");
    }

    #[test]
    fn a_slow_spell_is_hardly_believed_and_a_lasting_change_is_learnt() {
        let mut departure = Departure::new();
        samples(&mut departure, 1_600, SAMPLES_MANY);
        samples(&mut departure, 16_000, 200);
        assert!(departure.first().nanos() < 1_300, "{:?}", departure.first());
        samples(&mut departure, 9_000_000, 200);
        assert!(departure.first().nanos() < 1_300, "after interruptions: {:?}", departure.first());
        samples(&mut departure, 16_000, 200_000);
        assert!(departure.first().nanos() > 10_000, "{:?}", departure.first());
    }

    #[test]
    fn only_a_reply_sent_alone_is_sampled_and_only_one_at_a_time() {
        let mut departure = Departure::new();
        assert!(departure.is_due() && !departure.begin(BEGUN, 2), "two are sent");
        assert!(departure.begin(BEGUN, 1));
        assert!(!departure.is_due() && !departure.begin(BEGUN, 1), "one is waited for");
    }

    #[test]
    fn stamps_that_make_no_sense_or_never_come_are_passed_over() {
        let mut departure = Departure::new();
        samples(&mut departure, 1_600, SAMPLES_MANY);
        for took in [Interval::from_secs(-5), Interval::from_secs(5)] {
            while !departure.begin(BEGUN, 1) {}
            departure.learn(Some(BEGUN + took));
        }
        assert_eq!(departure.first().nanos(), 1_100);
        while !departure.begin(BEGUN, 1) {}
        for _ in 0..=PATIENCE {
            assert!(departure.is_waiting());
            departure.learn(None);
        }
        assert!(!departure.is_waiting());
    }
}
