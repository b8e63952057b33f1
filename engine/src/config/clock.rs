//! The `[clock]` section: how the time is kept.
//!
//! Must never: let two settings stand that contradict each other.

use std::path::PathBuf;

use timeball_time::Interval;

use super::parse::read_file;
use super::plan::{Clock, LeapMode, Steering};
use super::section::{Found, Noted, SectionReader};
use super::settings::*;

/// Reads [`CLOCK`], for a server with so many `sources` that `smears` leap seconds or not.
pub(super) fn read_clock(
    section: &SectionReader<'_, '_>,
    sources: Result<usize, &Noted>,
    smears: bool,
) -> Result<Clock, Noted> {
    let steering = read_steering(section, sources);
    let leap_file = read_file(section, &LEAP_FILE);
    let leap_second = read_leap_second(section, steering, smears);
    let drift_file = read_file(section, &DRIFT_FILE);
    let state_file = read_state_file(section, drift_file.as_ref().ok());
    let max_root_distance = section.seconds(&MAX_ROOT_DISTANCE_S);
    let thresholds = read_thresholds(section);
    let step_limit = section.whole(&STEP_LIMIT);
    let (step_threshold, panic_threshold) = thresholds?;
    Ok(Clock {
        steering: steering?,
        drift_file: drift_file?,
        state_file: state_file?,
        step_threshold,
        // Below zero lies only -1, for no limit.
        step_limit: u32::try_from(step_limit?.value).ok(),
        max_root_distance: max_root_distance?.value,
        panic_threshold,
        leap_file: leap_file?,
        leap_second: leap_second?,
    })
}

fn read_steering(
    section: &SectionReader<'_, '_>,
    sources: Result<usize, &Noted>,
) -> Result<Steering, Noted> {
    let steering = section.choice(&STEERING)?;
    match (steering, sources) {
        (Found { value: Steering::Kernel, position: Some(position) }, Ok(0)) => {
            let cause = "`steering = \"kernel\"` without a source to steer by";
            Err(section.note(position, cause, "add a [[source]], or leave `steering` out"))
        }
        _ => Ok(steering.value),
    }
}

/// Step and panic threshold; the latter is above the former, or nothing would ever be stepped.
fn read_thresholds(section: &SectionReader<'_, '_>) -> Result<(Interval, Option<Interval>), Noted> {
    let (step, panic) = (section.seconds(&STEP_THRESHOLD_S), section.seconds(&PANIC_THRESHOLD_S));
    let (step, panic) = (step?, panic?);
    let panic_threshold = (panic.value != Interval::ZERO).then_some(panic.value);
    // At least one of the two is written: the defaults do not contradict each other.
    match (panic_threshold, panic.position.or(step.position)) {
        (Some(threshold), Some(position)) if threshold <= step.value => {
            let cause = format!(
                "`{}` is not above `{}`",
                section.as_written(&PANIC_THRESHOLD_S),
                section.as_written(&STEP_THRESHOLD_S)
            );
            Err(section.note(position, cause, "raise it, lower the other, or write 0 for none"))
        }
        _ => Ok((step.value, panic_threshold)),
    }
}

fn read_state_file(
    section: &SectionReader<'_, '_>,
    drift_file: Option<&Option<PathBuf>>,
) -> Result<Option<PathBuf>, Noted> {
    let state_file = read_file(section, &STATE_FILE)?;
    if state_file.is_some() && drift_file == Some(&state_file) {
        let cause = format!("`{}` is the drift file", section.as_written(&STATE_FILE));
        return Err(section.note(section.position, cause, "give each a file of its own"));
    }
    Ok(state_file)
}

fn read_leap_second(
    section: &SectionReader<'_, '_>,
    steering: Result<Steering, Noted>,
    smears: bool,
) -> Result<LeapMode, Noted> {
    let leap = section.choice(&LEAP_SECOND)?;
    match (steering, leap.value) {
        // Between the kernel's step and the news of it, nobody could tell smeared time.
        (Ok(Steering::Kernel), LeapMode::Kernel) if smears => {
            let cause = format!(
                "`{}` with `steering = \"kernel\"` and `listen_smeared`",
                section.as_written(&LEAP_SECOND)
            );
            let position = leap.position.unwrap_or(section.position);
            Err(section.note(position, cause, "write `leap_second = \"slew\"`"))
        }
        _ => Ok(leap.value),
    }
}
