//! The configuration is read again while the server runs: what is new is in force, what is not was not
//! touched, and nobody who asks for the time notices.

mod common;

use common::{Controlled, Host, text};
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
