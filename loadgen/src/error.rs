//! Why no load was offered, or why its figures mean nothing.
//!
//! Must never: name a cause without its remedy.

use std::io;
use std::net::{IpAddr, SocketAddr};

use timeball_sys::traffic::LinkError;
use timeball_sys::traffic::driver::DriverError;
use timeball_time::Interval;

use crate::scope::is_own;
use crate::{BehaviourError, OutOfScope};

/// Why no load was offered, or why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The caller asked for load on somebody else's machine, or in somebody else's name.
    #[error(transparent)]
    OutOfScope(#[from] OutOfScope),
    /// Clients cannot behave as asked; the caller is at fault.
    #[error(transparent)]
    Behaviour(#[from] BehaviourError),
    /// An option is out of its range; the caller is at fault.
    #[error("{0}")]
    Option(&'static str),
    /// Frames have no way to the target.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The kernel makes no load.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Frames are not permitted.
    #[error(
        "not permitted to send frames: CAP_NET_RAW is missing; run as root or inside `unshare -Urn`, or \
         leave out --raw and have the clients' network local (`ip route add local NETWORK dev lo`)"
    )]
    NoRawSockets,
    /// The clients' addresses are not this host's.
    #[error(
        "{address} is not an address of this host, so that nothing can be sent from it; make the \
         clients' network local (`ip route add local NETWORK dev lo`), or send frames (--raw)"
    )]
    NotLocal {
        /// The first client.
        address: IpAddr,
    },
    /// There is no way to the target.
    #[error("{target} cannot be reached: {cause}; see `ip route get {address}`", address = target.ip())]
    Unreachable {
        /// The server.
        target: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The port is closed.
    #[error("nothing listens at {0}: the port is closed; is the server running, on this port?")]
    Refused(SocketAddr),
    /// Nobody answered the first request.
    #[error(
        "{0} did not answer a single request within 3 s: is it running, synchronised or told to answer, \
         and does a firewall let it? --no-probe offers the load all the same"
    )]
    Silent(SocketAddr),
    /// The kernel gave no socket, or took no request.
    #[error("the load's socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The core is not there or not allowed.
    #[error("core {0} cannot be used; choose one that this process may run on")]
    Core(usize),
    /// Somebody set the clock during the run: no figure of it means anything.
    #[error("the clock was set by {0:?} during the run; stop whatever steps it and run again")]
    ClockSet(Interval),
}

impl LoadError {
    /// What a failed send from `client` to `target` means.
    pub(crate) fn of_send(cause: io::Error, target: SocketAddr, client: IpAddr) -> Self {
        match cause.raw_os_error() {
            // Kernels differ in what they call a source that is not theirs.
            Some(EINVAL | EADDRNOTAVAIL | ENETUNREACH) if !is_own(client) => {
                Self::NotLocal { address: client }
            }
            Some(ENETUNREACH | EHOSTUNREACH | ENETDOWN) => Self::Unreachable { target, cause },
            _ => Self::Socket(cause),
        }
    }
}

// Linux's error numbers, the same on every architecture served here.
const EINVAL: i32 = 22;
const EADDRNOTAVAIL: i32 = 99;
const ENETDOWN: i32 = 100;
const ENETUNREACH: i32 = 101;
const EHOSTUNREACH: i32 = 113;
