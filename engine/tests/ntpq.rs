//! The ntpq people have: its rows show what the server says of itself as JSON.

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use common::{Controlled, Host, PATIENCE, chronyd, ntpsec, text};

/// A server in a namespace, asked by ntpq and through its control socket.
struct Server<'h> {
    host: &'h Host,
    asked: Controlled,
}

impl<'h> Server<'h> {
    fn start(host: &'h Host, config: &str) -> Self {
        Self { host, asked: Controlled::start(host, config) }
    }

    fn ntpq(&self, arguments: &[&str]) -> String {
        let mut ntpq = ntpsec(self.host, "ntpsec/usr/bin/ntpq");
        let output = ntpq.arg("-n").args(arguments).arg("127.0.0.1").output().unwrap();
        let said = text(&output);
        assert!(output.status.success() && !said.contains("***"), "{arguments:?}: {said}");
        said
    }

    /// The rows of `ntpq -p`: tally character and the columns after it.
    fn peers(&self, arguments: &[&str]) -> Vec<(char, Vec<String>)> {
        let said = self.ntpq(arguments);
        let mut lines = said.lines();
        let header: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
        let columns = "remote refid st t when poll reach delay offset jitter";
        assert_eq!(header.join(" "), columns, "{said}");
        assert!(lines.next().is_some_and(|line| line.starts_with("====")), "{said}");
        let row = |line: &str| {
            let tally = line.chars().next().unwrap();
            (tally, line[1..].split_whitespace().map(str::to_owned).collect())
        };
        lines.map(row).collect()
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// The value of `name` in a list of `name=value`.
fn variable<'t>(text: &'t str, name: &str) -> &'t str {
    let mut pairs = text.split([',', '\n', '\r']).map(str::trim);
    let found = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

const LISTEN: &str = "[server]\nlisten = [\"127.0.0.1:123\", \"[::1]:123\"]\n";

#[test]
fn the_rows_are_those_of_the_server() {
    let host = Host::new();
    let _upstream = chronyd(&host, &["port 1123", "local stratum 5"]);
    let server = Server::start(
        &host,
        &format!(
            "{LISTEN}[local]\nstratum = 11\nwait_s = 60\n\
             [[source]]\naddress = \"127.0.0.1:1123\"\nmin_poll = 0\nmax_poll = 0\niburst = false\n\
             [[source]]\naddress = \"127.0.0.9:9\"\n"
        ),
    );
    server.asked.wait_until("eight answers and a choice", |report| {
        report["sources"][0]["reach"] == 255 && report["sources"][0]["symbol"] == "*"
    });
    let rows = server.peers(&["-p"]);
    let report = server.asked.report();
    let [(good, upstream), (bad, silent), (unused, local)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((*good, *bad, *unused), ('*', ' ', ' '), "{rows:?}");
    // remote, refid, st, t, when, poll, reach; then numbers.
    assert_eq!(upstream[0], "127.0.0.1");
    assert_eq!(upstream[1..4], ["127.127.1.1", "5", "u"], "{rows:?}");
    assert_eq!(upstream[5..7], ["1", "377"], "{rows:?}");
    let source = &report["sources"][0];
    let truth_ms = |name: &str| source[name].as_f64().unwrap() * 1e3;
    // One more answer may have come between the two readings.
    assert!((number(&upstream[7]) - truth_ms("delay_s")).abs() < 0.5, "{rows:?} {source}");
    assert!((number(&upstream[8]) - truth_ms("offset_s")).abs() < 0.5, "{rows:?} {source}");
    assert!((number(&upstream[9]) - truth_ms("jitter_s")).abs() < 0.5, "{rows:?} {source}");
    let history = source["history"].as_array().unwrap();
    assert_eq!(history.len(), 8, "{source}");
    assert!(history.windows(2).all(|pair| pair[0]["age_s"].as_f64() < pair[1]["age_s"].as_f64()));
    assert!(history.iter().all(|past| past["delay_s"].as_f64().unwrap() > 0.0), "{source}");
    let listed = server.ntpq(&["-c", "rv 1 filtdelay,filtoffset"]);
    assert_eq!(listed.matches('.').count(), 2 * history.len(), "two lists of numbers: {listed}");
    assert_eq!(silent[..2], ["127.0.0.9", ".INIT."], "{rows:?}");
    assert_eq!((silent[2].as_str(), silent[6].as_str()), ("16", "0"), "{rows:?}");
    assert_eq!(local[..4], ["LOCAL(0)", ".LOCL.", "10", "l"], "{rows:?}");
    assert_eq!(local[6], "377", "{rows:?}");
}

#[test]
fn every_reading_command_is_answered() {
    let host = Host::new();
    let _upstream = chronyd(&host, &["port 1123", "local stratum 5"]);
    let config =
        format!("{LISTEN}[[source]]\naddress = \"127.0.0.1:1123\"\nmin_poll = 0\nmax_poll = 0\n");
    let server = Server::start(&host, &config);
    let report = server.asked.wait_until("synchronised", |report| report["header"]["leap"] == 0);

    let variables = server.ntpq(&["-c", "rv"]);
    assert!(variables.contains("associd=0 status=0615 leap_none, sync_ntp, 1 event, clock_sync"));
    assert_eq!(variable(&variables, "stratum"), "6", "{variables}");
    assert_eq!(variable(&variables, "leap"), "00", "{variables}");
    assert_eq!(variable(&variables, "refid"), report["header"]["reference_id"], "{variables}");
    assert_eq!(variable(&variables, "peer"), "1", "{variables}");
    assert!(!variables.contains("ss_received"), "only by name: {variables}");
    let distance_ms = report["header"]["root_distance_s"].as_f64().unwrap() * 1e3;
    assert!((number(variable(&variables, "rootdist")) - distance_ms).abs() < 1.0, "{variables}");

    let associations = server.ntpq(&["-c", "as"]);
    assert!(associations.contains("  1     1  961a   yes   yes  none  sys.peer    sys_peer  1"));
    for (command, words) in [
        ("rv 1", "srcadr=127.0.0.1, srcport=1123"),
        ("rv 0 stratum,leap", "stratum=6"),
        ("rv &1 reach", "reach="),
        ("apeers", "127.0.0.1"),
        ("lpeers", "127.0.0.1"),
        ("opeers", "127.0.0.1"),
        ("pstats 1", "packets sent"),
        ("sysinfo", "root distance"),
        ("sysstats", "packets received"),
        ("iostats", "received packets"),
    ] {
        let said = server.ntpq(&["-c", command]);
        assert!(said.contains(words), "{command}: {said}");
        assert!(!said.contains("???") && !said.contains("Traceback"), "{command}: {said}");
    }
    let sysinfo = server.ntpq(&["-c", "sysinfo"]);
    assert!(sysinfo.contains("127.0.0.1:1123") && sysinfo.contains("client"), "{sysinfo}");
}

#[test]
fn the_local_clock_is_an_association_of_its_own() {
    let host = Host::new();
    let server = Server::start(&host, LISTEN);
    let rows = server.peers(&["-p"]);
    let [(tally, local)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(*tally, '*');
    assert_eq!(local[..4], ["LOCAL(0)", ".LOCL.", "9", "l"], "{rows:?}");
    let variables = server.ntpq(&["-c", "rv"]);
    assert!(variables.contains("sync_local, 1 event, clock_sync"), "{variables}");
    assert_eq!(variable(&variables, "stratum"), "10");
    assert_eq!(variable(&variables, "refid"), "127.127.1.0");
}

#[test]
fn a_table_of_sixty_four_sources_arrives_in_parts_and_whole() {
    let host = Host::new();
    let sources: String =
        (1..=64).map(|n| format!("[[source]]\naddress = \"127.0.9.{n}:9\"\n")).collect();
    let server = Server::start(&host, &format!("{LISTEN}{sources}"));
    let rows = server.peers(&["-p"]);
    assert_eq!(rows.len(), 64);
    assert_eq!(rows[63].1[0], "127.0.9.64");
}

#[test]
fn nothing_can_be_changed_and_no_clients_are_listed() {
    let host = Host::new();
    let server = Server::start(&host, LISTEN);
    let before = server.asked.report()["clients"]["received"].clone();
    for command in [":config server 127.0.0.9", "mrulist", "reslist", "ifstats", "saveconfig x"] {
        let mut ntpq = ntpsec(server.host, "ntpsec/usr/bin/ntpq");
        let output = ntpq.args(["-n", "-k", "/dev/null", "-c", command, "127.0.0.1"]).output();
        let said = text(&output.unwrap());
        assert!(!said.contains("Succeeded") && !said.contains("127.0.0.9"), "{command}: {said}");
    }
    let report = server.asked.report();
    assert_eq!(report["sources"].as_array().map(Vec::len), Some(0), "{report:#}");
    assert_eq!(report["clients"]["received"], before, "none of it came to a worker");
}

/// The status of every association, as ntpq asks for it.
const READ_STATUS: [u8; 12] = [0x16, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn strangers_are_told_nothing_unless_the_access_rules_say_so() {
    for (rule, answered) in [
        ("", true),
        ("[[access]]\nnetwork = \"127.0.0.0/8\"\n", false),
        ("[[access]]\nnetwork = \"127.0.0.0/8\"\nallow = [\"time\", \"query\"]\n", true),
    ] {
        let config = format!("[server]\nlisten = [\"127.0.0.1:0\"]\n{rule}");
        let server = Controlled::here(&config);
        let report = server.report();
        let address = report["listening"][0].as_str().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let patience = if answered { PATIENCE } else { Duration::from_millis(500) };
        client.set_read_timeout(Some(patience)).unwrap();
        client.send_to(&READ_STATUS, address).unwrap();
        let mut answer = [0; 500];
        assert_eq!(client.recv(&mut answer).is_ok(), answered, "{rule}");
        if answered {
            assert_eq!(answer[..4], [0x16, 0x81, 0, 1]);
        }
    }
}
