//! Wakes a thread that sleeps in the kernel, from any other thread.
//!
//! An eventfd, because every way of sleeping used here (poll, io_uring) can wait for one together
//! with sockets. A wake-up before the sleep is kept, and several make one.
//!
//! Must never: block the one who wakes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

/// A handle that wakes one sleeper; clones wake the same one.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<OwnedFd>,
}

impl Waker {
    /// A waker nobody has used yet.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub fn new() -> io::Result<Self> {
        // JUSTIFICATION: std has no eventfd.
        // SAFETY: takes two integers and touches no memory of ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // JUSTIFICATION: the descriptor comes from a C call.
        // SAFETY: just opened, and owned by nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { event: Arc::new(event) })
    }

    /// Wakes the sleeper, or, if it is awake, its next sleep.
    pub fn wake(&self) {
        let one = 1u64;
        let (fd, one_ptr) = (self.event.as_raw_fd(), core::ptr::from_ref(&one).cast());
        // JUSTIFICATION: writing to a shared descriptor through std would need a File that owns it.
        // SAFETY: `one` is eight bytes and lives through the call. The only failure is a counter at
        // its limit, and then the sleeper is woken already.
        let _ = unsafe { libc::write(fd, one_ptr, size_of::<u64>()) };
    }

    /// Forgets wake-ups so far; true if there was one.
    pub(crate) fn clear(&self) -> bool {
        let mut count = 0u64;
        let (fd, count_ptr) = (self.event.as_raw_fd(), core::ptr::from_mut(&mut count).cast());
        // JUSTIFICATION: as in `wake`.
        // SAFETY: `count` is eight bytes and lives through the call.
        let read = unsafe { libc::read(fd, count_ptr, size_of::<u64>()) };
        read > 0 && count > 0
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_ups_are_kept_until_cleared_and_clones_share_them() {
        let waker = Waker::new().expect("eventfd");
        assert!(!waker.clear());
        waker.clone().wake();
        waker.wake();
        assert!(waker.clear());
        assert!(!waker.clear());
    }
}
