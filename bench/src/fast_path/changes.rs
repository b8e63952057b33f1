//! `fast-path changes`: who is lost while the server changes under load.
//!
//! The same load again and again: with nothing else, which shows what the machine loses by itself; with a
//! reload that brings an access rule; with a new process that takes over; and with one that ends at SIGTERM
//! and is started anew, which nobody can do without a gap. Frames for which a queue of the `veth` had no room
//! are counted apart: they were lost before they came to the server.
//!
//! Must never: count a change that was not over when the load was.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;
use timeball_load::table::{Table, invalid_text, micros, percent, thousands};
use timeball_load::{Load, Pattern, Report};

use super::{Findings, in_driver, threaded, whole};
use crate::cli::FastPathOptions;
use crate::error::BenchError;
use crate::load::{Outcome, Spec};
use crate::place::Place;
use crate::server::{Change, Seat};
use crate::sitting::Sitting;

/// One change, over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    change: Option<Change>,
    rounds: Vec<Outcome>,
}

/// Every change in every round.
pub(super) fn measure(
    options: &FastPathOptions,
    stop: &AtomicBool,
) -> Result<Findings, BenchError> {
    let common = &options.common;
    let (server, rate_hz) = (in_driver(options)?, options.rate.unwrap_or(RATE_HZ));
    let mut rows: Vec<Row> =
        CHANGES.into_iter().map(|change| Row { change, rounds: Vec::new() }).collect();
    for round in 1..=options.rounds {
        let place = Place::Veth(threaded(common)?);
        let mut sitting =
            Sitting::begin(&place, &server, Seat::on(common.server_core), common, stop)?;
        let spec = Spec {
            load: Load::Open { pattern: Pattern::Constant, rate_hz },
            duration_s: options.duration,
            timeout_s: TIMEOUT_S,
            ..sitting.base().clone().in_kernel()
        };
        for row in &mut rows {
            let after = Duration::from_secs_f64(options.duration / 4.0);
            let outcome = match row.change {
                None => sitting.offer(&spec)?,
                Some(change) => sitting.offer_through(&spec, change, after)?,
            };
            let lost = outcome.report.lost;
            eprintln!("round {round}/{}: {}: {lost} lost", options.rounds, row.name());
            row.rounds.push(outcome);
        }
    }
    Findings::new(&rows, text(&rows, rate_hz, options))
}

impl Row {
    fn name(&self) -> &'static str {
        match self.change {
            None => "nothing",
            Some(Change::Reload) => "a reload that brings an access rule",
            Some(Change::TakeOver) => "a new process takes over",
            Some(Change::Restart) => "SIGTERM, and a new start",
        }
    }
}

fn text(rows: &[Row], rate_hz: u32, options: &FastPathOptions) -> String {
    let mut table = Table::new(&[
        "what happens",
        "sent",
        "lost",
        "by a full queue",
        "all others",
        "ms of the load",
        "in the driver",
        "p50/p99.9 µs",
        "longest µs",
        "invalid",
    ]);
    for row in rows {
        let report = whole(&row.rounds);
        let others = report.lost.saturating_sub(report.dropped);
        let latency = &report.latency;
        let times = [latency.quantile(0.5), latency.quantile(0.999)].map(micros);
        table.row(vec![
            row.name().to_owned(),
            thousands(report.sent as f64),
            thousands(report.lost as f64),
            thousands(report.dropped as f64),
            thousands(others as f64),
            format!("{:.1}", others as f64 * 1e3 / f64::from(rate_hz) / row.rounds.len() as f64),
            percent(driver_share(&report)),
            times.join("/"),
            micros(latency.quantile(1.0)),
            thousands(report.faults.total() as f64),
        ]);
    }
    let reports =
        rows.iter().flat_map(|row| row.rounds.iter().map(|it| (row.name().to_owned(), &it.report)));
    format!(
        "{} requests a second over a veth for {} s, {} rounds; what happens begins after a quarter of each. \
         A worker is the one who had a request for more than 2 µs.\n\n{}{}",
        thousands(f64::from(rate_hz)),
        options.duration,
        options.rounds,
        table.text(),
        invalid_text(reports)
    )
}

/// The part of the answers that were given too fast for a worker.
fn driver_share(report: &Report) -> f64 {
    let by_driver = report.residence.count_between(0, super::RESIDENCE_NS_MAX);
    by_driver as f64 / report.residence.count().max(1) as f64
}

const CHANGES: [Option<Change>; 4] =
    [None, Some(Change::Reload), Some(Change::TakeOver), Some(Change::Restart)];
const RATE_HZ: u32 = 100_000;
/// Whoever waits longer asks again.
const TIMEOUT_S: f64 = 1.0;
