//! Symmetric mode: who asks us as a peer is answered as one, and whom a file calls a peer is asked.
//!
//! The peer is chronyd: NTPsec takes the word `peer` for `server`.

mod common;

use common::{Daemon, Host, Scratch, chronyd, text};

/// A file of keys that both programs can read.
fn keys() -> Scratch {
    use std::os::unix::fs::PermissionsExt;
    let keys = Scratch::file("keys", "1 AES128 HEX:000102030405060708090a0b0c0d0e0f\n");
    std::fs::set_permissions(&keys.path, std::fs::Permissions::from_mode(0o600)).unwrap();
    keys
}

#[test]
fn chronyd_as_a_symmetric_active_peer_takes_our_time() {
    let (host, keys) = (Host::new(), keys());
    let keyed = format!("[keys]\nfile = \"{}\"\n", keys.path.display());
    let ours = "[server]\nlisten = [\"127.0.0.1:123\"]\n[local]\nstratum = 5\n";
    let _ours = host.serve(&format!("{ours}{keyed}"));
    for (option, address) in [("", "127.0.0.2"), (" key 1", "127.0.0.3")] {
        let mut peer = chronyd(
            &host,
            &[
                &format!("bindaddress {address}"),
                &format!("keyfile {}", keys.path.display()),
                &format!("peer 127.0.0.1 minpoll 0 maxpoll 0{option}"),
            ],
        );
        peer.wait_for("Selected source 127.0.0.1");
    }
}

#[test]
fn two_servers_that_are_each_others_peers_agree() {
    let (host, keys) = (Host::new(), keys());
    let file = keys.path.display();
    let _theirs = chronyd(
        &host,
        &[
            "bindaddress 127.0.0.2",
            "local stratum 3",
            &format!("keyfile {file}"),
            "peer 127.0.0.1 minpoll 0 maxpoll 0 key 1",
        ],
    );
    let conf = format!(
        "interface listen 127.0.0.1\nkeys {file}\ntrustedkey 1\npeer 127.0.0.2 key 1 iburst\n"
    );
    let conf = Scratch::file("ntp.conf", &conf);
    let mut command = host.timeball(&["serve", "--ntp-conf"]);
    command.arg(&conf.path);
    let mut ours = Daemon::start(command);
    ours.wait_for("synchronised");
    let output = host.timeball(&["query", "127.0.0.1"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(host.query(&["127.0.0.1"])["servers"][0]["time"]["stratum"], 4);
}
