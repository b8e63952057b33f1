//! What the sandbox lets through and what not, tried from inside. It cannot be left again, so each test runs
//! in a process of its own, and each thread there says what it could do.

use std::fs;
use std::io;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use timeball_sys::User;
use timeball_sys::sandbox::{Guard, Mode, Places, Role, begin, confine};

/// Runs the ignored test called `name` by itself.
fn alone(name: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    Command::new(program)
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap()
}

fn passes_alone(name: &str) {
    let output = alone(name);
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{:?}: {said}", output.status);
}

/// A directory of this process's own that may be written, and one beside it that may not even be read.
struct Ground {
    kept: PathBuf,
    foreign: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let base = std::env::temp_dir().join(format!("timeball-sandbox-{}", std::process::id()));
        let (kept, foreign) = (base.join("kept"), base.join("foreign"));
        fs::create_dir_all(&kept).unwrap();
        fs::create_dir_all(&foreign).unwrap();
        fs::write(foreign.join("secret"), "secret").unwrap();
        Self { kept, foreign }
    }

    fn places(&self) -> Places {
        Places { kept: vec![self.kept.clone()], ..Places::default() }
    }
}

impl Drop for Ground {
    /// What is left is what nobody here may remove: the test outside does.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.kept.parent().unwrap());
    }
}

/// Begins the sandbox, and says which of its parts are in force.
fn begun(mode: Mode, ground: &Ground) -> Vec<Guard> {
    let guards = begin(mode, ground.places()).expect("begun");
    for guard in guards.iter().filter(|guard| guard.missing.is_some()) {
        eprintln!("not here: {guard:?}");
    }
    guards
}

fn has(guards: &[Guard], name: &str) -> bool {
    guards.iter().any(|guard| guard.name.starts_with(name) && guard.missing.is_none())
}

/// What comes of `body` in a thread of `role`.
fn within<T: Send + 'static>(role: Role, body: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(move || {
        confine(role, &[]).expect("confined");
        body()
    });
    thread.join().expect("no panic")
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn call(number: libc::c_long, arguments: [libc::c_long; 3]) -> io::Result<()> {
    let [first, second, third] = arguments;
    // SAFETY: called with integers and null pointers only.
    let result = unsafe { libc::syscall(number, first, second, third) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn map_executable() -> io::Result<()> {
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping, which nobody uses.
    let mapped = unsafe { libc::mmap(core::ptr::null_mut(), 4096, access, kind, -1, 0) };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn calls_that_a_thread_does_not_need_fail_as_if_there_were_none() {
    passes_alone("from_inside_the_filters");
}

#[test]
#[ignore = "cannot be left; run by the test above"]
fn from_inside_the_filters() {
    let ground = Ground::new();
    if !has(&begun(Mode::On, &ground), "seccomp") {
        return eprintln!("skipped: no seccomp here");
    }
    let absent = Some(libc::ENOSYS);
    assert_eq!(errno(Command::new("true").spawn()), absent, "no other program");
    assert_eq!(errno(call(libc::SYS_ptrace, [0, 0, 0])), absent);
    assert_eq!(errno(call(libc::SYS_mount, [0, 0, 0])), absent);
    assert_eq!(errno(call(libc::SYS_kill, [1, 0, 0])), absent);
    let raw = [libc::AF_PACKET, libc::SOCK_RAW, 0].map(libc::c_long::from);
    assert_eq!(errno(call(libc::SYS_socket, raw)), absent, "no family but four");
    for role in [Role::Worker, Role::Log, Role::Discipline, Role::Network] {
        let path = ground.foreign.join("secret");
        assert_eq!(errno(within(role, || fs::read(path))), absent, "{role:?} opens a file");
    }
    for role in [Role::Worker, Role::Log, Role::Reader, Role::Writer] {
        let bound = within(role, || UdpSocket::bind("127.0.0.1:0"));
        assert_eq!(errno(bound), absent, "{role:?} makes a socket");
    }
    for role in [Role::Discipline, Role::Network, Role::Control, Role::LookUp] {
        assert!(within(role, || UdpSocket::bind("127.0.0.1:0")).is_ok(), "{role:?} has sockets");
    }
    // What is there may be put to an interface by the one thread that does; a program cannot be made by any.
    for (role, command, refused) in [
        (Role::Worker, BPF_LINK_CREATE, true),
        (Role::Network, BPF_LINK_CREATE, true),
        (Role::Driver, BPF_LINK_CREATE, false),
        (Role::Driver, BPF_PROG_LOAD, true),
    ] {
        let said = errno(within(role, move || call(libc::SYS_bpf, [command, 0, 0])));
        assert_eq!(said == absent, refused, "{role:?} {command}: {said:?}");
    }
    for role in [Role::Worker, Role::Discipline, Role::Control, Role::Writer] {
        assert!(errno(within(role, map_executable)).is_some(), "{role:?} makes code");
        assert!(within(role, || thread::Builder::new().spawn(|| {}).is_err()), "{role:?}");
    }
}

/// linux/bpf.h.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;

#[test]
fn files_and_hosts_that_a_thread_does_not_need_are_out_of_reach() {
    passes_alone("from_inside_the_rules");
}

#[test]
#[ignore = "cannot be left; run by the test above"]
fn from_inside_the_rules() {
    let ground = Ground::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let guards = begun(Mode::On, &ground);
    if !has(&guards, "landlock") {
        return eprintln!("skipped: no landlock here");
    }
    let secret = ground.foreign.join("secret");
    let denied = Some(libc::EACCES);
    assert_eq!(errno(fs::read(&secret)), denied);
    assert_eq!(errno(fs::write(&secret, "")), denied);
    for role in [Role::LookUp, Role::Control, Role::Reader, Role::Writer] {
        let path = secret.clone();
        assert_eq!(errno(within(role, || fs::read(path))), denied, "{role:?}");
    }
    // As root the permissions of these would let anybody read them.
    for role in [Role::LookUp, Role::Control, Role::Reader, Role::Writer] {
        assert_eq!(errno(within(role, || fs::read("/etc/shadow"))), denied, "{role:?}");
    }
    let is_root = User::current().expect("procfs").uid == 0;
    let other = || errno(fs::read("/etc/passwd"));
    assert_eq!(
        (within(Role::LookUp, other), other()),
        if is_root { (denied, denied) } else { (None, None) }
    );
    assert!(within(Role::LookUp, || fs::read("/etc/hosts")).is_ok());
    let kept = ground.kept.clone();
    let replaced = within(Role::Writer, move || {
        fs::write(kept.join("drift.new"), "1.0\n")?;
        fs::rename(kept.join("drift.new"), kept.join("drift"))?;
        fs::hard_link(kept.join("drift"), kept.join("link"))?;
        fs::remove_file(kept.join("link"))
    });
    replaced.expect("what is kept can be replaced");
    let drift = ground.kept.join("drift");
    assert_eq!(errno(within(Role::Control, || fs::write(drift, ""))), denied);
    if guards.iter().any(|guard| guard.name.contains("in part")) {
        return eprintln!("skipped: this kernel's landlock knows no connections");
    }
    let address = listener.local_addr().unwrap();
    assert_eq!(errno(TcpStream::connect(address)), denied, "a connection to port {address}");
}

#[test]
fn in_strict_mode_a_call_that_is_not_on_the_list_ends_the_process() {
    let output = alone("in_strict_mode");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("skipped") {
        return eprintln!("{said}");
    }
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{:?}: {said}", output.status);
}

#[test]
#[ignore = "ends the process; run by the test above"]
fn in_strict_mode() {
    let ground = Ground::new();
    if let Err(error) = begin(Mode::Strict, ground.places()) {
        return eprintln!("skipped: {error}");
    }
    // It will not be dropped.
    let _ = fs::remove_dir_all(ground.kept.parent().unwrap());
    let _ = call(libc::SYS_ptrace, [0, 0, 0]);
    unreachable!("still alive");
}

#[test]
fn switched_off_nothing_is_confined_but_privileges() {
    passes_alone("switched_off");
}

#[test]
#[ignore = "gives up privileges; run by the test above"]
fn switched_off() {
    let ground = Ground::new();
    assert!(begun(Mode::Off, &ground).is_empty());
    let secret = ground.foreign.join("secret");
    assert!(within(Role::Worker, || fs::read(secret)).is_ok());
}
