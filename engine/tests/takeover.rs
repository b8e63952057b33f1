//! A new process takes the place of the server that runs: sockets, time, control socket; or fails to, and
//! the old one goes on.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{Controlled, Daemon, Host, PATIENCE, ask_at, chronyd, text};
use serde_json::Value;

/// Starts a successor of `server` on `host`.
fn successor(host: &Host, server: &Controlled) -> Daemon {
    let mut command = host.timeball(&["serve", "--take-over"]);
    command.arg(&server.directory.path);
    Daemon::start(command)
}

fn report(server: &Controlled) -> Value {
    let output = ask_at(&server.socket, "status", &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)))
}

fn served(host: &Host) -> Value {
    host.query(&["127.0.0.1"])["servers"][0]["time"].clone()
}

const HERE: &str = "[server]\nlisten = [\"127.0.0.1:123\"]\n";

#[test]
fn sockets_time_and_control_socket_go_to_the_successor_and_the_old_one_ends() {
    let host = Host::new();
    let _upstream = chronyd(&host, &["port 1123", "local stratum 5"]);
    let config = format!("{HERE}[[source]]\naddress = \"127.0.0.1:1123\"\n");
    let mut server = Controlled::start(&host, &config);
    server.daemon.wait_for("synchronised");
    let before = served(&host);
    // Upstream, the successor could learn nothing by itself within the time this takes.
    let mut new = successor(&host, &server);
    new.wait_for("took over from process");
    new.wait_for("ready");
    let after = served(&host);
    assert_eq!((&after["stratum"], &after["leap"]), (&before["stratum"], &before["leap"]));
    // What is served has not moved by more than either claims.
    let offset = |time: &Value| time["offset_s"].as_f64().unwrap();
    let part = |time: &Value, name: &str| time[name].as_f64().unwrap();
    let claim = |time: &Value| part(time, "root_delay_s") / 2.0 + part(time, "root_dispersion_s");
    let moved = (offset(&after) - offset(&before)).abs();
    assert!(moved <= claim(&before) + claim(&after), "{before} {after}");
    let Controlled { daemon, socket, directory } = server;
    let (code, lines) = daemon.finish();
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("another process has taken over")), "{lines:?}");
    let server = Controlled { daemon: new, socket, directory };
    assert_eq!(report(&server)["pid"], server.daemon.pid(), "at the same control socket");
    // And on it goes.
    let mut third = successor(&host, &server);
    third.wait_for("took over from process");
    third.wait_for("ready");
    assert_eq!(served(&host)["stratum"], 6);
}

#[test]
fn a_configuration_that_is_wrong_or_does_not_fit_leaves_the_old_one_serving() {
    let host = Host::new();
    let server = Controlled::start(&host, &format!("{HERE}workers = 1\n"));
    let good = std::fs::read_to_string(&server.directory.path).unwrap();
    let (code, lines) = {
        let wrong = good.replace("workers = 1", "workerz = 1");
        std::fs::write(&server.directory.path, wrong).unwrap();
        successor(&host, &server).finish()
    };
    assert_eq!(code, Some(1), "{lines:?}");
    std::fs::write(&server.directory.path, good.replace("127.0.0.1:123", "192.0.2.1:123")).unwrap();
    let (code, lines) = successor(&host, &server).finish();
    assert_eq!(code, Some(3), "{lines:?}");
    assert_eq!(served(&host)["stratum"], 10);
    assert_eq!(report(&server)["pid"], server.daemon.pid());
    // Without anybody to take over from, there is nothing to do.
    let mut alone = host.timeball(&["serve", "--take-over"]);
    let nowhere = format!("{HERE}[control]\ncontrol_socket = \"/nonexistent/socket\"\n");
    let file = common::Scratch::file("alone.toml", &nowhere);
    let output = alone.arg(&file.path).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("no server answers at"), "{}", text(&output));
}

#[test]
fn a_successor_that_is_killed_at_any_point_leaves_the_old_one_serving() {
    let host = Host::new();
    let mut server = Controlled::start(&host, HERE);
    for after_ms in [0, 3, 6, 10, 15, 20, 30, 50] {
        let new = successor(&host, &server);
        std::thread::sleep(Duration::from_millis(after_ms));
        new.signal("KILL");
        let _ = new.finish();
        let alive = !server.daemon.so_far().iter().any(|line| line.contains("has taken over"));
        if !alive {
            // It was quick, and had taken over before it was killed: nobody is left.
            return;
        }
        assert_eq!(served(&host)["stratum"], 10, "{after_ms}");
        assert_eq!(report(&server)["pid"], server.daemon.pid());
    }
}

#[test]
fn a_successor_that_hangs_is_not_waited_for() {
    let host = Host::new();
    let mut server = Controlled::start(&host, HERE);
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"{\"version\":1,\"ask\":\"take_over\"}\n").unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut estate = String::new();
    answers.read_line(&mut estate).unwrap();
    let estate: Value = serde_json::from_str(&estate).unwrap();
    assert_eq!(estate["estate"]["places"][0]["asked"], "127.0.0.1:123", "{estate}");
    stream.write_all(b"prepared\n").unwrap();
    let begun = Instant::now();
    server.daemon.wait_for("not taken over: ");
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(served(&host)["stratum"], 10);
    let report = server.report();
    assert_eq!(report["header"]["leap"], 0, "{report:#}");
    // One that talks nonsense neither.
    stream = UnixStream::connect(&server.socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"{\"version\":1,\"ask\":\"take_over\"}\n").unwrap();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new()).unwrap();
    stream.write_all(b"ready 1 door\n").unwrap();
    server.daemon.wait_for("invalid data");
    assert_eq!(served(&host)["stratum"], 10);
}
