//! The server, its upstreams, its clients and its disk; and what must hold again after each fault.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use timeball_discipline::{drift, state};

use crate::client::Clients;
use crate::common::{Daemon, Scratch, text, timeball_program};
use crate::upstream::Upstream;

/// Everything there is.
pub(crate) struct Arena {
    /// Holds the server's network namespace.
    holder: Child,
    scratch: Scratch,
    pub(crate) disk: PathBuf,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) clients: Clients,
    server: Option<Daemon>,
    /// Descriptors and kibibytes of the server when it had just begun.
    baseline: [u64; 2],
    faults: usize,
    /// After a fault it answers, and is synchronised, within these. Far more than it takes: the machine
    /// may be busy with other things.
    pub(crate) limits: [Duration; 2],
    /// What runs during a fault.
    pub(crate) nuisances: Vec<Nuisance>,
}

/// How much a server may grow. The tables of its clients are touched page by page as floods come, and what
/// the reports of busy moments have borrowed is kept for the next; a leak passes any bound when it is let
/// run for long enough by `tests/faults`.
const GROWTH_MAX_KIB: u64 = 32 << 10;

/// Ends a nuisance when it is called.
pub(crate) type Nuisance = Box<dyn FnOnce()>;

impl Arena {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::file("timeball.toml", "");
        let disk = scratch.path.with_file_name("disk");
        fs::create_dir(&disk).unwrap();
        run("mount", &format!("-t tmpfs -o size=4m,mode=777 none {}", disk.display()));
        ip("link set lo up");
        // A client may have any address of the local route.
        fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
        let holder = hold();
        let arena_disk = disk.clone();
        let number = holder.id();
        ip(&format!("link add up0 type veth peer name down0 netns {number}"));
        let mut arena = Self {
            holder,
            scratch,
            disk: arena_disk,
            upstreams: Vec::new(),
            clients: Clients::start(Vec::new(), &[], 0),
            server: None,
            baseline: [0; 2],
            faults: 0,
            limits: [Duration::from_secs(10), Duration::from_secs(60)],
            nuisances: Vec::new(),
        };
        ip("link set up0 up");
        arena.inside("ip", "link set down0 up");
        arena.address_them();
        let addresses = ["10.9.0.1:123", "10.9.0.2:123", "10.9.0.3:123"];
        arena.upstreams = addresses.map(|on| Upstream::start(on.parse().unwrap())).into();
        arena.start_server();
        let clients = (0..32).flat_map(|n| {
            let v4 = format!("10.77.{n}.1:0").parse().unwrap();
            let v6 = format!("[fd77:0:{n:x}::1]:0").parse().unwrap();
            [v4, v6]
        });
        let servers = vec!["10.9.0.10:123".parse().unwrap(), "[fd09::10]:123".parse().unwrap()];
        arena.clients = Clients::start(servers, &clients.collect::<Vec<SocketAddr>>(), 99);
        arena.recovered("the start");
        arena.note_baseline();
        arena
    }

    /// Gives everybody the addresses and routes they should have.
    pub(crate) fn address_them(&self) {
        for n in 1..=3 {
            ip(&format!("address replace 10.9.0.{n}/24 dev up0"));
        }
        ip("-6 address replace fd09::1/64 dev up0 nodad");
        ip("route replace local 10.77.0.0/16 dev lo");
        ip("-6 route replace local fd77::/32 dev lo");
        for arguments in [
            "address replace 10.9.0.10/24 dev down0",
            "-6 address replace fd09::10/64 dev down0 nodad",
            "route replace 10.77.0.0/16 via 10.9.0.1",
            "-6 route replace fd77::/32 via fd09::1",
        ] {
            self.inside("ip", arguments);
        }
    }

    /// Runs a program in the server's namespace.
    pub(crate) fn inside(&self, program: &str, arguments: &str) {
        let mut command = self.nsenter();
        let output = command.arg(program).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{program} {arguments}: {}", text(&output));
    }

    fn nsenter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target"]).arg(self.holder.id().to_string()).arg("--");
        command
    }

    /// Writes the configuration, with `more` at its end.
    pub(crate) fn configure(&self, more: &str) {
        let disk = self.disk.display();
        let mut config = format!(
            "[server]\nlisten = [\"0.0.0.0:123\", \"[::]:123\"]\n\
             [control]\ncontrol_socket = \"{}\"\n\
             [clock]\ndrift_file = \"{disk}/drift\"\nstate_file = \"{disk}/state\"\n\
             [statistics]\ndirectory = \"{disk}\"\nfiles = \"none\"\n\
             kinds = [\"loopstats\", \"peerstats\", \"rawstats\", \"sysstats\"]\n",
            self.control_socket().display()
        );
        for n in 1..=3 {
            config +=
                &format!("[[source]]\naddress = \"10.9.0.{n}\"\nmin_poll = 0\nmax_poll = 1\n");
        }
        fs::write(&self.scratch.path, config + more).unwrap();
    }

    pub(crate) fn start_server(&mut self) {
        self.configure("");
        // A ring keeps its port for some time after a kill.
        let begun = Instant::now();
        loop {
            let mut command = self.nsenter();
            command.arg(timeball_program()).arg("serve").arg(&self.scratch.path);
            let mut server = Daemon::start(command);
            if server.is_up() {
                self.server = Some(server);
                return;
            }
            assert!(begun.elapsed() < crate::common::PATIENCE, "{:?}", server.so_far());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.scratch.path.with_file_name("control.sock")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").pid()
    }

    pub(crate) fn signal(&self, name: &str) {
        self.server.as_ref().expect("it runs").signal(name);
    }

    /// The same, unless it was killed.
    pub(crate) fn signal_if_up(&self, name: &str) {
        if let Some(server) = &self.server {
            server.signal(name);
        }
    }

    /// As a crash of the machine would, for all that the server can do about it.
    pub(crate) fn kill_server(&mut self) {
        drop(self.server.take());
        self.assert_files();
    }

    /// What the server had when all was well.
    pub(crate) fn note_baseline(&mut self) {
        self.baseline = self.usage();
        self.faults = 0;
    }

    /// As if the server had since grown by more than it may.
    pub(crate) fn belittle_baseline(&mut self) {
        self.baseline[1] = self.usage()[1] - GROWTH_MAX_KIB * 5 / 4;
    }

    /// Waits until the server answers and is synchronised again, and judges all that can be judged then;
    /// returns after how many milliseconds it did either.
    pub(crate) fn recovered(&mut self, after: &str) -> [u128; 2] {
        self.faults += 1;
        let begun = Instant::now();
        let mut times = [0; 2];
        for (index, limit) in self.limits.into_iter().enumerate() {
            while self.clients.last()[index] <= begun {
                self.assert_truth(after);
                if begun.elapsed() >= limit {
                    panic!(
                        "after {after}: not {} within {limit:?}: {:?}\n{}\n{}",
                        ["answered", "synchronised"][index],
                        self.clients.counts(),
                        self.server.as_mut().expect("it runs").so_far().join("\n"),
                        self.status(),
                    );
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            times[index] = (self.clients.last()[index] - begun).as_millis();
        }
        self.assert_truth(after);
        self.assert_files();
        self.assert_bounds(after);
        times
    }

    fn assert_truth(&self, after: &str) {
        let wrong = self.clients.wrong();
        assert!(wrong.is_empty(), "after {after}: {wrong:#?}");
    }

    fn status(&self) -> String {
        let mut command = Command::new(timeball_program());
        command.args(["status", "--socket"]).arg(self.control_socket());
        command.output().map_or_else(|error| error.to_string(), |output| text(&output))
    }

    /// Descriptors open and kibibytes resident.
    fn usage(&self) -> [u64; 2] {
        let process = Path::new("/proc").join(self.pid().to_string());
        let status = fs::read_to_string(process.join("status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib = resident.trim().trim_end_matches(" kB").parse().unwrap();
        [fs::read_dir(process.join("fd")).unwrap().count() as u64, kib]
    }

    /// No growth, and no more log than one fault is worth.
    fn assert_bounds(&mut self, after: &str) {
        if self.baseline == [0; 2] {
            return;
        }
        let [descriptors, kib] = self.usage();
        assert!(descriptors <= self.baseline[0] + 8, "after {after}: {descriptors} descriptors");
        let most = self.baseline[1] + GROWTH_MAX_KIB;
        assert!(kib <= most, "after {after}: {kib} KiB resident, {most} allowed");
        let lines = self.server.as_mut().expect("it runs").so_far();
        let most = 60 + 20 * self.faults;
        assert!(lines.len() < most, "after {after}: {}", lines.join("\n"));
        let panicked =
            lines.iter().find(|line| line.contains("panicked") || line.contains("stuck"));
        assert_eq!(panicked, None);
    }

    /// Every file is there whole, or not at all.
    fn assert_files(&self) {
        if let Ok(text) = fs::read_to_string(self.disk.join("drift")) {
            assert!(drift::parse(&text).is_ok(), "{text:?}");
        }
        if let Ok(text) = fs::read_to_string(self.disk.join("state")) {
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            let boot = u128::from_str_radix(&boot.trim().replace('-', ""), 16).unwrap();
            assert!(state::parse(&text, boot).is_ok(), "{text:?}");
        }
        for (kind, columns) in
            [("loopstats", 7), ("peerstats", 8), ("rawstats", 20), ("sysstats", 13)]
        {
            let path = self.disk.join(kind);
            let whole = |text: &str| {
                let well = |line: &str| line.split(' ').count() == columns;
                (text.is_empty() || text.ends_with('\n')) && text.lines().all(well)
            };
            // A line that is being written may be seen half; not for long.
            let begun = Instant::now();
            while let Ok(text) = fs::read_to_string(&path)
                && !whole(&text)
            {
                assert!(begun.elapsed() < Duration::from_secs(2), "{kind}: {text}");
            }
        }
    }

    /// Ends the server as a service manager does.
    pub(crate) fn finish(mut self) {
        let [asked, answered, synchronised] = self.clients.counts();
        println!("{asked} asked, {answered} answered, {synchronised} of them as synchronised");
        let server = self.server.take().expect("it runs");
        server.signal("TERM");
        let (code, lines) = server.finish();
        assert_eq!(code, Some(0), "{}", lines.join("\n"));
        self.assert_files();
        assert!(self.disk.join("state").exists(), "kept at the end");
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A network namespace, with loopback up.
fn hold() -> Child {
    let script = "ip link set lo up && echo up && exec cat";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "up");
    holder
}

/// Runs `ip` on the clients' side.
pub(crate) fn ip(arguments: &str) {
    run("ip", arguments);
}

/// Runs a program and expects it to succeed.
pub(crate) fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", text(&output));
}
