//! The report made once, as short as can be: everybody is started and measured, and the page is one.

#[path = "../../engine/tests/common/browser.rs"]
mod browser;
#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::process::{Command, Output};

use browser::Browser;
use common::{Scratch, text, timeball_program};
use serde_json::Value;

/// Everybody who is started in another way than the others.
const SOME: &str = "timeball mmsg,timeball uring-ring,chronyd,NTPsec,openntpd";

fn report(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeball-bench"));
    command.args(["report", "--minutes", "0.1", "--duration", "0.1"]).args(arguments);
    command.arg("--timeball").arg(timeball_program()).output().unwrap()
}

#[test]
fn everybody_is_measured_and_the_page_is_drawn_in_a_browser() {
    if !timeball_program().exists() {
        eprintln!("skipped: {} is not built", timeball_program().display());
        return;
    }
    let page = Scratch::file("report.html", "");
    let output = report(&["--only", SOME, "--json", "--html", page.path.to_str().unwrap()]);
    if output.status.code() == Some(3) {
        eprintln!("skipped: no network namespaces here: {}", text(&output));
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], "timeball-bench-report/2");
    let run = &document["runs"][0];
    let rows = run["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["server"].as_str().unwrap()).collect();
    // A server may be too slow on a busy machine to answer at all; it is named then.
    let remarks = run["remarks"].to_string();
    for name in ["echo recvmmsg", "timeball mmsg", "chronyd", "ntpd (NTPsec)", "openntpd"] {
        let seen = names.iter().filter(|other| **other == name).count();
        assert!(seen == 2 || remarks.contains(name), "{name}: {names:?} {remarks}");
    }
    for row in rows {
        assert!(row["core_ns_per_answer"]["median"].as_f64().unwrap() > 0.0, "{row}");
        // Of one round, or a few: whose ratio that settled would be no ratio.
        assert_eq!(row["settled"], row["server"] == "echo recvmmsg", "{row}");
        assert!(row["recipe"].as_str().unwrap().contains("taskset") || row["family"] == "timeball");
        let on_veth = row["on"] == "veth";
        assert_eq!(row["beyond"].as_array().unwrap().len(), if on_veth { 3 } else { 0 }, "{row}");
        assert_eq!(row["half"].is_object(), on_veth, "{row}");
    }
    let Some(browser) = Browser::find() else { return };
    let dom = browser.look_at(&page.path, page.path.parent().unwrap());
    for part in [
        "Core time per answer over a veth",
        "Goodput when too much is asked",
        "Latency by percentile",
        "Served-time error",
        "Made on",
        "noclientlog",
    ] {
        assert!(dom.contains(part), "{part} in {dom}");
    }
    for word in ["http:", "https:", "src=", "url(", "<script", "NaN"] {
        assert!(!dom.contains(word), "{word}");
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_started() {
    for (arguments, words) in [
        (&["--quick", "--duration", "2"][..], "cannot be used with"),
        (&["--repeat", "0"], "--repeat"),
        (&["--minutes", "0"], "--minutes"),
        (&["--peer", "nameless"], "NAME=COMMAND"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_timeball-bench"))
            .arg("report")
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output).contains(words), "{arguments:?}: {}", text(&output));
    }
}
