//! What protection is worth, measured once and as short as can be: every part has its figures.

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use std::process::Command;

use common::{text, timeball_program};
use serde_json::Value;

#[test]
fn floods_watching_and_reloads_are_measured() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_timeball-bench"));
    command.args(["protection", "--only", "floods,watching,reloads", "--rounds", "1", "--json"]);
    command.args(["--duration", "0.4", "--flooders", "3", "--factors", "1"]);
    command.args(["--rate", "500", "--reload-rate", "1000", "--timeball"]).arg(timeball_program());
    if let Err(error) = timeball_sys::xdp::Program::load() {
        eprintln!("skipped: floods are made in the kernel: {error}");
        return;
    }
    if !timeball_program().exists() {
        eprintln!("skipped: {} is not built", timeball_program().display());
        return;
    }
    let output = command.output().unwrap();
    if output.status.code() == Some(3) {
        eprintln!("skipped: no network namespaces here: {}", text(&output));
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = |part: &str| document[part].as_array().unwrap().clone();
    assert_eq!(rows("floods").len(), 2, "one for each set-up");
    for row in rows("floods") {
        let round = &row["rounds"][0];
        assert!(round["flood_sent_per_s"].as_f64() > Some(0.0), "{row:#}");
        for share in ["flood_answered_share", "first_answered_share", "answered_share"] {
            assert!((0.0..=1.0).contains(&round[share].as_f64().unwrap()), "{row:#}");
        }
    }
    assert_eq!(rows("watching").len(), 2);
    for row in rows("watching") {
        assert!(row["with_ns"][0].as_f64() > Some(0.0), "{row:#}");
    }
    for row in rows("reloads") {
        let is_disturbed = row["disturbance"] != "nothing";
        assert_eq!(row["times"].as_u64() > Some(0), is_disturbed, "{row:#}");
        assert!(row["sent"].as_u64() > Some(0), "{row:#}");
    }
}
