//! The control plane as its users meet it: `timeball status` and the socket behind it.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use common::{Controlled, Host, PATIENCE, Scratch, ask_at, chronyd, text};
use serde_json::Value;

/// One line to the control socket, one line back.
fn say(server: &Controlled, line: &str) -> String {
    let mut stream = connect(server);
    writeln!(stream, "{line}").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    answer
}

fn connect(server: &Controlled) -> UnixStream {
    let stream = UnixStream::connect(&server.socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Serves this machine's clock at stratum 10.
const LOCAL: &str = "[server]\nlisten = [\"127.0.0.1:123\"]\n";

#[test]
fn status_shows_clock_sources_and_workers() {
    let host = Host::new();
    let config = format!("{LOCAL}[local]\nwait_s = 600\n[[source]]\naddress = \"127.0.0.9:9\"\n");
    let server = Controlled::start(&host, &config);
    host.query(&["127.0.0.1"]);
    let output = server.ask("status", &[]);
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
    let server = Controlled::start(&host, LOCAL);
    let mode = std::fs::metadata(&server.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let socket = server.socket.clone();
    server.daemon.signal("TERM");
    assert_eq!(server.daemon.finish().0, Some(0));
    assert!(!socket.exists());
    let output = ask_at(&socket, "status", &[]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output).contains("is `timeball serve` running?"), "{}", text(&output));
}

#[test]
fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let host = Host::new();
    let server = Controlled::start(&host, LOCAL);
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
    let Controlled { daemon, socket, directory: _directory } = server;
    daemon.finish();
    assert!(socket.exists(), "killed, it could not clear up");
    let _third = host.serve(&config);
    assert!(ask_at(&socket, "status", &[]).status.success());
}

#[test]
fn whatever_is_said_at_the_socket_the_server_goes_on() {
    let host = Host::new();
    let server = Controlled::start(&host, LOCAL);
    for line in ["", "{}", "[1,2", "{\"version\":2,\"ask\":\"status\"}", "GET / HTTP/1.1\r"] {
        let answer: Value = serde_json::from_str(&say(&server, line)).unwrap();
        assert!(answer["error"].is_string(), "{line}: {answer}");
    }
    // A line without end, one without a reader, and more clients than are let in at once.
    let mut endless = connect(&server);
    let _ = endless.write_all(&[b'x'; 1 << 20]);
    assert_eq!(endless.read(&mut [0; 1]).unwrap_or(0), 0, "cut off");
    for _ in 0..50 {
        connect(&server).write_all(b"{\"version\":1,\"ask\":\"status\"}\n").unwrap();
    }
    let crowd: Vec<_> = (0..40).map(|_| connect(&server)).collect();
    // Those who say nothing lose their place to those who come.
    assert_eq!(server.report()["version"], 1);
    drop(crowd);
    assert_eq!(host.query(&["127.0.0.1"])["servers"][0]["replies"], 4);
}

#[test]
fn control_messages_and_broadcasts_do_not_reach_the_workers() {
    // Not in a namespace: the test itself sends.
    let server = Controlled::here("[server]\nlisten = [\"127.0.0.1:0\"]\n");
    let report = server.report();
    let address = report["listening"][0].as_str().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for mode in 0..8u8 {
        client.send_to(&[0x20 | mode; 48], address).unwrap();
    }
    // In order of arrival: with the last all have been seen.
    let report =
        server.wait_until("six", |report| report["clients"]["received"].as_u64() >= Some(6));
    assert_eq!(report["clients"]["received"], 6);
}

fn why(server: &Controlled) -> (Option<i32>, Value, String) {
    let json = server.ask("why", &["--json"]);
    let value = serde_json::from_slice(&json.stdout).unwrap_or_else(|_| panic!("{}", text(&json)));
    let said = server.ask("why", &[]);
    assert_eq!(json.status.code(), said.status.code());
    (said.status.code(), value, text(&said))
}

/// Who refuses what is served.
fn refusers(why: &Value) -> Vec<&str> {
    let clients = why["clients"].as_array().unwrap().iter();
    clients
        .filter(|one| one["accepts"] == false)
        .map(|one| one["client"].as_str().unwrap())
        .collect()
}

#[test]
fn why_names_the_gate_that_is_shut_until_the_local_clock_takes_over() {
    let host = Host::new();
    let config = format!("{LOCAL}[local]\nwait_s = 8\n[[source]]\naddress = \"127.0.0.9:9\"\n");
    let server = Controlled::start(&host, &config);
    let (code, waiting, said) = why(&server);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not serving: it says leap 3, stratum 0, INIT"), "{said}");
    assert!(said.contains("before the local clock takes over at stratum 10"), "{said}");
    assert!(said.contains("127.0.0.9:9 has never answered"), "{said}");
    assert_eq!(refusers(&waiting).len(), 6, "{said}");
    assert!(said.contains("never since its start"), "{said}");

    server.wait_until("the local clock", |report| report["clock"]["basis"] == "local");
    let (code, local, said) = why(&server);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("last resort: no source has ever answered"), "{said}");
    // What the real clients do with it, other tests show.
    assert_eq!(refusers(&local), ["NTP pool monitor"], "{said}");
    assert!(text(&server.ask("status", &[])).contains("the local clock, for want of sources"));
}

#[test]
fn why_tells_on_what_the_time_rests_and_which_source_is_at_fault() {
    let host = Host::new();
    let upstream = chronyd(&host, &["port 1123", "local stratum 5"]);
    let _unsynchronised = chronyd(&host, &["port 1124"]);
    let source = |port| {
        format!(
            "[[source]]\naddress = \"127.0.0.1:{port}\"\nmin_poll = 0\nmax_poll = 0\n\
             iburst = false\n"
        )
    };
    let clock = "[clock]\nmax_root_distance_s = 0.5\n";
    let server = Controlled::start(&host, &format!("{LOCAL}{clock}{}", source(1124)));
    server.wait_until("an answer", |report| report["sources"][0]["unfit"].is_string());
    let (code, _, said) = why(&server);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("127.0.0.1:1124 is not believed: the server says it is not"), "{said}");
    server.daemon.signal("TERM");
    server.daemon.finish();

    let server = Controlled::start(&host, &format!("{LOCAL}{clock}{}", source(1123)));
    server.wait_until("synchronised", |report| report["header"]["leap"] == 0);
    let (code, good, said) = why(&server);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 of 1 sources agree, 127.0.0.1:1123 first among them"), "{said}");
    assert_eq!(refusers(&good), [""; 0], "{said}");

    drop(upstream);
    server.wait_until("silence", |report| report["sources"][0]["reach"] == 0);
    let (code, _, said) = why(&server);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("serving on by their last answers until the error bound"), "{said}");
}

#[test]
fn watching_goes_on_until_the_server_ends() {
    let host = Host::new();
    let server = Controlled::start(&host, LOCAL);
    let mut watch = std::process::Command::new(env!("CARGO_BIN_EXE_timeball"));
    watch.args(["status", "--watch", "--json", "--socket"]).arg(&server.socket);
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first: Vec<_> = lines.by_ref().take(2).map(Result::unwrap).collect();
    drop(server);
    assert_eq!(watch.wait().unwrap().code(), Some(4));
    let uptime = |line: &String| {
        let report: Value = serde_json::from_str(line).unwrap();
        report["uptime_s"].as_f64().unwrap()
    };
    assert!(uptime(&first[1]) > uptime(&first[0]) + 0.9, "{first:?}");
}
