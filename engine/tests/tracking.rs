//! How closely a real server on this machine is tracked, against a truth that is known.
//!
//! chronyd without sources and with `-x` serves the kernel's clock as it is; so does a timeball that
//! corrects nothing. What timeball's served time differs from the kernel's, its correction, is its
//! whole error in reading chronyd. The figure means something on a quiet machine only, so this runs
//! when asked for: `cargo test --release -p timeball --test tracking -- --ignored --nocapture`;
//! TIMEBALL_TRACK_S says for how many seconds (600).

mod common;

use std::time::{Duration, Instant};

use common::{Controlled, Host, chronyd};

#[test]
#[ignore = "takes ten minutes of a quiet machine"]
fn a_chronyd_on_this_machine_is_tracked_to_within_two_microseconds() {
    let seconds = std::env::var("TIMEBALL_TRACK_S").map_or(600, |text| text.parse().unwrap());
    let host = Host::new();
    let _upstream = chronyd(&host, &["port 1123", "local stratum 5"]);
    let ours = Controlled::start(
        &host,
        "[server]\nlisten = [\"127.0.0.1:1124\"]\n[[source]]\naddress = \"127.0.0.1:1123\"\n\
         iburst = true\n",
    );
    ours.wait_until("never synchronised", |report| report["clock"]["basis"] == "sources");
    let begun = Instant::now();
    let mut errors_us: Vec<f64> = (1..=seconds)
        .map(|second| {
            let next = begun + Duration::from_secs(second);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let report = ours.report();
            1e6 * report["clock"]["correction_s"].as_f64().unwrap().abs()
        })
        .collect();
    errors_us.sort_by(f64::total_cmp);
    let at = |share: f64| errors_us[((errors_us.len() - 1) as f64 * share).round() as usize];
    println!(
        "{seconds} s: median {:.2} µs, 90 % {:.2}, 95 % {:.2}, 99 % {:.2}, worst {:.2} µs",
        at(0.5),
        at(0.9),
        at(0.95),
        at(0.99),
        at(1.0)
    );
    assert!(at(0.5) <= MEDIAN_US_MAX, "median {} µs", at(0.5));
}

/// The goal.
const MEDIAN_US_MAX: f64 = 2.0;
