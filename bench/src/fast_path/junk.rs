//! `fast-path junk`: what good clients notice of ten times as many frames that nobody can answer.
//!
//! Both come from one generator, the junk of a turn right behind its request, so that whatever the server
//! does with junk stands before the next request. Frames are spoilt in every way, go to ports at which nobody
//! is, or hold no NTP: the driver passes all of them on, and the kernel or a worker drops them.
//!
//! Must never: compare loads of different rounds.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::table::{Table, invalid_text, micros, percent, thousands};
use timeball_load::{Load, Pattern};

use super::{Findings, busy_share, by_driver, in_driver, threaded, whole};
use crate::accompanied::Accompanied;
use crate::cli::FastPathOptions;
use crate::error::BenchError;
use crate::load::{Outcome, Spec};
use crate::place::Place;
use crate::server::Seat;
use crate::sitting::{Sitting, WARM_UP_S};

/// Good clients in one company, over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    company: Accompanied,
    rounds: Vec<Outcome>,
}

/// With and without, in turns.
pub(super) fn measure(
    options: &FastPathOptions,
    stop: &AtomicBool,
) -> Result<Findings, BenchError> {
    let (common, server) = (&options.common, in_driver(options)?);
    let rate_hz = options.rate.unwrap_or(RATE_HZ);
    let companies = [Accompanied::Alone, Accompanied::ByJunk(JUNK_EACH)];
    let mut rows = companies.map(|company| Row { company, rounds: Vec::new() });
    for round in 1..=options.rounds {
        let place = Place::Veth(threaded(common)?);
        let mut sitting =
            Sitting::begin(&place, &server, Seat::on(common.server_core), common, stop)?;
        let load = Load::Open { pattern: Pattern::Poisson, rate_hz };
        // Alone each, so that none waits in a batch.
        let base = Spec { load, batch: 1, ..sitting.base().clone().in_kernel() };
        sitting.offer(&Spec { duration_s: WARM_UP_S, ..base.clone() })?;
        for row in &mut rows {
            let company = row.company;
            let spec = Spec { company, duration_s: options.duration, ..base.clone() };
            let outcome = by_driver(sitting.offer(&spec)?)?;
            let latency = micros(outcome.report.latency.quantile(0.99));
            eprintln!("round {round}/{}: {}, p99 {latency} µs", options.rounds, row.name());
            row.rounds.push(outcome);
        }
    }
    let text = text(&rows, options);
    Findings::new(&rows, text)
}

impl Row {
    const fn name(&self) -> &'static str {
        match self.company {
            Accompanied::Alone => "good clients alone",
            _ => "beside ten times as much junk",
        }
    }
}

fn text(rows: &[Row], options: &FastPathOptions) -> String {
    let mut table = Table::new(&[
        "",
        "asked/s",
        "junk/s",
        "answered",
        "lost",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "|θ| p99 µs",
        "core busy",
        "junk answered",
    ]);
    for row in rows {
        let report = whole(&row.rounds);
        let [p50, p99, p99_9] = [0.5, 0.99, 0.999].map(|q| micros(report.latency.quantile(q)));
        let theta = report.offset.magnitudes().value_at_quantile(0.99) as i64;
        table.row(vec![
            row.name().to_owned(),
            thousands(report.sent_per_s()),
            thousands(report.companions as f64 / report.elapsed_s),
            percent(report.answered_share()),
            thousands(report.lost as f64),
            p50,
            p99,
            p99_9,
            micros(theta),
            percent(busy_share(&row.rounds)),
            thousands(report.companions_answered as f64),
        ]);
    }
    let reports =
        rows.iter().flat_map(|row| row.rounds.iter().map(|it| (row.name().to_owned(), &it.report)));
    format!(
        "over a veth, its ends served by kernel threads on the server's core and on the clients'; {} rounds \
         of {} s\n\n{}{}",
        options.rounds,
        options.duration,
        table.text(),
        invalid_text(reports)
    )
}

const RATE_HZ: u32 = 20_000;
const JUNK_EACH: u32 = 10;
