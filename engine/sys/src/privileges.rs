//! Giving up what is no longer needed: user, group, capabilities, the right to gain any.
//!
//! Called once, after the sockets are bound and before the first thread starts, because
//! capabilities belong to threads and are inherited from the one that starts them.
//!
//! Must never: return as if all were well with more rights than were asked to be kept.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;

use caps::{CapSet, CapsHashSet};

pub use caps::Capability;

/// A user of this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User ID.
    pub uid: u32,
    /// Primary group's ID.
    pub gid: u32,
}

impl User {
    /// Whoever this process runs as, under the name of its number.
    ///
    /// # Errors
    /// [`PrivilegeError::Step`] where there is no /proc.
    pub fn current() -> Result<Self, PrivilegeError> {
        let own = std::fs::metadata("/proc/self").map_err(step("looking at oneself"))?;
        let (uid, gid) = (own.uid(), own.gid());
        Ok(Self { name: format!("user {uid}"), uid, gid })
    }

    /// Looks `name` up in the user database.
    ///
    /// # Errors
    /// [`PrivilegeError::UnknownUser`], [`PrivilegeError::Step`].
    pub fn named(name: &str) -> Result<Self, PrivilegeError> {
        let unknown = || PrivilegeError::UnknownUser(name.to_owned());
        let c_name = CString::new(name).map_err(|_| unknown())?;
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = core::ptr::null_mut();
        let mut text = vec![0 as libc::c_char; TEXT_MAX];
        let (entry_pointer, text_pointer) = (entry.as_mut_ptr(), text.as_mut_ptr());
        // JUSTIFICATION: std cannot look users up.
        // SAFETY: all four pointers are to memory of this function, of the length given.
        let errno = unsafe {
            libc::getpwnam_r(c_name.as_ptr(), entry_pointer, text_pointer, TEXT_MAX, &raw mut found)
        };
        if errno != 0 {
            return Err(step("looking the user up")(io::Error::from_raw_os_error(errno)));
        }
        if found.is_null() {
            return Err(unknown());
        }
        // JUSTIFICATION: the entry was filled in by a C call.
        // SAFETY: getpwnam_r returned 0 and a found entry, so it has written all of it.
        let entry = unsafe { entry.assume_init() };
        Ok(Self { name: name.to_owned(), uid: entry.pw_uid, gid: entry.pw_gid })
    }
}

/// Becomes `user` (when given) and keeps the capabilities `kept` and no others, for good: no
/// program started from here can gain any either.
///
/// Capabilities in `kept` that the process does not have are not an error; those it then has are
/// returned.
///
/// # Errors
/// [`PrivilegeError`]; the process should exit, since some rights may be gone and others not.
pub fn drop_privileges(
    user: Option<&User>,
    kept: &[Capability],
) -> Result<Vec<Capability>, PrivilegeError> {
    let had = read(CapSet::Permitted)?;
    let kept: CapsHashSet = kept.iter().copied().filter(|cap| had.contains(cap)).collect();
    renounce()?;
    if let Some(user) = user {
        caps::securebits::set_keepcaps(true).map_err(denied("keeping capabilities"))?;
        become_user(user)?;
        caps::securebits::set_keepcaps(false).map_err(denied("keeping capabilities"))?;
    }
    caps::clear(None, CapSet::Ambient).map_err(denied("clearing ambient capabilities"))?;
    // Effective within permitted: grow nothing, then shrink both.
    caps::set(None, CapSet::Effective, &kept).map_err(denied("reducing capabilities"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(denied("reducing capabilities"))?;
    caps::clear(None, CapSet::Inheritable).map_err(denied("reducing capabilities"))?;
    set_no_new_privileges()?;
    let left = read(CapSet::Permitted)?;
    match left.iter().find(|cap| !kept.contains(cap)) {
        Some(cap) => Err(PrivilegeError::StillThere(*cap)),
        None => Ok(left.into_iter().collect()),
    }
}

/// Why privileges could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Not in the user database.
    #[error("there is no user {0:?} on this machine; create it (useradd --system) or name another")]
    UnknownUser(String),
    /// A step failed.
    #[error("cannot give up privileges: {step}: {cause}; start as root, or leave `user` out")]
    Step {
        /// What was being done.
        step: &'static str,
        /// What the kernel or the user database said.
        cause: io::Error,
    },
    /// A capability step failed.
    #[error("cannot give up privileges: {step}: {cause}")]
    Capabilities {
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        cause: String,
    },
    /// The kernel said yes and did not do it.
    #[error("gave up {0} and still have it; not going on")]
    StillThere(Capability),
}

/// Empties the bounding set, which limits what a started program could gain, and ends for good that the
/// user 0 gains capabilities by starting one or that any become ambient. Both take CAP_SETPCAP; without it
/// `no_new_privs` serves the same end.
fn renounce() -> Result<(), PrivilegeError> {
    let effective = read(CapSet::Effective)?;
    if !effective.contains(&Capability::CAP_SETPCAP) {
        return Ok(());
    }
    for cap in read(CapSet::Bounding)? {
        caps::drop(None, CapSet::Bounding, cap).map_err(denied("emptying the bounding set"))?;
    }
    // JUSTIFICATION: std has no prctl.
    // SAFETY: takes integers.
    succeeded(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, ROOT_IS_NOBODY, 0, 0, 0) })
        .map_err(step("setting the secure bits"))
}

fn become_user(user: &User) -> Result<(), PrivilegeError> {
    let name = CString::new(user.name.as_str()).unwrap_or_default();
    set_groups(&name, user.gid).map_err(step("setting the groups"))?;
    // JUSTIFICATION: std cannot change the group of a running process.
    // SAFETY: takes integers; glibc applies it to all threads.
    succeeded(unsafe { libc::setresgid(user.gid, user.gid, user.gid) })
        .map_err(step("setting the group"))?;
    // JUSTIFICATION: as above.
    // SAFETY: as above.
    succeeded(unsafe { libc::setresuid(user.uid, user.uid, user.uid) })
        .map_err(step("setting the user"))
}

fn set_groups(name: &CStr, gid: u32) -> io::Result<()> {
    // JUSTIFICATION: std cannot set supplementary groups of a running process.
    // SAFETY: `name` is a C string that lives through the call.
    succeeded(unsafe { libc::initgroups(name.as_ptr(), gid) })
}

fn set_no_new_privileges() -> Result<(), PrivilegeError> {
    // JUSTIFICATION: std has no prctl.
    // SAFETY: takes integers.
    succeeded(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
        .map_err(step("setting no_new_privs"))
}

fn succeeded(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn read(set: CapSet) -> Result<CapsHashSet, PrivilegeError> {
    caps::read(None, set).map_err(denied("reading capabilities"))
}

fn step(step: &'static str) -> impl FnOnce(io::Error) -> PrivilegeError {
    move |cause| PrivilegeError::Step { step, cause }
}

fn denied(step: &'static str) -> impl FnOnce(caps::errors::CapsError) -> PrivilegeError {
    move |cause| PrivilegeError::Capabilities { step, cause: cause.to_string() }
}

/// linux/securebits.h: NOROOT and NO_CAP_AMBIENT_RAISE, both locked.
const ROOT_IS_NOBODY: libc::c_ulong = 1 << 0 | 1 << 1 | 1 << 6 | 1 << 7;

/// Room for the texts of one entry of the user database; glibc asks for 1 KiB.
const TEXT_MAX: usize = 16 << 10;

/// Whether the process is that of root, whose files it may read without any capability.
pub(crate) fn is_root() -> bool {
    effective_user() == 0
}

/// On whose behalf the process acts.
pub(crate) fn effective_user() -> u32 {
    // JUSTIFICATION: std does not say on whose behalf this process acts.
    // SAFETY: takes nothing and touches no memory.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_others_are_named() {
        let root = User::named("root").expect("every machine has one");
        assert_eq!((root.uid, root.gid), (0, 0));
        for name in ["no-such-user-here", "nul\0inside", ""] {
            let error = User::named(name).expect_err("unknown");
            assert!(matches!(error, PrivilegeError::UnknownUser(_)), "{error}");
        }
    }

    /// In a thread, whose capabilities are its own; the bounding set too.
    #[test]
    fn only_what_is_kept_is_left_and_nothing_can_be_gained() {
        let left = std::thread::spawn(|| {
            let kept = [Capability::CAP_NET_BIND_SERVICE];
            let able = read(CapSet::Effective)?.contains(&Capability::CAP_SETPCAP);
            let left = drop_privileges(None, &kept)?;
            let effective = read(CapSet::Effective)?;
            assert!(effective.iter().all(|cap| kept.contains(cap)), "{effective:?}");
            assert!(read(CapSet::Ambient)?.is_empty() && read(CapSet::Inheritable)?.is_empty());
            if able {
                let bounding = read(CapSet::Bounding)?;
                assert!(bounding.is_empty(), "{bounding:?}");
                // JUSTIFICATION: std has no prctl.
                // SAFETY: takes integers.
                let bits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS, 0, 0, 0, 0) };
                assert_eq!(bits as libc::c_ulong, ROOT_IS_NOBODY);
            }
            // JUSTIFICATION: std has no prctl.
            // SAFETY: takes integers.
            assert_eq!(unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) }, 1);
            let again = caps::raise(None, CapSet::Permitted, Capability::CAP_SYS_TIME);
            assert!(again.is_err(), "what was given up came back");
            Ok::<_, PrivilegeError>(left)
        });
        let left = left.join().expect("the thread").expect("dropped");
        assert!(left.is_empty() || left == [Capability::CAP_NET_BIND_SERVICE]);
    }

    /// Users belong to the whole process, so the test below runs in one of its own.
    #[test]
    fn another_user_keeps_only_what_is_kept() {
        if !read(CapSet::Effective).expect("capget").contains(&Capability::CAP_SETUID) {
            return eprintln!("skipped: needs root");
        }
        let program = std::env::current_exe().expect("this program");
        let child = "privileges::tests::in_a_process_of_its_own";
        let run =
            std::process::Command::new(program).args(["--exact", child, "--ignored"]).output();
        let output = run.expect("started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "changes the user of the process; run by the test above"]
    fn in_a_process_of_its_own() {
        let nobody = User::named("nobody").expect("every machine has one");
        let kept = [Capability::CAP_NET_BIND_SERVICE, Capability::CAP_SYS_NICE];
        let left = drop_privileges(Some(&nobody), &kept).expect("dropped");
        assert_eq!(left.len(), 2, "{left:?}");
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
        let line =
            |name| status.lines().find(|line| line.starts_with(name)).expect("a status line");
        let [uid, gid] = [nobody.uid, nobody.gid];
        assert_eq!(line("Uid:"), format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
        assert_eq!(line("Gid:"), format!("Gid:\t{gid}\t{gid}\t{gid}\t{gid}"));
        assert_eq!(line("NoNewPrivs:"), "NoNewPrivs:\t1");
        let eff = line("CapEff:").trim_start_matches("CapEff:").trim();
        let bits = Capability::CAP_NET_BIND_SERVICE.bitmask() | Capability::CAP_SYS_NICE.bitmask();
        assert_eq!(u64::from_str_radix(eff, 16).expect("hexadecimal"), bits);
        std::net::UdpSocket::bind("127.0.0.1:1011").expect("kept the right to low ports");
        assert!(std::fs::read("/etc/shadow").is_err(), "still reads what only root may");
    }
}
