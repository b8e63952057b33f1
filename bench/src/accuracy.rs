//! `accuracy`: how wrong the served time is, at several loads and in several rhythms.
//!
//! Client and server share one clock and serve it unchanged, so every offset seen is error. T1 and
//! T4 are the kernel's stamps of the request's departure and the reply's arrival, which on a veth
//! lie within a few hundred nanoseconds of the server's own ends: T2 − T1 bounds the error of T2
//! from above, T4 − T3 that of T3, and neither may ever be negative.
//!
//! Must never: leave the worst out: exchanges that cannot be true are counted, and measured as
//! well.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::{Load, Pattern, SignedHistogram};

use crate::cli::AccuracyOptions;
use crate::contenders;
use crate::error::BenchError;
use crate::host::Host;
use crate::load::{Outcome, Spec};
use crate::place::{Arrivals, On, Place};
use crate::server::{Seat, Server};
use crate::sitting::{CAPACITY_S, Sitting};
use timeball_load::table::{Table, invalid_text, micros, percent, thousands};

/// Measures and prints.
pub(crate) fn run(options: &AccuracyOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let host = Host::look();
    let mut servers = contenders::timeballs(&options.servers);
    servers.extend(contenders::peers(&options.servers)?);
    servers.retain(|server| options.servers.wants(&server.name));
    if servers.is_empty() {
        return Err(BenchError::Usage("there is no server to measure".to_owned()));
    }
    let core = options.common.server_core;
    let arrivals =
        if options.receive_on_server_core { Arrivals::ServerCore } else { Arrivals::Sender };
    let place = Place::make(On::Veth, arrivals, core)?;
    let mut rows = Vec::new();
    for server in &servers {
        rows.extend(measure(options, &place, server, stop)?);
    }
    if options.common.json {
        let document = serde_json::json!({ "host": host, "accuracy": rows });
        println!("{document:#}");
    } else {
        println!("{}\n{}\n\n{}", host.text(), host.command.join(" "), text(&rows));
    }
    Ok(())
}

/// One server at one load in one rhythm.
#[derive(Debug, Serialize)]
struct Row {
    server: String,
    pattern: Pattern,
    load_percent: u32,
    rate_hz: u32,
    outcome: Outcome,
}

fn measure(
    options: &AccuracyOptions,
    place: &Place,
    server: &Server,
    stop: &AtomicBool,
) -> Result<Vec<Row>, BenchError> {
    let seat = Seat::on(options.common.server_core);
    let mut sitting = Sitting::begin(place, server, seat, &options.common, stop)?;
    let capacity = sitting.saturate(CAPACITY_S)?.report.answered_per_s();
    eprintln!("{}: capacity {}/s", server.name, thousands(capacity));
    let mut rows = Vec::new();
    for pattern in PATTERNS {
        for &load_percent in &options.loads {
            let rate_hz = (capacity * f64::from(load_percent) / 100.0).max(1.0) as u32;
            let spec = open_loop(sitting.base(), pattern, rate_hz, options.duration);
            let outcome = sitting.offer(&Spec { requests_max: options.replies, ..spec })?;
            eprintln!(
                "{}: {} at {load_percent} %, {} replies, θ p50 {} µs",
                server.name,
                pattern_text(pattern),
                thousands(outcome.report.answered as f64),
                micros(outcome.report.offset.quantile(0.5))
            );
            let server = server.name.clone();
            rows.push(Row { server, pattern, load_percent, rate_hz, outcome });
        }
    }
    Ok(rows)
}

/// A load in which every request leaves alone, and as many departures are stamped as the generator can take.
pub(crate) fn open_loop(base: &Spec, pattern: Pattern, rate_hz: u32, duration_s: f64) -> Spec {
    // Odd, so that no place in a burst of a power of two is left out.
    let stamp_one_in = (rate_hz / STAMPS_HZ_MAX) | 1;
    Spec {
        load: Load::Open { pattern, rate_hz },
        duration_s,
        segments: 1,
        stamp_one_in,
        timeout_s: TIMEOUT_S,
        ..base.clone()
    }
}

fn text(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "server",
        "rhythm",
        "load",
        "rate/s",
        "replies",
        "answered",
        "θ p1",
        "θ p50",
        "θ p99",
        "θ p99.9",
        "T2 min",
        "T2 p50",
        "T2 p99.9",
        "T3 min",
        "T3 p50",
        "T3 p99",
        "T3−T2 p99",
        "burst p50",
        "burst p99",
        "acausal",
        "invalid",
    ]);
    for row in rows {
        let report = &row.outcome.report;
        let [offset, receive_error, transmit_error, residence, burst_position] = [
            &report.offset,
            &report.receive_error,
            &report.transmit_error,
            &report.residence,
            &report.burst_position,
        ]
        .map(SignedHistogram::distribution);
        let burst = |nanos: i64| {
            if burst_position.count > 0 { micros(nanos) } else { "-".to_owned() }
        };
        let invalid = report.faults.total();
        table.row(vec![
            row.server.clone(),
            pattern_text(row.pattern),
            format!("{} %", row.load_percent),
            thousands(f64::from(row.rate_hz)),
            thousands(report.answered as f64),
            percent(report.answered_share()),
            micros(offset.p1_ns),
            micros(offset.p50_ns),
            micros(offset.p99_ns),
            micros(offset.p99_9_ns),
            micros(receive_error.min_ns),
            micros(receive_error.p50_ns),
            micros(receive_error.p99_9_ns),
            micros(transmit_error.min_ns),
            micros(transmit_error.p50_ns),
            micros(transmit_error.p99_ns),
            micros(residence.p99_ns),
            burst(burst_position.p50_ns),
            burst(burst_position.p99_ns),
            thousands(report.causality_violations as f64),
            thousands(invalid.saturating_sub(report.causality_violations) as f64),
        ]);
    }
    let reports = rows.iter().map(|row| {
        let name =
            format!("{}, {} at {} %", row.server, pattern_text(row.pattern), row.load_percent);
        (name, &row.outcome.report)
    });
    format!("{LEGEND}\n\n{}{}{}", table.text(), drift_text(rows), invalid_text(reports))
}

/// Median θ at the highest load less that at the lowest, for each server and rhythm.
fn drift_text(rows: &[Row]) -> String {
    let mut text = String::new();
    // Rows come server by server and rhythm by rhythm.
    for group in rows.chunk_by(|a, b| a.server == b.server && a.pattern == b.pattern) {
        let lowest = group.iter().min_by_key(|row| row.load_percent);
        let highest = group.iter().max_by_key(|row| row.load_percent);
        let (Some(lowest), Some(highest)) = (lowest, highest) else { continue };
        if lowest.load_percent == highest.load_percent {
            continue;
        }
        let median = |row: &Row| row.outcome.report.offset.quantile(0.5);
        text.push_str(&format!(
            "\n{}, {}: median θ at {} % less that at {} %: {} µs",
            highest.server,
            pattern_text(highest.pattern),
            highest.load_percent,
            lowest.load_percent,
            micros(median(highest) - median(lowest))
        ));
    }
    text
}

fn pattern_text(pattern: Pattern) -> String {
    match pattern {
        Pattern::Constant => "paced".to_owned(),
        Pattern::Poisson => "Poisson".to_owned(),
        Pattern::Bursts { size } => format!("bursts of {size}"),
        Pattern::Crowd => "crowd".to_owned(),
    }
}

const PATTERNS: [Pattern; 4] = [
    Pattern::Constant,
    Pattern::Poisson,
    Pattern::Bursts { size: 64 },
    Pattern::Bursts { size: 256 },
];

const LEGEND: &str = "\
All times in µs, over a veth, client and server on one clock. θ is the served time's error.
T2 is T2 − T1 and T3 is T4 − T3, both against kernel stamps: upper bounds of the error of either.
burst is T4 − T3 of a burst's last request less that of its first.
acausal counts exchanges that break T1 ≤ T2 ≤ T3 ≤ T4; a negative minimum says by how much.";

/// Departure stamps cost the generator about as much as a request, so it takes no more a second
/// than this.
const STAMPS_HZ_MAX: u32 = 40_000;
const TIMEOUT_S: f64 = 0.5;
