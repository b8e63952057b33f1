//! The ledger: what has been done to the kernel clock, by us and by others.
//!
//! All measurements are kept on the timescale [`Free`]: the kernel clock as it would stand had
//! nobody ever steered it. The estimator then sees one undisturbed oscillator and need not know of
//! steering; and an entry that is wrong would look like the oscillator's fault, so entries are made
//! from what was *done* (outcomes read back), never from what was asked for.
//!
//! Two kinds of entry suffice, because of how the kernel keeps its clocks:
//!
//! ```text
//! realtime = boottime + phase               phase changes by steps only, whoever makes them
//! d(boottime) = (1 + frequency) · d(free)   frequency changes by command only
//! ```
//!
//! CLOCK_BOOTTIME and not CLOCK_MONOTONIC, because in a suspend realtime and boottime move on
//! together while monotonic stands still: realtime − monotonic would take a suspend for a step.
//! Boottime minus monotonic tells suspends.
//!
//! A reading of three clocks is not one instant. A difference below [`STEP_MIN`] is reading noise
//! unless it persists; one above is a step.
//!
//! Must never: be told a command as if it were its outcome.

use timeball_time::{Boottime, ClockReading, Free, Interval, Rate, Realtime, Timestamp};

/// The map between the kernel's clocks and the free one.
#[derive(Clone, Debug)]
pub struct Books {
    /// Oldest first; never empty, never more than [`SEGMENTS_MAX`].
    segments: Vec<Segment>,
    phase: Interval,
    suspended: Interval,
    doubt: Doubt,
}

/// What a reading shows to have happened since the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Observed {
    /// How far realtime was stepped.
    pub step: Interval,
    /// How long the machine was suspended.
    pub suspended: Interval,
}

impl Books {
    /// Opens the books with the kernel applying `frequency`: free time is realtime now.
    pub fn new(now: &ClockReading, frequency: Rate) -> Self {
        let free = now.realtime.reinterpret();
        Self {
            segments: vec![Segment::new(now.boottime, free, frequency)],
            phase: phase_of(now),
            suspended: suspended_of(now),
            doubt: Doubt::default(),
        }
    }

    /// Enters what `now` shows: steps made by anybody, time suspended.
    pub fn observe(&mut self, now: &ClockReading) -> Observed {
        let suspended = suspended_of(now) - self.suspended;
        let difference = phase_of(now) - self.phase;
        let mut observed = Observed::default();
        if suspended >= SUSPEND_MIN {
            self.suspended = suspended_of(now);
            observed.suspended = suspended;
        }
        let step = if difference.abs() >= STEP_MIN {
            Some(difference)
        } else {
            self.doubt.persistent(difference)
        };
        if let Some(step) = step {
            self.phase += step;
            self.doubt = Doubt::default();
            observed.step = step;
        }
        observed
    }

    /// Enters that the kernel applies `frequency` from `now` on.
    pub fn set_frequency(&mut self, now: &ClockReading, frequency: Rate) {
        let at = now.realtime - self.phase;
        let segment = Segment::new(at.reinterpret(), self.free(now.realtime), frequency);
        if self.segments.len() == SEGMENTS_MAX {
            self.segments.remove(0);
        }
        self.segments.push(segment);
    }

    /// Moves the last step entered by `error`, by which it was misread.
    pub(crate) fn correct(&mut self, error: Interval) {
        self.phase += error;
    }

    /// Enters a step of `amount` that the kernel has confirmed, exactly.
    pub fn stepped(&mut self, now: &ClockReading, amount: Interval) -> Observed {
        self.phase += amount;
        self.observe(now)
    }

    /// Free time at a kernel time since the last step and within the last few changes of frequency.
    pub fn free(&self, at: Timestamp<Realtime>) -> Timestamp<Free> {
        // Realtime less its phase is boottime, by definition.
        let at: Timestamp<Boottime> = (at - self.phase).reinterpret();
        let covering = self.segments.iter().rev().find(|segment| segment.start <= at);
        covering.unwrap_or(&self.segments[0]).free_at(at)
    }

    /// Rate of free time against the kernel's, beyond 1.
    pub fn free_rate(&self) -> Rate {
        -self.last().withdrawn
    }

    /// The frequency the kernel applies.
    pub fn frequency(&self) -> Rate {
        self.last().frequency
    }

    fn last(&self) -> &Segment {
        &self.segments[self.segments.len() - 1]
    }
}

/// From `start` on, until the next segment, the kernel applied one frequency.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start: Timestamp<Boottime>,
    free: Timestamp<Free>,
    frequency: Rate,
    /// 1 − 1/(1 + frequency): what to take off kernel time to get free time.
    withdrawn: Rate,
}

impl Segment {
    fn new(start: Timestamp<Boottime>, free: Timestamp<Free>, frequency: Rate) -> Self {
        let ratio = frequency.as_ratio();
        Self { start, free, frequency, withdrawn: Rate::from_ratio(ratio / (1.0 + ratio)) }
    }

    fn free_at(&self, at: Timestamp<Boottime>) -> Timestamp<Free> {
        let elapsed = at - self.start;
        self.free + (elapsed - self.withdrawn.over(elapsed))
    }
}

/// Small differences seen in a row.
#[derive(Clone, Debug, Default)]
struct Doubt {
    least: Interval,
    count: u32,
}

impl Doubt {
    /// The least of [`PERSISTENT_READINGS`] differences in a row that all exceed
    /// [`READING_NOISE`] to the same side.
    fn persistent(&mut self, difference: Interval) -> Option<Interval> {
        let same_side = difference.nanos().signum() == self.least.nanos().signum();
        if difference.abs() < READING_NOISE {
            *self = Self::default();
            return None;
        }
        if self.count == 0 || !same_side || difference.abs() < self.least.abs() {
            self.least = difference;
        }
        self.count = if same_side { self.count + 1 } else { 1 };
        (self.count >= PERSISTENT_READINGS).then_some(self.least)
    }
}

fn phase_of(now: &ClockReading) -> Interval {
    Interval::from_nanos(now.realtime.nanos().saturating_sub(now.boottime.nanos()))
}

fn suspended_of(now: &ClockReading) -> Interval {
    Interval::from_nanos(now.boottime.nanos().saturating_sub(now.monotonic.nanos()))
}

/// A change of realtime − boottime that no reading noise explains.
pub(crate) const STEP_MIN: Interval = Interval::from_micros(500);
/// A change of boottime − monotonic that no reading noise explains.
const SUSPEND_MIN: Interval = Interval::from_millis(100);
/// Two clocks read one after the other may be this far apart without anything having happened.
const READING_NOISE: Interval = Interval::from_micros(2);
/// Readings that must agree before a small difference is a step.
const PERSISTENT_READINGS: u32 = 4;
/// Changes of frequency remembered: a stamp is at most seconds old, and so are this many changes.
const SEGMENTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(realtime: i64, monotonic: i64, boottime: i64) -> ClockReading {
        ClockReading {
            realtime: Timestamp::from_nanos(realtime),
            monotonic: Timestamp::from_nanos(monotonic),
            boottime: Timestamp::from_nanos(boottime),
        }
    }

    const S: i64 = 1_000_000_000;
    const EPOCH: i64 = 1_764_000_000 * S;

    fn opened() -> Books {
        Books::new(&reading(EPOCH, 100 * S, 150 * S), Rate::ZERO)
    }

    #[test]
    fn a_foreign_step_moves_realtime_and_leaves_free_time_alone() {
        let mut books = opened();
        let before = books.free(Timestamp::from_nanos(EPOCH + 10 * S));
        let observed = books.observe(&reading(EPOCH + 10 * S - 3600 * S, 110 * S, 160 * S));
        assert_eq!(observed.step, Interval::from_secs(-3600));
        assert_eq!(observed.suspended, Interval::ZERO);
        assert_eq!(books.free(Timestamp::from_nanos(EPOCH + 10 * S - 3600 * S)), before);
    }

    #[test]
    fn a_suspend_is_not_a_step() {
        let mut books = opened();
        let observed = books.observe(&reading(EPOCH + 500 * S, 110 * S, 650 * S));
        assert_eq!(
            observed,
            Observed { step: Interval::ZERO, suspended: Interval::from_secs(490) }
        );
    }

    #[test]
    fn reading_noise_is_no_step_but_a_small_step_that_stays_is() {
        let mut books = opened();
        for k in 1..50i64 {
            let noise = if k % 3 == 0 { 150_000 } else { k % 2 * 300 };
            let now = reading(EPOCH + k * S + noise, (100 + k) * S, (150 + k) * S);
            assert_eq!(books.observe(&now).step, Interval::ZERO, "{k}");
        }
        let mut total = Interval::ZERO;
        for k in 50..60i64 {
            let now = reading(EPOCH + k * S + 40_000 + k, (100 + k) * S, (150 + k) * S);
            total += books.observe(&now).step;
        }
        assert_eq!(total, Interval::from_nanos(40_050));
    }

    #[test]
    fn commanded_frequency_is_taken_out_of_free_time() {
        let mut books = opened();
        books.set_frequency(&reading(EPOCH, 100 * S, 150 * S), Rate::from_ppb(100_000));
        // The kernel gains 100 ppm for 1000 s of free time, then loses 200 ppm for as long.
        let turn = EPOCH + 1000 * S + 100_000_000;
        let now = reading(turn, turn - EPOCH + 100 * S, turn - EPOCH + 150 * S);
        books.set_frequency(&now, Rate::from_ppb(-200_000));
        let end = turn + 1000 * S - 200_000_000;
        let free = books.free(Timestamp::from_nanos(end)).nanos() - EPOCH;
        assert!((free - 2000 * S).abs() <= 2, "{free}");
        let middle = books.free(Timestamp::from_nanos(EPOCH + 500 * S + 50_000_000));
        assert!((middle.nanos() - EPOCH - 500 * S).abs() <= 2, "a stamp from before the change");
    }

    #[test]
    fn our_own_step_is_entered_exactly_and_not_seen_again() {
        let mut books = opened();
        let step = Interval::from_millis(250);
        let after = reading(EPOCH + S + 250_000_000, 101 * S, 151 * S);
        assert_eq!(books.stepped(&after, step), Observed::default());
        assert_eq!(books.free(after.realtime).nanos(), EPOCH + S);
    }
}
