//! A network of a test's own, that nobody else sees.

use std::io;
use std::process::Command;
use std::thread;

/// Runs `test` in a thread with a network namespace of its own; skips it, saying so, where that is
/// not permitted. The namespace goes with the thread.
pub(crate) fn in_namespace(test: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let done = thread::spawn(move || {
        // JUSTIFICATION: std cannot make a network namespace.
        // SAFETY: takes an integer; affects this thread alone.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error());
        }
        ip("link set lo up")?;
        test()
    });
    match done.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("skipped: needs root and iproute2: {error}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs `ip` in this thread's namespace.
pub(crate) fn ip(arguments: &str) -> io::Result<()> {
    let status = Command::new("ip").args(arguments.split(' ')).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ip {arguments}"))) }
}
