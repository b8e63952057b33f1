//! Where there can be no fast path: workers answer everything, and it is said why.

use std::ffi::OsString;
use std::process::Command;

use serde_json::Value;

use crate::common::{Controlled, Host, text, timeball_program};
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

#[test]
fn whatever_forbids_bpf_workers_answer_and_everything_that_reports_says_why() {
    let Some(link) = Link::bare() else { return };
    let config = format!("{FAST}[metrics]\n");
    for (error, command, said) in [
        ("ENOSYS", None, "there is no bpf(2) here"),
        ("EPERM", None, "a filter of system calls"),
        ("EPERM", Some(MAP_CREATE), "a filter of system calls"),
        ("EPERM", Some(PROG_LOAD), "a filter of system calls"),
        ("EINVAL", Some(PROG_LOAD), "needs Linux 6.1"),
        ("EPERM", Some(BTF_LOAD), "interfaces = [] under [fast_path] does without"),
        ("EPERM", Some(LINK_CREATE), "a filter of system calls"),
    ] {
        let case = format!("{error} for {command:?}");
        let mut server = Controlled::watched(&link.server, &config, |serve| {
            forbid(&link.server, serve, error, command);
        });
        let line = server.daemon.wait_for(said);
        assert!(line.contains("workers answer everything"), "{case}: {line}");
        let lines = server.daemon.so_far().iter().filter(|line| line.contains("WARN"));
        assert_eq!(lines.count(), 1, "{case}: {:#?}", server.daemon.so_far());
        assert!(link.answers(&["10.9.0.1", "2001:db8::1"]), "{case}");
        let report = server.report();
        let hindered = hindrance(&report, "fast0");
        assert!(hindered.contains(said), "{case}: {report:#}");
        let noted = report["notes"].as_array().unwrap().iter().filter_map(Value::as_str);
        assert_eq!(noted.filter(|note| note.contains(&hindered)).count(), 1, "{case}: {report:#}");
        for command in ["status", "why"] {
            let text = text(&server.ask(command, &[]));
            assert!(text.contains(said), "{case}: {text}");
        }
        let metrics = page(&link.server, "metrics");
        let gauge = "timeball_fast_path_interface{interface=\"fast0\",mode=\"native\"} 0";
        assert!(metrics.contains(gauge), "{case}: {metrics}");
        let ready = page(&link.server, "ready");
        assert!(ready.starts_with("ready\n") && ready.contains(said), "{case}: {ready}");
        server.daemon.signal("TERM");
        let Controlled { daemon, .. } = server;
        assert_eq!(daemon.finish().0, Some(0), "{case}");
    }
}

#[test]
fn a_kernel_without_type_information_is_good_enough() {
    let Some(link) = Link::new() else { return };
    let hide = "! [ -d $1 ] || mount -t tmpfs none $1; shift; exec \"$@\"";
    let server = Controlled::watched(&link.server, FAST, |serve| {
        let words = program_of(serve);
        *serve = link.server.command("unshare");
        serve.args(["--mount", "sh", "-c", hide, "sh", "/sys/kernel/btf"]).args(words);
    });
    assert_eq!(hindrance(&server.report(), "fast0"), "");
    link.wait_for_driver(&server, "10.9.0.1");
}

/// What the server says on its page `name`.
fn page(host: &Host, name: &str) -> String {
    let url = format!("http://127.0.0.1:9559/{name}");
    text(&host.command("curl").args(["-s", &url]).output().unwrap())
}

/// Has `serve`, which is to be run on `host`, meet `error` wherever it calls bpf(2) with `command`, or
/// with any.
fn forbid(host: &Host, serve: &mut Command, error: &str, command: Option<u32>) {
    let words = program_of(serve);
    *serve = host.command("python3");
    let command = command.map_or("any".to_owned(), |command| command.to_string());
    serve.args(["-c", FORBID, error, &command]).args(words);
}

/// The program that `serve` runs on a host, and its arguments.
fn program_of(serve: &Command) -> Vec<OsString> {
    let program = timeball_program();
    serve.get_args().skip_while(|word| *word != program).map(ToOwned::to_owned).collect()
}

/// Runs what its arguments say from the third on, under a filter: bpf(2) of the command that is the
/// second fails with the error that is the first.
const FORBID: &str = "\
import ctypes, errno, os, struct, sys
refuse, command = 0x50000 | getattr(errno, sys.argv[1]), sys.argv[2]
LOAD, IS, RETURN, ALLOW, BPF = 0x20, 0x15, 0x06, 0x7fff0000, 321
steps = [(LOAD, 0, 0, 0), (IS, 0, 3, BPF), (LOAD, 0, 0, 16)]
steps += [(IS, 0, 0, 0) if command == 'any' else (IS, 0, 1, int(command))]
steps += [(RETURN, 0, 0, refuse), (RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
filter = struct.pack('HxxxxxxP', len(steps), ctypes.addressof(code))
prctl = ctypes.CDLL(None, use_errno=True).prctl
prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong]
if prctl(22, 2, filter, 0, 0) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[3], sys.argv[3:])
";

/// Commands of bpf(2) (uapi/linux/bpf.h).
const MAP_CREATE: u32 = 0;
const PROG_LOAD: u32 = 5;
const BTF_LOAD: u32 = 18;
const LINK_CREATE: u32 = 28;
