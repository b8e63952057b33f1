//! The classic set-up, run as it is: an ntp.conf with two servers and the local clock behind them, asked by
//! a real ntpdate as soon as it starts.

mod common;

use std::time::{Duration, Instant};

use common::{Daemon, Host, Scratch, chronyd, ntpsec, text};

/// The server's host, and another on the same wire for its upstreams and clients.
struct Network {
    server: Host,
    other: Host,
}

impl Network {
    fn new() -> Self {
        let server = Host::new();
        let other = server.neighbour("wire0", "wire1");
        server.ip("addr add 192.0.2.1/24 dev wire0");
        for upstream in ["192.0.2.8/24", "192.0.2.9/24"] {
            other.ip(&format!("addr add {upstream} dev wire1"));
        }
        Self { server, other }
    }

    /// Starts the server with `conf`; it need not be ready yet.
    fn serve(&self, conf: &str) -> Daemon {
        let drift = Scratch::file("drift", "0.0\n");
        let conf = conf.replace("/var/lib/ntp/drift", &drift.path.display().to_string());
        let file = Scratch::file("ntp.conf", &conf);
        let mut command = self.server.timeball(&["serve", "--ntp-conf"]);
        command.arg(&file.path);
        let mut daemon = Daemon::start(command);
        daemon.keep(file);
        daemon.keep(drift);
        daemon
    }

    /// Asks again and again until ntpdate takes the time; what it says then, and how long it took.
    fn ntpdate(&self, begun: Instant) -> (String, Duration) {
        loop {
            let program = "ntpsec-ntpdate/usr/sbin/ntpdate";
            let mut ntpdate = ntpsec(&self.other, program);
            let output = ntpdate.args(["-q", "-t", "1", "192.0.2.1"]).output().unwrap();
            if output.status.success() {
                return (text(&output), begun.elapsed());
            }
            assert!(begun.elapsed() < LIMIT, "still {}", text(&output));
        }
    }
}

#[test]
fn with_two_upstreams_ntpdate_takes_the_time_within_seconds_of_the_start() {
    let network = Network::new();
    let _upstreams = ["192.0.2.8", "192.0.2.9"].map(|address| {
        chronyd(&network.other, &["local stratum 3", &format!("bindaddress {address}")])
    });
    let begun = Instant::now();
    let mut server = network.serve(include_str!("conf/classic.conf"));
    let (said, took) = network.ntpdate(begun);
    eprintln!(
        "first good answer after {took:.1?} (10 s are allowed on a machine that is not busy)"
    );
    assert!(said.contains("s4"), "one further away than chronyd's stratum 3: {said}");
    server.wait_for("includefile /etc/ntp/crypto/pw: there is no such file");
}

#[test]
fn without_any_upstream_the_local_clock_is_served_as_ntpd_would_but_within_seconds() {
    let network = Network::new();
    // One upstream's host says that nobody listens, the other's says nothing.
    network.other.ip("addr del 192.0.2.9/24 dev wire1");
    let begun = Instant::now();
    let _server = network.serve(include_str!("conf/classic.conf"));
    let (said, took) = network.ntpdate(begun);
    eprintln!("fallback after {took:.1?} (15 s are allowed on a machine that is not busy)");
    assert!(said.contains("s11"), "stratum 10, and one: {said}");
    let mut query = network.other.timeball(&["query", "--json", "192.0.2.1"]);
    let answer: serde_json::Value =
        serde_json::from_slice(&query.output().unwrap().stdout).unwrap();
    let time = &answer["servers"][0]["time"];
    assert_eq!(time["reference_id"], "127.127.1.0", "{answer}");
    assert_eq!(time["stratum"], 11, "{answer}");
    assert!(time["root_dispersion_s"].as_f64().unwrap() >= 0.010, "{answer}");
}

#[test]
fn whom_the_file_does_not_name_gets_no_answer() {
    let network = Network::new();
    let mut server =
        network.serve("restrict default ignore\nrestrict 192.0.2.8\nserver 127.127.1.0\n");
    server.wait_for("ready");
    let is_answered = || {
        let mut ntpdig = ntpsec(&network.other, "ntpsec-ntpdig/usr/bin/ntpdig");
        ntpdig.args(["-t", "2", "192.0.2.1"]).output().unwrap().status.success()
    };
    assert!(is_answered(), "requests leave from the first address of the wire, 192.0.2.8");
    network.other.ip("addr flush dev wire1");
    network.other.ip("addr add 192.0.2.7/24 dev wire1");
    assert!(!is_answered(), "everybody else is ignored");
}

#[test]
fn what_cannot_be_understood_keeps_the_server_from_starting_and_is_all_named() {
    let file = Scratch::file("ntp.conf", "servr 192.0.2.1\nrestrict\n");
    for command in ["serve", "check"] {
        let mut timeball = std::process::Command::new(env!("CARGO_BIN_EXE_timeball"));
        let output = timeball.args([command, "--ntp-conf"]).arg(&file.path).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        for line in ["ntp.conf:1: ", "ntp.conf:2: "] {
            assert!(said.contains(line), "{command}: {said}");
        }
    }
}

#[test]
fn check_names_hosts_that_have_no_address_by_their_lines() {
    let text_of_file = "server 192.0.2.1\nserver nowhere.invalid\nrestrict also.invalid\n";
    let file = Scratch::file("ntp.conf", text_of_file);
    let host = Host::new();
    let mut check = host.timeball(&["check", "--ntp-conf"]);
    let said = text(&check.arg(&file.path).output().unwrap());
    for line in ["ntp.conf:2: \"nowhere.invalid\"", "ntp.conf:3: \"also.invalid\""] {
        assert!(said.contains(line), "{said}");
    }
}

/// Before a test gives up; a busy machine takes several times what an idle one does.
const LIMIT: Duration = Duration::from_secs(90);
