//! Every figure of the fast path taken once, as short as can be: servers start, the driver answers, and what
//! comes out is a table.

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::process::Command;

use common::{Host, text, timeball_program};
use serde_json::Value;

/// The rows of `fast-path` for one figure.
fn rows(figure: &str, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeball-bench"));
    command.args(["fast-path", figure, "--rounds", "1", "--json", "--timeball"]);
    let output = command.arg(timeball_program()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{figure}: {}", text(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["fast_path"].as_array().unwrap().clone()
}

/// Replies that are wrong, and not because a busy machine gave them too late.
fn wrong(report: &Value) -> u64 {
    let faults = report["faults"].as_object().unwrap();
    faults.iter().filter(|(name, _)| *name != "late").filter_map(|(_, count)| count.as_u64()).sum()
}

/// One after the other: each takes both cores for itself.
#[test]
fn every_figure_of_the_fast_path_is_taken() {
    if !timeball_program().exists() {
        return eprintln!("skipped: {} is not built", timeball_program().display());
    }
    // Says why, where no program may be loaded.
    if Host::of_root().is_none() {
        return;
    }
    for (figure, arguments, rows_expected) in [
        ("price", &["--duration", "0.3"][..], 4),
        ("offset", &["--duration", "0.3", "--rate", "20000"], 4),
        ("overload", &["--duration", "0.1"], 6),
        ("junk", &["--duration", "0.3", "--rate", "2000"], 2),
        ("signed", &["--duration", "0.3", "--rate", "500"], 2),
        ("changes", &["--duration", "3", "--rate", "2000"], 4),
    ] {
        let rows = rows(figure, arguments);
        assert_eq!(rows.len(), rows_expected, "{figure}");
        let mut in_driver = 0;
        for row in rows {
            // On a busy machine sockets, and anybody in some round, may have no turn in so short a time.
            let is_by_sockets = ["server", "name"]
                .iter()
                .any(|key| row[*key].as_str().is_some_and(|name| !name.contains("in the driver")));
            for round in row["rounds"].as_array().unwrap() {
                let report = &round["report"];
                let answered = report["answered"].as_u64().unwrap();
                in_driver += if is_by_sockets { 0 } else { answered };
                assert_eq!(wrong(report), 0, "{figure}: {row:#}");
            }
        }
        assert!(in_driver > 0, "{figure}");
    }
}
