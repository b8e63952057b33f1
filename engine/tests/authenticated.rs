//! Symmetric keys between us and real peers, in both directions: the right key is believed, a wrong one
//! is not.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Daemon, Host, Scratch, chronyd, ntpsec, peer, text};

/// Key files that mean the same to ntpd and to chronyd: a key of each kind, and number 9, of which each
/// side has another.
struct KeyFiles {
    ntpd: Scratch,
    chrony: Scratch,
    wrong: Scratch,
}

impl KeyFiles {
    fn new() -> Self {
        let file = |name, contents: &str| {
            let file = Scratch::file(name, contents);
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&file.path, private).unwrap();
            file
        };
        Self {
            ntpd: file(
                "ntp.keys",
                "1 MD5 tulip-and-crocus\n2 SHA1 0123456789abcdef0123456789abcdef01234567\n\
                 3 AES-128 000102030405060708090a0b0c0d0e0f\n4 SHA256 rose-and-primrose\n\
                 5 AES-256 \
                 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\
                 6 SHA512 lavender-and-thyme\n9 SHA1 the-one-side\n",
            ),
            chrony: file(
                "chrony.keys",
                "1 MD5 tulip-and-crocus\n2 SHA1 HEX:0123456789abcdef0123456789abcdef01234567\n\
                 3 AES128 HEX:000102030405060708090a0b0c0d0e0f\n4 SHA256 rose-and-primrose\n\
                 5 AES256 \
                 HEX:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\
                 6 SHA512 lavender-and-thyme\n9 SHA1 the-one-side\n",
            ),
            wrong: file("wrong.keys", "9 SHA1 the-other-side\n"),
        }
    }
}

/// The numbers of all kinds of keys.
const KEYS: [u32; 6] = [1, 2, 3, 4, 5, 6];

/// NTPsec's ntpd as a server at stratum 7 that trusts all keys of `keys`.
fn ntpd(host: &Host, keys: &Path) -> Daemon {
    let config = Scratch::file(
        "ntp.conf",
        &format!(
            "refclock local\nfudge 127.127.1.0 stratum 7\ntos orphan 7 orphanwait 0\n\
             keys {}\ntrustedkey 1 2 3 4 5 6 9\n",
            keys.display()
        ),
    );
    let mut command = host.command(peer("ntpsec/usr/sbin/ntpd"));
    command.args(["-n", "-N", "-g", "-c"]).arg(&config.path);
    let mut daemon = Daemon::start(command);
    daemon.keep(config);
    daemon
}

fn query_with(host: &Host, server: &str, keys: &Path, key: u32) -> serde_json::Value {
    let key = key.to_string();
    let output = host
        .timeball(&["query", "--json", "-n", "1", "-t", "2", "--key", &key, "--keys"])
        .arg(keys)
        .arg(server)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)))
}

/// Asks until the server, which may have to come up first, answers with a time.
fn believed(host: &Host, server: &str, keys: &Path, key: u32) {
    let deadline = std::time::Instant::now() + common::PATIENCE;
    loop {
        let said = query_with(host, server, keys, key);
        if said["best"] == server {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "key {key}: {said}");
    }
}

#[test]
fn replies_of_real_servers_are_believed_with_the_right_key_and_with_no_other() {
    let (host, files) = (Host::new(), KeyFiles::new());
    let keyfile = format!("keyfile {}", files.chrony.path.display());
    let _chronyd = chronyd(&host, &["port 1123", "local stratum 5", &keyfile]);
    let _ntpd = ntpd(&host, &files.ntpd.path);
    for server in ["127.0.0.1:1123", "127.0.0.1:123"] {
        for key in KEYS {
            believed(&host, server, &files.ntpd.path, key);
        }
        // Both are silent to a code they cannot verify.
        let said = query_with(&host, server, &files.wrong.path, 9);
        assert!(said["best"].is_null() && said["servers"][0]["replies"] == 0, "{said}");
    }
}

#[test]
fn a_source_with_a_key_is_followed_and_one_with_a_wrong_key_is_not() {
    let (host, files) = (Host::new(), KeyFiles::new());
    let keyfile = format!("keyfile {}", files.chrony.path.display());
    let _chronyd = chronyd(&host, &["port 1123", "local stratum 5", &keyfile]);
    let config = |keys: &Scratch, key| {
        format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[keys]\nfile = {:?}\n\
             [[source]]\naddress = \"127.0.0.1:1123\"\nkey = {key}\n",
            keys.path
        )
    };
    let mut right = host.serve(&config(&files.ntpd, 3));
    right.wait_for("synchronised");
    let wrong = host.serve(&config(&files.wrong, 9));
    believed(&host, "127.0.0.1:1123", &files.ntpd.path, 9);
    wrong.signal("TERM");
    let (_, lines) = wrong.finish();
    assert!(!lines.iter().any(|line| line.contains("synchronised")), "{lines:?}");
}

/// `timeball serve` with these keys and this machine's clock at stratum 10.
fn server(host: &Host, keys: &Scratch) -> Daemon {
    let config =
        format!("[server]\nlisten = [\"127.0.0.1:123\"]\n[keys]\nfile = {:?}\n", keys.path);
    host.serve(&config)
}

#[test]
fn real_clients_believe_our_signed_replies_and_refuse_those_of_another_key() {
    let (host, files) = (Host::new(), KeyFiles::new());
    let mut ours = server(&host, &files.ntpd);
    let ask_by_chronyd = |keys: &Scratch, key: u32, patience: &str| {
        host.command(peer("chrony/usr/sbin/chronyd"))
            .args(["-Q", "-t", patience, "-f", "/dev/null", "-u", "root"])
            .arg(format!("keyfile {}", keys.path.display()))
            .arg(format!("server 127.0.0.1 iburst maxsamples 1 key {key}"))
            .output()
            .unwrap()
    };
    for key in KEYS {
        let said = text(&ask_by_chronyd(&files.chrony, key, "30"));
        assert!(said.contains("System clock wrong by"), "key {key}: {said}");
    }
    let said = text(&ask_by_chronyd(&files.wrong, 9, "4"));
    assert!(said.contains("Timeout reached") && !said.contains("wrong by"), "{said}");
    // `ntpdig` knows keys of a plain digest only.
    for (program, file) in
        [("ntpsec-ntpdig/usr/bin/ntpdig", "-k"), ("ntpsec-ntpdate/usr/sbin/ntpdate", "-k")]
    {
        for (keys, key, good) in [(&files.ntpd, 2, true), (&files.wrong, 9, false)] {
            let query = if program.ends_with("date") { vec!["-q"] } else { vec!["-t", "2"] };
            let output = ntpsec(&host, program)
                .args(query)
                .args(["-a", &key.to_string(), file])
                .arg(&keys.path)
                .arg("127.0.0.1")
                .output()
                .unwrap();
            let said = text(&output);
            assert_eq!(output.status.success(), good, "{program} {key}: {said}");
            assert_eq!(said.contains("s10"), good, "{program} {key}: {said}");
        }
    }
    let said = query_with(&host, "127.0.0.1:123", &files.wrong.path, 9);
    assert!(said.to_string().contains("does not accept our key (crypto-NAK)"), "{said}");
    ours.signal("USR1");
    let totals = ours.wait_for("crypto_nak ");
    assert!(totals.contains("signed "), "{totals}");
}

#[test]
fn real_peers_in_symmetric_mode_get_signed_answers_and_follow_us() {
    let (host, files) = (Host::new(), KeyFiles::new());
    let _ours = server(&host, &files.ntpd);
    let output = host
        .command(peer("chrony/usr/sbin/chronyd"))
        .args(["-Q", "-t", "30", "-f", "/dev/null", "-u", "root"])
        .arg(format!("keyfile {}", files.chrony.path.display()))
        .args(["port 1123", "peer 127.0.0.1 key 3 minpoll 0 maxpoll 0 maxsamples 1"])
        .output()
        .unwrap();
    let said = text(&output);
    assert!(said.contains("System clock wrong by"), "{said}");
}
