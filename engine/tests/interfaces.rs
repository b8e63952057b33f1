//! Addresses and interfaces that come and go under a running server.

mod common;

use std::time::{Duration, Instant};

use common::{Host, PATIENCE, chronyd};

/// Runs `ip` inside, with `arguments` separated by blanks.
fn ip(host: &Host, arguments: &str) {
    let output = host.command("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", common::text(&output));
}

fn is_answered(host: &Host, server: &str) -> bool {
    host.query(&["-n", "1", "-t", "0.5", server])["best"] == server
}

fn wait_until_answered(host: &Host, server: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is_answered(host, server) {
        assert!(Instant::now() < deadline, "{server} does not answer");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_upstream_that_has_its_time_from_us_is_seen_even_by_an_address_that_came_later() {
    let host = Host::new();
    let source = "[[source]]\naddress = \"127.0.0.1:2123\"\nmin_poll = 0\nmax_poll = 0\n";
    let mut server = host.serve(&format!("[local]\nwait_s = 0\n{source}"));
    ip(&host, "addr add 10.9.0.1/32 dev lo");
    wait_until_answered(&host, "10.9.0.1:123");
    let follow = "server 10.9.0.1 iburst minpoll 0 maxpoll 0";
    let _upstream = chronyd(&host, &["port 2123", "bindaddress 127.0.0.1", follow]);
    server.wait_for("127.0.0.1:2123: has its time from us: not used");
    let said = host.query(&["127.0.0.1"]);
    assert_eq!(said["servers"][0]["time"]["reference_id"], "127.127.1.0", "{said}");
}

#[test]
fn a_listener_outlives_its_address_and_its_interface() {
    for backend in ["uring", "mmsg"] {
        let host = Host::new();
        ip(&host, "link add eth7 type veth peer name eth8");
        ip(&host, "addr add 10.9.0.1/24 dev eth7");
        ip(&host, "link set eth7 up");
        let listen = "listen = [\"10.9.0.1:123\", \"127.0.0.1:1123\"]";
        let server = host.serve(&format!("[server]\nbackend = \"{backend}\"\n{listen}\n"));
        wait_until_answered(&host, "10.9.0.1:123");
        ip(&host, "addr del 10.9.0.1/24 dev eth7");
        assert!(!is_answered(&host, "10.9.0.1:123"), "nobody has this address");
        wait_until_answered(&host, "127.0.0.1:1123");
        ip(&host, "link set eth7 down");
        ip(&host, "link del eth7");
        wait_until_answered(&host, "127.0.0.1:1123");
        ip(&host, "link add eth7 type veth peer name eth8");
        ip(&host, "addr add 10.9.0.1/24 dev eth7");
        ip(&host, "link set eth7 up");
        wait_until_answered(&host, "10.9.0.1:123");
        server.signal("TERM");
        let (code, lines) = server.finish();
        assert_eq!(code, Some(0), "{lines:?}");
    }
}
