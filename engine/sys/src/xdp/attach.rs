//! Attaching the program to an interface, by a BPF link.
//!
//! A link is a file descriptor: the program is at the interface as long as the descriptor is open, and the
//! kernel closes it however the process ends. Where another program is, the kernel refuses a link. The
//! loader's own way of attaching falls back to netlink, which replaces what is there and stays behind, so
//! the one call is made here.
//!
//! Whoever has the descriptor of a link may also put another program in the place of the one that is there,
//! between two frames: so one process takes the place of another without an instant at which nobody answers.
//!
//! Must never: attach in any other way.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

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

/// What is at an interface stays there as long as this, or a copy of its descriptor, lives.
#[derive(Clone, Debug)]
pub struct Link {
    fd: Arc<OwnedFd>,
    mode: Mode,
}

impl Link {
    /// By a descriptor that another process has given.
    pub fn adopt(fd: OwnedFd, mode: Mode) -> Self {
        Self { fd: Arc::new(fd), mode }
    }

    /// How what is there is attached, whichever program it is.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The program is at an interface as long as this lives.
#[derive(Debug)]
pub struct Attached(Link);

impl Attached {
    pub(crate) fn new(
        program: BorrowedFd<'_>,
        interface: u32,
        mode: Mode,
    ) -> Result<Self, XdpError> {
        let link = create_link(program, interface, mode)
            .map_err(|cause| explained(cause, interface, mode))?;
        Ok(Self(Link::adopt(link, mode)))
    }

    /// In the place of the program that `link` has at an interface.
    pub(crate) fn replacing(link: Link, program: BorrowedFd<'_>) -> Result<Self, XdpError> {
        update_link(&link, program)
            .map_err(|cause| XdpError::of("put the BPF program in the place of another", cause))?;
        Ok(Self(link))
    }

    /// How it is attached.
    pub const fn mode(&self) -> Mode {
        self.0.mode
    }

    /// What another process needs to put its program in the place of this one.
    pub fn link(&self) -> Link {
        self.0.clone()
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
    let link = bpf(BPF_LINK_CREATE, &attributes)?;
    // JUSTIFICATION: the only way to own a descriptor that a system call has made.
    // SAFETY: just made, open, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

/// What `bpf(BPF_LINK_UPDATE)` takes (uapi/linux/bpf.h, `link_update`).
#[derive(Default)]
#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    /// Asked for by a flag only.
    old_program: u32,
}

fn update_link(link: &Link, program: BorrowedFd<'_>) -> io::Result<()> {
    let (link, program) = (link.fd.as_raw_fd() as u32, program.as_raw_fd() as u32);
    bpf(BPF_LINK_UPDATE, &LinkUpdate { link, program, ..LinkUpdate::default() }).map(drop)
}

/// Calls bpf(2) with attributes of the command's layout.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    // JUSTIFICATION: neither std nor libc has a function for bpf(2).
    // SAFETY: the pointer is to attributes of the length given, which both commands read and forget.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// `enum bpf_cmd`, `enum bpf_attach_type` (uapi/linux/bpf.h); flags (uapi/linux/if_link.h).
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
