//! Attaching the program to an interface, by a BPF link.
//!
//! A link is a file descriptor: the program is at the interface as long as the descriptor is open, and the
//! kernel closes it however the process ends. Where another program is, the kernel refuses a link. The
//! loader's own way of attaching falls back to netlink, which replaces what is there and stays behind, so
//! the one call is made here.
//!
//! Must never: attach in any other way.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::XdpError;
use crate::interface::Interface;

/// Where the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// In the driver, before the kernel has made anything of the frame.
    Native,
    /// In the kernel's receive path: with every driver, and slower.
    Generic,
}

impl Mode {
    /// The name used in reports and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// The program is at an interface as long as this lives.
#[derive(Debug)]
pub struct Attached {
    /// Held for what closing it does.
    _link: OwnedFd,
    mode: Mode,
}

impl Attached {
    pub(crate) fn new(
        program: BorrowedFd<'_>,
        interface: u32,
        mode: Mode,
    ) -> Result<Self, XdpError> {
        let link = create_link(program, interface, mode)
            .map_err(|cause| explained(cause, interface, mode))?;
        Ok(Self { _link: link, mode })
    }

    /// How it is attached.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
}

fn explained(cause: io::Error, interface: u32, mode: Mode) -> XdpError {
    let is_there = |all: Vec<Interface>| all.iter().any(|one| one.index == interface);
    match cause.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => XdpError::Occupied,
        Some(libc::ENODEV) => XdpError::NoInterface,
        Some(libc::EINVAL) if Interface::all().is_ok_and(|all| !is_there(all)) => {
            XdpError::NoInterface
        }
        // It takes no capability.
        Some(libc::EPERM | libc::EACCES) => XdpError::Forbidden { step: STEP },
        Some(libc::EOPNOTSUPP) if mode == Mode::Native => XdpError::NoNativeMode,
        _ => XdpError::of(STEP, cause),
    }
}

const STEP: &str = "attach the BPF program";

/// What `bpf(BPF_LINK_CREATE)` takes (uapi/linux/bpf.h, `link_create`).
#[derive(Default)]
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
    /// Options of other kinds of links.
    unused: [u64; 4],
}

fn create_link(program: BorrowedFd<'_>, interface: u32, mode: Mode) -> io::Result<OwnedFd> {
    let flags = match mode {
        Mode::Native => XDP_FLAGS_DRV_MODE,
        Mode::Generic => XDP_FLAGS_SKB_MODE,
    };
    let program = program.as_raw_fd() as u32;
    let attributes =
        LinkCreate { program, interface, attach_type: BPF_XDP, flags, ..LinkCreate::default() };
    // JUSTIFICATION: neither std nor libc has a function for bpf(2).
    // SAFETY: the pointer is to attributes of the length given, which the call reads and forgets.
    let link = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_CREATE,
            &raw const attributes,
            size_of::<LinkCreate>(),
        )
    };
    if link < 0 {
        return Err(io::Error::last_os_error());
    }
    // JUSTIFICATION: the only way to own a descriptor that a system call has made.
    // SAFETY: just made, open, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(link as i32) })
}

/// `enum bpf_cmd`, `enum bpf_attach_type` (uapi/linux/bpf.h); flags (uapi/linux/if_link.h).
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
