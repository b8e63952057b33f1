//! Replies around the kernel's IP layer: clients beyond a veth are answered so, in the sandbox, through a
//! reload and a take-over; where it cannot be, they are answered by the sockets, and it is said.

mod common;

use std::time::Instant;

use common::{Controlled, Daemon, Host, PATIENCE, ask_at, text};

/// A host at 10.9.0.1 and 10.9.1.1, and one at 10.9.0.2 that asks it.
fn pair() -> (Host, Host) {
    let here = Host::new();
    let there = here.neighbour("out", "end");
    for address in ["10.9.0.1/16", "10.9.1.1/16"] {
        here.ip(&format!("address add {address} dev out"));
    }
    there.ip("address add 10.9.0.2/16 dev end");
    (here, there)
}

fn config(transmit: &str) -> String {
    format!(
        "[server]\nlisten = [\"10.9.0.1:123\"]\nworkers = 1\ntransmit = \"{transmit}\"\n\
         [sandbox]\nmode = \"strict\"\n"
    )
}

/// What the workers at `server` note under `name`.
fn noted(server: &Controlled, name: &str) -> u64 {
    let output = ask_at(&server.socket, "status", &["--json"]);
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let workers = report["workers"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    workers.iter().filter_map(|worker| worker["noted"][name].as_u64()).sum()
}

/// Has `there` ask until replies have left around the IP layer once more; every question is answered.
fn leaves_raw(server: &Controlled, there: &Host, address: &str) {
    let (before, begun) = (noted(server, "sent_raw"), Instant::now());
    while noted(server, "sent_raw") == before {
        assert!(begun.elapsed() < PATIENCE, "not one reply left so");
        let answer = there.query(&[address]);
        assert_eq!(answer["servers"][0]["time"]["stratum"], 10, "{answer:#}");
    }
}

#[test]
fn clients_beyond_a_link_are_answered_around_the_ip_layer_in_the_strictest_sandbox() {
    for (transmit, name) in [("packet", "AF_PACKET"), ("xdp", "AF_XDP on out")] {
        let (here, there) = pair();
        let mut server = Controlled::start(&here, &config(transmit));
        let lines = server.daemon.so_far();
        let said = |words: &str| lines.iter().any(|line| line.contains(words));
        assert!(said("not seen by netfilter's output rules"), "{lines:?}");
        assert!(said(&format!("around the IP layer by {name}")), "{lines:?}");
        // The first reply has the kernel ask for the neighbour, unless it knows it from the request.
        leaves_raw(&server, &there, "10.9.0.1");
        // This machine's own questions are the kernel's business.
        let local = noted(&server, "by_socket_local");
        let answer = here.query(&["10.9.0.1"]);
        assert_eq!(answer["servers"][0]["time"]["stratum"], 10, "{answer:#}");
        assert!(noted(&server, "by_socket_local") > local);
        // A neighbour that the kernel forgets is asked for again, and replies leave as before.
        here.ip("neigh flush dev out");
        leaves_raw(&server, &there, "10.9.0.1");
    }
}

#[test]
fn workers_of_a_reload_and_those_of_a_successor_leave_so_too() {
    let (here, there) = pair();
    let server = Controlled::start(&here, &config("xdp"));
    leaves_raw(&server, &there, "10.9.0.1");
    std::fs::write(&server.directory.path, {
        let before = std::fs::read_to_string(&server.directory.path).unwrap();
        before.replace("[\"10.9.0.1:123\"]", "[\"10.9.0.1:123\", \"10.9.1.1:1123\"]")
    })
    .unwrap();
    let output = server.ask("reload", &[]);
    assert!(output.status.success(), "{}", text(&output));
    leaves_raw(&server, &there, "10.9.1.1:1123");
    let mut command = here.timeball(&["serve", "--take-over"]);
    command.arg(&server.directory.path);
    let mut new = Daemon::start(command);
    new.wait_for("took over from process");
    new.wait_for("ready");
    let Controlled { daemon, socket, directory } = server;
    let (code, lines) = daemon.finish();
    assert_eq!(code, Some(0), "{lines:?}");
    let server = Controlled { daemon: new, socket, directory };
    leaves_raw(&server, &there, "10.9.1.1:1123");
}

#[test]
fn without_the_right_to_send_frames_replies_go_by_their_sockets_and_it_is_said() {
    let (here, there) = pair();
    let mut server = Controlled::watched(&here, &config("xdp"), |command| {
        let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let at = words.iter().position(|word| word == "--").unwrap();
        *command = std::process::Command::new("nsenter");
        command.args(&words[..=at]).args(["setpriv", "--bounding-set", "-net_raw", "--"]);
        command.args(&words[at + 1..]);
    });
    let lines = server.daemon.so_far();
    assert!(lines.iter().any(|line| line.contains("grant CAP_NET_RAW")), "{lines:?}");
    let answer = there.query(&["10.9.0.1"]);
    assert_eq!(answer["servers"][0]["time"]["stratum"], 10, "{answer:#}");
    assert_eq!(noted(&server, "sent_raw"), 0);
}
