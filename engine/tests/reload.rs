//! The configuration is read again while the server runs: what is new is in force, what is not was not
//! touched, and nobody who asks for the time notices.

mod common;

use common::{Controlled, Daemon, Host, Scratch, chronyd, text};
use serde_json::Value;

/// Writes `config` where `server` looks for it.
fn write(server: &Controlled, config: &str) {
    let control = format!("[control]\ncontrol_socket = \"{}\"\n", server.socket.display());
    std::fs::write(&server.directory.path, format!("{control}{config}")).unwrap();
}

/// Has `server` read `config`, and returns exit code and output.
fn reload(server: &Controlled, config: &str) -> (Option<i32>, String) {
    write(server, config);
    let output = server.ask("reload", &[]);
    (output.status.code(), text(&output))
}

fn best(host: &Host, server: &str) -> Value {
    host.query(&[server])["best"].clone()
}

const HERE: &str = "[server]\nlisten = [\"127.0.0.1:10123\"]\n";

#[test]
fn listeners_come_and_go_without_the_others() {
    let host = Host::new();
    let server = Controlled::start(&host, HERE);
    assert_eq!(best(&host, "127.0.0.2:10123"), Value::Null);
    let both = "[server]\nlisten = [\"127.0.0.1:10123\", \"127.0.0.2:10123\"]\n";
    let (code, said) = reload(&server, both);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("[server] listen: ") && said.contains("1 change, in force"), "{said}");
    assert_eq!(best(&host, "127.0.0.1:10123"), "127.0.0.1:10123");
    assert_eq!(best(&host, "127.0.0.2:10123"), "127.0.0.2:10123");
    let smeared =
        "[server]\nlisten = [\"127.0.0.2:10123\"]\nlisten_smeared = [\"127.0.0.1:10123\"]\n";
    assert_eq!(reload(&server, smeared).0, Some(0));
    let said = host.query(&["127.0.0.1:10123"]);
    assert!(said["servers"][0]["time"]["reference_id"].as_str().unwrap().starts_with("254."));
    assert_eq!(reload(&server, HERE).0, Some(0));
    let report = server.report();
    assert_eq!(report["listening"], serde_json::json!(["127.0.0.1:10123"]));
    assert_eq!(report["clients"]["answered"], 12, "counted across all of it: {report:#}");
    assert_eq!(best(&host, "127.0.0.2:10123"), Value::Null);
    let wide = "[server]\nlisten = [\"0.0.0.0:10123\"]\n";
    assert_eq!(reload(&server, wide).0, Some(0), "a wildcard takes the place of an address");
    assert_eq!(best(&host, "127.0.0.2:10123"), "127.0.0.2:10123");
}

#[test]
fn what_is_wrong_is_told_by_line_and_changes_nothing() {
    let host = Host::new();
    let mut server = Controlled::start(&host, HERE);
    let (code, said) = reload(&server, &format!("{HERE}\nworkerz = 3\n[log]\nlevel = \"warn\"\n"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("timeball.toml:6:1: ") && said.contains("did you mean"), "{said}");
    assert!(said.contains("nothing has changed"), "{said}");
    server.daemon.wait_for("not reloaded: ");
    // Good, but one of its sockets cannot be had.
    let (code, said) = reload(
        &server,
        "[server]\nlisten = [\"127.0.0.2:10123\", \"192.0.2.1:10123\"]\n[log]\nlevel = \"error\"\n",
    );
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("192.0.2.1:10123") && said.contains("no interface"), "{said}");
    assert_eq!(best(&host, "127.0.0.1:10123"), "127.0.0.1:10123");
    assert_eq!(best(&host, "127.0.0.2:10123"), Value::Null);
    std::fs::remove_file(&server.directory.path).unwrap();
    server.daemon.signal("HUP");
    server.daemon.wait_for("timeball.toml: no such file");
    assert_eq!(best(&host, "127.0.0.1:10123"), "127.0.0.1:10123");
}

fn source(port: u16, more: &str) -> String {
    format!("[[source]]\naddress = \"127.0.0.1:{port}\"\n{more}")
}

#[test]
fn sources_that_stay_keep_what_is_known_of_them_and_others_come_and_go() {
    let host = Host::new();
    let _one = chronyd(&host, &["port 1123", "local stratum 5"]);
    let _two = chronyd(&host, &["port 1124", "local stratum 3"]);
    let server = Controlled::start(&host, &(HERE.to_owned() + &source(1123, "")));
    let before = server.wait_until("synchronised", |report| report["header"]["leap"] == 0);
    let both = HERE.to_owned() + &source(1124, "") + &source(1123, "max_poll = 8\n");
    let (code, said) = reload(&server, &both);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("[[source]] 127.0.0.1:1124 added"), "{said}");
    assert!(said.contains("[[source]] 127.0.0.1:1123 max_poll: 10 → 8"), "{said}");
    let after = server.report();
    assert_eq!(after["header"]["leap"], 0, "without a gap: {after:#}");
    assert_eq!(after["sources"][1]["name"], "127.0.0.1:1123");
    let known = |source: &Value| (source["reach"].as_u64(), source["points"].as_u64());
    let (was, is) = (known(&before["sources"][0]), known(&after["sources"][1]));
    assert!(is >= was && was.1 >= Some(1), "{was:?} {is:?}");
    server.wait_until("the other", |report| report["sources"][0]["reach"] != 0);
    // A source that is gone is not asked any more; the time goes on.
    assert_eq!(reload(&server, &(HERE.to_owned() + &source(1124, ""))).0, Some(0));
    let report = server.wait_until("the new one alone", |report| report["header"]["stratum"] == 4);
    assert_eq!(report["sources"].as_array().unwrap().len(), 1);
    // Without any there is the local clock.
    assert_eq!(reload(&server, HERE).0, Some(0));
    server.wait_until("the local clock", |report| report["clock"]["basis"] == "local");
}

#[test]
fn access_log_statistics_and_control_socket_change_at_once() {
    let host = Host::new();
    let mut server = Controlled::start(&host, HERE);
    let refusing = format!("{HERE}[[access]]\nnetwork = \"127.0.0.0/8\"\nallow = []\n");
    assert_eq!(reload(&server, &refusing).0, Some(0));
    assert_eq!(best(&host, "127.0.0.1:10123"), Value::Null);
    let verbose = format!("{HERE}[log]\nlevel = \"debug\"\n[clock]\nstep_limit = 3\n");
    write(&server, &verbose);
    let dry = text(&server.ask("reload", &["--dry-run"]));
    assert!(
        dry.contains("[log] level: \"info\" → \"debug\"") && dry.contains("nothing done"),
        "{dry}"
    );
    assert_eq!(best(&host, "127.0.0.1:10123"), Value::Null, "nothing was done");
    server.daemon.signal("HUP");
    server.daemon.wait_for("[clock] step_limit: -1 → 3");
    assert_eq!(best(&host, "127.0.0.1:10123"), "127.0.0.1:10123");
    // What needs a new process is named, and the rest is in force.
    let (code, said) =
        reload(&server, &format!("{HERE}spread = \"kernel\"\n[log]\nlevel = \"info\"\n"));
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("[server] spread: \"source-address\" → \"kernel\", needs a restart"),
        "{said}"
    );
    assert!(said.contains("[log] level") && said.contains("in force; the rest stays"), "{said}");
    let json = text(&server.ask("reload", &["--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["applied"], &json["kept"][0]["setting"]), (&true.into(), &"spread".into()));
    // The control socket moves, where the sandbox lets it: within its directory.
    let other = server.socket.with_file_name("other.sock");
    let moved = format!("{HERE}[control]\ncontrol_socket = \"{}\"\n", other.display());
    std::fs::write(&server.directory.path, moved).unwrap();
    let output = server.ask("reload", &[]);
    assert!(other.exists(), "{}", text(&output));
    server.socket = other;
    assert_eq!(server.report()["pid"], server.daemon.pid());
}

#[test]
fn keys_are_read_again() {
    let host = Host::new();
    let keys = |secret: &str| format!("7 AES128 HEX:{secret}0102030405060708090a0b0c0d0e0f\n");
    let server = Controlled::start(&host, HERE);
    let file = server.directory.path.with_file_name("keys");
    std::fs::write(&file, keys("00")).unwrap();
    let config = format!("{HERE}[keys]\nfile = \"{}\"\n", file.display());
    assert_eq!(reload(&server, &config).0, Some(0));
    let signed = || {
        let path = file.to_str().unwrap();
        let query = ["query", "--json", "--key", "7", "--keys", path, "127.0.0.1:10123"];
        let output = host.timeball(&query).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["best"].clone()
    };
    assert_eq!(signed(), "127.0.0.1:10123");
    std::fs::write(&file, keys("ff")).unwrap();
    assert_eq!(signed(), Value::Null, "the server has the old one");
    let (code, said) = reload(&server, &config);
    assert!(code == Some(0) && said.contains("[keys] key 7 changed"), "{said}");
    assert_eq!(signed(), "127.0.0.1:10123");
    std::fs::write(&file, "7 AES128 HEX:0\n").unwrap();
    let (code, said) = reload(&server, &config);
    assert!(code == Some(1) && said.contains("keys:1:"), "{said}");
    assert_eq!(best(&host, "127.0.0.1:10123"), "127.0.0.1:10123");
}

#[test]
fn a_wildcard_is_not_opened_beside_the_sockets_for_broadcasts() {
    let host = Host::new();
    let lan = "[broadcast_client]\nauthenticate = false\n";
    let local = format!("{lan}[local]\nwait_s = 0\n");
    let server = Controlled::start(&host, &format!("{HERE}{local}"));
    let wide = "[server]\nlisten = [\"127.0.0.1:10123\", \"0.0.0.0:10123\"]\n";
    let (code, said) = reload(&server, &format!("{wide}{local}"));
    assert!(code == Some(1) && said.contains("beside the sockets for broadcasts"), "{said}");
    assert_eq!(best(&host, "127.0.0.1:10123"), "127.0.0.1:10123");
}

#[test]
fn an_ntp_conf_is_read_again_too() {
    // As ntpd serves it: one further than the reference clock.
    const FIRST: u64 = 9;
    let host = Host::new();
    let file = Scratch::file("ntp.conf", "server 127.127.1.0\nfudge 127.127.1.0 stratum 8\n");
    let mut command = host.timeball(&["serve", "--ntp-conf"]);
    command.arg(&file.path);
    let mut server = Daemon::start(command);
    server.wait_for("ready");
    assert_eq!(host.query(&["127.0.0.1"])["servers"][0]["time"]["stratum"], FIRST);
    std::fs::write(&file.path, "server 127.127.1.0\nfudge 127.127.1.0 stratum 9\n").unwrap();
    server.signal("HUP");
    server.wait_for("[local] stratum: 9 → 10");
    let begun = std::time::Instant::now();
    while host.query(&["127.0.0.1"])["servers"][0]["time"]["stratum"] != FIRST + 1 {
        assert!(begun.elapsed() < common::PATIENCE);
    }
    std::fs::write(&file.path, "server\n").unwrap();
    server.signal("HUP");
    server.wait_for("not reloaded: ");
    assert_eq!(host.query(&["127.0.0.1"])["servers"][0]["time"]["stratum"], FIRST + 1);
}
