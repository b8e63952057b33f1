//! What the running server may still do, seen from outside: thread by thread, in /proc.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Controlled, Daemon, Host, PATIENCE, Scratch, text, timeball_program};

/// Lines of `/proc/PID/task/TID/status`, by the name of the thread.
fn threads(pid: u32) -> Vec<(String, Thread)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).ok()?;
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        let lines: BTreeMap<_, _> =
            pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
        Some((lines["Name"].clone(), lines))
    };
    tasks.filter_map(|task| status(task.ok()?)).collect()
}

type Thread = BTreeMap<String, String>;

/// Waits until `wrong` finds nothing wrong in any thread: the last of them may still be on its way into its
/// sandbox when the server is ready. (`nsenter` and `setpriv` become the program they start.)
fn assert_of_all(server: &Daemon, wrong: impl Fn(&str, &Thread) -> Option<String>) {
    let begun = Instant::now();
    loop {
        let threads = threads(server.pid());
        assert!(threads.len() >= 4, "{threads:?}");
        let found: Vec<_> = threads.iter().filter_map(|(name, one)| wrong(name, one)).collect();
        if found.is_empty() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// No capability in any set but the bounding set; `may_keep` of the one thread that is named.
fn assert_no_capabilities(server: &Daemon, may_keep: Option<(&str, &str)>) {
    assert_of_all(server, |name, status| {
        let kept = may_keep.filter(|(thread, _)| *thread == name).map_or(NONE, |(_, kept)| kept);
        let wanted = [
            ("CapPrm", kept),
            ("CapEff", kept),
            ("CapInh", NONE),
            ("CapAmb", NONE),
            ("NoNewPrivs", "1"),
        ];
        let wrong = wanted.into_iter().find(|(key, value)| status[*key] != *value)?;
        Some(format!("{name}: {} is {}, not {}", wrong.0, status[wrong.0], wrong.1))
    });
}

const NONE: &str = "0000000000000000";
const SOURCE: &str = "[[source]]\naddress = \"127.0.0.1:9\"\n";

#[test]
fn started_as_root_no_thread_keeps_a_capability() {
    let host = Host::new();
    let server = host.serve(&format!("{SOURCE}[[access]]\nnetwork = \"source\"\n"));
    assert_no_capabilities(&server, None);
    assert_of_all(&server, |name, status| (status["CapBnd"] != NONE).then(|| name.to_owned()));
}

#[test]
fn only_the_discipline_thread_may_set_the_clock_and_only_to_steer_it() {
    let host = Host::new();
    let server = host.serve(&format!("[clock]\nsteering = \"kernel\"\n{SOURCE}"));
    assert_no_capabilities(&server, Some(("discipline", "0000000002000000")));
}

/// As systemd starts it: a user of its own, with ambient capabilities.
#[test]
fn a_user_with_an_ambient_capability_binds_and_then_has_none() {
    if !may_become_others() {
        return eprintln!("skipped: needs root");
    }
    // Where anybody can reach it, and at an address that no other test has.
    let config = Scratch::file("timeball.toml", "");
    let program = config.path.with_file_name("timeball");
    // By a program: a file that this one has written would be busy as long as another test starts something.
    assert!(Command::new("cp").arg(timeball_program()).arg(&program).status().unwrap().success());
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = format!("127.{high}.{low}.5:123");
    let directory = config.path.parent().unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
    let control = format!("[control]\ncontrol_socket = \"{}/control\"\n", directory.display());
    fs::write(&config.path, format!("[server]\nlisten = [\"{address}\"]\n{control}")).unwrap();
    let mut command = Command::new("setpriv");
    let capability = "+net_bind_service";
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args([format!("--inh-caps={capability}"), format!("--ambient-caps={capability}")]);
    command.arg("--").arg(&program).arg("serve").arg(&config.path);
    let mut server = Daemon::start(command);
    server.keep(config);
    server.wait_for("ready");
    assert_no_capabilities(&server, None);
    server.signal("TERM");
    assert_eq!(server.finish().0, Some(0));
}

fn may_become_others() -> bool {
    let output = Command::new("setpriv").args(["--reuid=65534", "true"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// How many filters are on each thread.
fn filters(server: &Daemon) -> Vec<(String, u32)> {
    let all = threads(server.pid()).into_iter();
    all.map(|(name, status)| (name, status["Seccomp_filters"].parse().unwrap())).collect()
}

#[test]
fn every_thread_but_the_main_one_has_a_filter_of_its_own_on_top_of_the_one_for_all() {
    let host = Host::new();
    let config = format!("{SOURCE}[[access]]\nnetwork = \"source\"\n");
    // A ring keeps its port for some time: each server has a host of its own.
    let off = Host::new().serve(&format!("{config}[sandbox]\nmode = \"off\"\n"));
    let before = filters(&off)[0].1;
    let server = Controlled::start(&host, &config);
    // A thread is called as the main one is until it has named itself.
    for thread in ["worker-0", "discipline", "control", "resolver", "gatekeeper", "watchdog", "log"]
    {
        common::thread_id(server.daemon.pid(), thread);
    }
    // One by which libc starts threads in the way that can be judged, and the lists of calls.
    let of = |name: &str| before + if name == "timeball" { 2 } else { 3 };
    assert_of_all(&server.daemon, |name, status| {
        let filters: u32 = status["Seccomp_filters"].parse().unwrap();
        let wrong = status["Seccomp"] != "2" || filters != of(name);
        wrong.then(|| format!("{name}: {filters}"))
    });
    let report = server.report();
    let in_force = report["sandbox"]["in_force"].to_string();
    assert!(in_force.contains("seccomp"), "{report}");
    assert!(text(&server.ask("status", &[])).contains("sandbox  seccomp"));
}

#[test]
fn all_that_is_to_be_written_and_looked_up_is_within_reach_in_strict_mode() {
    let host = Host::new();
    let directory = Scratch::file("statistics", "");
    let at = directory.path.parent().unwrap().display();
    let server = Controlled::start(
        &host,
        &format!(
            "[sandbox]\nmode = \"strict\"\n{}[clock]\ndrift_file = \"{at}/drift\"\n\
             state_file = \"{at}/state\"\n[statistics]\ndirectory = \"{at}\"\n\
             kinds = [\"sysstats\"]\n[local]\nwait_s = 0\n[[source]]\naddress = \"localhost:9\"\n",
            "[server]\nlisten = [\"127.0.0.1:10123\"]\n"
        ),
    );
    assert_eq!(host.query(&["127.0.0.1:10123"])["best"], "127.0.0.1:10123");
    // New workers, with new sockets, in the sandbox of those before.
    let config = fs::read_to_string(&server.directory.path).unwrap();
    let more = config.replace("10123\"", "10123\", \"127.0.0.2:10123\"");
    fs::write(&server.directory.path, more).unwrap();
    let said = text(&server.ask("reload", &[]));
    assert!(said.contains("1 change, in force"), "{said}");
    assert_eq!(host.query(&["127.0.0.2:10123"])["best"], "127.0.0.2:10123");
    server.daemon.signal("HUP");
    server.wait_until("its name is looked up", |report| report["sources"][0]["requests"] != 0);
    server.daemon.signal("TERM");
    let (code, lines) = server.daemon.finish();
    assert_eq!(code, Some(0), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("configuration reloaded")), "{lines:#?}");
    let written = fs::read_to_string(directory.path.with_file_name("sysstats"));
    assert!(written.is_ok_and(|text| text.lines().count() == 1), "{lines:#?}");
}

#[test]
fn a_reload_that_needs_what_is_out_of_reach_is_refused_with_the_place() {
    let host = Host::new();
    let server = Controlled::start(&host, "");
    let other = Scratch::file("drift", "");
    let config = fs::read_to_string(&server.directory.path).unwrap();
    let clock = format!("[clock]\ndrift_file = \"{}\"\n", other.path.display());
    fs::write(&server.directory.path, config + &clock).unwrap();
    let outcome = text(&server.ask("reload", &[]));
    if server.report()["sandbox"]["in_force"].to_string().contains("landlock") {
        let place = other.path.parent().unwrap().display().to_string();
        assert!(outcome.contains(&format!("{place} is out of reach")), "{outcome}");
    }
}

/// As root it owns everything in /etc: what is read there would be quoted in what is wrong with it.
#[test]
fn what_others_keep_in_etc_is_out_of_reach_of_a_server_that_is_root() {
    let host = Host::new();
    let server = Controlled::start(&host, "");
    if !server.report()["sandbox"]["in_force"].to_string().contains("landlock") {
        return eprintln!("skipped: no landlock here");
    }
    let config = fs::read_to_string(&server.directory.path).unwrap();
    let keys = "[keys]\nfile = \"/etc/passwd\"\n";
    fs::write(&server.directory.path, config + keys).unwrap();
    let outcome = text(&server.ask("reload", &[]));
    assert!(outcome.contains("/etc/passwd is out of reach"), "{outcome}");
    assert!(outcome.contains("timeball serve --take-over"), "the remedy: {outcome}");
    // By a line that includes a file; on another host, for this one's port is taken.
    let (host, file) = (Host::new(), Scratch::file("ntp.conf", "server 127.127.1.0\n"));
    let mut command = host.timeball(&["serve", "--ntp-conf"]);
    command.arg(&file.path);
    let mut server = Daemon::start(command);
    server.wait_for("ready");
    fs::write(&file.path, "server 127.127.1.0\nincludefile /etc/passwd\n").unwrap();
    server.signal("HUP");
    let said = server.wait_for("/etc/passwd cannot be read");
    assert!(said.contains("not reloaded") && said.contains("timeball serve --take-over"), "{said}");
    assert!(!server.so_far().iter().any(|line| line.contains("/bin/")), "nothing is quoted of it");
}

#[test]
fn the_unit_for_systemd_is_rated_as_well_as_the_manual_says() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../tuning/systemd/timeball.service");
    let mut systemd = Command::new("systemd-analyze");
    systemd.args(["security", "--offline=true", "--no-pager", "--threshold=21", unit]);
    match systemd.output() {
        Ok(output) => assert!(output.status.success(), "above 2.1: {}", text(&output)),
        Err(error) => eprintln!("skipped: systemd-analyze: {error}"),
    }
}
