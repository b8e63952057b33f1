//! Leap seconds as an operator meets them: a list that is read or refused, and listeners that smear.

mod common;

use common::{Daemon, Host, Scratch};

#[test]
fn a_listener_that_smears_says_so_in_every_reply() {
    let host = Host::new();
    let config = "[server]\nlisten = [\"127.0.0.1:123\"]\nlisten_smeared = [\"127.0.0.1:1123\"]\n";
    let mut server = host.serve(config);
    server.wait_for("127.0.0.1:1123 (smeared)");
    let said = host.query(&["127.0.0.1:123", "127.0.0.1:1123"]);
    assert_eq!(said["servers"][0]["time"]["reference_id"], "127.127.1.0", "{said}");
    assert_eq!(said["servers"][1]["time"]["reference_id"], "254.0.0.0", "{said}");
    for server in [&said["servers"][0], &said["servers"][1]] {
        assert_eq!((&server["time"]["leap"], &server["time"]["stratum"]), (&0.into(), &10.into()));
        let offset = server["time"]["offset_s"].as_f64().unwrap();
        assert!(offset.abs() < 0.1, "nothing to smear today: {said}");
    }
    server.signal("TERM");
    let (code, lines) = server.finish();
    assert_eq!(code, Some(0));
    assert!(lines.iter().any(|line| line.starts_with("worker 1: ")), "{lines:?}");
}

fn serve_with_list(host: &Host, list: &Scratch) -> Daemon {
    let listen = "[server]\nlisten = [\"127.0.0.1:123\"]\n";
    host.serve(&format!("{listen}[clock]\nleap_file = \"{}\"\n", list.path.display()))
}

#[test]
fn a_list_of_leap_seconds_that_is_damaged_or_old_is_told_of_and_done_without() {
    for (text, told) in [
        ("#@ 9000000000\n2272060800 10\n2287785600 eleven\n", "leap-seconds.list:3: not a line"),
        ("#@ 9000000000\n2272060800 10\n#h 1 2 3 4 5\n", "SHA-1"),
        ("#@ 3900000000\n2272060800 10\n2287785600 11\n", "not believed any more"),
        ("#@ 9000000000\n2272060800 10\n2287785600 11\n", "leap seconds known for"),
    ] {
        let host = Host::new();
        let list = Scratch::file("leap-seconds.list", text);
        let mut server = serve_with_list(&host, &list);
        server.wait_for(told);
        assert_eq!(host.query(&["127.0.0.1"])["best"], "127.0.0.1:123");
    }
}

#[test]
fn check_says_what_a_config_will_meet_on_this_machine() {
    let host = Host::new();
    let list = Scratch::file("leap-seconds.list", "#@ 3900000000\n2272060800 10\n");
    let config = |user: &str| {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:123\", \"192.0.2.1:123\"]\n{user}[clock]\n\
             state_file = \"/nowhere/state\"\nleap_file = \"{}\"\n",
            list.path.display()
        );
        Scratch::file("timeball.toml", &text)
    };
    let check = |config: &Scratch| {
        let output = host.timeball(&["check"]).arg(&config.path).output().unwrap();
        (output.status.code(), common::text(&output))
    };
    let mut server = host.serve("[server]\nlisten = [\"127.0.0.1:123\"]\n");
    server.wait_for("ready");
    let (code, said) = check(&config(""));
    assert_eq!(code, Some(0), "{said}");
    for note in [
        "/nowhere: No such file or directory",
        "is not believed: fetch a new list",
        "127.0.0.1:123 is in use",
        "cannot listen on 192.0.2.1:123: no interface has this address",
    ] {
        assert!(said.contains(note), "{note}: {said}");
    }
    let (code, said) = check(&config("user = \"nobody-of-that-name\"\n"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("timeball.toml:3:8: there is no user \"nobody-of-that-name\""), "{said}");
}
