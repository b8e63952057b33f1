//! The thread that keeps the workers' table of next hops in step with the kernel's, where replies leave
//! around the kernel's IP layer.
//!
//! Must never: end while there are workers that go by its table; without it they go by their sockets.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use timeball_sys::sandbox::{Role, confine};
use timeball_sys::{Exits, Pilot, Waiter, monotonic};

use super::StartError;
use crate::config::Plan;
use crate::thread::Thread;

/// What replies of a server by `plan` can leave by besides their sockets, if they are to; `notes` is
/// told why not. Needs privileges.
pub(super) fn open(plan: &Plan, notes: &mut Vec<String>) -> Option<(Exits, Pilot)> {
    let opened = Exits::open(plan.server.transmit.raw()?, plan.server.workers());
    match opened {
        Ok((exits, pilot)) => {
            notes.extend_from_slice(exits.notes());
            Some((exits, pilot))
        }
        Err(error) => {
            notes.push(format!("replies leave by their sockets: {error}"));
            None
        }
    }
}

/// Starts the thread.
///
/// # Errors
/// When the system refuses another thread.
pub(super) fn start(pilot: Pilot) -> Result<Thread, StartError> {
    begin(pilot).map_err(StartError::system("cannot start the pilot thread"))
}

fn begin(mut pilot: Pilot) -> io::Result<Thread> {
    let mut waiter = Waiter::new()?;
    let (pulse, stop) = (waiter.pulse(), Arc::<AtomicBool>::default());
    let ending = Arc::clone(&stop);
    Thread::start("pilot", pulse, stop, move || {
        if let Err(error) = confine(Role::Network, &[]) {
            tracing::error!("{error}; replies leave by their sockets");
            return;
        }
        let mut lost = false;
        while !ending.load(Ordering::Acquire) {
            let turn = pilot.turn();
            if turn.is_err() != lost {
                lost = turn.is_err();
                match &turn {
                    Ok(_) => tracing::info!("the kernel's routes can be read again"),
                    Err(error) => tracing::warn!(
                        "the kernel's routes cannot be read: {error}; replies leave by their sockets"
                    ),
                }
            }
            let due = monotonic() + turn.unwrap_or(Pilot::AGAIN);
            if let Err(error) = waiter.wait(due, &[pilot.as_fd()]) {
                tracing::error!("pilot thread: {error}; replies leave by their sockets");
                return;
            }
        }
    })
}
