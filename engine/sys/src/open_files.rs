//! How many descriptors this process may have open: each source has a socket, each connection one.
//!
//! The soft limit is low for the sake of programs that use `select`; we do not, so the hard limit is ours.
//!
//! Must never: touch the hard limit, which is the operator's word.

use std::io;

/// Raises the soft limit of open files to the hard one.
///
/// # Errors
/// When the system does not say what the limits are, or refuses.
pub fn raise_open_files() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // JUSTIFICATION: std does not know about limits.
    // SAFETY: `limit` lives through the call, which writes no more than that.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // JUSTIFICATION: as above.
    // SAFETY: `limit` lives through the call, which only reads it.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
