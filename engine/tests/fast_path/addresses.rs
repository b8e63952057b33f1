//! Which addresses are answered for in the driver: while they come, grow old, turn out to be taken.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Controlled, Host, PATIENCE};
use crate::link::{FAST, Link, by_driver, reload, shown};

#[test]
fn an_ipv6_address_is_answered_for_as_long_as_it_is_known_to_be_ours() {
    let Some(link) = Link::new() else { return };
    let server = Controlled::start(&link.server, FAST);
    link.wait_for_driver(&server, "2001:db8::1");
    // Long looked for at the neighbours.
    search_for(&link.server, 60);
    link.server.ip("addr add 2001:db8::7/64 dev fast0");
    wait_for_state(&link.server, "2001:db8::7", "tentative");
    assert_left_alone(&link, &server, "2001:db8::7");
    assert!(is_in_state(&link.server, "2001:db8::7", "tentative"), "all the while");
    // Looked for and not found.
    link.server.ip("addr del 2001:db8::7/64 dev fast0");
    search_for(&link.server, 1);
    link.server.ip("addr add 2001:db8::7/64 dev fast0");
    link.wait_for_driver(&server, "2001:db8::7");
    // Not for new conversations, and valid.
    link.server.ip("addr change 2001:db8::7/64 dev fast0 valid_lft forever preferred_lft 0");
    wait_for_state(&link.server, "2001:db8::7", "deprecated");
    reload(&server, FAST);
    link.wait_for_driver(&server, "2001:db8::7");
    // Looked for and found.
    link.client.ip("addr add 2001:db8::8/64 dev client0 nodad");
    link.server.ip("addr add 2001:db8::8/64 dev fast0");
    wait_for_state(&link.server, "2001:db8::8", "dadfailed");
    link.client.ip("addr del 2001:db8::8/64 dev client0");
    assert_left_alone(&link, &server, "2001:db8::8");
}

/// Has the kernel of `host` ask its neighbours so often, a second each, for an address before it is its own.
fn search_for(host: &Host, times: u32) {
    let set = format!("echo {times} > /proc/sys/net/ipv6/conf/fast0/dad_transmits");
    assert!(host.command("sh").args(["-c", &set]).status().unwrap().success());
}

fn wait_for_state(host: &Host, address: &str, state: &str) {
    let begun = Instant::now();
    while !is_in_state(host, address, state) {
        assert!(begun.elapsed() < PATIENCE, "{address} is never {state}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_in_state(host: &Host, address: &str, state: &str) -> bool {
    let shown = host.command("ip").args(["-json", "-6", "addr", "show", "dev", "fast0"]).output();
    let shown: Value = serde_json::from_slice(&shown.unwrap().stdout).unwrap_or_default();
    let all = shown[0]["addr_info"].as_array().cloned().unwrap_or_default();
    all.iter().any(|one| one["local"] == address && one[state] == true)
}

/// Sends requests to `address`, which no neighbour could find, and sees that the driver answers none of them.
fn assert_left_alone(link: &Link, server: &Controlled, address: &str) {
    // Whatever is told by now is taken in when this has been done.
    reload(server, FAST);
    let shown = shown(&link.server, "fast0");
    let station = shown["address"].as_str().unwrap();
    link.client.ip(&format!("neigh replace {address} lladdr {station} nud permanent dev client0"));
    let before = server.report();
    let mut python = link.client.command("python3");
    assert!(python.args(["-c", CALL, address]).status().unwrap().success());
    // Whatever comes after them on the wire is looked at after them.
    assert_eq!(link.reply_len(&format!("08{}", "00".repeat(47))), 48);
    let after = server.report();
    assert_eq!(by_driver(&after), by_driver(&before), "{address}: {after:#}");
    let others = |report: &Value| report["fast_path"]["passed_on"]["other"].as_u64().unwrap_or(0);
    assert!(others(&after) >= others(&before) + CALLS, "{address}: {after:#}");
}

/// Sends [`CALLS`] plain requests to its argument and does not wait for a reply.
const CALL: &str = "\
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for _ in range(20):
    s.sendto(bytes([0x23] + [0] * 47), (sys.argv[1], 123))
";
const CALLS: u64 = 20;
