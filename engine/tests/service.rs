//! The server as a process: how it starts, what it says when it cannot, how it ends.

mod common;

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Daemon, Host, Scratch, text};

const LOCAL: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\n";

fn serve(config: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeball"));
    command.arg("serve").arg(&config.path);
    command
}

/// Runs to the end and gives exit code and output, which must come within a second.
fn refused(mut command: Command) -> (i32, String) {
    let begun = Instant::now();
    let output = command.output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
    (output.status.code().expect("no signal"), text(&output))
}

#[test]
fn without_any_config_it_serves_at_once_on_both_families() {
    let host = Host::new();
    let mut server = Daemon::start(host.timeball(&["serve"]));
    server.wait_for("ready");
    let said = host.query(&["127.0.0.1", "::1"]);
    for server in [&said["servers"][0], &said["servers"][1]] {
        assert_eq!(server["time"]["stratum"], 10, "{said}");
        assert_eq!(server["time"]["reference_id"], "127.127.1.0", "{said}");
        assert_eq!(server["replies"], 4, "every request is answered from the first on: {said}");
    }
}

#[test]
fn without_the_right_to_port_123_it_says_so_and_uses_11123() {
    let host = Host::new();
    let mut command = host.command("setpriv");
    command.args(["--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service", "--"]);
    command.args([env!("CARGO_BIN_EXE_timeball"), "serve"]);
    let mut server = Daemon::start(command);
    let note = server.wait_for("port 123");
    assert!(note.contains("CAP_NET_BIND_SERVICE") && note.contains("11123"), "{note}");
    server.wait_for("ready");
    assert_eq!(host.query(&["127.0.0.1:11123"])["best"], "127.0.0.1:11123");
}

#[test]
fn with_ipv6_switched_off_it_still_serves_ipv4() {
    let host = Host::new();
    let off = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
    assert!(host.command("sh").args(["-c", off]).status().unwrap().success());
    let mut server = Daemon::start(host.timeball(&["serve"]));
    server.wait_for("ready");
    assert_eq!(host.query(&["127.0.0.1"])["best"], "127.0.0.1:123");
}

#[test]
fn a_busy_port_is_named_with_the_remedy() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let config = Scratch::file("t.toml", &format!("[server]\nlisten = [\"{address}\"]\n"));
    let (code, said) = refused(serve(&config));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(&format!("{address} is in use")) && said.contains("ss -lunp"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}

#[test]
fn an_address_of_somebody_else_is_named() {
    let config = Scratch::file("t.toml", "[server]\nlisten = [\"192.0.2.1:12300\"]\n");
    let (code, said) = refused(serve(&config));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("192.0.2.1:12300") && said.contains("interface"), "{said}");
}

#[test]
fn a_wrong_config_is_told_by_line_and_nothing_is_started() {
    let config = Scratch::file("t.toml", "[server]\nlisten = [\"127.0.0.1:0\"]\nworkerz = 2\n");
    let (code, said) = refused(serve(&config));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("t.toml:3:1: ") && said.contains("workers"), "{said}");
}

#[test]
fn an_unreadable_config_is_told_from_a_wrong_one() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeball"));
    command.args(["serve", "/nonexistent/timeball.toml"]);
    let (code, said) = refused(command);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("/nonexistent/timeball.toml: no such file"), "{said}");
}

#[test]
fn kernel_steering_without_the_right_to_it_is_refused_before_anything_is_served() {
    let config = Scratch::file(
        "t.toml",
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[clock]\nsteering = \"kernel\"\n\
         [[source]]\naddress = \"127.0.0.1:9\"\n",
    );
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time", "--"]);
    command.args([env!("CARGO_BIN_EXE_timeball"), "serve"]).arg(&config.path);
    let (code, said) = refused(command);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("CAP_SYS_TIME"), "{said}");
}

#[test]
fn a_host_nobody_knows_is_named_and_the_others_are_followed() {
    let host = Host::new();
    let _upstream = common::chronyd(&host, &["port 1123", "local stratum 5"]);
    let mut server = host.serve(
        "[server]\nlisten = [\"127.0.0.1:123\"]\n[[source]]\naddress = \"nobody.invalid\"\n\
         [[source]]\naddress = \"127.0.0.1:1123\"\n",
    );
    let line = server.wait_for("WARN");
    assert!(line.contains("nobody.invalid: ") && line.contains("lookup"), "{line}");
    server.wait_for("synchronised");
    assert_eq!(host.query(&["127.0.0.1"])["servers"][0]["time"]["stratum"], 6);
}

#[test]
fn sigterm_ends_it_within_a_second_and_it_says_what_it_has_done() {
    let config = Scratch::file("t.toml", LOCAL);
    for backend in ["auto", "mmsg"] {
        let text = format!("{LOCAL}backend = \"{backend}\"\n");
        std::fs::write(&config.path, text).unwrap();
        let mut server = Daemon::start(serve(&config));
        server.wait_for("ready");
        let begun = Instant::now();
        server.signal("TERM");
        let (code, lines) = server.finish();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(code, Some(0));
        assert!(lines.iter().any(|line| line.starts_with("worker 0:")), "{lines:?}");
    }
}

#[test]
fn requests_that_have_arrived_are_answered_before_the_end() {
    let config = Scratch::file("t.toml", LOCAL);
    let mut server = Daemon::start(serve(&config));
    let line = server.wait_for("listening");
    server.wait_for("ready");
    let address = line.split_whitespace().last().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    // Stopped, it cannot have answered anything when the signal comes.
    server.signal("STOP");
    let mut request = [0; 48];
    request[0] = 0x23;
    for _ in 0..20 {
        client.send(&request).unwrap();
    }
    server.signal("TERM");
    server.signal("CONT");
    let mut reply = [0; 64];
    for n in 0..20 {
        assert_eq!(client.recv(&mut reply).unwrap_or_else(|error| panic!("{n}: {error}")), 48);
    }
    assert_eq!(server.finish().0, Some(0));
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let config = Scratch::file("t.toml", LOCAL);
    let socket_path = config.path.with_file_name("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&socket_path).unwrap();
    socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let mut command = serve(&config);
    command.env("NOTIFY_SOCKET", &socket_path);
    let server = Daemon::start(command);
    let mut message = [0; 256];
    let mut wait_for = |words| loop {
        let len = socket.recv(&mut message).unwrap();
        if String::from_utf8_lossy(&message[..len]).contains(words) {
            return;
        }
    };
    wait_for("READY=1");
    wait_for("STATUS=stratum 10 from 127.127.1.0, leap 0: the local clock, for want of sources");
    server.signal("TERM");
    wait_for("STOPPING=1");
    assert_eq!(server.finish().0, Some(0));
}

#[test]
fn ipv6_clients_get_their_answer_from_the_address_they_asked() {
    let host = Host::new();
    for address in ["2001:db8::1/128", "2001:db8::2/128"] {
        let mut add = host.command("ip");
        add.args(["-6", "address", "add", address, "dev", "lo", "nodad"]);
        assert!(add.status().unwrap().success());
    }
    let _server = host.serve("[server]\nlisten = [\"[::]:123\", \"0.0.0.0:123\"]\n");
    // A connected client hears only the address it asked.
    let said = host.query(&["2001:db8::1", "2001:db8::2", "127.3.2.1"]);
    for server in said["servers"].as_array().unwrap() {
        assert_eq!(server["replies"], 4, "{said}");
    }
}

/// The lines of every thread's status in /proc that begin with `key`.
fn threads(pid: u32, key: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        lines.extend(status.lines().filter(|line| line.starts_with(key)).map(str::to_owned));
    }
    assert!(lines.len() >= 4, "main, discipline, resolver and a worker: {lines:?}");
    lines
}

#[test]
fn once_it_serves_no_thread_can_do_anything_but_serve() {
    let host = Host::new();
    let mut server = Daemon::start(host.timeball(&["serve"]));
    server.wait_for("ready");
    for key in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        for line in threads(server.pid(), key) {
            assert!(line.ends_with("0000000000000000"), "{line}");
        }
    }
    assert!(threads(server.pid(), "NoNewPrivs").iter().all(|line| line.ends_with('1')));
}

#[test]
fn started_as_root_it_becomes_the_user_it_is_told() {
    let me = Command::new("id").arg("-u").output().unwrap();
    if text(&me).trim() != "0" {
        println!("skipped: only root can become somebody else");
        return;
    }
    let config = Scratch::file("t.toml", &format!("{LOCAL}user = \"nobody\"\n"));
    let mut server = Daemon::start(serve(&config));
    server.wait_for("ready");
    let uid = text(&Command::new("id").args(["-u", "nobody"]).output().unwrap());
    for line in threads(server.pid(), "Uid") {
        assert!(line.split_whitespace().skip(1).all(|id| id == uid.trim()), "{line}");
    }
}

#[test]
fn a_stuck_discipline_thread_shows_within_ten_seconds_and_is_forgiven() {
    let host = Host::new();
    let mut server = Daemon::start(host.timeball(&["serve"]));
    server.wait_for("ready");
    let held = common::Held::thread(&host, server.pid(), "discipline");

    let stale = "kiss code XSTL";
    let begun = Instant::now();
    let reason = loop {
        let said = host.query(&["127.0.0.1"]);
        assert_eq!(said["servers"][0]["requests"], 4, "never silent: {said}");
        let reason = said["servers"][0]["unsuitable"]["reason"].as_str().map(str::to_owned);
        if reason.is_some() || begun.elapsed() > Duration::from_secs(10) {
            break reason;
        }
    };
    assert!(reason.as_deref().is_some_and(|reason| reason.contains(stale)), "{reason:?}");

    held.release();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(host.query(&["127.0.0.1"])["best"], "127.0.0.1:123");
}

#[test]
fn an_unknown_user_is_refused_by_name() {
    let config = Scratch::file("t.toml", &format!("{LOCAL}user = \"nobody-of-that-name\"\n"));
    let (code, said) = refused(serve(&config));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("nobody-of-that-name"), "{said}");
}
