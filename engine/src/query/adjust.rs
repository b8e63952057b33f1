//! Setting the clock once, as `ntpdate` does: by a step, or by turning it slowly.
//!
//! Must never: try without the capability to do it, so that a survey is not made in vain, or move the
//! clock by more than the answer said.

use std::fmt;

use timeball_sys::{SteerClock, SteerError};
use timeball_time::Interval;

/// How the user wants the clock set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Adjustment {
    /// At once.
    Step,
    /// Over time, at 500 ppm.
    Slew,
}

impl Adjustment {
    /// From the command line's flags, of which at most one is given.
    pub(super) const fn wanted(step: bool, slew: bool) -> Option<Self> {
        match (step, slew) {
            (true, _) => Some(Self::Step),
            (_, true) => Some(Self::Slew),
            _ => None,
        }
    }
}

/// Why the clock could not be set anyway, known before anybody is asked.
pub(super) fn refusal() -> Option<SteerError> {
    let able = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_TIME);
    (!able.unwrap_or(false)).then_some(SteerError::MissingCapability)
}

/// Moves `clock` by `offset`.
///
/// # Errors
/// [`SteerError`]; the clock is then as it was.
pub(super) fn apply(
    adjustment: Adjustment,
    offset: Interval,
    clock: &mut impl SteerClock,
) -> Result<Done, SteerError> {
    match adjustment {
        Adjustment::Step => clock.step(offset)?,
        Adjustment::Slew => clock.slew(offset)?,
    }
    Ok(Done { adjustment, offset })
}

/// What was done, for the user.
#[derive(Debug)]
pub(super) struct Done {
    adjustment: Adjustment,
    offset: Interval,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset_s = self.offset.as_secs_f64();
        match self.adjustment {
            Adjustment::Step => write!(f, "clock stepped by {offset_s:+.9} s"),
            Adjustment::Slew => write!(
                f,
                "clock turning by {offset_s:+.9} s, done in about {:.0} s",
                (offset_s.abs() / SLEW_RATE).ceil()
            ),
        }
    }
}

/// What the kernel does in one-shot slewing (adjtime).
const SLEW_RATE: f64 = 500e-6;

#[cfg(test)]
mod tests {
    use timeball_sys::{RecordingClock, SteerCommand};

    use super::*;

    #[test]
    fn the_clock_moves_by_the_offset_and_in_the_way_asked_for() {
        let mut clock = RecordingClock::default();
        let offset = Interval::from_millis(-250);
        let done = apply(Adjustment::Step, offset, &mut clock).unwrap();
        assert_eq!(done.to_string(), "clock stepped by -0.250000000 s");
        let done = apply(Adjustment::Slew, offset, &mut clock).unwrap();
        assert_eq!(done.to_string(), "clock turning by -0.250000000 s, done in about 500 s");
        assert_eq!(clock.commands, [SteerCommand::Step(offset), SteerCommand::Slew(offset)]);
    }

    #[test]
    fn a_refusal_names_what_is_missing() {
        let mut clock = RecordingClock { refuse: true, ..RecordingClock::default() };
        let error = apply(Adjustment::Step, Interval::from_secs(1), &mut clock).unwrap_err();
        assert!(error.to_string().contains("CAP_SYS_TIME"), "{error}");
    }
}
