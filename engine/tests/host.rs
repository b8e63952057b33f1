//! A host that withholds something: the server makes do, says so once, and answers everybody.

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Daemon, Host, Scratch, text};

/// Runs the rest of its arguments with a seccomp filter, as a container would: `uring` refuses io_uring_setup
/// with EPERM, `ipv6` refuses sockets of that family as a kernel without it does.
const WITHOUT: &str = "\
import ctypes, os, platform, struct, sys
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO, NUMBER, FIRST_ARGUMENT = 0x7fff0000, 0x00050000, 0, 16
NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2
IO_URING_SETUP, SOCKET = 425, {'x86_64': 41, 'aarch64': 198}[platform.machine()]
AF_INET6, EPERM, EAFNOSUPPORT = 10, 1, 97
filters = {
    'uring': [(LOAD, 0, 0, NUMBER), (EQUAL, 0, 1, IO_URING_SETUP), (RETURN, 0, 0, ERRNO | EPERM),
              (RETURN, 0, 0, ALLOW)],
    'ipv6': [(LOAD, 0, 0, NUMBER), (EQUAL, 0, 3, SOCKET), (LOAD, 0, 0, FIRST_ARGUMENT),
             (EQUAL, 0, 1, AF_INET6), (RETURN, 0, 0, ERRNO | EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)],
}
program = filters[sys.argv[1]]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in program))
class Program(ctypes.Structure):
    _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
prctl = ctypes.CDLL(None, use_errno=True).prctl
whole = Program(len(program), ctypes.cast(code, ctypes.c_void_p))
if prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(SECCOMP, FILTER, ctypes.byref(whole)):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])
";

/// `timeball serve` without something, by this launcher and its arguments.
fn serve(host: &Host, launcher: &[&str]) -> (Daemon, Vec<String>) {
    let mut command = host.command(launcher[0]);
    command.args(&launcher[1..]).arg(env!("CARGO_BIN_EXE_timeball")).arg("serve");
    let mut server = Daemon::start(command);
    server.wait_for("ready");
    let said = server.so_far().to_vec();
    (server, said)
}

fn assert_answers_all(host: &Host, servers: &[&str]) {
    let said = host.query(servers);
    for server in said["servers"].as_array().unwrap() {
        assert_eq!(server["replies"], server["requests"], "{said}");
    }
}

#[test]
fn where_io_uring_is_forbidden_one_line_says_so_and_all_are_answered() {
    let host = Host::new();
    let (mut server, said) = serve(&host, &["python3", "-c", WITHOUT, "uring"]);
    let about: Vec<_> = said.iter().filter(|line| line.contains("io_uring")).collect();
    assert!(about.len() == 1 && about[0].contains("recvmmsg"), "{said:?}");
    assert_answers_all(&host, &["127.0.0.1", "::1"]);
    server.signal("TERM");
    server.wait_for("worker 0:");
}

#[test]
fn without_a_byte_of_lockable_memory_all_are_answered() {
    let host = Host::new();
    // Without CAP_IPC_LOCK the limit counts.
    let launcher = ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", "--"];
    let limit = ["prlimit", "--memlock=0:0", "--"];
    let (_server, said) = serve(&host, &[&launcher[..], &limit[..]].concat());
    assert!(said.iter().any(|line| line.contains("carrier")), "{said:?}");
    assert_answers_all(&host, &["127.0.0.1", "::1"]);
}

#[test]
fn it_opens_as_many_sockets_as_the_operator_allows_not_as_the_shell_does() {
    let host = Host::new();
    let sources: String =
        (1..=60).map(|n| format!("[[source]]\naddress = \"127.9.0.{n}\"\n")).collect();
    let config = Scratch::file("t.toml", &sources);
    let mut command = host.command("prlimit");
    command.args(["--nofile=60:1000", "--", env!("CARGO_BIN_EXE_timeball"), "serve"]);
    command.arg(&config.path);
    let mut server = Daemon::start(command);
    server.wait_for("ready");
    // Each source has a socket of its own from its first request on.
    let sockets = || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
        let is_socket = |file: &std::path::PathBuf| {
            std::fs::read_link(file).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        };
        open.map(|entry| entry.unwrap().path()).filter(is_socket).count()
    };
    let deadline = Instant::now() + common::PATIENCE;
    while sockets() < 60 {
        assert!(Instant::now() < deadline, "{} sockets", sockets());
    }
}

#[test]
fn a_receive_buffer_that_the_kernel_has_cut_is_told_once_with_the_remedy() {
    let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
    if limit.trim().parse::<usize>().unwrap() >= 67_108_864 {
        return eprintln!("skipped: this kernel allows {limit} octets");
    }
    let host = Host::new();
    let config = Scratch::file("t.toml", "[server]\nreceive_buffer_bytes = 67108864\n");
    let mut command = host.command("setpriv");
    command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"]);
    command.args([env!("CARGO_BIN_EXE_timeball"), "serve"]).arg(&config.path);
    let mut server = Daemon::start(command);
    server.wait_for("ready");
    let remedy = "sysctl -w net.core.rmem_max=67108864";
    let told: Vec<_> = server.so_far().iter().filter(|line| line.contains(remedy)).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn on_a_kernel_without_ipv6_it_serves_ipv4_and_says_so() {
    let host = Host::new();
    let (_server, said) = serve(&host, &["python3", "-c", WITHOUT, "ipv6"]);
    let listening = said.iter().find(|line| line.contains("listening")).unwrap();
    assert!(listening.contains("0.0.0.0:123") && !listening.contains("[::]"), "{said:?}");
    assert_answers_all(&host, &["127.0.0.1"]);
}

#[test]
fn workers_are_as_many_as_the_cores_it_may_use() {
    let host = Host::new();
    let (server, said) = serve(&host, &["taskset", "-c", "0"]);
    assert!(said.iter().any(|line| line.contains("1 on core 0")), "{said:?}");
    assert_answers_all(&host, &["127.0.0.1", "::1"]);
    drop(server);
}

#[test]
fn workers_follow_the_cores_that_are_taken_away_and_given_back() {
    let cores = timeball_sys::allowed_cores();
    let [first, second, ..] = cores[..] else { return eprintln!("skipped: needs two cores") };
    let host = Host::new();
    let both = format!("{first},{second}");
    let (mut server, _) = serve(&host, &["taskset", "-c", &both]);
    wait_for_workers(&server, &[first, second]);
    for (allowed, words, left) in [
        (second.to_string(), format!("workers on core {second}"), vec![second]),
        (both, format!("workers on cores {first}, {second}"), vec![first, second]),
    ] {
        // Of the main thread: threads that it starts have what it has.
        let mut taskset = Command::new("taskset");
        let set = taskset.args(["-p", "-c", &allowed, &server.pid().to_string()]).output().unwrap();
        assert!(set.status.success(), "{}", text(&set));
        server.wait_for(&words);
        wait_for_workers(&server, &left);
        assert_answers_all(&host, &["127.0.0.1", "::1"]);
    }
    let said = server.so_far().iter().filter(|line| line.contains("the process may use"));
    assert_eq!(said.count(), 2, "once for each change");
}

/// Waits until `server` has workers on these cores, each on its own, and no others. (A thread that has ended
/// may be seen for a moment.)
fn wait_for_workers(server: &Daemon, cores: &[usize]) {
    let deadline = Instant::now() + common::PATIENCE;
    let mut wanted: Vec<_> = cores.iter().map(usize::to_string).collect();
    wanted.sort_unstable();
    while workers(server) != wanted {
        assert!(Instant::now() < deadline, "{:?}, not {wanted:?}", workers(server));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The cores of the workers of `server`, as the kernel has it.
fn workers(server: &Daemon) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let status =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
    let workers = status.filter(|status| status.starts_with("Name:\tworker-"));
    let core = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.unwrap().trim().to_owned()
    };
    let mut cores: Vec<String> = workers.map(core).collect();
    cores.sort_unstable();
    cores
}
