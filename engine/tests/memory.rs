//! Memory: a million clients cost none that one had not cost.

mod common;

use common::{Controlled, Daemon, Host};

/// Sends requests to 127.0.0.1:123, each from another address of 10.0.0.0/8, until it is ended.
const MANY: &str = "\
import socket, struct
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(('0.0.0.0', 40000))
request, IP_PKTINFO = b'\\x23' + bytes(47), 8
print('begins', flush=True)
for client in range(1 << 16, 1 << 24):
    source = struct.pack('=i4s4s', 0, struct.pack('!I', 0x0a000000 | client), bytes(4))
    try:
        sender.sendmsg([request], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, ('127.0.0.1', 123))
    except BlockingIOError:
        pass
";

/// What the process has in memory, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

const REPORTS: usize = 400;

#[test]
fn a_million_clients_cost_no_memory() {
    let host = Host::new();
    host.ip("route add local 10.0.0.0/8 dev lo");
    let server = Controlled::start(&host, "[server]\nlisten = [\"127.0.0.1:123\"]\n");
    let mut clients = host.command("python3");
    clients.args(["-c", MANY]);
    let mut clients = Daemon::start(clients);
    clients.wait_for("begins");
    let received = |count: u64| {
        server.wait_until("clients ask", |report| {
            report["clients"]["received"].as_u64() > Some(count)
        })
    };
    received(20_000);
    // The allocator lends a report some memory and takes it back a few hundred reports later: that is not
    // for clients.
    let after_reports = |count: u64| {
        received(count);
        resident_kib(server.daemon.pid())
    };
    let before = (0..REPORTS).map(|_| after_reports(20_000)).max().unwrap();
    let report = received(1_020_000);
    let answered = report["clients"]["answered"].as_u64().unwrap();
    assert!(answered > 900_000, "each was a client: {answered}");
    let mut reports = (0..4 * REPORTS).map(|_| after_reports(1_020_000));
    let after = reports.find(|after| *after <= before + 1024);
    println!("{before} KiB after 20 000 clients, {after:?} KiB after a million");
    assert!(after.is_some(), "more than {before} KiB and 1 MiB for good");
}
