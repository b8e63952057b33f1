//! The machine on which a page's commands are run: its own network, its own /etc, /run and /var/lib, the
//! programs of the book in its path, and on a wire to it the servers that the book's examples name.
//!
//! Everything is in a user namespace: nothing here can set a clock or reach another machine.
//! Must never: show a page the files or sockets of the real machine's daemons.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::common::{Daemon, Host, Scratch, chronyd, peer, timeball_program};

/// One machine.
pub(crate) struct Machine {
    host: Host,
    /// Has `bin`, `etc`, `run`, `lib` and `home` in it.
    directory: Scratch,
    _upstreams: Daemon,
    _provider: Host,
}

/// Where the examples' servers are. The machine itself is 192.0.2.1.
const NAMES: &str = "127.0.0.1 localhost\n::1 localhost\n\
    192.0.2.11 ntp1.example.net\n192.0.2.12 ntp2.example.net\n192.0.2.13 ntp3.example.net\n\
    192.0.2.14 ntp4.example.net\n\
    192.0.2.11 2.debian.pool.ntp.org\n192.0.2.12 2.debian.pool.ntp.org\n\
    192.0.2.13 2.debian.pool.ntp.org\n192.0.2.14 2.debian.pool.ntp.org\n\
    192.0.2.1 time.example.org\n";

/// What of /etc a program needs to start and to look a name up in.
const ETC: [&str; 6] =
    ["passwd", "group", "nsswitch.conf", "ld.so.cache", "services", "alternatives"];

/// Programs of real peers: their names, and where `tests/peers` has put them.
const PEERS: [(&str, &str); 4] = [
    ("chronyd", "chrony/usr/sbin/chronyd"),
    ("ntpdig", "ntpsec-ntpdig/usr/bin/ntpdig"),
    ("ntpdate", "ntpsec-ntpdate/usr/sbin/ntpdate"),
    ("ntpq", "ntpsec/usr/bin/ntpq"),
];

impl Machine {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        let host = Host::new();
        let provider = host.neighbour("eth0", "wire");
        host.ip("addr add 192.0.2.1/24 dev eth0");
        host.ip("addr add 192.0.2.2/24 dev eth0");
        for last in 11..15 {
            provider.ip(&format!("addr add 192.0.2.{last}/24 dev wire"));
        }
        let upstreams = chronyd(&provider, &["local stratum 2"]);
        let directory = Scratch::file("hosts", NAMES);
        let machine = Self { host, directory, _upstreams: upstreams, _provider: provider };
        for name in ["bin", "etc", "run", "lib", "home"] {
            fs::create_dir(machine.own(name)).unwrap();
        }
        machine.furnish();
        machine
    }

    fn own(&self, name: &str) -> PathBuf {
        self.directory.path.with_file_name(name)
    }

    fn furnish(&self) {
        let etc = self.own("etc");
        for name in ETC {
            let copied =
                Command::new("cp").arg("-rL").arg(format!("/etc/{name}")).arg(&etc).output();
            drop(copied);
        }
        fs::rename(&self.directory.path, etc.join("hosts")).unwrap();
        fs::write(etc.join("resolv.conf"), "").unwrap();
        // The only user there is here is root; Debian's chronyd wants one of its own.
        let passwd = fs::read_to_string(etc.join("passwd")).unwrap();
        fs::write(etc.join("passwd"), passwd + "_chrony:x:0:0::/:/bin/false\n").unwrap();
        fs::create_dir(etc.join("timeball")).unwrap();
        for daemon in ["timeball", "ntp", "chrony"] {
            fs::create_dir(self.own("lib").join(daemon)).unwrap();
        }
        let bin = self.own("bin");
        for name in super::commands::PROGRAMS {
            symlink(program(name), bin.join(name)).unwrap();
        }
        let python = peer("python3-ntp/usr/lib/python3/dist-packages");
        for (name, path) in PEERS {
            let (script, path) = (bin.join(name), peer(path));
            let text = format!(
                "#!/bin/sh\nPYTHONPATH='{}' exec '{}' \"$@\"\n",
                python.display(),
                path.display()
            );
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Puts a file where a page says, on this machine.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let inside = path.strip_prefix("/etc/").map(|rest| self.own("etc").join(rest));
        let file = inside.unwrap_or_else(|| panic!("{path} is not in /etc"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// A shell on it that will run `script` and stop at the first command that fails.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut command = self.host.command("unshare");
        let binds = [("etc", "/etc"), ("run", "/run"), ("lib", "/var/lib")];
        let binds =
            binds.map(|(from, to)| format!("mount --bind '{}' {to}", self.own(from).display()));
        // What is left of it when `timeout` is killed is killed with it.
        let enter = format!(
            "{} && cd \"$HOME\" && exec timeout 90 setpriv --pdeathsig KILL sh -eu -c \"$0\"",
            binds.join(" && ")
        );
        command.args(["--mount", "sh", "-c", &enter, script]);
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.own("bin").display());
        command.env("PATH", path).env("HOME", self.own("home")).env_remove("XDG_RUNTIME_DIR");
        command
    }
}

/// The program of ours called `name`, as it was built beside the server's.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = timeball_program().with_file_name(name);
    let remedy = "build it first: cargo build --workspace";
    assert!(Path::new(&path).exists(), "{} is missing: {remedy}", path.display());
    path
}
