//! `fast-path offset`: how true the time is that is given in the driver, at a million answers a second.
//!
//! Client and server share one clock, so every offset is error. T1 is read when a request is written, T4 when
//! the reply is looked at in the driver of the clients' end. Between T1 and the wire lies the rest of the
//! request's batch, so there is a row with batches of one. With a thread for either end, as between two
//! machines, waking them is on the way, and the queue before the server's is: it takes T2 when it comes to a
//! frame. On one core nobody is woken and nothing waits for long: that is what the program itself adds.
//!
//! Must never: leave out an exchange that cannot be true.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::table::{Table, invalid_text, micros, percent, thousands};
use timeball_load::{Load, Pattern};

use super::{Findings, by_driver, in_driver, threaded, whole};
use crate::cli::FastPathOptions;
use crate::error::BenchError;
use crate::load::{Outcome, Spec};
use crate::namespace::Pair;
use crate::place::Place;
use crate::server::Seat;
use crate::sitting::{Sitting, WARM_UP_S};

/// One way over the network at one batch size.
#[derive(Debug, Serialize)]
struct Row {
    ends: Ends,
    batch: usize,
    rounds: Vec<Outcome>,
}

/// Who serves the ends of the `veth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Ends {
    /// Each a thread on a core of its own.
    Threads,
    /// Whoever sends.
    Sender,
}

/// Every row in every round.
pub(super) fn measure(
    options: &FastPathOptions,
    stop: &AtomicBool,
) -> Result<Findings, BenchError> {
    let mut rows: Vec<Row> = Vec::new();
    for round in 1..=options.rounds {
        for ends in [Ends::Threads, Ends::Sender] {
            for (batch, outcome) in converse(options, ends, stop)? {
                eprintln!(
                    "round {round}/{}: {}, {batch} at once: θ p50 {} µs",
                    options.rounds,
                    ends.text(),
                    micros(outcome.report.offset.quantile(0.5))
                );
                match rows.iter_mut().find(|row| (row.ends, row.batch) == (ends, batch)) {
                    Some(row) => row.rounds.push(outcome),
                    None => rows.push(Row { ends, batch, rounds: vec![outcome] }),
                }
            }
        }
    }
    let text = text(&rows);
    Findings::new(&rows, text)
}

/// One server, freshly started, and its exchanges at every batch size.
fn converse(
    options: &FastPathOptions,
    ends: Ends,
    stop: &AtomicBool,
) -> Result<Vec<(usize, Outcome)>, BenchError> {
    let common = &options.common;
    let place = Place::Veth(match ends {
        Ends::Threads => threaded(common)?,
        Ends::Sender => Pair::make()?,
    });
    let server = in_driver(options)?;
    let mut sitting = Sitting::begin(&place, &server, Seat::on(common.server_core), common, stop)?;
    let rate_hz = options.rate.unwrap_or(RATE_HZ);
    let load = Load::Open { pattern: Pattern::Constant, rate_hz };
    let base = Spec { load, ..sitting.base().clone().in_kernel() };
    sitting.offer(&Spec { duration_s: WARM_UP_S, ..base.clone() })?;
    let mut outcome = |batch| {
        let spec = Spec { batch, duration_s: options.duration, ..base.clone() };
        Ok((batch, by_driver(sitting.offer(&spec)?)?))
    };
    BATCHES.into_iter().map(&mut outcome).collect()
}

impl Ends {
    const fn text(self) -> &'static str {
        match self {
            Self::Threads => "a thread on a core for each end",
            Self::Sender => "all on the clients' core",
        }
    }
}

fn text(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "veth served by",
        "at once",
        "answered/s",
        "lost",
        "|θ| p50",
        "p99",
        "p99.9",
        "θ p1",
        "p50",
        "p99",
        "T2 least",
        "p50",
        "p99",
        "T3 least",
        "p50",
        "p99",
        "T3−T2 p50",
        "acausal",
        "replies",
    ]);
    for row in rows {
        let report = whole(&row.rounds);
        let error = report.offset.magnitudes();
        let [p50, p99, p99_9] = [0.5, 0.99, 0.999].map(|q| error.value_at_quantile(q) as i64);
        let [theta, t2, t3] = [&report.offset, &report.receive_error, &report.transmit_error]
            .map(|it| it.distribution());
        let mut cells = vec![
            row.ends.text().to_owned(),
            row.batch.to_string(),
            thousands(report.answered_per_s()),
            percent(report.lost as f64 / report.sent.max(1) as f64),
        ];
        let times = [
            [p50, p99, p99_9],
            [theta.p1_ns, theta.p50_ns, theta.p99_ns],
            [t2.min_ns, t2.p50_ns, t2.p99_ns],
            [t3.min_ns, t3.p50_ns, t3.p99_ns],
        ];
        cells.extend(times.as_flattened().iter().map(|nanos| micros(*nanos)));
        cells.push(micros(report.residence.quantile(0.5)));
        cells.push(thousands(report.causality_violations as f64));
        cells.push(thousands(report.answered as f64));
        table.row(cells);
    }
    let reports = rows
        .iter()
        .flat_map(|row| row.rounds.iter().map(|it| (row.ends.text().to_owned(), &it.report)));
    format!("{LEGEND}\n\n{}{}", table.text(), invalid_text(reports))
}

const LEGEND: &str = "\
All times in µs. θ is the served time's error, T2 is T2 − T1 and T3 is T4 − T3, with T1 and T4 read by the
generator's programs. At once: frames that are handed to the device together, T1 of the first being as old as
that. acausal counts exchanges that break T1 ≤ T2 ≤ T3 ≤ T4.";

const RATE_HZ: u32 = 1_000_000;
/// As usual, and alone.
const BATCHES: [usize; 2] = [64, 1];
