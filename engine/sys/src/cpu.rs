//! Cores and priorities of the calling thread.
//!
//! Must never: touch another thread, or take a core the process was not given.

use std::io;

use core_affinity::CoreId;

/// The cores this process may run on, rising; respects containers, cpusets and `taskset`.
///
/// To be called before any thread is pinned: it reads the calling thread's own mask. One core is
/// assumed where the mask cannot be read.
pub fn allowed_cores() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let mut cores: Vec<usize> = cores.into_iter().map(|core| core.id).collect();
    cores.sort_unstable();
    if cores.is_empty() { vec![0] } else { cores }
}

/// Keeps the calling thread on `core`.
///
/// # Errors
/// [`CpuError::NoSuchCore`].
pub fn pin(core: usize) -> Result<(), CpuError> {
    let pinned = core_affinity::set_for_current(CoreId { id: core });
    if pinned { Ok(()) } else { Err(CpuError::NoSuchCore(core)) }
}

/// Puts the calling thread above all ordinary ones: `SCHED_FIFO` at `priority`, 1 (low) to 99.
///
/// # Errors
/// [`CpuError::MissingCapability`], [`CpuError::Priority`].
pub fn set_realtime_priority(priority: u8) -> Result<(), CpuError> {
    let parameters = libc::sched_param { sched_priority: i32::from(priority) };
    // JUSTIFICATION: std has no scheduling policies.
    // SAFETY: `parameters` lives through the call; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if result == 0 {
        return Ok(());
    }
    let cause = io::Error::last_os_error();
    match cause.raw_os_error() {
        Some(libc::EPERM) => Err(CpuError::MissingCapability(priority)),
        _ => Err(CpuError::Priority { priority, cause }),
    }
}

/// Why a thread did not get its core or its priority.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// The core does not exist or is not given to this process.
    #[error(
        "core {0} is not among those this process may use; see `taskset -p`, or the container's \
         cpuset"
    )]
    NoSuchCore(usize),
    /// Real-time priorities are not permitted.
    #[error(
        "not permitted to take real-time priority {0}: CAP_SYS_NICE is missing; grant it (systemd: \
         AmbientCapabilities=CAP_SYS_NICE or LimitRTPRIO=), or set the worker priority to 0"
    )]
    MissingCapability(u8),
    /// The kernel does not take this priority.
    #[error("cannot take real-time priority {priority}: {cause}; it must be 1 to 99")]
    Priority {
        /// The priority asked for.
        priority: u8,
        /// What the kernel said.
        cause: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::thread;

    use caps::{CapSet, Capability};

    use super::*;

    #[test]
    fn a_pinned_thread_stays_on_its_core_and_may_use_no_other() {
        let cores = allowed_cores();
        assert!(!cores.is_empty() && cores.is_sorted());
        let last = *cores.last().expect("not empty");
        let seen = thread::spawn(move || {
            pin(last).expect("an allowed core");
            allowed_cores()
        });
        assert_eq!(seen.join().expect("the pinned thread"), [last]);
    }

    #[test]
    fn a_core_that_does_not_exist_is_named() {
        let error = thread::spawn(|| pin(1_000)).join().expect("thread").expect_err("no such core");
        assert!(error.to_string().contains("core 1000"), "{error}");
    }

    #[test]
    fn without_the_capability_a_priority_is_refused_by_its_name() {
        let refused = thread::spawn(|| {
            for set in [CapSet::Effective, CapSet::Permitted] {
                caps::drop(None, set, Capability::CAP_SYS_NICE).expect("capset");
            }
            set_realtime_priority(50)
        });
        match refused.join().expect("the unprivileged thread") {
            Err(error) => assert!(error.to_string().contains("CAP_SYS_NICE"), "{error}"),
            Ok(()) => eprintln!("skipped: RLIMIT_RTPRIO allows it without privilege"),
        }
    }

    #[test]
    fn a_priority_out_of_range_is_told_as_such() {
        let refused = thread::spawn(|| set_realtime_priority(100)).join().expect("thread");
        assert!(refused.is_err());
    }
}
