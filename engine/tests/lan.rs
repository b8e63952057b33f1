//! Broadcast, multicast and manycast between hosts on one wire.

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Daemon, Host, Scratch, chronyd};

/// A key file with key 3; `tail` ends its secret.
fn keys(tail: &str) -> Scratch {
    let contents = format!("3 AES128 000102030405060708090a0b0c0d0e{tail}\n");
    let file = Scratch::file("keys", &contents);
    std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// A second host, 10.9.0.2, on one wire with `host`, which is 10.9.0.1.
fn neighbour(host: &Host) -> Host {
    let other = host.neighbour("wire0", "wire1");
    host.ip("address add 10.9.0.1/24 brd + dev wire0");
    other.ip("address add 10.9.0.2/24 brd + dev wire1");
    other
}

/// `timeball serve` on port 123 of `host` with these further lines, and `keys` if there are any.
fn serve(host: &Host, keys: Option<&Scratch>, lines: &str) -> Daemon {
    let keys = keys.map_or(String::new(), |keys| format!("[keys]\nfile = {:?}\n", keys.path));
    host.serve(&format!("[server]\nlisten = [\"0.0.0.0:123\", \"[::]:123\"]\n{keys}{lines}"))
}

/// Waits until a report of `daemon` has a line with all of `words`.
fn wait_for_report(daemon: &mut Daemon, words: &[&str]) {
    let deadline = std::time::Instant::now() + common::PATIENCE;
    loop {
        daemon.signal("USR1");
        std::thread::sleep(std::time::Duration::from_millis(500));
        let shown = daemon.so_far();
        if shown.iter().any(|line| words.iter().all(|word| line.contains(word))) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{words:?}:\n{}", shown.join("\n"));
    }
}

#[test]
fn a_signed_broadcast_makes_a_server_known_asked_and_then_heard() {
    let host = Host::new();
    let other = neighbour(&host);
    let keys = keys("0f");
    let _server =
        serve(&host, Some(&keys), "[[broadcast]]\naddress = \"10.9.0.255\"\npoll = 0\nkey = 3\n");
    let mut client = serve(&other, Some(&keys), "[broadcast_client]\n");
    client.wait_for("heard 1: is asked at 10.9.0.1:123");
    client.wait_for("synchronised");
    let said = other.query(&["127.0.0.1"]);
    let time = &said["servers"][0]["time"];
    assert_eq!(time["stratum"], 11, "{said}");
    assert_eq!(time["reference_id"], "10.9.0.1", "{said}");
    assert!(time["offset_s"].as_f64().unwrap().abs() < 0.001, "{said}");
    // After the volley nothing is sent any more, and the answers keep coming.
    wait_for_report(&mut client, &["heard 1", "377"]);
}

#[test]
fn a_broadcast_that_is_not_signed_or_with_another_key_is_not_believed() {
    let host = Host::new();
    let other = neighbour(&host);
    let (ours, theirs) = (keys("0f"), keys("aa"));
    let bare = serve(&host, None, "[[broadcast]]\naddress = \"10.9.0.255\"\npoll = 0\n");
    let mut client = serve(&other, Some(&ours), "[broadcast_client]\n");
    client.wait_for("a broadcast from 10.9.0.1:123 is not believed: the reply is not signed");
    bare.signal("TERM");
    bare.finish();
    let _signed = serve(
        &host,
        Some(&theirs),
        "[[broadcast]]\naddress = \"255.255.255.255\"\npoll = 0\nkey = 3\n\
         [[broadcast]]\naddress = \"10.9.0.255\"\npoll = 0\nkey = 3\n",
    );
    client.wait_for("not signed with our key");
    client.signal("TERM");
    let (_, lines) = client.finish();
    assert!(!lines.iter().any(|line| line.contains("is asked at")), "{lines:?}");
}

#[test]
fn a_group_is_heard_without_asking_where_the_delay_is_given() {
    let host = Host::new();
    let other = neighbour(&host);
    let _server = serve(
        &host,
        None,
        "[[broadcast]]\naddress = \"224.0.1.1\"\npoll = 0\n\
         [[broadcast]]\naddress = \"ff05::101\"\npoll = 0\n",
    );
    let mut client = serve(
        &other,
        None,
        "[broadcast_client]\ngroups = [\"224.0.1.1\", \"ff05::101\"]\ndelay_s = 0.00005\n\
         authenticate = false\n",
    );
    client.wait_for("synchronised");
    let said = other.query(&["127.0.0.1"]);
    assert!(said["servers"][0]["time"]["offset_s"].as_f64().unwrap().abs() < 0.001, "{said}");
    // The same server by its other address: both groups are heard.
    client.wait_for("heard 2: is asked at");
    assert!(client.so_far().iter().any(|line| line.contains("is asked at [fe80")));
}

#[test]
fn broadcasts_of_chronyd_are_followed_where_none_need_be_signed() {
    let host = Host::new();
    let other = neighbour(&host);
    let _server = chronyd(&host, &["local stratum 5", "broadcast 1 10.9.0.255"]);
    let mut client = serve(&other, None, "[broadcast_client]\nauthenticate = false\n");
    client.wait_for("heard 1: is asked at 10.9.0.1:123");
    client.wait_for("synchronised");
    let said = other.query(&["127.0.0.1"]);
    assert_eq!(said["servers"][0]["time"]["stratum"], 6, "{said}");
}

#[test]
fn a_manycast_client_finds_the_server_of_its_key() {
    let host = Host::new();
    let other = neighbour(&host);
    let (ours, theirs) = (keys("0f"), keys("aa"));
    let server = "[manycast_server]\ngroups = [\"239.255.254.254\"]\n";
    let client = "[[manycast_client]]\naddress = \"239.255.254.254\"\npoll = 0\nkey = 3\n";
    let _server = serve(&host, Some(&ours), server);
    let stranger = serve(&other, Some(&theirs), client);
    let deaf = other.query(&["127.0.0.1"]);
    assert!(deaf["best"].is_null(), "{deaf}");
    stranger.signal("TERM");
    let (_, lines) = stranger.finish();
    assert!(!lines.iter().any(|line| line.contains("is asked at")), "{lines:?}");
    let mut client = serve(&other, Some(&ours), client);
    client.wait_for("heard 1: is asked at 10.9.0.1:123");
    client.wait_for("synchronised");
    let said = other.query(&["127.0.0.1"]);
    assert_eq!(said["servers"][0]["time"]["stratum"], 11, "{said}");
}

#[test]
fn a_request_sent_to_all_is_answered_by_no_worker() {
    let host = Host::new();
    let other = neighbour(&host);
    let _server = serve(&host, None, "");
    let ask = "import socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n\
        s.settimeout(1)\n\
        s.bind(('10.9.0.2', 0))\n\
        for target in ('10.9.0.255', '10.9.0.1'):\n    \
            s.sendto(b'\\x23' + bytes(39) + b'nonceone', (target, 123))\n    \
            count = 0\n    \
            try:\n        \
                while s.recv(100): count += 1\n    \
            except socket.timeout: pass\n    \
            print(target, count)\n";
    let output = other.command("python3").args(["-c", ask]).output().unwrap();
    assert_eq!(common::text(&output), "10.9.0.255 0\n10.9.0.1 1\n");
}
