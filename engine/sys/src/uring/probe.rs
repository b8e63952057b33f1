//! Whether io_uring can be used here, with which features, and if not, why.
//!
//! Everything is tried on a throw-away ring rather than concluded from the kernel's version,
//! because distributions backport, containers forbid, and sysctls switch off.
//!
//! Must never: leave anything behind.

use core::fmt;
use std::io;

use io_uring::{Probe, opcode};

use super::buf_ring::BufRing;
use super::ring::Ring;

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Whether [`super::UringIo`] can run here.
    pub usable: Result<(), Unusable>,
    /// Each feature tried, in the order of the kernels that brought them.
    pub features: Vec<Feature>,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Name as in the kernel's documentation.
    pub name: &'static str,
    /// First kernel that has it.
    pub kernel_minimum: &'static str,
    /// The kernel accepted it.
    pub available: bool,
    /// It is used.
    pub chosen: bool,
    /// What for, or why not.
    pub why: &'static str,
}

/// Why io_uring cannot be used; the text says the likely cause and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The kernel has none, or the platform hides it.
    #[error("the kernel has no io_uring (ENOSYS): older than 5.1, or built without")]
    Absent,
    /// `kernel.io_uring_disabled` is set.
    #[error("switched off by sysctl kernel.io_uring_disabled = {0}; set it to 0 to allow io_uring")]
    DisabledBySysctl(u8),
    /// A security policy forbids it.
    #[error(
        "forbidden by a security policy (EPERM): a container's default seccomp profile does that; \
         allow io_uring_setup, io_uring_enter and io_uring_register there"
    )]
    Forbidden,
    /// Before 5.12 rings count as locked memory.
    #[error("no room in locked memory (ENOMEM); raise the memlock limit (systemd: LimitMEMLOCK)")]
    LockedMemory,
    /// Set-up flags are unknown to the kernel.
    #[error("the kernel is too old: DEFER_TASKRUN and SINGLE_ISSUER need 6.1")]
    TooOld,
    /// Something needed is missing.
    #[error("the kernel lacks {0}")]
    Lacks(&'static str),
    /// Anything else.
    #[error("the kernel refused a ring: {0}")]
    Other(io::Error),
}

/// Tries everything on a throw-away ring.
pub fn probe() -> Report {
    let mut ring = match Ring::new(ENTRIES, ENTRIES) {
        Ok(ring) => ring,
        Err(error) => {
            return Report { usable: Err(Unusable::from_setup(error)), features: Vec::new() };
        }
    };
    let submitter = ring.submitter();
    let buffers = BufRing::register(&submitter, ENTRIES as u16);
    if buffers.is_ok() {
        let _ = submitter.unregister_buf_ring(super::buf_ring::GROUP);
    }
    let files = submitter.register_files_sparse(1).is_ok();
    let mut operations = Probe::new();
    let messages = submitter.register_probe(&mut operations).is_ok()
        && operations.is_supported(opcode::RecvMsgMulti::CODE)
        && operations.is_supported(opcode::SendMsg::CODE);
    // Last: nothing can be registered after it.
    let enabled = ring.enable().is_ok();
    let granted = ring.features();
    let skip = ring.parameters().is_feature_skip_cqe_on_success();
    let needed = |name, kernel_minimum, available, why| Feature {
        name,
        kernel_minimum,
        available,
        chosen: available,
        why,
    };
    let features = vec![
        needed("restrictions", "5.10", granted.restricted, "it takes requests of three kinds only"),
        needed("CQE_SKIP_SUCCESS", "5.17", skip, "a reply sent well makes no completion"),
        needed("SUBMIT_ALL", "5.18", granted.submit_all, "one refused reply holds up no other"),
        needed("registered ring", "5.18", granted.registered_ring, "no descriptor lookup per call"),
        needed("provided buffer ring", "5.19", buffers.is_ok(), "frames are picked at arrival"),
        needed("registered files", "5.19", files, "no descriptor lookup per datagram"),
        needed("multishot recvmsg", "6.0", messages, "one request receives for ever"),
        needed("DEFER_TASKRUN", "6.1", true, "datagrams are received in batches, when asked for"),
        needed("NO_SQARRAY", "6.6", granted.no_sqarray, "one indirection less per request"),
        Feature {
            name: "min_wait",
            kernel_minimum: "6.12",
            available: ring.parameters().is_feature_min_timeout(),
            chosen: false,
            why: "gathering on a timer costs more than it saves",
        },
    ];
    let missing = [
        (buffers.is_ok(), "provided buffer rings (5.19)"),
        (files, "registered files (5.19)"),
        (skip, "CQE_SKIP_SUCCESS (5.17)"),
        (messages, "recvmsg and sendmsg on rings (5.3)"),
        (enabled, "rings that begin disabled (5.10)"),
    ];
    let missing = missing.into_iter().find(|(available, _)| !available);
    let usable = missing.map_or(Ok(()), |(_, name)| Err(Unusable::Lacks(name)));
    Report { usable, features }
}

impl Unusable {
    fn from_setup(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => Self::Absent,
            Some(libc::EPERM | libc::EACCES) => match sysctl_disabled() {
                Some(level) if level > 0 => Self::DisabledBySysctl(level),
                _ => Self::Forbidden,
            },
            Some(libc::ENOMEM) => Self::LockedMemory,
            Some(libc::EINVAL) => Self::TooOld,
            _ => Self::Other(error),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kernel_minimum, why, .. } = self;
        let state = match (self.available, self.chosen) {
            (_, true) => "used",
            (true, false) => "not used",
            (false, false) => "not there",
        };
        write!(f, "{name} (since Linux {kernel_minimum}): {state}; {why}")
    }
}

fn sysctl_disabled() -> Option<u8> {
    let text = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    text.trim().parse().ok()
}

const ENTRIES: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_up_errors_are_told_by_their_likely_cause() {
        let text = |errno| Unusable::from_setup(io::Error::from_raw_os_error(errno)).to_string();
        assert!(text(libc::ENOSYS).contains("no io_uring"));
        assert!(text(libc::ENOMEM).contains("memlock"));
        assert!(text(libc::EINVAL).contains("6.1"));
        assert!(text(libc::EPERM).contains("seccomp") || text(libc::EPERM).contains("sysctl"));
    }

    #[test]
    fn a_usable_ring_uses_what_is_available_but_min_wait() {
        let report = probe();
        match report.usable {
            Ok(()) => {
                for feature in &report.features {
                    assert_eq!(
                        feature.chosen,
                        feature.available && feature.name != "min_wait",
                        "{feature}"
                    );
                }
            }
            Err(why) => eprintln!("skipped: {why}"),
        }
    }
}
