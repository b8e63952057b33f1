//! Steering the kernel clock after the served one, for those who look at it directly.
//!
//! Clients do not depend on this: replies carry the whole correction in any case. The kernel clock
//! is given the frequency of the estimate, plus what makes up its distance from served time over
//! [`SLEW_TIME`]; a distance above the step threshold is stepped if policy allows.
//!
//! One command is under way at a time, and what counts is what the kernel says it did.
//!
//! Must never: command more than ±500 ppm; command more often than once a second, whatever comes
//! back.

use timeball_time::{ClockReading, Interval, Monotonic, Rate, Timestamp};

use crate::action::{Action, Actions, Event, Steer, Steered};
use crate::config::Steering;
use crate::discipline::Discipline;
use crate::limits::KERNEL_FREQUENCY_MAX;
use crate::status::SteeringStatus;

/// Whether and how the kernel clock is steered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelSteering {
    enabled: bool,
    pending: Option<Pending>,
    /// Refused: not before this.
    retry: Option<Timestamp<Monotonic>>,
    /// When the last command was given: its report alone must not bring about the next.
    commanded: Option<Timestamp<Monotonic>>,
    clamped: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    command: Steer,
    since: Timestamp<Monotonic>,
    /// The step was seen in the clock before it was reported.
    seen: bool,
}

/// What the kernel clock should do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Frequency of truth against the free clock.
    pub(crate) frequency: f64,
    /// Served minus kernel time.
    pub(crate) correction: Interval,
    /// Corrections above this are stepped; `None`: none is.
    pub(crate) step_above: Option<Interval>,
}

impl KernelSteering {
    pub(crate) const fn new(steering: Steering) -> Self {
        let enabled = matches!(steering, Steering::Kernel { .. });
        Self { enabled, pending: None, retry: None, commanded: None, clamped: false }
    }

    /// Commands what is needed to get from `applied` to what is wanted, if anything.
    pub(crate) fn steer(
        &mut self,
        now: Timestamp<Monotonic>,
        applied: Rate,
        wanted: &Wanted,
        out: &mut Actions,
    ) {
        if !self.enabled || self.retry.is_some_and(|retry| now < retry) {
            return;
        }
        if self.pending.is_some_and(|pending| now - pending.since < REPORT_WAIT)
            || self.commanded.is_some_and(|last| now - last < COMMAND_GAP)
        {
            return;
        }
        let Some(command) = command(applied, wanted) else { return };
        self.pending = Some(Pending { command, since: now, seen: false });
        self.commanded = Some(now);
        out.push(Action::Steer(command));
    }

    /// Whether a step of `amount` just seen in the clock is the one commanded.
    pub(crate) fn claims(&mut self, amount: Interval) -> bool {
        match &mut self.pending {
            Some(Pending { command: Steer::Step(commanded), seen, .. })
                if !*seen && (amount - *commanded).abs() < STEP_TOLERANCE =>
            {
                *seen = true;
                true
            }
            _ => false,
        }
    }

    /// Takes the report of a command. True if the books still have to enter its step.
    pub(crate) fn reported(
        &mut self,
        result: Steered,
        now: Timestamp<Monotonic>,
        out: &mut Actions,
    ) -> bool {
        let pending = self.pending.take();
        match result {
            Steered::Frequency(applied) => {
                self.retry = None;
                if let Some(Pending { command: Steer::Frequency(commanded), .. }) = pending {
                    self.notice_clamp(applied, commanded, out);
                }
                false
            }
            Steered::Stepped(_) => {
                self.retry = None;
                !pending.is_some_and(|pending| pending.seen)
            }
            Steered::Refused => {
                if self.retry.is_none() {
                    out.note(Event::SteeringRefused);
                }
                self.retry = Some(now + REFUSED_WAIT);
                false
            }
        }
    }

    fn notice_clamp(&mut self, applied: Rate, commanded: Rate, out: &mut Actions) {
        let clamped = (applied - commanded).as_ratio().abs() > CLAMP_TOLERANCE;
        if clamped && !self.clamped {
            out.note(Event::SteeringClamped { frequency: applied });
        }
        self.clamped = clamped;
    }

    pub(crate) const fn status(&self, applied: Rate) -> SteeringStatus {
        if !self.enabled {
            SteeringStatus::Virtual
        } else if self.retry.is_some() {
            SteeringStatus::Refused
        } else {
            SteeringStatus::Kernel(applied)
        }
    }
}

impl Discipline {
    /// The kernel is seen to apply `frequency`, whoever set it (adjtimex with no modes).
    pub fn on_kernel_frequency(&mut self, frequency: Rate, now: ClockReading, out: &mut Actions) {
        let mut changed = self.observe(&now, out);
        let steered = matches!(self.config.steering, Steering::Kernel { .. });
        let unsteered = *self.unsteered.get_or_insert(if steered { Rate::ZERO } else { frequency });
        let ratio = (1.0 + frequency.as_ratio()) / (1.0 + unsteered.as_ratio()) - 1.0;
        if (ratio - self.books.frequency().as_ratio()).abs() > FREQUENCY_NOTICED {
            self.books.set_frequency(&now, Rate::from_ratio(ratio));
            if steered {
                // Who steers this clock in our stead may do so every second: that is no news.
                out.note(Event::ForeignFrequency { frequency });
            }
            changed = true;
        }
        if changed {
            self.publish(&now, false, out);
        }
    }
}

fn command(applied: Rate, wanted: &Wanted) -> Option<Steer> {
    if wanted.step_above.is_some_and(|limit| wanted.correction.abs() > limit) {
        return Some(Steer::Step(wanted.correction));
    }
    let slew = wanted.correction.as_secs_f64() / SLEW_TIME.as_secs_f64();
    let frequency = wanted.frequency + slew.clamp(-SLEW_MAX, SLEW_MAX);
    let limit = KERNEL_FREQUENCY_MAX.as_ratio();
    let frequency = Rate::from_ratio(frequency.clamp(-limit, limit));
    let change = (frequency - applied).as_ratio().abs();
    (change >= CHANGE_MIN).then_some(Steer::Frequency(frequency))
}

/// Over how long the kernel clock's distance from served time is made up.
const SLEW_TIME: Interval = Interval::from_secs(16);
/// The most that slewing adds to the frequency.
const SLEW_MAX: f64 = 400e-6;
/// A change too small to be worth a system call.
const CHANGE_MIN: f64 = 1e-9;
/// The kernel rounds to 1.5e-11; more than this is another frequency than commanded.
const CLAMP_TOLERANCE: f64 = 1e-9;
/// A step seen within this of the one commanded is that one.
const STEP_TOLERANCE: Interval = Interval::from_millis(1);
/// Commands are at least this far apart: a little less than a heartbeat.
const COMMAND_GAP: Interval = Interval::from_millis(900);
/// A command not reported by now was lost.
const REPORT_WAIT: Interval = Interval::from_secs(5);
/// How long to leave a kernel alone that refuses.
const REFUSED_WAIT: Interval = Interval::from_secs(60);
/// A foreign change of frequency smaller than this is the kernel's rounding.
const FREQUENCY_NOTICED: f64 = 1e-9;
