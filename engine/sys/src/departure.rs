//! Predicts when each reply of a batch leaves.
//!
//! Replies are stamped before the system call that sends them one after the other. Reply `i` leaves
//!
//! ```text
//! first + i · each
//! ```
//!
//! after the clock was read. Leaving that out would make every reply look a microsecond or two early and
//! the last of a batch tens of them; overestimating it would give a time later than the departure,
//! which breaks causality for the client. So both terms are floors: the least that the kernel's own
//! stamps of departures have shown, less a margin. One reply every [`CALLS_PER_SAMPLE`] system calls
//! is stamped by the kernel, in turn the first of its call (which teaches `first`; a reply sent alone
//! has a floor of its own, since less is done before it leaves) and the last (which teaches `each`).
//!
//! A core's speed doubles and halves with what its neighbours do, so a floor falls as fast as it is
//! undercut and rises slowly: by a 65536th of what a sample lies above it.
//!
//! Must never: predict later than the reply leaves, but for the few before a new record is sampled.

use timeball_time::{Interval, Realtime, Timestamp};

/// The course of a batch's departures, learnt from samples.
#[derive(Debug)]
pub(crate) struct Departure {
    /// When it is the only one of its call, and when it is not.
    first: [Floor; 2],
    each: Floor,
    calls: u32,
    /// The next sample is to be the last of a batch.
    last_next: bool,
    sample: Option<Sample>,
}

/// A reply whose departure the kernel stamps.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Its position among the replies of its call.
    position: usize,
    /// How many those were.
    count: usize,
    /// That reading.
    begun: Timestamp<Realtime>,
    /// Looks left until the stamp is given up.
    patience: u32,
}

impl Departure {
    /// Predicts that replies leave at once until samples have shown otherwise: early, never late.
    pub(crate) const fn new() -> Self {
        let first = [Floor::UNKNOWN, Floor::UNKNOWN];
        Self { first, each: Floor::UNKNOWN, calls: 0, last_next: false, sample: None }
    }

    /// Time from the reading of the clock to the departure of the first of `count` replies.
    #[inline]
    pub(crate) fn first(&self, count: usize) -> Interval {
        let safe_ns = self.first[usize::from(count > 1)].safe_ns();
        Interval::from_nanos((safe_ns - STAMPING_NS).max(0))
    }

    /// Time from one departure to the next.
    #[inline]
    pub(crate) fn each(&self) -> Interval {
        Interval::from_nanos(self.each.safe_ns())
    }

    /// Whether the kernel is to stamp one of the `count` replies about to be sent, and which.
    ///
    /// Called once for every reading of the clock, which is `begun`.
    #[inline]
    pub(crate) fn choose(&mut self, count: usize, begun: Timestamp<Realtime>) -> Option<usize> {
        self.calls = self.calls.wrapping_add(1);
        let known = self.first[usize::from(count > 1)].samples >= EAGER_SAMPLES;
        let every = if known { CALLS_PER_SAMPLE } else { 1 };
        if self.sample.is_some() || !self.calls.is_multiple_of(every) {
            return None;
        }
        let position = if self.last_next && count >= COUNT_MIN { count - 1 } else { 0 };
        self.last_next = !self.last_next;
        self.sample = Some(Sample { position, count, begun, patience: PATIENCE });
        Some(position)
    }

    /// Whether a stamp is waited for.
    #[inline]
    pub(crate) const fn is_waiting(&self) -> bool {
        self.sample.is_some()
    }

    /// Learns from the kernel's stamp of the reply chosen, or from there being none yet.
    pub(crate) fn learn(&mut self, departed: Option<Timestamp<Realtime>>) {
        let Some(mut sample) = self.sample.take() else { return };
        match departed {
            Some(departed) => self.enter(sample, departed - sample.begun),
            None if sample.patience > 0 => {
                sample.patience -= 1;
                self.sample = Some(sample);
            }
            // Lost, or never sent.
            None => {}
        }
    }

    fn enter(&mut self, sample: Sample, took: Interval) {
        // The clock was set in between, or the stamp is another's.
        if took < Interval::ZERO || took > TOOK_MAX {
            return;
        }
        let first = &mut self.first[usize::from(sample.count > 1)];
        if sample.position == 0 {
            first.enter(took.nanos());
        } else if first.samples > 0 {
            let after_first = (took.nanos() - first.least_ns()).max(0);
            self.each.enter(after_first / sample.position as i64);
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
        self.least = if record { seen } else { self.least + (above >> RISE_BITS) };
        self.samples = self.samples.saturating_add(1);
    }
}

/// System calls from one sample to the next: a sample costs about as much as two replies.
const CALLS_PER_SAMPLE: u32 = 32;
/// The first samples are taken as fast as they come in.
const EAGER_SAMPLES: u32 = 128;
/// The kernel takes memory for its report before it reads the clock: its stamp is late by about this.
const STAMPING_NS: i64 = 150;
/// A floor rises by 2⁻¹⁶ of what a sample lies above it.
const RISE_BITS: u32 = 16;
/// Samples before a floor is believed at all, and before it is unlikely that a new record far below it
/// will be seen.
const SAMPLES_MIN: u32 = 64;
const SAMPLES_MANY: u32 = 1024;
/// Fewer replies than this in one batch teach nothing about the time from one to the next.
const COUNT_MIN: usize = 4;
/// Looks at the error queue before a stamp is given up; it is there at once unless a device queues.
const PATIENCE: u32 = 64;
/// Anything longer was no departure but an interruption.
const TOOK_MAX: Interval = Interval::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_000_000_000);

    /// Lets calls of 8 go by until one is sampled; its replies leave at `first + i · each`.
    fn sample(departure: &mut Departure, first_ns: i64, each_ns: i64) {
        let choose = |_| departure.choose(8, BEGUN);
        let position = (0..CALLS_PER_SAMPLE).find_map(choose).unwrap();
        let took = Interval::from_nanos(first_ns + each_ns * position as i64);
        departure.learn(Some(BEGUN + took));
    }

    fn samples(departure: &mut Departure, first_ns: i64, each_ns: i64, times: u32) {
        for _ in 0..2 * times {
            sample(departure, first_ns, each_ns);
        }
    }

    #[test]
    fn departures_are_predicted_below_the_least_seen_and_not_at_all_from_little() {
        let mut departure = Departure::new();
        let predicted =
            |departure: &Departure| (departure.first(8).nanos(), departure.each().nanos());
        samples(&mut departure, 1_600, 800, SAMPLES_MIN - 1);
        assert_eq!(predicted(&departure), (0, 0));
        samples(&mut departure, 1_600, 800, 1);
        assert_eq!(predicted(&departure), (650, 400));
        samples(&mut departure, 1_600, 800, SAMPLES_MANY);
        assert_eq!(predicted(&departure), (1_050, 600));
        assert_eq!(departure.first(1), Interval::ZERO, "nothing is known of replies sent alone");
        samples(&mut departure, 800, 400, 1);
        assert_eq!(departure.first(8).nanos(), 450, "a record counts at once");
        assert!(departure.each().nanos() <= 400);
    }

    #[test]
    fn a_slow_spell_is_hardly_believed_and_a_lasting_change_is_learnt() {
        let mut departure = Departure::new();
        samples(&mut departure, 1_600, 800, SAMPLES_MANY);
        samples(&mut departure, 16_000, 8_000, 200);
        assert!(departure.first(8).nanos() < 1_100, "{:?}", departure.first(8));
        samples(&mut departure, 16_000, 8_000, 300_000);
        assert!(departure.first(8).nanos() > 11_000, "{:?}", departure.first(8));
    }

    #[test]
    fn stamps_that_make_no_sense_or_never_come_are_passed_over() {
        let mut departure = Departure::new();
        samples(&mut departure, 1_600, 800, SAMPLES_MANY);
        for took in [Interval::from_secs(-5), Interval::from_secs(5)] {
            while departure.choose(8, BEGUN).is_none() {}
            departure.learn(Some(BEGUN + took));
        }
        assert_eq!(departure.first(8).nanos(), 1_050);
        while departure.choose(8, BEGUN).is_none() {}
        for _ in 0..=PATIENCE {
            assert!(departure.is_waiting());
            assert_eq!(departure.choose(8, BEGUN), None, "one at a time");
            departure.learn(None);
        }
        assert!(!departure.is_waiting());
    }
}
