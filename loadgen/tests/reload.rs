//! No request is lost while the server reads its configuration again and again, another takes its place, or
//! cores come and go.
//!
//! The same at any rate, on a machine that has nothing else to do:
//!
//! ```text
//! timeball-load run ADDRESS --rate 100000 -d 20 &
//! for n in $(seq 100); do timeball reload; done; timeball serve --take-over CONFIG
//! ```

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::process::{Command, Stdio};

use common::{Controlled, Daemon, Host, text, timeball_program};
use timeball_load::Report;

/// Offers a second's 1 000 requests for ten seconds and more, while `meanwhile` is done again and again;
/// returns the report.
fn under_load(host: &Host, mut meanwhile: impl FnMut(usize)) -> Report {
    let mut command = host.command(env!("CARGO_BIN_EXE_timeball-load"));
    command.args(["run", "127.0.0.1:10123", "--json", "--rate", "1000", "-d", "6"]);
    command.args(["--timeout", "10", "--clients", "127.0.0.0/8", "--count", "500"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut load = command.spawn().unwrap();
    let mut rounds = 0;
    while load.try_wait().unwrap().is_none() {
        meanwhile(rounds);
        rounds += 1;
    }
    let output = load.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(json["trials"][0]["report"].clone()).unwrap()
}

/// All workers together, those that are gone included, have counted what was asked, and the few questions by
/// which the load generator finds out whether anybody is there.
fn assert_all_counted(server: &Controlled, report: &Report) {
    let answered = server.report()["clients"]["answered"].as_u64().unwrap();
    assert!((report.sent..report.sent + 10).contains(&answered), "{answered}: {report:?}");
}

fn is_built() -> bool {
    let built = timeball_program().exists();
    if !built {
        eprintln!("skipped: {} is not built", timeball_program().display());
    }
    built
}

fn write(server: &Controlled, config: &str) {
    let control = format!("[control]\ncontrol_socket = \"{}\"\n", server.socket.display());
    std::fs::write(&server.directory.path, format!("{control}{config}")).unwrap();
}

const HERE: &str = "[server]\nlisten = [\"127.0.0.1:10123\"]\n";

#[test]
fn reloads_in_a_row_of_every_kind_lose_nothing() {
    if !is_built() {
        return;
    }
    let host = Host::new();
    let server = Controlled::start(&host, HERE);
    let configs = [
        // More addresses, and with them other workers.
        "[server]\nlisten = [\"127.0.0.1:10123\", \"127.0.0.2:10123\"]\n".to_owned(),
        format!("{HERE}backend = \"mmsg\"\n"),
        format!("{HERE}[[access]]\nnetwork = \"192.0.2.0/24\"\nallow = []\n"),
        format!("{HERE}[log]\nlevel = \"warn\"\n"),
        "[server]\nlisten = [\"127.0.0.1:10123\"\n".to_owned(),
        HERE.to_owned(),
    ];
    let mut outcomes = Vec::new();
    let report = under_load(&host, |round| {
        write(&server, &configs[round % configs.len()]);
        outcomes.push(server.ask("reload", &[]).status.code());
    });
    assert_eq!((report.lost, report.answered), (0, report.sent), "{report:?}");
    assert!(report.sent >= 5_000 && outcomes.len() >= 12, "{} {outcomes:?}", report.sent);
    for (round, outcome) in outcomes.iter().enumerate() {
        // The one that is no TOML is refused, and only that.
        let expected = if round % configs.len() == 4 { 1 } else { 0 };
        assert_eq!(*outcome, Some(expected), "{round}: {outcomes:?}");
    }
}

#[test]
fn one_process_after_the_other_loses_nothing() {
    if !is_built() {
        return;
    }
    let host = Host::new();
    let mut server = Controlled::start(&host, HERE);
    // As many workers as before, fewer, more.
    let configs = [HERE.to_owned(), format!("{HERE}workers = 1\n"), HERE.to_owned()];
    let cores = timeball_sys::allowed_cores().len();
    let mut most = 0;
    let report = under_load(&host, |round| {
        write(&server, &configs[round % configs.len()]);
        let mut command: Command = host.timeball(&["serve", "--take-over"]);
        command.arg(&server.directory.path);
        let mut next = Daemon::start(command);
        next.wait_for("took over from process");
        next.wait_for("ready");
        let old = std::mem::replace(&mut server.daemon, next);
        assert_eq!(old.finish().0, Some(0));
        let seen = server.report();
        let workers = if round % configs.len() == 1 { 1 } else { cores };
        assert_eq!(seen["carriers"].as_array().unwrap().len(), workers, "{seen:#}");
        // What those before have answered is told as answered.
        let answered = seen["clients"]["answered"].as_u64().unwrap();
        assert!(answered >= most, "{answered} after {most}");
        most = answered;
    });
    assert_eq!((report.lost, report.answered), (0, report.sent), "{report:?}");
    assert!(report.sent >= 5_000, "{report:?}");
    assert_all_counted(&server, &report);
}

#[test]
fn cores_that_are_taken_away_and_given_back_lose_nothing() {
    let cores = timeball_sys::allowed_cores();
    if !is_built() || cores.len() < 2 {
        return eprintln!("skipped: needs two cores and a server that is built");
    }
    let host = Host::new();
    let server = Controlled::start(&host, HERE);
    let allow = |cores: &str| {
        let mut taskset = Command::new("taskset");
        taskset.args(["-a", "-p", "-c", cores, &server.daemon.pid().to_string()]);
        let output = taskset.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    let both = format!("{},{}", cores[0], cores[1]);
    let workers = |report: &serde_json::Value| report["carriers"].as_array().unwrap().len();
    allow(&both);
    server.wait_until("two workers", |report| workers(report) == 2);
    let report = under_load(&host, |round| {
        let (set, wanted) =
            if round % 2 == 0 { (cores[1].to_string(), 1) } else { (both.clone(), 2) };
        allow(&set);
        let report = server.wait_until("as many as cores", |report| workers(report) == wanted);
        // Nobody's counters vanish with him.
        assert!(report["workers"].as_array().unwrap().len() >= 2, "{report:#}");
    });
    assert_eq!((report.lost, report.answered), (0, report.sent), "{report:?}");
    assert_all_counted(&server, &report);
}
