//! Hosts of the tests' own: a user and network namespace each, where no process can reach a real network or
//! set a clock, and where port 123 is free.
#![expect(dead_code, unreachable_pub, reason = "each test binary is a crate and uses its part")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A namespace that lives as long as this value, with loopback up.
pub struct Host {
    holder: Child,
    /// Its root is the machine's, but cannot set a clock.
    is_root: bool,
}

impl Host {
    /// Makes a namespace; fails the test with the reason if the system does not allow it.
    pub fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
        command.arg("ip link set lo up && echo up && exec cat");
        Self { holder: hold(command), is_root: false }
    }

    /// One for what the root of a namespace may not: to load BPF programs. `None`, and a line why, where the
    /// machine's may not either.
    pub fn of_root() -> Option<Self> {
        if let Err(error) = timeball_sys::xdp::Program::load() {
            eprintln!("skipped: {error}");
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        Some(Self { holder: hold(command), is_root: true })
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        if !self.is_root {
            command.args(["--preserve-credentials", "--user"]);
        }
        command.args(["--net", "--target"]).arg(self.holder.id().to_string()).arg("--");
        if self.is_root {
            command.args(["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time", "--"]);
        }
        command.arg(program.as_ref());
        command
    }

    /// `timeball` inside, with `arguments`.
    pub fn timeball(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(timeball_program());
        command.args(arguments);
        command
    }

    /// A second host, joined to this one by a `veth`: `here` is this one's device, `there` the other's.
    pub fn neighbour(&self, here: &str, there: &str) -> Self {
        let mut command = self.command("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        let neighbour = Self { holder: hold(command), is_root: self.is_root };
        self.join(&neighbour, here, there);
        neighbour
    }

    /// Joins a neighbour to this one by one more `veth`.
    pub fn join(&self, neighbour: &Self, here: &str, there: &str) {
        let number = neighbour.holder.id().to_string();
        self.ip(&format!("link add {here} type veth peer name {there} netns {number}"));
        for (host, device) in [(self, here), (neighbour, there)] {
            host.ip(&format!("link set {device} up"));
        }
    }

    /// Runs `ip` inside.
    pub fn ip(&self, arguments: &str) {
        let output = self.command("ip").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {}", text(&output));
    }

    /// `timeball serve` inside with the given config, ready to answer.
    pub fn serve(&self, config: &str) -> Daemon {
        let file = Scratch::file("timeball.toml", config);
        let mut command = self.timeball(&["serve"]);
        command.arg(&file.path);
        let mut daemon = Daemon::start(command);
        daemon.wait_for("ready");
        daemon.scratch.push(file);
        daemon
    }

    /// Runs `timeball query` inside and returns what it says as JSON.
    pub fn query(&self, servers: &[&str]) -> serde_json::Value {
        let output = self.timeball(&["query", "--json"]).args(servers).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A process that is ended with the test, whose output is kept.
pub struct Daemon {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    seen: Vec<String>,
    scratch: Vec<Scratch>,
}

impl Daemon {
    /// Starts `command`.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = std::sync::mpsc::channel();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        forward(stdout, sender.clone());
        forward(stderr, sender);
        Self { child, lines, seen: Vec::new(), scratch: Vec::new() }
    }

    /// Keeps `file` as long as the process.
    pub fn keep(&mut self, file: Scratch) {
        self.scratch.push(file);
    }

    /// Waits for a line of output that contains `words`, and returns it.
    pub fn wait_for(&mut self, words: &str) -> String {
        self.wait_for_within(words, PATIENCE)
    }

    /// The same with another limit than [`PATIENCE`].
    pub fn wait_for_within(&mut self, words: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        if let Some(line) = self.seen.iter().find(|line| line.contains(words)) {
            return line.clone();
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {words:?} within {patience:?}:\n{}", self.seen.join("\n"))
            };
            self.seen.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits until it is ready, or has ended, and says whether it is ready.
    pub fn is_up(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.so_far().iter().any(|line| line.contains("ready")) {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() || Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All lines of output until now.
    pub fn so_far(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`, such as "TERM", to the process.
    pub fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args(["-s", signal, &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end, and returns the exit code (`None`: a signal) and all lines.
    pub fn finish(mut self) -> (Option<i32>, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "does not end:\n{}", self.seen.join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut lines = std::mem::take(&mut self.seen);
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
            lines.push(line);
        }
        (status.code(), lines)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a namespace's holder and waits until its network is up.
fn hold(mut command: Command) -> Child {
    let holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut holder = holder.expect("unshare (package util-linux) starts");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "up", "unprivileged user namespaces and `ip` are needed");
    holder
}

/// The server's program; for tests of another package, which include this file, the one built beside them.
pub fn timeball_program() -> PathBuf {
    option_env!("CARGO_BIN_EXE_timeball").map_or_else(
        || std::env::current_exe().unwrap().parent().unwrap().with_file_name("timeball"),
        PathBuf::from,
    )
}

fn forward(stream: impl Read + Send + 'static, lines: std::sync::mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// A file of the test's own, removed with this value.
pub struct Scratch {
    /// Where it is.
    pub path: PathBuf,
}

impl Scratch {
    /// A file called `name` with `contents`, in a directory of its own.
    pub fn file(name: &str, contents: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("timeball-test-{}-{unique}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        std::fs::write(&path, contents).unwrap();
        Self { path }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.path.parent().unwrap());
    }
}

/// `timeball serve` with a control socket of the test's own.
pub struct Controlled {
    /// The server.
    pub daemon: Daemon,
    /// Its control socket.
    pub socket: PathBuf,
    /// Its directory, which goes with this.
    pub directory: Scratch,
}

impl Controlled {
    /// Starts it on `host` with the given config.
    pub fn start(host: &Host, config: &str) -> Self {
        Self::with(config, |path| {
            let mut command = host.timeball(&["serve"]);
            command.arg(path);
            command
        })
    }

    /// The same, with something more done to the command that starts it.
    pub fn watched(host: &Host, config: &str, more: impl Fn(&mut Command)) -> Self {
        Self::with(config, |path| {
            let mut command = host.timeball(&["serve"]);
            command.arg(path);
            more(&mut command);
            command
        })
    }

    /// The same on a host that knows the names in the file `hosts`, and no others.
    pub fn named(host: &Host, hosts: &Scratch, config: &str) -> Self {
        Self::with(config, |path| {
            let mut command = host.command("unshare");
            command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
            command.arg(&hosts.path).arg(timeball_program()).arg("serve").arg(path);
            command
        })
    }

    /// Starts it outside of any namespace.
    pub fn here(config: &str) -> Self {
        Self::with(config, |path| {
            let mut command = Command::new(timeball_program());
            command.arg("serve").arg(path);
            command
        })
    }

    fn with(config: &str, command: impl Fn(&Path) -> Command) -> Self {
        let file = Scratch::file("timeball.toml", "");
        let socket = file.path.with_file_name("control.sock");
        let control = format!("[control]\ncontrol_socket = \"{}\"\n", socket.display());
        std::fs::write(&file.path, format!("{control}{config}")).unwrap();
        let mut daemon = Daemon::start(command(&file.path));
        daemon.wait_for("ready");
        Self { daemon, socket, directory: file }
    }

    /// Runs `timeball COMMAND` for it.
    pub fn ask(&self, command: &str, arguments: &[&str]) -> Output {
        ask_at(&self.socket, command, arguments)
    }

    /// What it says of itself.
    pub fn report(&self) -> serde_json::Value {
        let output = self.ask("status", &["--json"]);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
    }

    /// Waits until `holds` of that, and returns it.
    pub fn wait_until(
        &self,
        what: &str,
        holds: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let begun = Instant::now();
        loop {
            let report = self.report();
            if holds(&report) {
                return report;
            }
            assert!(begun.elapsed() < 2 * PATIENCE, "{what}: {report:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A thread that is kept from running, as a bug would keep it.
pub struct Held {
    holder: Child,
}

impl Held {
    /// Stops the thread called `name` of the process `pid`, which runs on `host`.
    pub fn thread(host: &Host, pid: u32, name: &str) -> Self {
        let mut holder = host.command("python3");
        holder.args(["-c", HOLD]).arg(thread_id(pid, name));
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut held = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut held).unwrap();
        assert_eq!(held, "held\n");
        Self { holder }
    }

    /// Lets it run again.
    pub fn release(mut self) {
        drop(self.holder.stdin.take());
        assert!(self.holder.wait().unwrap().success());
    }
}

/// Number of the thread called `name` of the process `pid`.
pub fn thread_id(pid: u32, name: &str) -> std::ffi::OsString {
    // A thread names itself, which may be a moment after it was started.
    let begun = Instant::now();
    loop {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let comm = |task: &Path| std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        let mut tasks = tasks.map(|task| task.unwrap().path());
        if let Some(thread) = tasks.find(|task| comm(task).trim() == name) {
            return thread.file_name().unwrap().to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "no thread {name}");
    }
}

/// Attaches to the thread named by its argument, which stops it, until its input ends.
const HOLD: &str = "\
import ctypes, os, sys
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ATTACH, DETACH, WALL, thread = 16, 17, 0x40000000, int(sys.argv[1])
if ptrace(ATTACH, thread, None, None) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(thread, WALL)
print('held', flush=True)
sys.stdin.read()
ptrace(DETACH, thread, None, None)
";

/// Runs `timeball COMMAND` for the server with this control socket.
pub fn ask_at(socket: &Path, command: &str, arguments: &[&str]) -> Output {
    let mut timeball = Command::new(timeball_program());
    timeball.args([command, "--socket"]).arg(socket).args(arguments).output().unwrap()
}

/// Where `tests/peers` has put the real peers; fails the test with the remedy if it has not.
pub fn peer(path: &str) -> PathBuf {
    let root = std::env::var_os("TIMEBALL_PEERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"),
        PathBuf::from,
    );
    let program = root.join(path);
    assert!(program.exists(), "{} is missing: run tests/peers first", program.display());
    program
}

/// chronyd inside, as a server with `directives`, unable to touch the clock.
pub fn chronyd(host: &Host, directives: &[&str]) -> Daemon {
    // It removes its pid file at the end: never let that be anything but a file of the test's own.
    let pid_file = Scratch::file("chronyd.pid", "");
    let mut command = host.command(peer("chrony/usr/sbin/chronyd"));
    command.args(["-x", "-d", "-u", "root", "-f", "/dev/null", "cmdport 0", "allow"]);
    command.arg(format!("pidfile {}", pid_file.path.display())).args(directives);
    let mut daemon = Daemon::start(command);
    daemon.wait_for("Running with root privileges");
    daemon.scratch.push(pid_file);
    daemon
}

/// chronyd inside, which asks `server` once and sets nothing, with more `directives`.
pub fn chronyd_once(host: &Host, server: &str, directives: &[&str]) -> Output {
    let mut command = host.command(peer("chrony/usr/sbin/chronyd"));
    command.args(["-Q", "-t", "30", "-f", "/dev/null", "-u", "root", server]).args(directives);
    command.output().unwrap()
}

/// A Python program of NTPsec's, with its library beside it.
pub fn ntpsec(host: &Host, program: &str) -> Command {
    let mut command = host.command(peer(program));
    command
        .env("PYTHONPATH", peer("python3-ntp/usr/lib/python3/dist-packages"))
        .env("PATH", format!("{}:/usr/bin:/bin", peer("ntpsec-ntpdig/usr/bin").display()));
    command
}

/// Standard output and standard error of a finished process, as text.
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// How long anything may take before a test gives up: far more than it needs.
pub const PATIENCE: Duration = Duration::from_secs(30);
