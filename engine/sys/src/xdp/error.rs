//! Why the fast path cannot be had, and what to do about it.
//!
//! None of these keeps a server from serving: it goes on by sockets.
//!
//! Must never: show a whole verifier log; its last lines say what was refused.

use std::io;

use caps::{CapSet, Capability, has_cap};

/// Why there is no fast path.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// The program relies on loads that stay in order.
    #[error(
        "the fast path is for x86-64: on this machine a BPF program cannot read the snapshot whole"
    )]
    Machine,
    /// Without the privilege.
    #[error(
        "not permitted to {step}: it takes CAP_BPF and CAP_NET_ADMIN (systemd: AmbientCapabilities=; docker: \
         --cap-add)"
    )]
    NotPermitted {
        /// What was being done.
        step: &'static str,
    },
    /// Not for want of the privilege.
    #[error(
        "forbidden to {step}, whatever the capabilities: by a filter of system calls (systemd: \
         SystemCallFilter=bpf; docker: --security-opt seccomp=PROFILE), a user namespace, or a \
         kernel that is locked down (cat /sys/kernel/security/lockdown)"
    )]
    Forbidden {
        /// What was being done.
        step: &'static str,
    },
    /// The system call is not there.
    #[error(
        "cannot {step}: there is no bpf(2) here; allow it if a filter of system calls hides it (systemd: \
         SystemCallFilter=bpf; docker: --security-opt seccomp=PROFILE), else the kernel was built without \
         CONFIG_BPF_SYSCALL"
    )]
    NoSystemCall {
        /// What was being done.
        step: &'static str,
    },
    /// The verifier does not accept the program.
    #[error("the kernel refuses the BPF program: {log}; it needs Linux 6.1")]
    Refused {
        /// The end of what the verifier says.
        log: String,
    },
    /// Somebody else's program, or a second one of ours.
    #[error(
        "another XDP program is at this interface: `ip link show` tells which, \
         `ip link set dev NAME xdp off` removes it"
    )]
    Occupied,
    /// The driver cannot run programs.
    #[error("the driver of this interface has no native XDP; generic mode works with every driver")]
    NoNativeMode,
    /// There is no such interface.
    #[error("there is no such interface; `ip link` lists them")]
    NoInterface,
    /// More endpoints than the table holds.
    #[error(
        "more than {0} pairs of interface and address are to be served; name fewer addresses to listen on"
    )]
    TooManyEndpoints(usize),
    /// Anything else.
    #[error("cannot {step}: {cause}; interfaces = [] under [fast_path] does without")]
    Other {
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
}

impl XdpError {
    /// What the kernel's answer to `step` means.
    pub(super) fn of(step: &'static str, cause: io::Error) -> Self {
        match cause.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) if may_use_bpf() => Self::Forbidden { step },
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { step },
            Some(libc::ENOSYS) => Self::NoSystemCall { step },
            _ => Self::Other { step, cause },
        }
    }

    /// Whether the reason is where this runs, and not the program: nothing can be said about that here.
    pub const fn is_of_this_place(&self) -> bool {
        matches!(
            self,
            Self::Machine
                | Self::NotPermitted { .. }
                | Self::Forbidden { .. }
                | Self::NoSystemCall { .. }
        )
    }
}

/// Whether this thread has the capabilities that it takes.
fn may_use_bpf() -> bool {
    let has = |one| has_cap(None, CapSet::Effective, one).unwrap_or(false);
    has(Capability::CAP_SYS_ADMIN) || (has(Capability::CAP_BPF) && has(Capability::CAP_NET_ADMIN))
}
