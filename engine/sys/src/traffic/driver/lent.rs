//! A thread that is lent to the kernel, and how it is called back.
//!
//! The kernel runs a program as often as it was told, or until a signal waits for the thread. So a thread is
//! called back by a signal that does nothing. Shorter calls would need none, but each begins with a pause of
//! some hundredths of a second, in which nothing is sent.
//!
//! Must never: send a signal to a thread that is not in the call.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use super::DriverError;

/// The thread that is lent, if one is.
#[derive(Debug)]
pub(super) struct Lent(AtomicI32);

/// Ends when the thread is back.
#[derive(Debug)]
pub(super) struct Loan<'a>(&'a Lent);

impl Lent {
    /// Prepares the signal.
    pub(super) fn new() -> Result<Self, DriverError> {
        // JUSTIFICATION: std handles no signals.
        // SAFETY: all zero is a valid `sigaction`: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int) = do_nothing;
        action.sa_sigaction = handler as libc::sighandler_t;
        // JUSTIFICATION: as above.
        // SAFETY: the handler does nothing, which is safe at any moment; `action` lives through the call.
        let set = unsafe { libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()) };
        match set {
            0 => Ok(Self(AtomicI32::new(0))),
            _ => Err(DriverError::Run(io::Error::last_os_error().to_string())),
        }
    }

    /// Lends the calling thread.
    pub(super) fn lend(&self) -> Loan<'_> {
        // JUSTIFICATION: std does not say the kernel's number of a thread.
        // SAFETY: takes nothing, cannot fail.
        self.0.store(unsafe { libc::gettid() }, Ordering::Release);
        Loan(self)
    }

    /// Calls the thread back if it is lent.
    pub(super) fn recall(&self) {
        let thread = self.0.load(Ordering::Acquire);
        if thread != 0 {
            let process = std::process::id();
            // JUSTIFICATION: std sends no signals.
            // SAFETY: takes integers; a thread that has come back in this moment takes it for nothing.
            unsafe { libc::syscall(libc::SYS_tgkill, process, thread, SIGNAL) };
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Release);
    }
}

extern "C" fn do_nothing(_: libc::c_int) {}

/// Nobody else here uses it; unhandled it would do nothing either.
const SIGNAL: libc::c_int = libc::SIGURG;
