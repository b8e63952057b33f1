//! Who is answered in the driver, and who by workers.

use crate::common::{self, Controlled, chronyd_once, ntpsec, text};
use crate::link::{FAST, Link, by_driver, by_workers, hindrance, program, program_mode, reload};

#[test]
fn the_clients_people_have_are_answered_in_the_driver_and_what_is_not_plain_by_workers() {
    let Some(link) = Link::new() else { return };
    let keys = common::Scratch::file("keys", "1 SHA1 0123456789abcdef0123456789abcdef01234567\n");
    let server = Controlled::start(
        &link.server,
        &format!(
            "{FAST}[metrics]\n[keys]\nfile = \"{}\"\n\
             [[access]]\nnetwork = \"10.9.0.0/24\"\nallow = [\"time\", \"query\"]\n",
            keys.path.display()
        ),
    );
    assert_eq!(hindrance(&server.report(), "fast0"), "");
    assert!(link.answers(&["10.9.0.1", "2001:db8::1"]));
    for address in ["10.9.0.1", "2001:db8::1"] {
        let said = chronyd_once(&link.client, &format!("server {address} iburst"), &[]);
        let said = text(&said);
        assert!(said.contains("System clock wrong by"), "{address}: {said}");
        for (program, options) in [
            ("ntpsec-ntpdig/usr/bin/ntpdig", vec!["-t", "5"]),
            ("ntpsec-ntpdate/usr/sbin/ntpdate", vec!["-q"]),
        ] {
            let mut client = ntpsec(&link.client, program);
            let said = text(&client.args(&options).arg(address).output().unwrap());
            assert!(said.contains("s10"), "{program} {address}: {said}");
        }
    }
    let report = server.report();
    let (driver, all) = (by_driver(&report), report["clients"]["answered"].as_u64().unwrap());
    assert!(driver >= 16 && driver as f64 > 0.99 * all as f64, "{report:#}");
    assert_eq!(by_workers(&report), all - driver, "{report:#}");
    // Signed requests.
    let chrony =
        common::Scratch::file("keys", "1 SHA1 HEX:0123456789abcdef0123456789abcdef01234567\n");
    let keyfile = format!("keyfile {}", chrony.path.display());
    let said = text(&chronyd_once(&link.client, "server 10.9.0.1 key 1 iburst", &[&keyfile]));
    assert!(said.contains("System clock wrong by"), "{said}");
    let signed = server.report();
    assert!(by_workers(&signed) > by_workers(&report), "{signed:#}");
    assert_eq!(by_driver(&signed), driver, "{signed:#}");
    // Version 1, which has no mode, and a question of ntpq's.
    assert_eq!(link.reply_len(&format!("08{}", "00".repeat(47))), 48);
    let mut ntpq = ntpsec(&link.client, "ntpsec/usr/bin/ntpq");
    let said = text(&ntpq.args(["-n", "-c", "rv 0 stratum", "10.9.0.1"]).output().unwrap());
    assert!(said.contains("stratum=10"), "{said}");
    let report = server.report();
    assert_eq!(by_driver(&report), driver, "{report:#}");
    assert!(report["fast_path"]["passed_on"]["other"].as_u64() > Some(0), "{report:#}");
    assert!(report["fast_path"]["passed_on"]["kind"].as_u64() > Some(0), "{report:#}");
    let mut curl = link.server.command("curl");
    let page = text(&curl.args(["-s", "http://127.0.0.1:9559/metrics"]).output().unwrap());
    for line in [
        format!("timeball_replies_total{{worker=\"driver\",version=\"4\"}} {driver}"),
        "timeball_fast_path_interface{interface=\"fast0\",mode=\"native\"} 1".to_owned(),
    ] {
        assert!(page.contains(&line), "{line}: {page}");
    }
    let said = text(&server.ask("status", &[]));
    assert!(said.contains("driver   fast0 answers plain requests (native)"), "{said}");
    server.daemon.signal("TERM");
    assert_eq!(server.daemon.finish().0, Some(0));
    assert_eq!(program(&link.server, "fast0"), None);
}

#[test]
fn on_request_plain_requests_are_answered_behind_a_driver_that_cannot() {
    let Some(link) = Link::bare() else { return };
    // Generic mode needs nothing of the driver, nor a program at the other end of a `veth`.
    let generic = format!("{FAST}mode = \"generic\"\n");
    let server = Controlled::start(&link.server, &generic);
    for address in ["10.9.0.1", "2001:db8::1"] {
        link.wait_for_driver(&server, address);
    }
    let said = text(&server.ask("status", &[]));
    assert!(said.contains("driver   fast0 answers plain requests (generic)"), "{said}");
    assert_eq!(program_mode(&link.server, "fast0"), Some(GENERIC));
    // A device upon another has no driver of its own.
    const UPON: &str = "02:00:00:00:09:08";
    link.server
        .ip(&format!("link add link fast0 name upon0 address {UPON} type macvlan mode bridge"));
    link.server.ip("link set upon0 up");
    link.server.ip("addr add 10.9.0.8/24 dev upon0");
    // The device below would say that it is its own address, too.
    link.client.ip(&format!("neigh replace 10.9.0.8 lladdr {UPON} nud permanent dev client0"));
    let upon = "[fast_path]\ninterfaces = [\"upon0\"]\n";
    reload(&server, upon);
    assert!(hindrance(&server.report(), "upon0").contains("generic mode works with every driver"));
    link.assert_by_workers(&server, "10.9.0.8");
    reload(&server, &format!("{upon}mode = \"generic\"\n"));
    link.wait_for_driver(&server, "10.9.0.8");
    assert_eq!(program(&link.server, "fast0"), None);
    assert_eq!(program_mode(&link.server, "upon0"), Some(GENERIC));
}

/// What the kernel calls it (linux/if_link.h).
const GENERIC: u64 = 2;
