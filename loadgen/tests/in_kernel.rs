//! A load that the kernel makes, against a real timeball: what both count agrees, an interrupted run keeps
//! what it has, and whoever may not or cannot is told in a line.

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::process::{Command, Output, Stdio};

use common::{Controlled, Host, text, timeball_program};
use timeball_load::{Document, Fault, Report};

/// Two hosts joined by a `veth`, whose server's end takes frames from programs; `None`, said, where root may
/// not do that.
fn hosts() -> Option<(Host, Host)> {
    if !timeball_program().exists() {
        eprintln!("skipped: {} is not built", timeball_program().display());
        return None;
    }
    let server = Host::of_root()?;
    let clients = server.neighbour("server", "clients");
    server.ip("addr add 198.18.0.1/24 dev server");
    server.ip("-6 addr add 2001:2::1/64 dev server nodad");
    clients.ip("addr add 198.18.0.2/24 dev clients");
    clients.ip("-6 addr add 2001:2::2/64 dev clients nodad");
    server.ip("route add 10.77.0.0/16 via 198.18.0.2");
    server.ip("-6 route add fd77::/64 via 2001:2::2");
    let output = server.command("ethtool").args(["-K", "server", "gro", "on"]).output().unwrap();
    assert!(output.status.success(), "ethtool: {}", text(&output));
    Some((server, clients))
}

const CONFIG: &str =
    "[server]\nlisten = [\"198.18.0.1:123\", \"[2001:2::1]:123\"]\n[limits]\nmode = \"off\"\n";

fn load(clients: &Host, arguments: &str) -> Command {
    let mut command = clients.command(env!("CARGO_BIN_EXE_timeball-load"));
    command.args(["run", "--in-kernel", "-q", "--json"]).args(arguments.split_whitespace());
    command
}

fn report(output: &Output) -> Report {
    let document: Document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(output)));
    document.trials[0].report.clone()
}

/// What must hold of any report, on a machine that may be very busy.
fn assert_consistent(report: &Report) {
    assert_eq!(report.sent, report.answered + report.lost + report.causality_violations);
    assert_eq!(report.latency.count(), report.answered);
    let faults = report.faults.total() - report.faults_of(Fault::Late);
    assert_eq!((faults, report.causality_violations), (0, 0), "{:?}", report.faults);
    assert!(report.answered * 2 > report.sent && report.latency.quantile(0.5) > 0, "{report:?}");
}

#[test]
fn generator_and_server_count_the_same_and_every_rhythm_keeps_its_rate() {
    let Some((server, clients)) = hosts() else { return };
    let timeball = Controlled::start(&server, CONFIG);
    let (mut answered, mut late) = (0, 0);
    let loads = [
        ("198.18.0.1:123 --clients 10.77.0.0/16 --ports 7", "--rhythm constant"),
        ("198.18.0.1:123 --clients 10.77.0.0/16 --count 3", "--rhythm poisson"),
        ("[2001:2::1]:123 --clients fd77::/64 --mix v3=1", "--rhythm bursts --burst 20"),
    ];
    for (target, rhythm) in loads {
        let arguments = format!("{target} {rhythm} --rate 2000 -d 1 --timeout 5 --shared-clock");
        let output = load(&clients, &arguments).output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", text(&output));
        let report = report(&output);
        assert_consistent(&report);
        let due = report.sent + report.missed + report.unsent;
        let is_random = rhythm.contains("poisson");
        // Five standard deviations of two thousand.
        assert!(due.abs_diff(2_000) <= if is_random { 230 } else { 20 }, "{arguments}: {report:?}");
        assert!(report.offset.count() == report.answered && report.residence.count() > 0);
        assert!(report.lag.count() == report.sent + report.unsent, "{report:?}");
        answered += report.answered;
        late += report.faults_of(Fault::Late);
    }
    let closed =
        "198.18.0.1:123 --clients 10.77.0.0/16 --window 16 --requests 3000 -d 30 --timeout 5";
    let output = load(&clients, closed).output().unwrap();
    let report = report(&output);
    assert_consistent(&report);
    assert_eq!(report.sent, 3_000, "{report:?}");
    let answered = answered + report.answered + late + report.faults_of(Fault::Late);
    // One reply of each probe is the server's, too. What was answered and lost on its way back is overruns.
    let most = answered + 4 * 6 + report.overruns;
    timeball.wait_until("the server's own count", |status| {
        let count = count_of(status);
        (answered + 4..=most).contains(&count)
    });
}

/// Answers of all workers.
fn count_of(status: &serde_json::Value) -> u64 {
    let workers = status["workers"].as_array().unwrap_or_else(|| panic!("{status:#}"));
    workers.iter().filter_map(|worker| worker["sent"].as_u64()).sum()
}

#[test]
fn an_interrupted_load_keeps_what_was_counted() {
    let Some((server, clients)) = hosts() else { return };
    let _timeball = Controlled::start(&server, CONFIG);
    let arguments =
        "198.18.0.1:123 --clients 10.77.0.0/16 --rate 1000 -d 600 --interval 0.1 --timeout 2";
    let mut command = load(&clients, arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    // `nsenter` and `setpriv` have become the program.
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    let report = report(&output);
    assert!(report.interrupted && report.elapsed_s < 100.0, "{report:?}");
    assert_eq!(report.sent, report.answered + report.lost + report.causality_violations);
}

#[test]
fn whoever_may_not_and_what_cannot_be_is_told_in_a_line_with_its_remedy() {
    let host = Host::new();
    let neighbour = host.neighbour("here", "there");
    host.ip("addr add 198.18.0.2/24 dev here");
    neighbour.ip("addr add 198.18.0.1/24 dev there");
    let refused = |arguments: &str| {
        let output =
            load(&host, &format!("198.18.0.1:123 --no-probe --clients 10.77.0.0/16 {arguments}"));
        let output = { output }.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // The root of a user namespace may not load programs.
    let (code, complaint) = refused("");
    assert_eq!((code, complaint.lines().count()), (Some(1), 1), "{complaint}");
    assert!(complaint.contains("root outside of user namespaces"), "{complaint}");
    for impossible in ["--mix v4=1,v3=1", "--threads 2", "--segments 4", "--abuser 0.5"] {
        let (code, complaint) = refused(impossible);
        assert_eq!(code, Some(2), "{impossible}: {complaint}");
        assert!(complaint.contains("inside the kernel there is one sender"), "{complaint}");
    }
}
