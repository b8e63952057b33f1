//! The clients people have: each accepts our answers when we are synchronised and refuses them, for the
//! right reason, when we are not.

mod common;

use common::{Host, chronyd, chronyd_once, ntpsec, text};

/// Serves this machine's clock at stratum 10.
const SYNCHRONISED: &str = "[server]\nlisten = [\"127.0.0.1:123\", \"[::1]:123\"]\n";

/// Its one source never answers, and there is no local clock to fall back to.
const UNSYNCHRONISED: &str = "[server]\nlisten = [\"127.0.0.1:123\", \"[::1]:123\"]\n\
     [[source]]\naddress = \"127.0.0.9:9\"\n";

#[test]
fn chronyd_takes_our_time() {
    let host = Host::new();
    let _server = host.serve(SYNCHRONISED);
    for address in ["127.0.0.1", "::1"] {
        let output = chronyd_once(&host, &format!("server {address} iburst"), &[]);
        let said = text(&output);
        assert!(said.contains("System clock wrong by"), "{address}: {said}");
        assert!(output.status.success(), "{address}: {said}");
        // Server and client share the clock: what is wrong is the answer.
        let offset_s: f64 = said
            .split("wrong by ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("{said}"));
        assert!(offset_s.abs() < 0.001, "{address}: {said}");
    }
}

#[test]
fn chronyd_refuses_us_while_we_are_unsynchronised() {
    let host = Host::new();
    let _server = host.serve(UNSYNCHRONISED);
    let output = chronyd_once(&host, "server 127.0.0.1 iburst", &[]);
    let said = text(&output);
    assert!(said.contains("No suitable source for synchronisation"), "{said}");
    assert!(!output.status.success(), "{said}");
}

#[test]
fn ntpdig_and_ntpdate_take_our_time() {
    let host = Host::new();
    let _server = host.serve(SYNCHRONISED);
    for (program, options) in [
        ("ntpsec-ntpdig/usr/bin/ntpdig", vec!["-t", "5"]),
        ("ntpsec-ntpdate/usr/sbin/ntpdate", vec!["-q"]),
    ] {
        for address in ["127.0.0.1", "::1"] {
            let output = ntpsec(&host, program).args(&options).arg(address).output().unwrap();
            let said = text(&output);
            assert!(output.status.success(), "{program} {address}: {said}");
            assert!(said.contains("s10"), "{program} {address} shows the stratum: {said}");
        }
    }
}

#[test]
fn ntpdig_and_ntpdate_refuse_us_while_we_are_unsynchronised() {
    let host = Host::new();
    let _server = host.serve(UNSYNCHRONISED);
    for (program, options) in [
        ("ntpsec-ntpdig/usr/bin/ntpdig", vec!["-t", "5"]),
        ("ntpsec-ntpdate/usr/sbin/ntpdate", vec!["-q"]),
    ] {
        let output = ntpsec(&host, program).args(&options).arg("127.0.0.1").output().unwrap();
        let said = text(&output);
        assert!(said.contains("no eligible servers"), "{program}: {said}");
        assert!(!output.status.success(), "{program}: {said}");
    }
}

#[test]
fn our_own_client_takes_the_time_of_every_real_server() {
    let host = Host::new();
    let chronyd = chronyd(&host, &["port 1123", "local stratum 5"]);
    let said = host.query(&["127.0.0.1:1123"]);
    drop(chronyd);
    let answer = &said["servers"][0];
    assert_eq!(answer["time"]["stratum"], 5, "{said}");
    assert!(answer["time"]["offset_s"].as_f64().unwrap().abs() < 0.001, "{said}");
    assert_eq!(said["best"], "127.0.0.1:1123");
}
