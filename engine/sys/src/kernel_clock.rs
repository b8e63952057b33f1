//! The kernel clock as something that is disciplined: `adjtimex`, read and steered.
//!
//! Reading needs no privilege and steering needs CAP_SYS_TIME, so they are two traits: code that is
//! given a [`ReadClock`] cannot steer. [`KernelClock`] is the real one, [`RecordingClock`] does
//! nothing but keep the commands, for tests.
//!
//! Must never: steer because it was asked to read; use the kernel's own PLL (`STA_PLL`), which
//! would fight ours.

use std::io;
use std::mem::MaybeUninit;

use timeball_time::{Interval, Leap, LeapKind, Rate};

/// Reads the kernel clock's state.
pub trait ReadClock {
    /// The state now.
    ///
    /// # Errors
    /// [`SteerError::Kernel`] when the kernel refuses even that (a seccomp profile without
    /// `adjtimex`).
    fn state(&self) -> Result<ClockState, SteerError>;
}

/// Steers the kernel clock; every command needs CAP_SYS_TIME.
pub trait SteerClock: ReadClock {
    /// Sets the clock's rate correction, kept within ±500 ppm; returns the rate the kernel now has.
    ///
    /// # Errors
    /// [`SteerError`].
    fn set_frequency(&mut self, rate: Rate) -> Result<Rate, SteerError>;

    /// Moves the clock by `offset` at once.
    ///
    /// # Errors
    /// [`SteerError`].
    fn step(&mut self, offset: Interval) -> Result<(), SteerError>;

    /// Lets the kernel turn the clock by `offset`, at 500 ppm, to the microsecond; replaces what it
    /// may still be turning (man 3 adjtime).
    ///
    /// # Errors
    /// [`SteerError`].
    fn slew(&mut self, offset: Interval) -> Result<(), SteerError>;

    /// Tells other programs on this machine whether the clock is synchronised and a leap second is
    /// due; at the end of the UTC day the kernel then inserts or deletes it.
    ///
    /// # Errors
    /// [`SteerError`].
    fn set_leap(&mut self, leap: Leap) -> Result<(), SteerError>;

    /// Tells other programs on this machine TAI − UTC, in seconds (`CLOCK_TAI`).
    ///
    /// # Errors
    /// [`SteerError`].
    fn set_tai_offset(&mut self, seconds: i32) -> Result<(), SteerError>;

    /// Tells other programs on this machine the error bound and the estimated error, to the
    /// microsecond.
    ///
    /// # Errors
    /// [`SteerError`].
    fn set_max_error(&mut self, bound: Interval, estimate: Interval) -> Result<(), SteerError>;
}

/// What `adjtimex` says (man 2 adjtimex).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClockState {
    /// Rate correction in force.
    pub frequency: Rate,
    /// Offset the kernel's own PLL still has to slew; 0 unless another program uses it.
    pub offset: Interval,
    /// Error bound; the kernel lets it grow by 500 ppm.
    pub max_error: Interval,
    /// Estimated error.
    pub estimated_error: Interval,
    /// `STA_*` bits.
    pub status: i32,
    /// TAI − UTC in seconds; 0 if nobody has set it.
    pub tai_offset_s: i32,
    /// Microseconds per tick; 10 000 unless another program steers by it.
    pub tick_us: i64,
}

impl ClockState {
    /// The leap second the kernel will make at the end of its day.
    pub const fn leap(&self) -> Option<LeapKind> {
        if self.status & libc::STA_INS != 0 {
            Some(LeapKind::Insert)
        } else if self.status & libc::STA_DEL != 0 {
            Some(LeapKind::Delete)
        } else {
            None
        }
    }

    /// True when the kernel's own PLL is on: some other program disciplines this clock.
    pub const fn is_kernel_disciplined(&self) -> bool {
        self.status & libc::STA_PLL != 0
    }

    /// True when whoever disciplines this clock says so, and its error bound has not run away.
    pub const fn is_synchronised(&self) -> bool {
        self.status & libc::STA_UNSYNC == 0
    }
}

/// Why the kernel clock did not obey.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// The process lacks CAP_SYS_TIME.
    #[error(
        "not permitted to steer the kernel clock: CAP_SYS_TIME is missing; grant it (systemd: \
         AmbientCapabilities=CAP_SYS_TIME) or use virtual steering"
    )]
    MissingCapability,
    /// The command is one the kernel does not take.
    #[error("the kernel refused to steer its clock: {0}")]
    Kernel(io::Error),
}

/// The real kernel clock.
#[derive(Debug, Default)]
pub struct KernelClock(());

impl KernelClock {
    /// A handle; takes nothing over until the first command.
    pub const fn new() -> Self {
        Self(())
    }
}

impl ReadClock for KernelClock {
    fn state(&self) -> Result<ClockState, SteerError> {
        let mut timex = blank();
        adjust(&mut timex)?;
        Ok(state_of(&timex))
    }
}

impl SteerClock for KernelClock {
    fn set_frequency(&mut self, rate: Rate) -> Result<Rate, SteerError> {
        let mut timex = blank();
        timex.modes = libc::ADJ_FREQUENCY;
        timex.freq = scaled_ppm(rate);
        adjust(&mut timex)?;
        Ok(rate_of(timex.freq))
    }

    fn step(&mut self, offset: Interval) -> Result<(), SteerError> {
        let mut timex = blank();
        timex.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
        // The kernel wants 0 ≤ tv_usec (nanoseconds here) < 10⁹ whatever the sign of the whole.
        timex.time.tv_sec = offset.nanos().div_euclid(1_000_000_000);
        timex.time.tv_usec = offset.nanos().rem_euclid(1_000_000_000);
        adjust(&mut timex)
    }

    fn slew(&mut self, offset: Interval) -> Result<(), SteerError> {
        let mut timex = blank();
        timex.modes = libc::ADJ_OFFSET_SINGLESHOT;
        timex.offset = (offset.nanos() / 1_000) as _;
        adjust(&mut timex)
    }

    fn set_leap(&mut self, leap: Leap) -> Result<(), SteerError> {
        let mut timex = blank();
        timex.modes = libc::ADJ_STATUS;
        timex.status = match leap {
            Leap::None => 0,
            Leap::Insert => libc::STA_INS,
            Leap::Delete => libc::STA_DEL,
            Leap::Unsynchronised => libc::STA_UNSYNC,
        };
        adjust(&mut timex)
    }

    fn set_tai_offset(&mut self, seconds: i32) -> Result<(), SteerError> {
        let mut timex = blank();
        timex.modes = libc::ADJ_TAI;
        // The kernel takes it from `constant`, and gives it back in `tai`.
        timex.constant = seconds.into();
        adjust(&mut timex)
    }

    fn set_max_error(&mut self, bound: Interval, estimate: Interval) -> Result<(), SteerError> {
        let mut timex = blank();
        timex.modes = libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
        timex.maxerror = micros_up(bound);
        timex.esterror = micros_up(estimate);
        adjust(&mut timex)
    }
}

/// A command given to a [`RecordingClock`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SteerCommand {
    /// [`SteerClock::set_frequency`].
    Frequency(Rate),
    /// [`SteerClock::step`].
    Step(Interval),
    /// [`SteerClock::slew`].
    Slew(Interval),
    /// [`SteerClock::set_leap`].
    Leap(Leap),
    /// [`SteerClock::set_tai_offset`].
    TaiOffset(i32),
    /// [`SteerClock::set_max_error`].
    MaxError(Interval, Interval),
}

/// Keeps every command and obeys none: the clock of tests.
#[derive(Debug, Default)]
pub struct RecordingClock {
    /// The commands, oldest first.
    pub commands: Vec<SteerCommand>,
    /// What [`ReadClock::state`] says; only the frequency follows the commands.
    pub state: ClockState,
    /// Answer every command with [`SteerError::MissingCapability`].
    pub refuse: bool,
}

impl RecordingClock {
    fn record(&mut self, command: SteerCommand) -> Result<(), SteerError> {
        self.commands.push(command);
        if self.refuse { Err(SteerError::MissingCapability) } else { Ok(()) }
    }
}

impl ReadClock for RecordingClock {
    fn state(&self) -> Result<ClockState, SteerError> {
        Ok(self.state)
    }
}

impl SteerClock for RecordingClock {
    fn set_frequency(&mut self, rate: Rate) -> Result<Rate, SteerError> {
        self.record(SteerCommand::Frequency(rate))?;
        self.state.frequency = rate_of(scaled_ppm(rate));
        Ok(self.state.frequency)
    }

    fn step(&mut self, offset: Interval) -> Result<(), SteerError> {
        self.record(SteerCommand::Step(offset))
    }

    fn slew(&mut self, offset: Interval) -> Result<(), SteerError> {
        self.record(SteerCommand::Slew(offset))
    }

    fn set_leap(&mut self, leap: Leap) -> Result<(), SteerError> {
        self.record(SteerCommand::Leap(leap))
    }

    fn set_tai_offset(&mut self, seconds: i32) -> Result<(), SteerError> {
        self.record(SteerCommand::TaiOffset(seconds))
    }

    fn set_max_error(&mut self, bound: Interval, estimate: Interval) -> Result<(), SteerError> {
        self.record(SteerCommand::MaxError(bound, estimate))
    }
}

fn blank() -> libc::timex {
    // JUSTIFICATION: timex has private padding, so it cannot be written literally.
    // SAFETY: all zero is a valid timex: modes 0 means "read".
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn adjust(timex: &mut libc::timex) -> Result<(), SteerError> {
    // JUSTIFICATION: std has no adjtimex.
    // SAFETY: `timex` lives through the call; the kernel reads and writes it and keeps nothing.
    if unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, timex) } >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EPERM) => Err(SteerError::MissingCapability),
        _ => Err(SteerError::Kernel(error)),
    }
}

fn state_of(timex: &libc::timex) -> ClockState {
    let offset = timex.offset;
    let nanos = timex.status & libc::STA_NANO != 0;
    ClockState {
        frequency: rate_of(timex.freq),
        offset: if nanos { Interval::from_nanos(offset) } else { Interval::from_micros(offset) },
        max_error: Interval::from_micros(timex.maxerror),
        estimated_error: Interval::from_micros(timex.esterror),
        status: timex.status,
        tai_offset_s: timex.tai,
        tick_us: timex.tick,
    }
}

/// In the kernel's unit, 2⁻¹⁶ ppm, to the nearest, within ±500 ppm.
fn scaled_ppm(rate: Rate) -> i64 {
    let scaled = (rate.as_ppm() * PPM).round() as i64;
    scaled.clamp(-FREQUENCY_MAX, FREQUENCY_MAX)
}

fn rate_of(scaled_ppm: i64) -> Rate {
    Rate::from_ratio(scaled_ppm as f64 / PPM * 1e-6)
}

/// Whole microseconds, rounded up: an error bound may be overstated, never understated.
fn micros_up(interval: Interval) -> i64 {
    interval.nanos().max(0).saturating_add(999) / 1_000
}

/// One ppm in the kernel's unit.
const PPM: f64 = 65_536.0;

/// The kernel's own limit, MAXFREQ.
const FREQUENCY_MAX: i64 = 500 << 16;

#[cfg(test)]
mod tests {
    use caps::{CapSet, Capability};

    use super::*;

    #[test]
    fn the_state_is_read_without_privilege() {
        let state = KernelClock::new().state().expect("readable");
        assert!(state.frequency.as_ppm().abs() <= 500.0);
        assert!((9_000..=11_000).contains(&state.tick_us));
    }

    #[test]
    fn what_the_kernel_is_told_of_leaps_is_read_from_its_status() {
        let leap = |status| ClockState { status, ..ClockState::default() }.leap();
        assert_eq!(leap(libc::STA_INS | libc::STA_UNSYNC), Some(LeapKind::Insert));
        assert_eq!(leap(libc::STA_DEL), Some(LeapKind::Delete));
        assert_eq!(leap(libc::STA_NANO), None);
    }

    #[test]
    fn rates_become_the_kernels_unit_and_stop_at_500_ppm() {
        assert_eq!(scaled_ppm(Rate::from_ppb(1_000)), 65_536);
        assert_eq!(scaled_ppm(Rate::from_ppb(-900_000)), -500 << 16);
        assert!((rate_of(scaled_ppm(Rate::from_ppb(12_345))).as_ppm() - 12.345).abs() < 1e-5);
        assert_eq!(micros_up(Interval::from_nanos(1)), 1);
    }

    #[test]
    fn the_recording_clock_keeps_commands_and_can_refuse() {
        let mut clock = RecordingClock::default();
        let rate = clock.set_frequency(Rate::from_ppb(900_000)).expect("taken");
        assert!((rate.as_ppm() - 500.0).abs() < 1e-6);
        clock.refuse = true;
        let refused = clock.step(Interval::from_millis(-1));
        assert!(matches!(refused, Err(SteerError::MissingCapability)));
        assert_eq!(clock.commands[1], SteerCommand::Step(Interval::from_millis(-1)));
    }

    /// Shows that a missing capability is told as such. Runs in a thread that has given
    /// CAP_SYS_TIME up and has seen it gone: the kernel clock must never really be steered by a
    /// test.
    #[test]
    fn without_the_capability_every_command_names_it() {
        let commands = std::thread::spawn(|| {
            for set in [CapSet::Effective, CapSet::Permitted] {
                caps::drop(None, set, Capability::CAP_SYS_TIME).expect("capset");
                let has = caps::has_cap(None, set, Capability::CAP_SYS_TIME).expect("capget");
                assert!(!has, "CAP_SYS_TIME is still there: not steering");
            }
            let mut clock = KernelClock::new();
            [
                clock.set_frequency(Rate::ZERO).map(drop),
                clock.step(Interval::ZERO),
                clock.set_leap(Leap::Unsynchronised),
                clock.set_tai_offset(37),
                clock.set_max_error(Interval::from_secs(1), Interval::from_secs(1)),
            ]
        });
        for result in commands.join().expect("the unprivileged thread") {
            let error = result.expect_err("not permitted");
            assert!(error.to_string().contains("CAP_SYS_TIME"), "{error}");
        }
    }
}
