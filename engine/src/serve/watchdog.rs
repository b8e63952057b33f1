//! Sees that every thread goes on, and keeps the service manager informed.
//!
//! A thread counts its turns, and has a waker. One that has not moved since the last look is woken, so that
//! an idle thread costs nothing but a wake-up in each period; one that was woken again and again and still
//! does not move is stuck. It is then named in the log, in `timeball status` and in the service manager's
//! status line, and the service manager gets no further sign of life: with `WatchdogSec=` in the unit it
//! restarts the server. Without one the server goes on with what is left of it.
//!
//! The queues of the workers are looked at in the same rhythm ([`FloodWatch`]).
//!
//! Looks are counted, not seconds: a process that was stopped as a whole has not looked either.
//!
//! Must never: wait for a thread it watches, or give a sign of life while one of them is stuck.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use timeball_sys::sandbox::{Role, confine};
use timeball_sys::{Waiter, monotonic};
use timeball_time::Interval;

use super::flood::FloodWatch;
use super::manager;
use crate::report::{self, Witness};
use crate::thread::Thread;

/// A thread that is watched.
pub(super) struct Patient {
    name: String,
    turns: Box<dyn Fn() -> u64 + Send>,
    wake: Box<dyn Fn() + Send>,
    seen: u64,
    /// Looks in a row at which it had not moved, though it was woken before each but the first.
    still: u32,
}

impl Patient {
    /// A thread called `name`, whose `turns` rise when it goes on, and which does so when told to `wake`.
    pub(super) fn new(
        name: String,
        turns: impl Fn() -> u64 + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> Self {
        let seen = turns();
        Self { name, turns: Box::new(turns), wake: Box::new(wake), seen, still: 0 }
    }

    /// A thread beside the workers.
    pub(super) fn of(thread: &Thread) -> Self {
        let (pulse, waker) = (thread.pulse().clone(), thread.pulse().clone());
        Self::new(thread.name(), move || pulse.turns(), move || waker.wake())
    }

    /// Looks once; says whether it does not move after `patience` looks.
    fn is_stuck(&mut self, patience: u32) -> bool {
        let turns = (self.turns)();
        if turns == self.seen {
            self.still = self.still.saturating_add(1);
            (self.wake)();
        } else {
            (self.seen, self.still) = (turns, 0);
        }
        self.still > patience
    }
}

/// The watch, ready to run.
pub(super) struct Watchdog {
    patients: Vec<Patient>,
    witness: Witness,
    flood: FloodWatch,
    period: Duration,
    /// Whether the service manager wants signs of life.
    wanted: bool,
    stuck: Vec<String>,
    told: Option<(Instant, String)>,
    waiter: Waiter,
    stop: Arc<AtomicBool>,
}

impl Watchdog {
    /// Starts the thread that watches `patients`, has `flood` look, and tells what `witness` sees.
    ///
    /// # Errors
    /// When the system refuses a thread or a file descriptor.
    pub(super) fn start(
        patients: impl Iterator<Item = Patient>,
        witness: &Witness,
        flood: FloodWatch,
    ) -> io::Result<Thread> {
        let wanted = sd_notify::watchdog_enabled();
        let watchdog = Self {
            patients: patients.collect(),
            witness: witness.clone(),
            flood,
            period: wanted.map_or(LOOK, |limit| LOOK.min(limit / SIGNS_PER_LIMIT)),
            wanted: wanted.is_some(),
            stuck: Vec::new(),
            told: None,
            waiter: Waiter::new()?,
            stop: Arc::default(),
        };
        let (pulse, stop) = (watchdog.waiter.pulse(), Arc::clone(&watchdog.stop));
        Thread::start("watchdog", pulse, stop, move || {
            if let Err(error) = watchdog.run() {
                tracing::error!("watchdog: {error}; stuck threads will not be noticed");
            }
        })
    }

    fn run(mut self) -> io::Result<()> {
        confine(Role::Network, &[]).map_err(io::Error::other)?;
        let period = Interval::from_nanos(self.period.as_nanos() as i64);
        while !self.stop.load(Ordering::Acquire) {
            self.look();
            if self.wanted && self.stuck.is_empty() {
                manager::tell(&[NotifyState::Watchdog]);
            }
            self.flood.look();
            self.tell_status();
            self.waiter.wait(monotonic() + period, &[])?;
        }
        Ok(())
    }

    /// Looks at everybody, and says what has changed.
    fn look(&mut self) {
        let patience = STUCK_AFTER.as_millis().div_ceil(self.period.as_millis().max(1)) as u32;
        let stuck = self
            .patients
            .iter_mut()
            .filter_map(|patient| patient.is_stuck(patience).then(|| patient.name.clone()));
        let stuck: Vec<_> = stuck.collect();
        for name in stuck.iter().filter(|name| !self.stuck.contains(name)) {
            let then =
                if self.wanted { "the service manager will restart it" } else { "restart it" };
            tracing::error!(
                "{name} is stuck: no sign of life for {} s; {then}",
                STUCK_AFTER.as_secs()
            );
        }
        for name in self.stuck.iter().filter(|name| !stuck.contains(name)) {
            tracing::warn!("{name} goes on");
        }
        if stuck != self.stuck {
            self.witness.board.show_stuck(stuck.clone());
            self.stuck = stuck;
            self.told = None;
        }
    }

    /// Renews the service manager's status line: at once when something has changed, figures now and then.
    fn tell_status(&mut self) {
        let Some(report) = self.witness.report() else { return };
        let state = report::state(&report);
        let told = |(at, before): &(Instant, String)| *before == state && at.elapsed() < STATUS_GAP;
        if !self.told.as_ref().is_some_and(told) {
            manager::tell(&[NotifyState::Status(&report::headline(&report))]);
            self.told = Some((Instant::now(), state));
        }
    }
}

/// How often everybody is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a thread may keep still although it is woken: a busy machine may keep one waiting for a second
/// or two.
const STUCK_AFTER: Duration = Duration::from_secs(4);
/// Signs of life in the time within which the service manager wants one.
const SIGNS_PER_LIMIT: u32 = 4;
/// How old the figures in the status line may be.
const STATUS_GAP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn who_moves_when_woken_is_not_stuck_and_who_does_not_is_until_it_moves_again() {
        let turns = Arc::new(AtomicU64::new(7));
        let held = Arc::new(AtomicBool::new(false));
        let (seen, moved, is_held) = (Arc::clone(&turns), Arc::clone(&turns), Arc::clone(&held));
        let mut patient = Patient::new(
            "worker-0".to_owned(),
            move || seen.load(Ordering::Relaxed),
            move || {
                moved.fetch_add(u64::from(!is_held.load(Ordering::Relaxed)), Ordering::Relaxed);
            },
        );
        assert!((0..20).all(|_| !patient.is_stuck(4)), "idle, but it wakes");
        held.store(true, Ordering::Relaxed);
        let looks: Vec<_> = (0..8).map(|_| patient.is_stuck(4)).collect();
        let first = looks.iter().position(|&stuck| stuck).expect("seen");
        assert!((4..=6).contains(&first) && looks[first..].iter().all(|&stuck| stuck), "{looks:?}");
        turns.fetch_add(1, Ordering::Relaxed);
        assert!(!patient.is_stuck(4));
    }
}
