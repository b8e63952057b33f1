//! The control plane as its users meet it: `timeball status` and the socket behind it.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Daemon, Host, PATIENCE, Scratch, text};
use serde_json::Value;

/// A server of the test's own with its control socket.
struct Server {
    daemon: Daemon,
    socket: PathBuf,
    _directory: Scratch,
}

impl Server {
    fn start(host: &Host, config: &str) -> Self {
        let directory = Scratch::file("placeholder", "");
        let socket = directory.path.with_file_name("control.sock");
        let control = format!("[control]\ncontrol_socket = \"{}\"\n", socket.display());
        let daemon = host.serve(&format!("{control}{config}"));
        Self { daemon, socket, _directory: directory }
    }

    fn status(&self, arguments: &[&str]) -> std::process::Output {
        timeball_at(&self.socket, "status", arguments)
    }

    fn report(&self) -> Value {
        let output = self.status(&["--json"]);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
    }

    /// One line to the control socket, one line back.
    fn say(&self, line: &str) -> String {
        let mut stream = self.connect();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

fn timeball_at(socket: &Path, command: &str, arguments: &[&str]) -> std::process::Output {
    let mut timeball = Command::new(env!("CARGO_BIN_EXE_timeball"));
    timeball.args([command, "--socket"]).arg(socket).args(arguments).output().unwrap()
}

/// Serves this machine's clock at stratum 10.
const LOCAL: &str = "[server]\nlisten = [\"127.0.0.1:123\"]\n";

#[test]
fn status_shows_clock_sources_and_workers() {
    let host = Host::new();
    let config = format!("{LOCAL}[local]\nwait_s = 600\n[[source]]\naddress = \"127.0.0.9:9\"\n");
    let server = Server::start(&host, &config);
    host.query(&["127.0.0.1"]);
    let output = server.status(&[]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("not synchronised (INIT), waiting for"), "{said}");
    assert!(said.contains("served at stratum 10 if no source is usable in"), "{said}");
    assert!(said.contains("127.0.0.9:9") && said.contains("worker 0: "), "{said}");

    let report = server.report();
    assert_eq!(report["version"], 1);
    assert_eq!(report["pid"], server.daemon.pid());
    assert_eq!(report["header"]["leap"], 3, "{report:#}");
    assert_eq!(report["header"]["reference_id"], "INIT");
    assert_eq!(report["clock"]["basis"], "nothing");
    assert_eq!(report["clients"]["answered_by_version"][3], 4, "{report:#}");
    assert_eq!(report["clients"]["noted"]["unsynchronised"], 4, "{report:#}");
    assert_eq!(report["sources"][0]["name"], "127.0.0.9:9");
    assert!(report["local"]["wait_s"].as_f64().unwrap() > 500.0, "{report:#}");
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_server() {
    let host = Host::new();
    let server = Server::start(&host, LOCAL);
    let mode = std::fs::metadata(&server.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let Server { daemon, socket, _directory } = server;
    daemon.signal("TERM");
    assert_eq!(daemon.finish().0, Some(0));
    assert!(!socket.exists());
    let output = timeball_at(&socket, "status", &[]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output).contains("is `timeball serve` running?"), "{}", text(&output));
}

#[test]
fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let host = Host::new();
    let server = Server::start(&host, LOCAL);
    let config = format!(
        "[control]\ncontrol_socket = \"{}\"\n[server]\nlisten = [\"127.0.0.1:124\"]\n",
        server.socket.display()
    );
    let file = Scratch::file("timeball.toml", &config);
    let mut second = host.timeball(&["serve"]);
    second.arg(&file.path);
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("another server has this control socket"), "{}", text(&output));

    server.daemon.signal("KILL");
    let Server { daemon, socket, _directory } = server;
    daemon.finish();
    assert!(socket.exists(), "killed, it could not clear up");
    let _third = host.serve(&config);
    assert!(timeball_at(&socket, "status", &[]).status.success());
}

#[test]
fn whatever_is_said_at_the_socket_the_server_goes_on() {
    let host = Host::new();
    let server = Server::start(&host, LOCAL);
    for line in ["", "{}", "[1,2", "{\"version\":2,\"ask\":\"status\"}", "GET / HTTP/1.1\r"] {
        let answer: Value = serde_json::from_str(&server.say(line)).unwrap();
        assert!(answer["error"].is_string(), "{line}: {answer}");
    }
    // A line without end, one without a reader, and more clients than are let in at once.
    let mut endless = server.connect();
    let _ = endless.write_all(&[b'x'; 1 << 20]);
    assert_eq!(endless.read(&mut [0; 1]).unwrap_or(0), 0, "cut off");
    for _ in 0..50 {
        server.connect().write_all(b"{\"version\":1,\"ask\":\"status\"}\n").unwrap();
    }
    let crowd: Vec<_> = (0..40).map(|_| server.connect()).collect();
    // Those who say nothing lose their place to those who come.
    assert_eq!(server.report()["version"], 1);
    drop(crowd);
    assert_eq!(host.query(&["127.0.0.1"])["servers"][0]["replies"], 4);
}

#[test]
fn control_messages_and_broadcasts_do_not_reach_the_workers() {
    // Not in a namespace: the test itself sends.
    let directory = Scratch::file("placeholder", "");
    let socket = directory.path.with_file_name("control.sock");
    let config = format!(
        "[control]\ncontrol_socket = \"{}\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n",
        socket.display()
    );
    let file = Scratch::file("timeball.toml", &config);
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeball"));
    command.arg("serve").arg(&file.path);
    let mut daemon = Daemon::start(command);
    let listening = daemon.wait_for("listening");
    daemon.wait_for("ready");
    let address = listening.split_whitespace().last().unwrap().to_owned();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for mode in 0..8u8 {
        client.send_to(&[0x20 | mode; 48], &address).unwrap();
    }
    let received = || {
        let output = timeball_at(&socket, "status", &["--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["clients"]["received"].as_u64().unwrap()
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    while received() < 6 {
        assert!(std::time::Instant::now() < deadline, "{} received", received());
    }
    // In order of arrival: all have been seen by now.
    assert_eq!(received(), 6);
}
