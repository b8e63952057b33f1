//! Which system calls a thread needs, by what it is for.
//!
//! Groups name what is done, so that a role reads as a sentence. They hold what a libc may use to the same
//! end too (glibc and musl, older and newer), because the next release of it must not end a server.
//!
//! Must never: list a call that starts another program, takes a file descriptor of another process, or
//! changes what the kernel is: nobody here needs one.

use libc::c_long;

use super::Role;

/// What the thread of `role` may call once it has begun its work.
pub(super) fn of(role: Role) -> Vec<c_long> {
    let groups: &[&[c_long]] = match role {
        Role::Worker => &[DATAGRAMS, WAITING, RING],
        Role::Discipline => &[DATAGRAMS, SOCKETS, WAITING, CLOCK],
        Role::Network => &[DATAGRAMS, SOCKETS, WAITING],
        Role::Driver => &[DATAGRAMS, SOCKETS, WAITING, BPF],
        Role::Control => &[DATAGRAMS, SOCKETS, SERVING, WAITING, READING, OLD_READING, WRITING],
        Role::Page => &[DATAGRAMS, SERVING, ENDING, WAITING],
        Role::LookUp => &[DATAGRAMS, SOCKETS, WAITING, READING, OLD_READING, IDENTITY],
        Role::Log => &[WAITING],
        Role::Reader => &[READING, OLD_READING, WAITING],
        Role::Writer => &[READING, OLD_READING, WRITING, OLD_WRITING, WAITING],
    };
    [RUNNING, OLD_WAITING].iter().chain(groups).copied().flatten().copied().collect()
}

/// What any thread may ever call, its own start included.
pub(super) fn all() -> Vec<c_long> {
    let groups = [
        RUNNING,
        DATAGRAMS,
        SOCKETS,
        SERVING,
        WAITING,
        OLD_WAITING,
        READING,
        OLD_READING,
        WRITING,
        OLD_WRITING,
        RING,
        CLOCK,
        BPF,
        IDENTITY,
        STARTING,
    ];
    groups.into_iter().flatten().copied().collect()
}

/// To run at all: memory, time, locks, signals, randomness, lines in the log, the end.
const RUNNING: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    FUTEX_WAKE,
    FUTEX_WAIT,
    FUTEX_REQUEUE,
    libc::SYS_sched_yield,
    libc::SYS_getcpu,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // These cannot fail, so nobody looks whether they did.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_tgkill,
    libc::SYS_getrandom,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    // Whichever thread a signal reaches tells the main thread by it.
    libc::SYS_sendto,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// To move datagrams over sockets that are there.
const DATAGRAMS: &[c_long] = &[
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_getsockopt,
];

/// To make sockets; of which families, the filter says.
const SOCKETS: &[c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_shutdown,
];

/// To take connections.
const SERVING: &[c_long] = &[libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4];

/// To end a connection in order.
const ENDING: &[c_long] = &[libc::SYS_shutdown];

/// To sleep until something happens.
const WAITING: &[c_long] = &[
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
];

/// To read files.
const READING: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_statfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_fadvise64,
    libc::SYS_flock,
];

/// To write files, and put them in the place of others.
const WRITING: &[c_long] = &[
    libc::SYS_pwrite64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    libc::SYS_umask,
];

/// To run a ring that is there, and to end it.
const RING: &[c_long] = &[libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// To read the kernel clock's state. To change it takes CAP_SYS_TIME besides, which only a discipline thread
/// that steers has.
const CLOCK: &[c_long] = &[libc::SYS_clock_adjtime, libc::SYS_adjtimex, libc::SYS_clock_settime];

/// To put a BPF program where it is wanted and amend its tables; which commands, the filter says.
const BPF: &[c_long] = &[libc::SYS_bpf];

/// To know the machine and oneself, as resolvers want to.
const IDENTITY: &[c_long] = &[
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
    libc::SYS_prlimit64,
];

/// To start a thread, and for that thread to get where and what it is to be.
const STARTING: &[c_long] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_tid_address,
    libc::SYS_prctl,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_seccomp,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_getparam,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_get_priority_max,
    libc::SYS_io_uring_setup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getrlimit,
];

// What x86-64 has besides for the sake of old programs, and libc still uses there.

#[cfg(target_arch = "x86_64")]
const OLD_WAITING: &[c_long] = &[
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_create,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_time,
];
#[cfg(target_arch = "x86_64")]
const OLD_READING: &[c_long] =
    &[libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink];
#[cfg(target_arch = "x86_64")]
const OLD_WRITING: &[c_long] =
    &[libc::SYS_rename, libc::SYS_link, libc::SYS_symlink, libc::SYS_mkdir];

#[cfg(not(target_arch = "x86_64"))]
const OLD_WAITING: &[c_long] = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLD_READING: &[c_long] = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLD_WRITING: &[c_long] = &[];

/// Since Linux 6.7, the same number everywhere; the bindings do not have them yet.
const FUTEX_WAKE: c_long = 454;
const FUTEX_WAIT: c_long = 455;
const FUTEX_REQUEUE: c_long = 456;
