//! The program against real servers, for a second or two each: every kind of request is answered and
//! checked, hostile packets are not, and frames from addresses that nobody has come back.

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::process::Command;

use common::{Daemon, Host, Scratch, chronyd, peer, text, timeball_program};
use timeball_load::{Fault, Report};

/// `timeball-load run` inside, against `target`.
fn load(host: &Host, target: &str, arguments: &str) -> Command {
    let mut command = host.command(env!("CARGO_BIN_EXE_timeball-load"));
    command.args(["run", target, "--json"]).args(arguments.split_whitespace());
    command
}

fn report_of(host: &Host, target: &str, arguments: &str) -> Report {
    let output = load(host, target, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", text(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(json["trials"][0]["report"].clone()).unwrap()
}

/// What must hold of any sound server under a light load, on a machine that may be very busy.
fn assert_sound(report: &Report) {
    assert!(report.sent >= 500, "{report:?}");
    assert!(report.answered * 100 >= report.sent * 95, "{report:?}");
    assert_eq!(report.sent, report.answered + report.lost + report.causality_violations);
    assert!(report.latency.quantile(0.5) > 0 && report.residence.count() > 0, "{report:?}");
    let faults = report.faults.total() - report.faults_of(Fault::Late);
    assert_eq!(faults, 0, "{:?}", report.faults);
}

fn ntpd(host: &Host) -> Daemon {
    let config = Scratch::file(
        "ntp.conf",
        "refclock local\nfudge 127.127.1.0 stratum 7\ntos orphan 7 orphanwait 0\n\
         restrict default kod nomodify nopeer noquery\n",
    );
    let mut command = host.command(peer("ntpsec/usr/sbin/ntpd"));
    command.args(["-n", "-N", "-g", "-c"]).arg(&config.path);
    let mut daemon = Daemon::start(command);
    daemon.keep(config);
    daemon
}

const LIGHT: &str = "--rate 1000 -d 1.5 --timeout 5 --shared-clock --stamp-one-in 3";

#[test]
fn chronyd_answers_every_kind_of_request_and_no_hostile_packet() {
    let host = Host::new();
    let _server = chronyd(&host, &["port 123", "local stratum 5"]);
    let mix = "--mix v4=6,v3=3,v2=2,symmetric=1,short=1,long=1,bad-field=1,mode7=1 --count 5000";
    let report = report_of(&host, "127.0.0.1:123", &format!("{LIGHT} {mix}"));
    assert_sound(&report);
    for (kind, provocation) in report.hostile.all() {
        assert_eq!(provocation.answered, 0, "{kind:?}");
    }
    assert!(report.hostile.short.sent > 20 && report.hostile.mode7.sent > 20, "{report:?}");
    assert!(report.offset.count() > 100, "{report:?}");
}

#[test]
fn ntpsec_ntpd_answers_clients_of_versions_two_to_four() {
    let host = Host::new();
    let _server = ntpd(&host);
    // It is not synchronised at once.
    for _ in 0..200 {
        let output = load(&host, "127.0.0.1:123", "--window 1 --requests 1 -d 5").output().unwrap();
        if output.status.success() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let report = report_of(&host, "127.0.0.1:123", &format!("{LIGHT} --mix v4=3,v3=2,v2=1"));
    assert_sound(&report);
}

#[test]
fn timeball_answers_by_ipv6_from_many_addresses_and_by_versions_one_to_four() {
    if !timeball_program().exists() {
        eprintln!("skipped: {} is not built", timeball_program().display());
        return;
    }
    let host = Host::new();
    host.ip("-6 route add local fd77::/64 dev lo");
    // To a limiter, a /64 is one client.
    let _server = host
        .serve("[server]\nlisten = [\"127.0.0.1:123\", \"[::1]:123\"]\n[limits]\nmode = \"off\"\n");
    let mix = "--mix v4=4,v3=2,v2=1,v1=1,symmetric=1,short=1,long=1,bad-field=1,mode7=1";
    let v4 = report_of(&host, "127.0.0.1:123", &format!("{LIGHT} {mix} --threads 2 --ports 3"));
    assert_sound(&v4);
    assert!(v4.hostile.all().iter().all(|(_, provocation)| provocation.answered == 0), "{v4:?}");
    let shares = "--clients fd77::/64 --chatty 0.3:10 --abuser 0.2";
    let v6 = report_of(&host, "[::1]:123", &format!("{LIGHT} {shares}"));
    assert_sound(&v6);
    let cohorts = &v6.cohorts;
    let sent = cohorts.well_behaved.sent + cohorts.chatty.sent + cohorts.abuser.sent;
    assert_eq!(sent, v6.sent);
    assert!(cohorts.chatty.sent > cohorts.abuser.sent && cohorts.abuser.sent > 100, "{cohorts:?}");
}

#[test]
fn signed_requests_are_answered_signed_and_a_key_that_is_not_the_servers_is_told() {
    let host = Host::new();
    let key = "000102030405060708090a0b0c0d0e0f";
    let keys = Scratch::file("keys", &format!("7 AES128 HEX:{key}\n"));
    let _server = chronyd(
        &host,
        &["port 123", "local stratum 5", &format!("keyfile {}", keys.path.display())],
    );
    let report = report_of(&host, "127.0.0.1:123", &format!("{LIGHT} --key 7:AES128:{key}"));
    assert_sound(&report);
    if !timeball_program().exists() {
        eprintln!("skipped: {} is not built", timeball_program().display());
        return;
    }
    let path = keys.path.display();
    let _server = host.serve(&format!(
        "[server]\nlisten = [\"127.0.0.1:124\"]\n[keys]\nfile = \"{path}\"\nformat = \"chrony\"\n"
    ));
    let report = report_of(&host, "127.0.0.1:124", &format!("{LIGHT} --key 7:AES128:{key}"));
    assert_sound(&report);
    let wrong = format!("{LIGHT} --key 7:AES128:ff{}", &key[2..]);
    let output = load(&host, "127.0.0.1:124", &wrong).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let report: Report = serde_json::from_value(json["trials"][0]["report"].clone()).unwrap();
    assert_eq!(output.status.code(), Some(4), "no valid reply: {}", text(&output));
    assert_eq!(report.answered, 0, "{report:?}");
    assert!(report.faults_of(Fault::Code) > 500, "crypto-NAKs: {:?}", report.faults);
}

/// Two hosts on a veth: chronyd on one; on the other the generator, whose clients' network is routed to it
/// and whose addresses nobody has.
#[test]
fn frames_from_addresses_that_nobody_has_are_answered_in_both_families() {
    let server = Host::new();
    let clients = server.neighbour("srv", "cli");
    for (host, device, number) in [(&server, "srv", 1), (&clients, "cli", 2)] {
        host.ip(&format!("addr add 198.18.0.{number}/24 dev {device}"));
        host.ip(&format!("addr add 2001:2::{number}/64 dev {device} nodad"));
    }
    server.ip("route add 10.77.0.0/16 via 198.18.0.2");
    server.ip("-6 route add fd77::/64 via 2001:2::2");
    let _daemon = chronyd(&server, &["port 123", "local stratum 5", "allow ::/0"]);
    let arguments = format!("{LIGHT} --raw --ports 50 --mix v4=9,mode7=1,short=1");
    let targets = [("198.18.0.1:123", "10.77.0.0/16"), ("[2001:2::1]:123", "fd77::/64")];
    for (target, network) in targets {
        let report = report_of(&clients, target, &format!("{arguments} --clients {network}"));
        assert_sound(&report);
        assert!(report.offset.count() > 100, "departures are stamped: {report:?}");
        assert_eq!(report.hostile.mode7.answered + report.hostile.short.answered, 0);
        assert!(report.hostile.mode7.sent > 20);
        // Eight requests of a client as one frame, which the kernel cuts up: each is a request still.
        let cut = "--window 64 --segments 8 -d 1 --requests 20000 --timeout 5 --raw";
        let report = report_of(&clients, target, &format!("{cut} --clients {network}"));
        assert_sound(&report);
    }
    // What has no way is named.
    let told = |target: &str, arguments: &str| {
        let output = load(&clients, target, &format!("{arguments} -d 1")).output().unwrap();
        assert!(!output.status.success());
        text(&output)
    };
    let error = told(
        "198.18.0.1:123",
        "--raw --clients 8.8.8.0/24 --no-probe --next-hop 02:00:00:00:00:09",
    );
    assert!(!error.contains("would go to"), "nothing leads out of here: {error}");
    let error = told("198.18.0.77:123", "--raw --clients 10.77.0.0/16 --no-probe");
    assert!(error.contains("nobody at 198.18.0.77 answers on cli"), "{error}");
    let error = told("127.0.0.1:123", "--raw --clients 10.77.0.0/16 --no-probe");
    assert!(error.contains("leave out --raw"), "{error}");
    let error = told("198.18.0.1:123", "--clients 10.77.0.0/16");
    assert!(error.contains("10.77.0.1 is not an address of this host"), "{error}");
    let error = told("198.18.0.1:99", "--clients 198.18.0.2/32");
    assert!(error.contains("the port is closed"), "{error}");
    let error = told("198.19.0.1:123", "--clients 198.18.0.2/32");
    assert!(error.contains("cannot be reached"), "{error}");
    let error = told("198.18.0.1:123", "--raw --clients 10.77.0.0/30 --count 3");
    assert!(error.contains("3 clients do not fit a network of 2"), "{error}");
}

#[test]
fn without_the_capability_frames_are_refused_by_its_name() {
    let host = Host::new();
    let clients = host.neighbour("srv", "cli");
    host.ip("addr add 198.18.0.1/24 dev srv");
    clients.ip("addr add 198.18.0.2/24 dev cli");
    let mut command = clients.command("setpriv");
    command.args(["--bounding-set", "-net_raw", "--inh-caps", "-net_raw", "--"]);
    command.args([
        env!("CARGO_BIN_EXE_timeball-load"),
        "run",
        "198.18.0.1:123",
        "--raw",
        "--no-probe",
    ]);
    let output = command.args(["--clients", "10.77.0.0/16", "-d", "1"]).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("CAP_NET_RAW"), "{}", text(&output));
}

#[test]
fn a_server_that_is_not_there_and_a_target_that_is_not_ours_are_named() {
    let host = Host::new();
    let told = |target: &str| {
        let output = load(&host, target, "-d 1").output().unwrap();
        (output.status.code(), text(&output))
    };
    let (code, error) = told("127.0.0.1:123");
    assert!(code == Some(4) && error.contains("the port is closed"), "{error}");
    let (code, error) = told("192.0.2.1:123");
    assert!(code == Some(3) && error.contains("--i-own-this-target"), "{error}");
}
