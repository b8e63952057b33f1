//! The world's kernel: commands, steps, sleep and leaps, and what the host is told of them.
//!
//! Must never: report another outcome than the clock's.

use timeball_discipline::{Steer, Steered};
use timeball_time::Rate;

use super::{Happening, READ_LATENCY, World};
use crate::S;
use crate::figures::Look;

/// What the simulated kernel does with commands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kernel {
    /// Does as told, within ±500 ppm.
    Obeys,
    /// Changes nothing and says so.
    Refuses,
    /// Applies at most this frequency.
    Clamps(f64),
}

impl World {
    /// Somebody sets the clock forward by `seconds`; `told`: the host notices at once.
    pub fn step_clock(&mut self, seconds: f64, told: bool) {
        self.clock.step((seconds * 1e9) as i64);
        // The kernel's time is not continuous here: what was published before cannot be compared.
        self.promises.measurement();
        self.disturbed = self.clock.now();
        if seconds.abs() < STEP_NOTICED_S {
            self.promises.excuse(BELIEVED_WITHIN_S);
        }
        if told {
            self.discipline.on_clock_changed(self.clock.reading(), &mut self.actions);
            self.carry_out();
        } else if seconds.abs() >= STEP_NOTICED_S {
            self.promises.excuse(NOTICED_WITHIN_S);
        }
    }

    /// Somebody sets the kernel's frequency, and the host notices.
    pub fn set_kernel_frequency(&mut self, frequency: f64) {
        self.clock.apply(frequency);
        let now = self.clock.reading();
        self.discipline.on_kernel_frequency(Rate::from_ratio(frequency), now, &mut self.actions);
        self.carry_out();
    }

    /// Sleeps; the kernel's count of it is off by `error_s`.
    pub fn suspend(&mut self, seconds: i64, error_s: f64) {
        self.clock.suspend(self.clock.now() + seconds * S, (error_s * 1e9) as i64);
        self.looks.extend((0..seconds).map(|_| Look::ASLEEP));
        if let Some(trace) = &mut self.trace {
            trace.sleep(seconds as usize);
        }
        self.disturbed = self.clock.now();
        self.promises.now(self.elapsed());
        self.promises.slept();
        self.promises.excuse(NOTICED_WITHIN_S);
    }

    /// The machine is paused, and none of its clocks notices.
    pub fn pause(&mut self, seconds: i64) {
        self.clock.pause(self.clock.now() + seconds * S);
        self.looks.extend((0..seconds).map(|_| Look::ASLEEP));
        self.disturbed = self.clock.now();
        self.promises.now(self.elapsed());
        self.promises.slept();
    }

    /// The true instant at which the kernel's own clock comes to the leap it was told to make.
    pub(super) fn kernel_leap(&self) -> i64 {
        let Some(leap) = self.leap.filter(|_| self.kernel_leaps) else { return i64::MAX };
        self.clock.when_realtime(leap.instant().reinterpret()).max(self.clock.now())
    }

    pub(super) fn make_kernel_leap(&mut self) {
        let Some(leap) = self.leap else { return };
        self.kernel_leaps = false;
        self.clock.step(leap.kind.shift().nanos());
        self.disturbed = self.clock.now();
        self.promises.leapt();
        self.queue.push(self.clock.now() + READ_LATENCY, Happening::ClockSet);
    }

    /// Carries out a command and reports.
    pub(super) fn steer(&mut self, steer: Steer) {
        self.steers.push(steer);
        self.move_to(self.clock.now() + COMMAND_LATENCY);
        let result = match (self.kernel, steer) {
            (Kernel::Refuses, _) => Steered::Refused,
            (kernel, Steer::Frequency(wanted)) => {
                self.promises.command(wanted);
                let limit = if let Kernel::Clamps(limit) = kernel { limit } else { 500e-6 };
                let applied = wanted.as_ratio().clamp(-limit, limit);
                self.clock.apply(applied);
                Steered::Frequency(Rate::from_ratio(applied))
            }
            (_, Steer::Step(amount)) => {
                self.clock.step(amount.nanos());
                self.disturbed = self.clock.now();
                self.promises.measurement();
                if self.notice_first {
                    let now = self.clock.reading();
                    self.discipline.on_clock_changed(now, &mut self.actions);
                }
                Steered::Stepped(amount)
            }
        };
        self.discipline.on_steered(result, self.clock.reading(), &mut self.actions);
    }
}

/// How long a command to the kernel takes, ns.
const COMMAND_LATENCY: i64 = 5_000;
/// A step smaller than this may be noise of reading the clocks, seconds; it is believed when it lasts this
/// long.
const STEP_NOTICED_S: f64 = 500e-6;
const BELIEVED_WITHIN_S: f64 = 5.0;
/// The discipline looks at its clocks at least this often, seconds.
const NOTICED_WITHIN_S: f64 = 1.1;
