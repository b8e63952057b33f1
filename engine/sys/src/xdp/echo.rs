//! A plain echo in the driver, with which the fast path is compared.
//!
//! Must never: be part of the server.

use std::os::fd::AsFd;

use aya::Ebpf;
use aya::programs::{ProgramError, Xdp};

use super::program::refused;
use super::{Attached, Mode, XdpError};

/// An echo at an interface, for as long as it lives.
#[derive(Debug)]
pub struct Echo {
    _attached: Attached,
}

impl Echo {
    /// Sends every client's request that arrives at interface number `interface` back as a reply; with
    /// `clock`, the clock is read once for each.
    ///
    /// # Errors
    /// [`XdpError`].
    pub fn attach(interface: u32, mode: Mode, clock: bool) -> Result<Self, XdpError> {
        let object = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/echo.o"));
        let mut object = Ebpf::load(object).map_err(|error| refused(&error))?;
        let name = if clock { "clock_echo" } else { "echo" };
        let program = object.program_mut(name).expect("the object has it");
        let program: &mut Xdp = program.try_into().expect("it is for XDP");
        let explain = |error: ProgramError| refused(&error.into());
        program.load().map_err(explain)?;
        let fd = program.fd().map_err(explain)?;
        // The link holds the program.
        Ok(Self { _attached: Attached::new(fd.as_fd(), interface, mode)? })
    }
}
