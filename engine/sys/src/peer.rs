//! Who is at the other end of a Unix socket.
//!
//! Must never: take the word of the other end for it; the kernel knows.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::privileges::effective_user;

/// The user at the other end of `stream`, if it is root or the one this process runs as; else `None`.
///
/// # Errors
/// As the kernel says.
pub fn peer_user(stream: &impl AsFd) -> io::Result<Option<u32>> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    let (fd, peer_pointer) = (stream.as_fd().as_raw_fd(), (&raw mut peer).cast());
    // JUSTIFICATION: std does not offer SO_PEERCRED.
    // SAFETY: `peer` is a ucred of the length given, and lives through the call.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, peer_pointer, &raw mut len)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((peer.uid == 0 || peer.uid == effective_user()).then_some(peer.uid))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn oneself_is_known() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        let own = crate::User::current().expect("procfs").uid;
        assert_eq!(peer_user(&one).expect("told"), Some(own));
    }
}
