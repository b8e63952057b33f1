//! Why there is no load from inside the kernel.
//!
//! Must never: name a cause without its remedy.

use std::io;

use aya::EbpfError;
use aya::programs::ProgramError;

use crate::xdp::XdpError;

/// Why the programs of the generator do not run.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Programs may not be loaded.
    #[error(
        "not permitted to run programs in the kernel: that takes root outside of user namespaces (CAP_BPF, \
         CAP_NET_ADMIN and CAP_PERFMON); become root, or have frames sent from user space"
    )]
    NotPermitted,
    /// The kernel is too old, or made without what it takes.
    #[error(
        "this kernel does not run the generator's programs ({0}): Linux 6.1 does, if made with \
         CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS; have frames sent from user space"
    )]
    Unfit(String),
    /// Another program has the device.
    #[error(
        "{device} has an XDP program of somebody else's, which is left alone; take it off \
         (`ip link set {device} xdp off`), or have frames sent from user space"
    )]
    Taken {
        /// The device.
        device: String,
    },
    /// The device took the program in neither way.
    #[error("{device} takes no XDP program ({cause}); have frames sent from user space")]
    Unattached {
        /// The device.
        device: String,
        /// Why.
        cause: XdpError,
    },
    /// The device takes no frames from a program.
    #[error(
        "{device} takes no frames from a program: on a veth, switch on what needs it at its other end \
         (`ethtool -K DEVICE gro on`, or an XDP program there); on a card, have frames sent from user space"
    )]
    Refused {
        /// The device.
        device: String,
    },
    /// The kernel would not run the program that sends.
    #[error("the kernel would not go on making requests: {0}; have frames sent from user space")]
    Run(String),
    /// The memory of a map is out of reach.
    #[error(
        "the map {name} cannot be reached: {cause}; memory may be short, or locked memory limited"
    )]
    Memory {
        /// The map.
        name: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
}

impl DriverError {
    /// Of loading maps.
    pub(super) fn of_maps(error: &EbpfError) -> Self {
        Self::of_chain(error)
    }

    /// Of loading a program or attaching to a trace point.
    pub(super) fn of_program(error: &ProgramError) -> Self {
        Self::of_chain(error)
    }

    fn of_chain(error: &(dyn std::error::Error + 'static)) -> Self {
        match os_error(error) {
            Some(libc::EPERM | libc::EACCES) if !is_refused_by_verifier(error) => {
                Self::NotPermitted
            }
            _ => Self::Unfit(first_line(error)),
        }
    }

    /// Of attaching to a device.
    pub(super) fn of_attaching(device: &str, error: XdpError) -> Self {
        let device = device.to_owned();
        match error {
            XdpError::Occupied => Self::Taken { device },
            XdpError::NotPermitted { .. } => Self::NotPermitted,
            cause => Self::Unattached { device, cause },
        }
    }

    /// Of a run.
    pub(super) fn of_run(error: &ProgramError) -> Self {
        Self::Run(first_line(error))
    }
}

/// The kernel's error number, whatever it is wrapped in.
pub(super) fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.raw_os_error();
        }
        if let Some(ProgramError::LoadError { io_error, .. }) = error.downcast_ref() {
            return io_error.raw_os_error();
        }
        next = error.source();
    }
    None
}

/// The verifier says EACCES of what a program may not do; whoever may not load at all gets no log.
fn is_refused_by_verifier(error: &(dyn std::error::Error + 'static)) -> bool {
    match error.downcast_ref() {
        Some(ProgramError::LoadError { verifier_log, .. }) => {
            !verifier_log.to_string().trim().is_empty()
        }
        _ => false,
    }
}

/// What went wrong, with its causes, without the verifier's log.
fn first_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let line = error.to_string();
        let line = line.lines().next().unwrap_or_default();
        if !line.is_empty() && !text.contains(line) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(line);
        }
        next = error.source();
    }
    text
}
