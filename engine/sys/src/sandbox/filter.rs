//! System call filters (seccomp): lists of what is allowed, and what happens to the rest.
//!
//! A call that is not on the list fails with ENOSYS, as if the kernel did not have it: libc then falls back
//! to an older call instead of giving up, and the server goes on serving. The kernel notes it in its audit
//! log. In strict mode the process is killed instead.
//!
//! Calls without conditions cost next to nothing: the kernel works such filters out beforehand and looks at a
//! bit (since 5.11). None of the calls a worker makes per batch has a condition.
//!
//! Must never: look into memory (a filter cannot), or allow by number on another architecture.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::{Mode, Role, calls};

/// Confines this thread, and what it starts from now on, to what any thread may ever need.
pub(super) fn begin(mode: Mode) -> io::Result<()> {
    // glibc starts threads by clone3, whose flags a filter cannot see, unless there is none. Quietly: it
    // is asked for at each start of a thread.
    let only = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    install(&compile(only, SeccompAction::Allow, absent)?, 0)?;
    install(&allowing(&calls::all(), true, mode)?, libc::SECCOMP_FILTER_FLAG_LOG)
}

/// Confines this thread further, to what one of `role` needs.
pub(super) fn narrow(mode: Mode, role: Role) -> io::Result<()> {
    // Resolvers load libraries.
    let loads = role == Role::LookUp;
    install(&allowing(&calls::of(role), loads, mode)?, libc::SECCOMP_FILTER_FLAG_LOG)
}

/// A filter that allows `calls`, those to which it applies under conditions.
fn allowing(calls: &[c_long], may_execute: bool, mode: Mode) -> io::Result<BpfProgram> {
    let mut rules = BTreeMap::new();
    for &call in calls {
        rules.insert(call, conditions(call, may_execute)?);
    }
    let otherwise = match mode {
        Mode::Strict => SeccompAction::KillProcess,
        Mode::On | Mode::Off => SeccompAction::Errno(libc::ENOSYS as u32),
    };
    compile(rules, otherwise, SeccompAction::Allow)
}

/// Under which conditions `call` is allowed: any of them; none is always.
fn conditions(call: c_long, may_execute: bool) -> io::Result<Vec<SeccompRule>> {
    match call {
        // Threads, not processes, and in no other namespace.
        libc::SYS_clone => Ok(vec![masked(0, CLONE_KIND, libc::CLONE_THREAD as u64)?]),
        // Memory that could be run.
        libc::SYS_mmap | libc::SYS_mprotect if !may_execute => {
            Ok(vec![masked(2, libc::PROT_EXEC as u64, 0)?])
        }
        libc::SYS_socket | libc::SYS_socketpair => {
            FAMILIES.iter().map(|&family| masked(0, u64::from(u32::MAX), family as u64)).collect()
        }
        libc::SYS_bpf => {
            BPF_COMMANDS.iter().map(|&command| masked(0, u64::from(u32::MAX), command)).collect()
        }
        _ => Ok(Vec::new()),
    }
}

/// The argument numbered `argument`, of which only `mask` counts, is `value`.
fn masked(argument: u8, mask: u64, value: u64) -> io::Result<SeccompRule> {
    let equal = SeccompCmpOp::MaskedEq(mask);
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, equal, value);
    condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(io::Error::other)
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> io::Result<BpfProgram> {
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, architecture);
    filter.and_then(TryInto::try_into).map_err(io::Error::other)
}

fn install(program: &BpfProgram, flags: libc::c_ulong) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut().cast::<libc::sock_filter>(),
    };
    let (operation, program) = (libc::SECCOMP_SET_MODE_FILTER, &raw const program);
    // JUSTIFICATION: the crate that compiles filters installs them without the flag that has violations
    // noted.
    // SAFETY: the kernel copies the program during the call, from memory of the length given; both crates'
    // instructions are `struct sock_filter` of linux/filter.h.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// linux/bpf.h: of programs and maps that are there, elements written and deleted, and a link made to an
/// interface or to another program.
const BPF_COMMANDS: [u64; 4] = [2, 3, 28, 29];

/// linux/sched.h: the flags of `clone` that say whether it is a thread, and those for new namespaces.
const CLONE_KIND: u64 = (libc::CLONE_THREAD
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;
