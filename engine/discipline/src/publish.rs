//! From the state of the discipline to the snapshot that readers see, and to the kernel clock.
//!
//! Must never: publish a leap other than 3 with a root distance at or past the limit.

use timeball_time::{
    ClockReading, Free, Interval, Monotonic, NtpShort, Rate, ReferenceId, Snapshot, Stratum,
    Timestamp,
};

use crate::action::{Action, Actions, Event};
use crate::discipline::Discipline;
use crate::election::Reference;
use crate::exchange::FREQUENCY_TOLERANCE;
use crate::kernel::Wanted;
use crate::limits::{HEARTBEAT, VALIDITY};
use crate::servo::{Bound, OVERSHOOT};
use crate::status::Basis;

impl Discipline {
    /// Draws the served clock anew and tells readers; `measured` if a measurement stands behind it.
    pub(crate) fn publish(&mut self, now: &ClockReading, measured: bool, out: &mut Actions) {
        self.heartbeat = now.monotonic + HEARTBEAT;
        let free = self.books.free(now.realtime);
        self.fall_back(now.monotonic, free, out);
        self.watch_leap(now, out);
        let snapshot = match (self.basis, self.reference) {
            (Basis::Sources, Some(reference)) => self.synchronised(now, free, &reference, measured),
            (Basis::Local, _) => self.local(now, free),
            _ => self.unsynchronised(now, free),
        };
        self.snapshot = self.servo.publish(now.realtime, &self.books, snapshot);
        out.push(Action::Publish(self.snapshot));
        self.steer(now, out);
    }

    /// Gives up a reference that has become too old; takes the local clock if there is nothing
    /// else.
    fn fall_back(&mut self, now: Timestamp<Monotonic>, free: Timestamp<Free>, out: &mut Actions) {
        let limit = self.config.max_root_distance;
        let expired = self.reference.is_none_or(|reference| reference.distance(free) >= limit);
        if self.basis == Basis::Sources && expired {
            self.basis = Basis::Nothing;
            self.reference = None;
            self.holdover = None;
            self.kiss = ReferenceId::LOST;
            out.note(Event::Lost);
        }
        let Some(local) = self.config.local else { return };
        let waited = self.sources.is_empty() || now - self.began >= local.wait;
        let answering = self.sources.iter().any(|s| s.is_pending() && s.reach() != 0);
        let alone = self.usable == 0 && !answering && !self.panicked;
        if self.basis == Basis::Nothing && waited && alone {
            self.basis = Basis::Local;
            out.note(Event::LocalClock);
        }
    }

    fn synchronised(
        &mut self,
        now: &ClockReading,
        free: Timestamp<Free>,
        reference: &Reference,
        measured: bool,
    ) -> Snapshot {
        let target = reference.estimate.offset_at(free);
        let frequency = reference.estimate.frequency();
        let residual = self.servo.draw(free, now.realtime, Some(target), frequency, false);
        let slewing = Interval::from_secs_f64(OVERSHOOT * residual.abs().as_secs_f64());
        let bound = self.servo.bound(reference.bound(free).plus(slewing), measured);
        let distance = reference.root_delay.half() + bound.at(free);
        let room = self.config.max_root_distance - distance;
        if room <= Interval::ZERO {
            return self.leap_3(now);
        }
        let until_limit = Interval::from_secs_f64(room.as_secs_f64() / bound.rate());
        Snapshot {
            leap: self.leap.indicator(),
            stratum: reference.stratum,
            root_delay: NtpShort::ceil(reference.root_delay),
            reference_id: reference.reference_id,
            reference_time: self.reference_time,
            valid_until: now.realtime + VALIDITY.min(until_limit),
            ..self.leap_3(now)
        }
    }

    fn local(&mut self, now: &ClockReading, free: Timestamp<Free>) -> Snapshot {
        self.servo.draw(free, now.realtime, None, self.frequency.as_ratio(), false);
        // Each second is an update: the local clock is by definition right, give or take this much.
        self.servo.bound(Bound::new(free, LOCAL_DISPERSION, FREQUENCY_TOLERANCE), true);
        Snapshot {
            leap: self.leap.indicator(),
            stratum: self.config.local.map_or(Stratum::UNSYNCHRONISED, |local| local.stratum),
            reference_id: ReferenceId::LOCAL,
            reference_time: self.servo.reference_time(),
            valid_until: now.realtime + VALIDITY,
            ..self.leap_3(now)
        }
    }

    fn unsynchronised(&mut self, now: &ClockReading, free: Timestamp<Free>) -> Snapshot {
        self.servo.draw(free, now.realtime, None, self.frequency.as_ratio(), false);
        self.servo.bound(Bound::new(free, Interval::ZERO, FREQUENCY_TOLERANCE), false);
        self.leap_3(now)
    }

    fn leap_3(&self, now: &ClockReading) -> Snapshot {
        Snapshot {
            leap_second: self.leap.for_readers(self.unbroken(now)),
            reference_id: self.kiss,
            reference_time: self.reference_time,
            ..Snapshot::unsynchronised(now.realtime, self.precision)
        }
    }

    fn steer(&mut self, now: &ClockReading, out: &mut Actions) {
        if self.basis != Basis::Sources {
            return;
        }
        self.leap_to_slew &= self.servo.correction(now.realtime).abs() > self.config.step_threshold;
        let step_above = self.steps_allowed() && !self.leap_to_slew;
        let wanted = Wanted {
            frequency: self.frequency.as_ratio(),
            correction: self.servo.correction(now.realtime),
            step_above: step_above.then_some(self.config.step_threshold),
        };
        self.kernel.steer(now.monotonic, self.books.frequency(), &wanted, out);
    }

    /// Asks for the frequency to be kept once it is known, if it has moved and was last kept `gap` ago.
    pub(crate) fn save_drift(
        &mut self,
        now: Timestamp<Monotonic>,
        free: Timestamp<Free>,
        gap: Interval,
        out: &mut Actions,
    ) {
        let Some(reference) = &self.reference else { return };
        let due = self.saved.is_none_or(|(at, _)| now - at >= gap);
        if !due || reference.estimate.frequency_sd_at(free) > DRIFT_SD_MAX {
            return;
        }
        let moved = |saved: Rate| (saved - self.frequency).as_ratio().abs() >= DRIFT_CHANGE_MIN;
        if self.saved.is_none_or(|(_, saved)| moved(saved)) {
            self.saved = Some((now, self.frequency));
            out.push(Action::SaveDrift(self.frequency));
        }
    }
}

/// The error claimed for a local clock; it is as good as whoever set it.
const LOCAL_DISPERSION: Interval = Interval::from_millis(10);
/// Least time between two writings of the drift file.
pub(crate) const DRIFT_SAVE_GAP: Interval = Interval::from_secs(3600);
/// A frequency less sure than this is not kept.
const DRIFT_SD_MAX: f64 = 3e-7;
/// A change smaller than this is not worth a write (ntpd's `nonvolatile`).
const DRIFT_CHANGE_MIN: f64 = 1e-7;
