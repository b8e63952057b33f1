//! Threads that stop: who notices, what is said, and what becomes of the server.

mod common;

use std::os::unix::net::UnixDatagram;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Controlled, Daemon, Held, Host, Scratch};

/// A service manager that wants a sign of life every two seconds, and hears whatever it is told.
struct Manager {
    messages: mpsc::Receiver<String>,
    path: Scratch,
}

impl Manager {
    fn new() -> Self {
        let path = Scratch::file("notify", "");
        std::fs::remove_file(&path.path).unwrap();
        let socket = UnixDatagram::bind(&path.path).unwrap();
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            let mut message = [0; 1024];
            while let Ok(len) = socket.recv(&mut message) {
                if sender.send(String::from_utf8_lossy(&message[..len]).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { messages, path }
    }

    /// What it is told within `patience`, or nothing.
    fn hear(&self, patience: Duration) -> Option<String> {
        self.messages.recv_timeout(patience).ok()
    }

    fn wait_for(&self, words: &str) {
        let begun = Instant::now();
        while !self.hear(common::PATIENCE).is_some_and(|said| said.contains(words)) {
            assert!(begun.elapsed() < 2 * common::PATIENCE, "not told {words}");
        }
    }
}

#[test]
fn a_stuck_thread_is_named_and_the_service_manager_gets_no_sign_of_life_until_it_goes_on() {
    let host = Host::new();
    let manager = Manager::new();
    let mut server = Controlled::watched(&host, "[server]\ncores = [0]\n", |command| {
        command.env("NOTIFY_SOCKET", &manager.path.path).env("WATCHDOG_USEC", "2000000");
    });
    manager.wait_for("WATCHDOG=1");
    for thread in ["worker-0", "discipline", "control"] {
        let held = Held::thread(&host, server.daemon.pid(), thread);
        server.daemon.wait_for(&format!("{thread} is stuck"));
        manager.wait_for(&format!("STATUS=STUCK: {thread}"));
        // Signs of life come four times in two seconds.
        while let Some(said) = manager.hear(Duration::from_millis(1500)) {
            assert!(!said.contains("WATCHDOG=1"), "{said}");
        }
        if thread != "control" {
            assert_eq!(server.report()["stuck"], serde_json::json!([thread]));
            let why = server.ask("why", &[]);
            assert!(common::text(&why).contains(&format!("{thread} is stuck")), "{why:?}");
        }
        held.release();
        server.daemon.wait_for(&format!("{thread} goes on"));
        manager.wait_for("WATCHDOG=1");
        server.wait_until("all goes on", |report| report["stuck"] == serde_json::json!([]));
    }
    server.daemon.signal("TERM");
    assert_eq!(server.daemon.finish().0, Some(0));
}

#[test]
fn a_process_that_was_stopped_as_a_whole_is_not_taken_for_stuck() {
    let host = Host::new();
    let manager = Manager::new();
    let mut server = Controlled::watched(&host, "", |command| {
        command.env("NOTIFY_SOCKET", &manager.path.path).env("WATCHDOG_USEC", "2000000");
    });
    manager.wait_for("WATCHDOG=1");
    server.daemon.signal("STOP");
    // Longer than a thread may keep still.
    std::thread::sleep(Duration::from_secs(6));
    while manager.hear(Duration::from_millis(1)).is_some() {}
    server.daemon.signal("CONT");
    manager.wait_for("WATCHDOG=1");
    assert!(!server.daemon.so_far().iter().any(|line| line.contains("stuck")));
}

#[test]
fn a_service_manager_that_has_stopped_reading_stops_nothing() {
    let host = Host::new();
    let path = Scratch::file("notify", "");
    std::fs::remove_file(&path.path).unwrap();
    let deaf = UnixDatagram::bind(&path.path).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"STATUS=full", &path.path).is_ok() {}
    let mut server = Controlled::watched(&host, "[server]\ncores = [0]\n", |command| {
        command.env("NOTIFY_SOCKET", &path.path).env("WATCHDOG_USEC", "2000000");
    });
    let held = Held::thread(&host, server.daemon.pid(), "worker-0");
    server.daemon.wait_for("worker-0 is stuck");
    held.release();
    server.daemon.wait_for("worker-0 goes on");
    server.daemon.signal("TERM");
    assert_eq!(server.daemon.finish().0, Some(0));
    drop(deaf);
}

/// Makes each call by which the thread named by its first argument could wait for datagrams fail with EBADF.
const FAIL: &str = "\
import ctypes, os, sys
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.restype = ctypes.c_long
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PEEKUSER, POKEUSER, ATTACH, SYSCALL, WALL = 3, 6, 16, 24, 0x40000000
RAX, ORIG_RAX, thread = 80, 120, int(sys.argv[1])
IO_URING_ENTER, RECVMMSG, PPOLL, POLL = 426, 299, 271, 7
def wait():
    status = os.waitpid(thread, WALL)[1]
    if os.WIFEXITED(status) or os.WIFSIGNALED(status):
        sys.exit(0)
if ptrace(ATTACH, thread, None, None) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
wait()
entering = True
while ptrace(SYSCALL, thread, None, None) == 0:
    wait()
    call = ptrace(PEEKUSER, thread, ORIG_RAX, None)
    entering = ptrace(PEEKUSER, thread, RAX, None) == -38
    if entering and call in (IO_URING_ENTER, RECVMMSG, PPOLL, POLL):
        ptrace(POKEUSER, thread, ORIG_RAX, -1)
        ptrace(SYSCALL, thread, None, None)
        wait()
        ptrace(POKEUSER, thread, RAX, -9)
";

#[test]
fn a_worker_that_can_receive_no_more_ends_the_process_with_a_reason() {
    if !cfg!(target_arch = "x86_64") {
        return println!("skipped: knows the registers of x86-64 only");
    }
    for backend in ["auto", "mmsg"] {
        // A ring keeps its port for some time after the process has gone: each has a host of its own.
        let host = Host::new();
        let server = host.serve(&format!("[server]\ncores = [0]\nbackend = \"{backend}\"\n"));
        let mut saboteur = host.command("python3");
        saboteur.args(["-c", FAIL]).arg(common::thread_id(server.pid(), "worker-0"));
        let _saboteur = Daemon::start(saboteur);
        let begun = Instant::now();
        let (code, lines) = server.finish();
        assert_eq!(code, Some(70), "{lines:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let reason = lines.iter().find(|line| line.contains("worker on core 0")).expect("a reason");
        assert!(reason.contains("ending"), "{reason}");
    }
}
