//! The kernel clock's side of steering: carries out the discipline's commands and tells the rest of the
//! machine how good the clock is.
//!
//! Only with `steering = "kernel"` is there a [`Kernel`] that does anything; without, every command is
//! refused and nothing is said. Programs that ask the kernel whether its clock is synchronised, and the
//! kernel itself before it sets the hardware clock by it, believe what [`Kernel::announce`] told last.
//!
//! Must never: touch the clock with virtual steering.

use timeball_discipline::{Steer, Steered};
use timeball_sys::{ClockState, SteerClock, SteerError};
use timeball_time::{Interval, Leap, Snapshot};

/// A kernel clock, steered or left alone.
#[derive(Debug)]
pub(super) struct Kernel<Clock> {
    clock: Clock,
    steered: bool,
    /// The kernel is told of leap seconds, to make them itself.
    leaps: bool,
    announced: Option<Leap>,
    tai_told: Option<i32>,
}

impl<Clock: SteerClock> Kernel<Clock> {
    /// Over `clock`, which is only touched if `steered`, and makes leap seconds itself if it `leaps`.
    pub(super) const fn new(clock: Clock, steered: bool, leaps: bool) -> Self {
        Self { clock, steered, leaps, announced: None, tai_told: None }
    }

    /// From now on the kernel makes leap seconds itself, or not.
    pub(super) const fn make_leaps(&mut self, leaps: bool) {
        self.leaps = leaps;
    }

    /// Carries out one command; what the kernel said is for the discipline's books.
    pub(super) fn obey(&mut self, steer: Steer) -> Steered {
        if !self.steered {
            return Steered::Refused;
        }
        let outcome = match steer {
            Steer::Frequency(rate) => self.clock.set_frequency(rate).map(Steered::Frequency),
            Steer::Step(amount) => self.clock.step(amount).map(|()| Steered::Stepped(amount)),
        };
        // A missing capability the discipline tells of by itself, once.
        if let Err(error @ SteerError::Kernel(_)) = &outcome {
            tracing::warn!("{error}");
        }
        outcome.unwrap_or(Steered::Refused)
    }

    /// What the kernel does now, whoever told it to; `None` if it does not say.
    pub(super) fn state(&self) -> Option<ClockState> {
        self.clock.state().ok()
    }

    /// Tells the machine TAI − UTC, once, and again when it has changed.
    pub(super) fn announce_tai(&mut self, offset_s: i32) {
        if !self.steered || self.tai_told == Some(offset_s) {
            return;
        }
        match self.clock.set_tai_offset(offset_s) {
            Ok(()) => self.tai_told = Some(offset_s),
            Err(error) => tracing::debug!("{error}"),
        }
    }

    /// Tells the machine what is told to clients: leap indicator and error bound.
    ///
    /// The bound is the root distance at the snapshot's epoch; the kernel lets it grow by 500 ppm from there.
    pub(super) fn announce(&mut self, snapshot: &Snapshot) {
        if !self.steered {
            return;
        }
        let bound = snapshot.root_delay.interval().half() + snapshot.root_dispersion;
        // The part of the correction that the kernel clock itself has not made yet.
        let bound = bound + snapshot.offset.abs();
        let told = if snapshot.leap == Leap::Unsynchronised {
            Ok(())
        } else {
            self.clock.set_max_error(bound, snapshot.root_dispersion.max(Interval::ZERO))
        };
        // A kernel that is stepped or slewed after the leap must not make it as well.
        let warned = matches!(snapshot.leap, Leap::Insert | Leap::Delete);
        let leap = if warned && !self.leaps { Leap::None } else { snapshot.leap };
        let told = told.and_then(|()| match self.announced {
            Some(announced) if announced == leap => Ok(()),
            _ => self.clock.set_leap(leap),
        });
        match told {
            Ok(()) => self.announced = Some(leap),
            Err(error) => tracing::debug!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use timeball_sys::{RecordingClock, SteerCommand};
    use timeball_time::{NtpShort, Rate, Timestamp};

    use super::*;

    fn snapshot(leap: Leap) -> Snapshot {
        Snapshot {
            leap,
            root_delay: NtpShort::from_bits(2 << 16),
            root_dispersion: Interval::from_millis(3),
            offset: Interval::from_millis(-5),
            ..Snapshot::unsynchronised(Timestamp::from_nanos(0), -24)
        }
    }

    #[test]
    fn commands_reach_the_kernel_and_its_answer_comes_back() {
        let mut kernel = Kernel::new(RecordingClock::default(), true, true);
        let rate = Rate::from_ppb(10_000);
        let Steered::Frequency(applied) = kernel.obey(Steer::Frequency(rate)) else {
            panic!("the kernel took it");
        };
        // The kernel counts in 2⁻¹⁶ ppm.
        assert!((applied - rate).as_ratio().abs() < 2e-11, "{applied:?}");
        let step = Interval::from_millis(-200);
        assert_eq!(kernel.obey(Steer::Step(step)), Steered::Stepped(step));
        assert_eq!(
            kernel.clock.commands,
            [SteerCommand::Frequency(rate), SteerCommand::Step(step)]
        );
        assert_eq!(kernel.state().map(|state| state.frequency), Some(applied));
    }

    #[test]
    fn with_virtual_steering_the_clock_is_never_touched() {
        let mut kernel = Kernel::new(RecordingClock::default(), false, true);
        assert_eq!(kernel.obey(Steer::Step(Interval::from_secs(1))), Steered::Refused);
        kernel.announce(&snapshot(Leap::None));
        kernel.announce_tai(37);
        assert_eq!(kernel.clock.commands, []);
    }

    #[test]
    fn a_refusal_is_handed_on() {
        let clock = RecordingClock { refuse: true, ..RecordingClock::default() };
        let mut kernel = Kernel::new(clock, true, true);
        assert_eq!(kernel.obey(Steer::Step(Interval::from_secs(1))), Steered::Refused);
    }

    #[test]
    fn the_machine_is_told_what_clients_are_told() {
        let mut kernel = Kernel::new(RecordingClock::default(), true, true);
        kernel.announce(&snapshot(Leap::Unsynchronised));
        kernel.announce(&snapshot(Leap::None));
        kernel.announce(&snapshot(Leap::None));
        let bound = SteerCommand::MaxError(Interval::from_millis(1_008), Interval::from_millis(3));
        let leap = SteerCommand::Leap;
        assert_eq!(
            kernel.clock.commands,
            [leap(Leap::Unsynchronised), bound, leap(Leap::None), bound]
        );
    }

    #[test]
    fn a_kernel_that_is_to_make_leap_seconds_is_told_of_them_and_another_is_not() {
        for (leaps, told) in [(true, Leap::Insert), (false, Leap::None)] {
            let mut kernel = Kernel::new(RecordingClock::default(), true, leaps);
            kernel.announce(&snapshot(Leap::Insert));
            assert_eq!(kernel.clock.commands[1], SteerCommand::Leap(told));
            kernel.announce_tai(37);
            kernel.announce_tai(37);
            kernel.announce_tai(38);
            let tai = SteerCommand::TaiOffset;
            assert_eq!(kernel.clock.commands[2..], [tai(37), tai(38)]);
        }
    }
}
