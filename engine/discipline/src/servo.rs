//! The served clock: how it follows the estimate without ever jumping unannounced.
//!
//! Served time is a line on the free timescale: an offset at an instant, and a frequency. Each time
//! it is drawn anew it starts where the old line stood, so what clients see is continuous; what the
//! estimate has meanwhile moved away (the residual r) is made up by a slope:
//!
//! ```text
//! frequency of the line = frequency of the estimate + clamp(r / SLEW_TIME, ±10 %)
//! ```
//!
//! Lines are drawn every second and the slew time is two, so the residual halves every second; and
//! since a line is good for at most 5 s, a thread that stalls overshoots by no more than 1.5 r.
//! Only a step moves the line itself, and a step is announced and counted.
//!
//! Readers have kernel time in hand, so a line is published against it:
//! free = realtime, less a part `w` of what has passed since ([`Books::free_rate`]), hence
//! `rate = (1 − w)(1 + f) − 1`.
//!
//! The error bound is a line too, and never falls but by a measurement.
//!
//! Must never: let served time run backwards but for an announced step.

use timeball_time::{Free, Interval, NtpTimestamp, Rate, Realtime, Served, Snapshot, Timestamp};

use crate::books::Books;
use crate::limits::{HEARTBEAT, SLEW_RATE_MAX, VALIDITY};

/// The served clock as last drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Servo {
    epoch: Timestamp<Free>,
    offset: Interval,
    frequency: f64,
    /// The mapping readers have now; `None` once the kernel clock was stepped under it.
    published: Option<Snapshot>,
    bound: Bound,
}

/// A bound of the served clock's error that grows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Bound {
    epoch: Timestamp<Free>,
    dispersion: Interval,
    rate: Rate,
}

impl Bound {
    pub(crate) const fn new(epoch: Timestamp<Free>, dispersion: Interval, rate: Rate) -> Self {
        Self { epoch, dispersion, rate }
    }

    /// The same bound, wider by `more`.
    pub(crate) fn plus(self, more: Interval) -> Self {
        Self { dispersion: self.dispersion + more, ..self }
    }

    /// Growth in seconds per second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate.as_ratio()
    }

    pub(crate) fn at(&self, now: Timestamp<Free>) -> Interval {
        self.dispersion + self.rate.over((now - self.epoch).max(Interval::ZERO))
    }
}

impl Servo {
    /// The kernel's time as it is, drifting by `frequency` against the free clock.
    pub(crate) fn new(now: Timestamp<Free>, frequency: Rate, rate: Rate) -> Self {
        Self {
            epoch: now,
            offset: Interval::ZERO,
            frequency: frequency.as_ratio(),
            published: None,
            bound: Bound::new(now, Interval::ZERO, rate),
        }
    }

    /// Served minus free time at `now`, exactly as readers see it, but for a leap second ahead.
    pub(crate) fn offset(&self, now: Timestamp<Free>, realtime: Timestamp<Realtime>) -> Interval {
        match &self.published {
            // Free and served time meet here as two counts of one instant.
            Some(snapshot) => snapshot.mapped(realtime) - now.reinterpret::<Served>(),
            None => self.offset + Rate::from_ratio(self.frequency).over(now - self.epoch),
        }
    }

    /// Readers have the mapping `served` so far, from whoever made it.
    pub(crate) const fn go_on_from(&mut self, served: Option<Snapshot>) {
        self.published = served;
    }

    /// The kernel clock was stepped: readers' mapping no longer holds, the line does.
    pub(crate) fn kernel_stepped(&mut self) {
        if self.published.take().is_some() {
            // The line and the mapping round differently: better a little late than backwards.
            self.offset += ROUNDING;
        }
    }

    /// A leap second: the line goes on `shift` further, as readers of the mapping see it already.
    pub(crate) fn leap(&mut self, shift: Interval) {
        self.offset += shift;
        if let Some(snapshot) = &mut self.published {
            snapshot.offset += shift;
        }
    }

    /// Draws the line anew at `now` from where it stands, or where `step` puts it, towards the
    /// offset `target` (`None`: straight on) at `frequency`. Returns the residual left to slew.
    pub(crate) fn draw(
        &mut self,
        now: Timestamp<Free>,
        realtime: Timestamp<Realtime>,
        target: Option<Interval>,
        frequency: f64,
        step: bool,
    ) -> Interval {
        let standing = self.offset(now, realtime);
        let target = target.unwrap_or(standing);
        self.offset = if step { target } else { standing };
        self.epoch = now;
        if step {
            self.published = None;
        }
        let residual = target - self.offset;
        let slope = residual.as_secs_f64() / SLEW_TIME.as_secs_f64();
        self.frequency = frequency + slope.clamp(-SLEW_RATE_MAX, SLEW_RATE_MAX);
        residual
    }

    /// A reference time for a correction made at the line's epoch: a little earlier, because a
    /// reply whose time was read just before may still go out with it, and must not seem to precede
    /// it.
    pub(crate) fn reference_time(&self) -> NtpTimestamp {
        let served = (self.epoch + self.offset).reinterpret::<Served>();
        NtpTimestamp::floor(served - REFERENCE_TIME_MARGIN)
    }

    /// Sets the error bound; unless `measured`, it will not fall.
    pub(crate) fn bound(&mut self, bound: Bound, measured: bool) -> Bound {
        let before = self.bound.at(bound.epoch);
        let dispersion = if measured { bound.dispersion } else { bound.dispersion.max(before) };
        self.bound = Bound { dispersion, ..bound };
        self.bound
    }

    /// Served minus kernel time at the line's epoch.
    pub(crate) fn correction(&self, realtime: Timestamp<Realtime>) -> Interval {
        let served = (self.epoch + self.offset).reinterpret::<Realtime>();
        served - realtime
    }

    /// Puts the line and the bound, drawn at the kernel time `realtime`, into `snapshot`.
    pub(crate) fn publish(
        &mut self,
        realtime: Timestamp<Realtime>,
        books: &Books,
        mut snapshot: Snapshot,
    ) -> Snapshot {
        let free_rate = books.free_rate().as_ratio();
        snapshot.epoch = realtime;
        snapshot.offset = self.correction(realtime);
        snapshot.rate = Rate::from_ratio(self.frequency + free_rate + free_rate * self.frequency);
        snapshot.root_dispersion = self.bound.dispersion;
        snapshot.dispersion_rate = self.bound.rate;
        self.published = Some(snapshot);
        snapshot
    }
}

/// Over how long a residual would be made up if no new line were drawn.
const SLEW_TIME: Interval = Interval::from_nanos(2 * HEARTBEAT.nanos());
/// More than three roundings to a nanosecond.
const ROUNDING: Interval = Interval::from_nanos(4);
/// Replies are sent well within this of the clock reading they carry.
const REFERENCE_TIME_MARGIN: Interval = Interval::from_millis(100);
/// By how much a stalled line may overshoot a residual: its age over the slew time, less one.
pub(crate) const OVERSHOOT: f64 =
    (VALIDITY.nanos() as f64 / SLEW_TIME.nanos() as f64 - 1.0).max(1.0);

#[cfg(test)]
mod tests {
    use timeball_time::ClockReading;

    use super::*;

    fn reading(seconds: i64) -> ClockReading {
        ClockReading {
            realtime: Timestamp::from_nanos((1_764_000_000 + seconds) * 1_000_000_000),
            monotonic: Timestamp::from_nanos(seconds * 1_000_000_000),
            boottime: Timestamp::from_nanos(seconds * 1_000_000_000),
        }
    }

    fn draw(servo: &mut Servo, books: &Books, s: i64, target_ms: i64, step: bool) -> Snapshot {
        let now = reading(s);
        let free = books.free(now.realtime);
        servo.draw(free, now.realtime, Some(Interval::from_millis(target_ms)), 0.0, step);
        servo.publish(now.realtime, books, Snapshot::unsynchronised(now.realtime, -20))
    }

    #[test]
    fn a_small_residual_is_slewed_away_without_a_jump() {
        let books = Books::new(&reading(0), Rate::ZERO);
        let mut servo = Servo::new(books.free(reading(0).realtime), Rate::ZERO, Rate::ZERO);
        let mut last = draw(&mut servo, &books, 0, 100, false);
        for s in 1..20 {
            let next = draw(&mut servo, &books, s, 100, false);
            let at = reading(s).realtime;
            assert_eq!(next.served(at), last.served(at), "continuous to the nanosecond");
            assert!(next.rate.as_ratio() <= 0.1);
            last = next;
        }
        assert!((last.offset - Interval::from_millis(100)).abs() < Interval::from_micros(1));
    }

    #[test]
    fn a_large_one_is_slewed_at_ten_percent_or_stepped() {
        let books = Books::new(&reading(0), Rate::ZERO);
        let mut servo = Servo::new(books.free(reading(0).realtime), Rate::ZERO, Rate::ZERO);
        let slewing = draw(&mut servo, &books, 0, -5_000, false);
        assert_eq!(slewing.offset, Interval::ZERO);
        assert!((slewing.rate.as_ratio() + 0.1).abs() < 1e-12);
        let stepped = draw(&mut servo, &books, 1, -5_000, true);
        assert_eq!(stepped.offset, Interval::from_secs(-5));
        assert_eq!(stepped.rate, Rate::ZERO);
    }

    #[test]
    fn a_foreign_step_leaves_served_time_where_it_was() {
        let mut books = Books::new(&reading(0), Rate::ZERO);
        let mut servo = Servo::new(books.free(reading(0).realtime), Rate::ZERO, Rate::ZERO);
        let before = draw(&mut servo, &books, 0, 100, true);
        let mut now = reading(5);
        let expected = before.served(now.realtime);
        now.realtime = now.realtime + Interval::from_secs(-3600);
        books.observe(&now);
        servo.kernel_stepped();
        servo.draw(books.free(now.realtime), now.realtime, None, 0.0, false);
        let snapshot = Snapshot::unsynchronised(now.realtime, -20);
        let served = servo.publish(now.realtime, &books, snapshot).served(now.realtime);
        assert!(served >= expected && served - expected <= ROUNDING);
    }

    #[test]
    fn the_bound_only_falls_by_a_measurement() {
        let at = |s: i64| Timestamp::<Free>::from_nanos(s * 1_000_000_000);
        let ms = Interval::from_millis;
        let mut servo = Servo::new(at(0), Rate::ZERO, Rate::ZERO);
        let rate = Rate::from_ppb(1_000_000);
        servo.bound(Bound::new(at(0), ms(10), rate), true);
        assert!(servo.bound(Bound::new(at(5), ms(3), rate), false).dispersion >= ms(14));
        assert_eq!(servo.bound(Bound::new(at(6), ms(3), rate), true).dispersion, ms(3));
    }
}
