//! The sandbox: what the process, and each thread in it, may still ask of the kernel.
//!
//! [`begin`] confines the process once its sockets are open, before it starts a thread: to the system calls
//! and files that any thread will ever need, and to memory that cannot be made executable. [`confine`] is the
//! first thing each thread does: it gives up all capabilities but those named, and narrows the rest to what a
//! thread of its role needs. Filters and rules only ever add up, and threads inherit those of whoever starts
//! them, so nothing can be taken back, by anybody.
//!
//! Must never: be begun after the first thread has started, or fail silently: what is not in force is said.

mod calls;
mod files;
mod filter;

use std::io;
use std::sync::OnceLock;

pub use self::files::{Places, reach_of};

use crate::privileges::{Capability, PrivilegeError, drop_privileges};

/// How the process is confined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Not at all, but for its capabilities.
    Off,
    /// As far as the kernel can; what is forbidden fails.
    On,
    /// Or not started; what is forbidden ends the process.
    Strict,
}

/// What a thread is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Carries datagrams over sockets it has been given.
    Worker,
    /// Asks servers, and steers the clock.
    Discipline,
    /// Makes sockets, and talks over them.
    Network,
    /// Keeps a BPF program at interfaces; neither it nor a map can be made.
    Driver,
    /// Answers at sockets of its own, which it makes and removes.
    Control,
    /// Answers those who connect to sockets it has been given.
    Page,
    /// Looks names up by the system's resolver, which may load libraries.
    LookUp,
    /// Writes lines to what is open already.
    Log,
    /// Reads lists.
    Reader,
    /// Writes files.
    Writer,
}

/// One of the things the sandbox is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guard {
    /// What it is.
    pub name: String,
    /// Why it is not in force; `None` if it is.
    pub missing: Option<String>,
}

/// The sandbox was not to be had as wanted; the process should exit.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The mode is strict, and something is missing.
    #[error(
        "the sandbox is strict, and {name} cannot be had: {why}; allow it, or set mode = \"on\""
    )]
    Missing {
        /// What is missing.
        name: &'static str,
        /// Why.
        why: io::Error,
    },
    /// Privileges could not be given up.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
}

/// What was begun: a property of the process, as its memory is.
static SANDBOX: OnceLock<Sandbox> = OnceLock::new();

struct Sandbox {
    mode: Mode,
    places: Places,
    /// In force for the whole process.
    filtered: bool,
    ruled: bool,
}

/// Confines the process; returns what is in force and what is not.
///
/// # Errors
/// [`SandboxError::Missing`] in strict mode.
pub fn begin(mode: Mode, places: Places) -> Result<Vec<Guard>, SandboxError> {
    if mode == Mode::Off {
        return Ok(Vec::new());
    }
    let memory = refuse_executable_memory().map(|()| MEMORY.to_owned());
    let rules = files::begin(&places).map_err(io::Error::from);
    let filter = filter::begin(mode).map(|()| FILTER.to_owned());
    let (filtered, ruled) = (filter.is_ok(), rules.is_ok());
    let _ = SANDBOX.set(Sandbox { mode, places, filtered, ruled });
    [(FILTER, filter), (RULES, rules), (MEMORY, memory)]
        .into_iter()
        .map(|(name, result)| match result {
            Ok(name) => Ok(Guard { name, missing: None }),
            Err(why) if mode == Mode::Strict => Err(SandboxError::Missing { name, why }),
            Err(why) => Ok(Guard { name: name.to_owned(), missing: Some(why.to_string()) }),
        })
        .collect()
}

/// Makes the calling thread one of `role`, with the capabilities `kept` if the process has them.
///
/// # Errors
/// [`SandboxError`]; the thread should not go on.
pub fn confine(role: Role, kept: &[Capability]) -> Result<(), SandboxError> {
    drop_privileges(None, kept)?;
    let Some(sandbox) = SANDBOX.get() else { return Ok(()) };
    if sandbox.ruled {
        files::narrow(&sandbox.places, role)
            .map_err(|why| SandboxError::Missing { name: RULES, why: why.into() })?;
    }
    if sandbox.filtered {
        filter::narrow(sandbox.mode, role)
            .map_err(|why| SandboxError::Missing { name: FILTER, why })?;
    }
    Ok(())
}

/// The places the process was confined to; `None` if it was not.
pub fn places() -> Option<&'static Places> {
    SANDBOX.get().filter(|sandbox| sandbox.ruled).map(|sandbox| &sandbox.places)
}

/// Memory that could be written once cannot be run (since Linux 6.3), in all threads.
fn refuse_executable_memory() -> io::Result<()> {
    // JUSTIFICATION: std has no prctl.
    // SAFETY: takes integers.
    let result = unsafe { libc::prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const FILTER: &str = "seccomp";
const RULES: &str = "landlock";
const MEMORY: &str = "no executable memory";

/// linux/prctl.h.
const PR_SET_MDWE: libc::c_int = 65;
const PR_MDWE_REFUSE_EXEC_GAIN: libc::c_ulong = 1;
