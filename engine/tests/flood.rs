//! A flood that overruns the workers' queues: its sender is held back by the kernel, others are answered.

mod common;

use common::{Controlled, Daemon, Host, text};
use serde_json::Value;

/// Sends requests to 127.0.0.1:123 from one address, as fast as it can, until it is ended.
const FLOODER: &str = "\
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(('10.6.6.6', 0))
sender.connect(('127.0.0.1', 123))
print('begins', flush=True)
while True:
    try:
        sender.send(b'\\x23' + bytes(47))
    except OSError:
        pass
";

/// Sends 400 requests, each from another address, and prints how many were answered within seconds.
const OTHERS: &str = "\
import select, socket, time
clients = []
for number in range(400):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind(('10.7.%d.%d' % (number // 200, 1 + number % 200), 0))
    client.sendto(b'\\x23' + bytes(47), ('127.0.0.1', 123))
    clients.append(client)
    time.sleep(0.002)
answered, deadline = 0, time.monotonic() + 5
while clients and time.monotonic() < deadline:
    ready = select.select(clients, [], [], 0.5)[0]
    for client in ready:
        client.recv(64)
        clients.remove(client)
        answered += 1
print(answered)
";

fn others_answered(host: &Host) -> u32 {
    let output = host.command("python3").args(["-c", OTHERS]).output().unwrap();
    text(&output).trim().parse().unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

fn held_back(report: &Value) -> &Vec<Value> {
    report["overflow"]["senders"].as_array().unwrap()
}

#[test]
fn a_flooder_is_held_back_before_the_queue_and_let_go_afterwards() {
    let host = Host::new();
    host.ip("route add local 10.0.0.0/8 dev lo");
    let config = "[server]\nlisten = [\"127.0.0.1:123\"]\nworkers = 1\n";
    let mut server = Controlled::start(&host, config);
    assert_eq!(others_answered(&host), 400);
    assert!(held_back(&server.report()).is_empty());
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let mut flood = host.command("python3");
            flood.args(["-c", FLOODER]);
            let mut flood = Daemon::start(flood);
            flood.wait_for("begins");
            flood
        })
        .collect();
    let report =
        server.wait_until("the flooder is held back", |report| !held_back(report).is_empty());
    assert_eq!(report["overflow"]["senders"], serde_json::json!(["10.6.6.6"]));
    assert!(report["overflow"]["queue_full"].as_u64() > Some(0), "{report:#}");
    server.daemon.wait_for("requests lost in a second");
    server.daemon.wait_for("held back, for asking too much: 10.6.6.6");
    let shown = text(&server.ask("status", &[]));
    assert!(shown.contains("held back at present: 10.6.6.6"), "{shown}");
    // By chance it still gets some answers; the others get theirs.
    let chance = |report: &Value| report["clients"]["noted"]["limited_answered_by_chance"].as_u64();
    let before = chance(&server.report());
    let answered = others_answered(&host);
    assert!(answered >= 320, "{answered} of 400 were answered beside the flood");
    assert!(chance(&server.report()) > before, "nobody is silenced altogether");
    assert_eq!(held_back(&server.report()).len(), 1, "nobody else is held back");
    drop(floods);
    server.wait_until("it is let go", |report| held_back(report).is_empty());
    assert_eq!(others_answered(&host), 400);
}
