//! What the service manager is told: that we are ready, that we live, what we do (`sd_notify(3)`).
//!
//! Its socket is a queue like any other: a manager that has stopped reading must not stop us.
//!
//! Must never: wait for the manager longer than [`PATIENCE`], or fail because of it.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use timeball_sys::send_with_fds;

/// Tells the service manager, if one started us; that it does not listen is no reason to fail.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    if let Err(error) = say(&message, &[]) {
        tracing::debug!("service manager: {error}");
    }
}

/// Says `message`, and gives `fds` along with it.
///
/// # Errors
/// When the manager's socket cannot be reached, or has no room in time ([`io::ErrorKind::WouldBlock`]).
pub(super) fn say(message: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    let manager = UnixDatagram::unbound()?;
    manager.set_write_timeout(Some(PATIENCE))?;
    manager.connect_addr(&address)?;
    send_with_fds(&manager, message.as_bytes(), fds).map(drop)
}

/// How long one message may wait for room: short of anything a client, or SIGTERM's second, would notice.
const PATIENCE: Duration = Duration::from_millis(100);
