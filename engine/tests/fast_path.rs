//! The fast path in the running server: what is answered in the driver and what by workers, through all that
//! happens to interfaces, configurations and processes.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Controlled, Daemon, Host, PATIENCE, chronyd_once, ntpsec, text};
use serde_json::Value;

/// A server's host and a client's, with a `veth` between them: `fast0` here, `client0` there.
struct Link {
    server: Host,
    client: Host,
    /// A `veth` takes what a program sends back only if there is a program at its other end too: that of a
    /// server to which nobody sends anything.
    _passing: Controlled,
}

impl Link {
    /// `None` where no program can be loaded.
    fn new() -> Option<Self> {
        let server = Host::of_root()?;
        let client = server.neighbour("fast0", "client0");
        address(&server, &client, 0);
        let passing = Controlled::start(
            &client,
            "[server]\nlisten = [\"127.0.0.1:11123\"]\nworkers = 1\n\
             [fast_path]\ninterfaces = [\"client0\", \"client1\"]\n",
        );
        Some(Self { server, client, _passing: passing })
    }

    fn answers(&self, addresses: &[&str]) -> bool {
        answers(&self.client, addresses)
    }

    /// Asks until a request is answered in the driver of `server`.
    fn wait_for_driver(&self, server: &Controlled, address: &str) {
        let begun = Instant::now();
        let before = by_driver(&server.report());
        loop {
            assert!(self.answers(&[address]), "{:#}", server.report());
            if by_driver(&server.report()) > before {
                return;
            }
            assert!(begun.elapsed() < 2 * PATIENCE, "{:#}", server.report());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks, and sees that workers have answered all of it.
    fn assert_by_workers(&self, server: &Controlled, address: &str) {
        let before = server.report();
        assert!(self.answers(&[address]), "{before:#}");
        let after = server.report();
        assert_eq!(by_driver(&after), by_driver(&before), "{after:#}");
        assert!(by_workers(&after) > by_workers(&before), "{after:#}");
    }

    /// Sends `octets` to the server and returns how many come back.
    fn reply_len(&self, octets: &str) -> usize {
        let mut python = self.client.command("python3");
        let output = python.args(["-c", ASK, octets]).output().unwrap();
        let said = text(&output);
        said.trim().parse().unwrap_or_else(|_| panic!("{said}"))
    }
}

/// Gives both ends of the `veth` numbered `number` their addresses: 10.9.`number`.1 and .2, and in IPv6.
fn address(server: &Host, client: &Host, number: u8) {
    for (host, device, last) in [(server, "fast", 1), (client, "client", 2)] {
        host.ip(&format!("addr add 10.9.{number}.{last}/24 dev {device}{number}"));
        host.ip(&format!("addr add 2001:db8:{number}::{last}/64 dev {device}{number} nodad"));
    }
    // A `veth` leaves checksums undone, as a card would do them; a driver sees only frames whose are right.
    let mut ethtool = client.command("ethtool");
    let output = ethtool.args(["-K", &format!("client{number}"), "tx", "off"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// Sends the octets of its argument in hexadecimal, and prints the length of the reply.
const ASK: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(30)
s.sendto(bytes.fromhex(sys.argv[1]), ('10.9.0.1', 123))
print(len(s.recv(2048)))
";

fn by_driver(report: &Value) -> u64 {
    report["fast_path"]["work"]["answered"].as_u64().unwrap_or_else(|| panic!("{report:#}"))
}

fn by_workers(report: &Value) -> u64 {
    let workers = report["workers"].as_array().unwrap().iter();
    workers.map(|worker| worker["answered"].as_u64().unwrap()).sum()
}

/// Why the driver of `interface` does not answer; empty if it does.
fn hindrance(report: &Value, interface: &str) -> String {
    let mut all = report["fast_path"]["interfaces"].as_array().unwrap().iter();
    let one = all.find(|one| one["name"] == interface).unwrap_or_else(|| panic!("{report:#}"));
    one["hindrance"].as_str().unwrap_or_default().to_owned()
}

/// Number of the XDP program at `device` of `host`, if there is one.
fn program(host: &Host, device: &str) -> Option<u64> {
    let output = host.command("ip").args(["-json", "link", "show", device]).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    said[0]["xdp"]["prog"]["id"].as_u64()
}

/// Writes `config` where `server` looks for it, and has it read.
fn reload(server: &Controlled, config: &str) -> String {
    let control = format!("[control]\ncontrol_socket = \"{}\"\n", server.socket.display());
    std::fs::write(&server.directory.path, format!("{control}{config}")).unwrap();
    text(&server.ask("reload", &[]))
}

const FAST: &str = "[fast_path]\ninterfaces = [\"fast0\"]\n";

/// Whether the server at each of `addresses` answers `client`, by its stratum.
fn answers(client: &Host, addresses: &[&str]) -> bool {
    let said = client.query(addresses);
    let servers = said["servers"].as_array().cloned().unwrap_or_default();
    servers.len() == addresses.len() && servers.iter().all(|one| one["time"]["stratum"] == 10)
}

#[test]
fn the_clients_people_have_are_answered_in_the_driver_and_what_is_not_plain_by_workers() {
    let Some(link) = Link::new() else { return };
    let keys = common::Scratch::file("keys", "1 SHA1 0123456789abcdef0123456789abcdef01234567\n");
    let server = Controlled::start(
        &link.server,
        &format!(
            "{FAST}[metrics]\n[keys]\nfile = \"{}\"\n\
             [[access]]\nnetwork = \"10.9.0.0/24\"\nallow = [\"time\", \"query\"]\n",
            keys.path.display()
        ),
    );
    assert_eq!(hindrance(&server.report(), "fast0"), "");
    assert!(link.answers(&["10.9.0.1", "2001:db8::1"]));
    for address in ["10.9.0.1", "2001:db8::1"] {
        let said = chronyd_once(&link.client, &format!("server {address} iburst"), &[]);
        let said = text(&said);
        assert!(said.contains("System clock wrong by"), "{address}: {said}");
        for (program, options) in [
            ("ntpsec-ntpdig/usr/bin/ntpdig", vec!["-t", "5"]),
            ("ntpsec-ntpdate/usr/sbin/ntpdate", vec!["-q"]),
        ] {
            let mut client = ntpsec(&link.client, program);
            let said = text(&client.args(&options).arg(address).output().unwrap());
            assert!(said.contains("s10"), "{program} {address}: {said}");
        }
    }
    let report = server.report();
    let (driver, all) = (by_driver(&report), report["clients"]["answered"].as_u64().unwrap());
    assert!(driver >= 16 && driver as f64 > 0.99 * all as f64, "{report:#}");
    assert_eq!(by_workers(&report), all - driver, "{report:#}");
    // Signed requests.
    let chrony =
        common::Scratch::file("keys", "1 SHA1 HEX:0123456789abcdef0123456789abcdef01234567\n");
    let keyfile = format!("keyfile {}", chrony.path.display());
    let said = text(&chronyd_once(&link.client, "server 10.9.0.1 key 1 iburst", &[&keyfile]));
    assert!(said.contains("System clock wrong by"), "{said}");
    let signed = server.report();
    assert!(by_workers(&signed) > by_workers(&report), "{signed:#}");
    assert_eq!(by_driver(&signed), driver, "{signed:#}");
    // Version 1, which has no mode, and a question of ntpq's.
    assert_eq!(link.reply_len(&format!("08{}", "00".repeat(47))), 48);
    let mut ntpq = ntpsec(&link.client, "ntpsec/usr/bin/ntpq");
    let said = text(&ntpq.args(["-n", "-c", "rv 0 stratum", "10.9.0.1"]).output().unwrap());
    assert!(said.contains("stratum=10"), "{said}");
    let report = server.report();
    assert_eq!(by_driver(&report), driver, "{report:#}");
    assert!(report["fast_path"]["passed_on"]["other"].as_u64() > Some(0), "{report:#}");
    assert!(report["fast_path"]["passed_on"]["kind"].as_u64() > Some(0), "{report:#}");
    let mut curl = link.server.command("curl");
    let page = text(&curl.args(["-s", "http://127.0.0.1:9559/metrics"]).output().unwrap());
    for line in [
        format!("timeball_replies_total{{worker=\"driver\",version=\"4\"}} {driver}"),
        "timeball_fast_path_interface{interface=\"fast0\",mode=\"native\"} 1".to_owned(),
    ] {
        assert!(page.contains(&line), "{line}: {page}");
    }
    let said = text(&server.ask("status", &[]));
    assert!(said.contains("driver   fast0 answers plain requests (native)"), "{said}");
    server.daemon.signal("TERM");
    assert_eq!(server.daemon.finish().0, Some(0));
    assert_eq!(program(&link.server, "fast0"), None);
}

#[test]
fn interfaces_go_down_come_up_go_away_and_come_again_in_a_strict_sandbox_without_a_capability() {
    let Some(link) = Link::new() else { return };
    let strict = "[sandbox]\nmode = \"strict\"\n";
    let server = Controlled::start(&link.server, &format!("{FAST}{strict}"));
    link.wait_for_driver(&server, "10.9.0.1");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.daemon.pid())).unwrap();
    for task in tasks {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    }
    for state in ["down", "up"] {
        link.server.ip(&format!("link set fast0 {state}"));
    }
    link.wait_for_driver(&server, "10.9.0.1");
    // An address that comes later is answered too.
    link.server.ip("addr add 10.9.0.7/24 dev fast0");
    link.wait_for_driver(&server, "10.9.0.7");
    link.server.ip("link del fast0");
    server.wait_until("gone", |report| hindrance(report, "fast0").contains("no such interface"));
    link.server.join(&link.client, "fast0", "client0");
    address(&link.server, &link.client, 0);
    server.wait_until("back", |report| hindrance(report, "fast0").is_empty());
    link._passing.wait_until("back", |report| hindrance(report, "client0").is_empty());
    link.wait_for_driver(&server, "10.9.0.1");
    // A second one, and then only that, by reloading; in IPv6 alone.
    link.server.join(&link.client, "fast1", "client1");
    address(&link.server, &link.client, 1);
    link.server.ip("addr del 10.9.1.1/24 dev fast1");
    let both = FAST.replace("\"fast0\"", "\"fast0\", \"fast1\"");
    let said = reload(&server, &format!("{both}{strict}"));
    assert!(said.contains("[fast_path] interfaces: ") && said.contains("in force"), "{said}");
    link._passing.wait_until("there", |report| hindrance(report, "client1").is_empty());
    link.wait_for_driver(&server, "10.9.0.1");
    link.wait_for_driver(&server, "2001:db8:1::1");
    reload(&server, &format!("{}{strict}", FAST.replace("fast0", "fast1")));
    assert_eq!(program(&link.server, "fast0"), None);
    link.assert_by_workers(&server, "10.9.0.1");
    link.wait_for_driver(&server, "2001:db8:1::1");
    // Rules that the driver does not know.
    let rule = "[[access]]\nnetwork = \"192.0.2.0/24\"\nallow = []\n";
    reload(&server, &format!("{both}{strict}{rule}"));
    assert!(hindrance(&server.report(), "fast1").contains("withhold the time"));
    link.assert_by_workers(&server, "2001:db8:1::1");
    reload(&server, strict);
    assert_eq!(program(&link.server, "fast1"), None);
    link.assert_by_workers(&server, "10.9.0.1");
    server.daemon.signal("TERM");
    let (code, lines) = server.daemon.finish();
    assert_eq!(code, Some(0), "{lines:#?}");
}

#[test]
fn another_program_is_left_alone_until_it_goes_and_a_killed_server_leaves_none() {
    let Some(link) = Link::new() else { return };
    let first = Controlled::start(&link.server, FAST);
    let own = program(&link.server, "fast0").expect("attached");
    let elsewhere = format!("[server]\nlisten = [\"10.9.0.1:10123\"]\n{FAST}");
    let mut second = Controlled::start(&link.server, &elsewhere);
    second.daemon.wait_for("fast0: workers answer everything: another XDP program");
    assert!(hindrance(&second.report(), "fast0").contains(&format!("program {own}")));
    link.assert_by_workers(&second, "10.9.0.1:10123");
    link.wait_for_driver(&first, "10.9.0.1");
    assert_eq!(program(&link.server, "fast0"), Some(own));
    first.daemon.signal("KILL");
    drop(first);
    link.wait_for_driver(&second, "10.9.0.1:10123");
    second.daemon.signal("KILL");
    let _ = second.daemon.finish();
    let begun = Instant::now();
    while program(&link.server, "fast0").is_some() {
        assert!(begun.elapsed() < PATIENCE, "it is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn another_program_is_taken_off_if_that_is_configured() {
    let Some(link) = Link::new() else { return };
    let object = concat!(env!("CARGO_MANIFEST_DIR"), "/sys/bpf/fast_path.o");
    let mut ip = link.server.command("ip");
    let put = ip.args(["link", "set", "dev", "fast0", "xdp", "obj", object, "sec", "xdp"]);
    let put = put.output().unwrap();
    if !put.status.success() {
        // An iproute2 that was built without the loader.
        return eprintln!("skipped: {}", text(&put));
    }
    let foreign = program(&link.server, "fast0").expect("put there");
    let server = Controlled::start(&link.server, FAST);
    assert!(hindrance(&server.report(), "fast0").contains(&format!("program {foreign}")));
    link.assert_by_workers(&server, "10.9.0.1");
    server.daemon.signal("TERM");
    let Controlled { daemon, .. } = server;
    assert_eq!(daemon.finish().0, Some(0));
    assert_eq!(program(&link.server, "fast0"), Some(foreign));
    let server = Controlled::start(&link.server, &format!("{FAST}replace_foreign = true\n"));
    assert_eq!(hindrance(&server.report(), "fast0"), "");
    link.wait_for_driver(&server, "10.9.0.1");
}

#[test]
fn what_is_no_plain_interface_is_refused_by_name_and_served_by_workers() {
    let Some(link) = Link::new() else { return };
    let mut expected = vec![
        ("lo".to_owned(), "back to this machine"),
        ("nowhere".to_owned(), "no such interface"),
    ];
    // Not every kernel has all of them.
    for (name, how, said) in [
        ("bond9", "type bond", "it is a bond"),
        ("bridge9", "type bridge", "it is a bridge"),
        ("fast0.9", "link fast0 type vlan id 9", "name fast0 instead"),
        ("dummy9", "type dummy", "no native XDP"),
    ] {
        let arguments = match how.strip_prefix("link fast0 ") {
            Some(rest) => format!("link add link fast0 name {name} {rest}"),
            None => format!("link add {name} {how}"),
        };
        let made = link.server.command("ip").args(arguments.split(' ')).output().unwrap();
        if made.status.success() {
            expected.push((name.to_owned(), said));
        } else {
            eprintln!("without {name}: {}", text(&made));
        }
    }
    if expected.iter().any(|(name, _)| name == "bridge9") {
        link.server.ip("link add port9 type veth peer name port8");
        link.server.ip("link set port9 master bridge9");
        expected.push(("port9".to_owned(), "port of a bridge"));
    }
    let names: Vec<_> = expected.iter().map(|(name, _)| format!("{name:?}")).collect();
    let config = format!("[fast_path]\ninterfaces = [{}]\n", names.join(", "));
    let server = Controlled::start(&link.server, &config);
    let report = server.report();
    for (name, said) in &expected {
        let why = hindrance(&report, name);
        assert!(why.contains(said), "{name}: {why}");
    }
    link.assert_by_workers(&server, "10.9.0.1");
    let mut check = link.server.timeball(&["check"]);
    let said = text(&check.arg(&server.directory.path).output().unwrap());
    assert!(said.contains("by nowhere: there is no such interface"), "{said}");
    // With a VLAN on top, whose tags this interface takes off.
    if expected.iter().any(|(name, _)| name == "fast0.9") {
        let said = reload(&server, FAST);
        assert!(hindrance(&server.report(), "fast0").contains("rxvlan off"), "{said}");
        let mut ethtool = link.server.command("ethtool");
        let output = ethtool.args(["-K", "fast0", "rxvlan", "off"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        link.wait_for_driver(&server, "10.9.0.1");
    }
}

#[test]
fn without_the_right_to_it_workers_answer_and_one_line_says_why() {
    let host = Host::new();
    let config = "[server]\nlisten = [\"127.0.0.1:123\"]\n";
    let fast = format!("{config}[fast_path]\ninterfaces = [\"lo\"]\n");
    let mut server = Controlled::start(&host, &fast);
    let line = server.daemon.wait_for("no fast path: ");
    assert!(line.contains("workers answer everything"), "{line}");
    let report = server.report();
    assert!(!report["fast_path"]["refused"].as_str().unwrap_or_default().is_empty(), "{report:#}");
    assert_eq!(host.query(&["127.0.0.1"])["best"], "127.0.0.1:123");
    let mut check = host.timeball(&["check"]);
    let said = text(&check.arg(&server.directory.path).output().unwrap());
    assert!(said.contains("but here workers answer everything: "), "{said}");
    // What was not loaded at the start takes a new process.
    let said = reload(&server, &fast.replace("\"lo\"", "\"lo\", \"eth7\""));
    assert!(said.contains("[fast_path] interfaces: ") && said.contains("restart"), "{said}");
}

#[test]
fn nobody_is_without_an_answer_while_a_new_process_takes_over() {
    let Some(link) = Link::new() else { return };
    let server = Controlled::start(&link.server, FAST);
    link.wait_for_driver(&server, "10.9.0.1");
    let (client, done) = (&link.client, AtomicBool::new(false));
    let server = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let begun = Instant::now();
            let mut asked = 0;
            while !done.load(Ordering::Relaxed) && begun.elapsed() < 2 * PATIENCE {
                assert!(answers(client, &["10.9.0.1"]), "after {asked}");
                asked += 1;
            }
            asked
        });
        let mut command = link.server.timeball(&["serve", "--take-over"]);
        command.arg(&server.directory.path);
        let mut new = Daemon::start(command);
        new.wait_for("took over from process");
        new.wait_for("ready");
        let Controlled { daemon, socket, directory } = server;
        assert_eq!(daemon.finish().0, Some(0));
        let server = Controlled { daemon: new, socket, directory };
        link.wait_for_driver(&server, "10.9.0.1");
        done.store(true, Ordering::Relaxed);
        assert!(asked.join().unwrap() > 1);
        server
    });
    assert!(!server.ask("status", &[]).stdout.is_empty());
}
