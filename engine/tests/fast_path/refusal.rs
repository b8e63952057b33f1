//! Where there can be no fast path: workers answer everything, and it is said why.

use crate::common::{Controlled, Host, text};
use crate::link::{FAST, Link, hindrance, reload};

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
