//! Rules and limits hold in the driver: for floods, and through changes.

use serde_json::Value;

use crate::asker::Asker;
use crate::common::Controlled;
use crate::link::{FAST, Link, by_driver, by_workers, reload};

fn dropped(report: &Value, reason: &str) -> u64 {
    report["fast_path"]["work"]["unanswered_by_reason"][reason].as_u64().unwrap_or(0)
}

/// Gives the client's host the addresses 10.9.0.`from` and up, so many of them.
fn give(link: &Link, from: u8, many: u8) -> Vec<String> {
    let addresses: Vec<_> = (from..from + many).map(|last| format!("10.9.0.{last}")).collect();
    addresses.iter().for_each(|one| link.client.ip(&format!("addr add {one}/24 dev client0")));
    addresses
}

#[test]
fn who_floods_is_limited_in_the_driver_and_all_others_are_answered_there() {
    let Some(link) = Link::new() else { return };
    let server = Controlled::start(&link.server, &format!("{FAST}[metrics]\n"));
    link.wait_for_driver(&server, "10.9.0.1");
    let decent = give(&link, 10, 20);
    give(&link, 66, 1);
    let before = server.report();
    let mut asker = Asker::new(&link.client, "60");
    for _ in 0..5 {
        for one in &decent {
            let line = format!("10.9.0.66* {one} 10.9.0.66* {one}");
            assert_eq!(asker.ask(&line), 2, "{:#}", server.report());
        }
    }
    let report = server.report();
    let (sent, limited) = (5 * 20 * 2 * 32, dropped(&report, "limited"));
    assert_eq!(by_workers(&report), by_workers(&before), "{report:#}");
    // A burst of 64 and one in four of the rest, on either processor.
    assert!(limited > sent / 2 && limited < sent, "{limited} of {sent}: {report:#}");
    let answered = by_driver(&report) - by_driver(&before);
    assert_eq!(answered + limited, sent + 200, "{report:#}");
    let work = &report["fast_path"]["work"];
    assert!(work.to_string().contains("limited_answered_by_chance"), "{work:#}");
    let mut curl = link.server.command("curl");
    let page = curl.args(["-s", "http://127.0.0.1:9559/metrics"]).output().unwrap();
    let line = format!("timeball_dropped_total{{worker=\"driver\",reason=\"limited\"}} {limited}");
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.contains(&line), "{line}: {page}");
}

#[test]
fn rules_and_limits_change_under_load_and_nobody_is_without_them_or_an_answer() {
    let Some(link) = Link::new() else { return };
    give(&link, 20, 2);
    // 10.9.0.20 has the time by both, 10.9.0.21 by neither; of the wire's own .2 one says nothing.
    let only = "[[access]]\nnetwork = \"default\"\nallow = []\n\
                [[access]]\nnetwork = \"10.9.0.20\"\n[limits]\nmode = \"off\"\n";
    let but = "[[access]]\nnetwork = \"10.9.0.21\"\nallow = []\n\
               [[access]]\nnetwork = \"10.9.0.20\"\nallow = [\"time\", \"unlimited\"]\n\
               [limits]\nmode = \"on\"\n";
    let server = Controlled::start(&link.server, &format!("{FAST}{only}"));
    let mut served = Asker::new(&link.client, "60");
    let mut refused = Asker::new(&link.client, "0.02");
    let answered_in_driver = by_driver(&server.report());
    let mut reloads = 0;
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            for _ in 0..40 {
                assert_eq!(served.ask(&"10.9.0.20 ".repeat(50)), 50, "each was to be answered");
                assert_eq!(refused.ask("10.9.0.21 10.9.0.21"), 0, "none was to be answered");
            }
        });
        while !asked.is_finished() {
            let said = reload(&server, &format!("{FAST}{}", [but, only][reloads % 2]));
            assert!(said.contains("in force"), "{said}");
            reloads += 1;
        }
        asked.join().unwrap();
    });
    let report = server.report();
    assert!(reloads > 1 && by_driver(&report) - answered_in_driver > 1_000, "{report:#}");
    assert!(dropped(&report, "access") >= 40, "{report:#}");
}
