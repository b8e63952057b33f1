//! `fast-path signed`: what becomes of the workers' requests while the driver is busy with its own.
//!
//! Signed requests, every other one as long as one of NTS, go along with plain ones that are four fifths of
//! the peak. The thread that receives for the server stands above the worker on its core, so the worker has
//! what the driver leaves it.
//!
//! Must never: count a reply that is not signed.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::table::{Table, invalid_text, percent, thousands};
use timeball_load::{Load, Pattern};

use super::{Findings, busy_share, by_driver, in_driver, peak, threaded, whole};
use crate::accompanied::Accompanied;
use crate::cli::FastPathOptions;
use crate::error::BenchError;
use crate::load::{Outcome, Spec};
use crate::place::Place;
use crate::server::Seat;
use crate::sitting::{Sitting, WARM_UP_S};

/// Signed requests beside plain ones, over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    /// Plain requests by the peak; `None`: as many as signed ones.
    plain_share: Option<f64>,
    rounds: Vec<Outcome>,
}

/// Hardly any plain ones, and four fifths, in turns.
pub(super) fn measure(
    options: &FastPathOptions,
    stop: &AtomicBool,
) -> Result<Findings, BenchError> {
    let (common, server) = (&options.common, in_driver(options)?);
    let signed_hz = options.rate.unwrap_or(RATE_HZ);
    let mut rows = SHARES.map(|plain_share| Row { plain_share, rounds: Vec::new() });
    for round in 1..=options.rounds {
        let place = Place::Veth(threaded(common)?);
        let mut sitting =
            Sitting::begin(&place, &server, Seat::on(common.server_core), common, stop)?;
        let base = sitting.base().clone().in_kernel();
        sitting.offer(&Spec { duration_s: WARM_UP_S, ..base.clone() })?;
        let peak = peak(&base, options.duration, |spec| by_driver(sitting.offer(&spec)?))?;
        eprintln!("round {round}/{}: peak {}/s", options.rounds, thousands(peak));
        for row in &mut rows {
            let plain_hz = row.plain_share.map_or(signed_hz, |share| (peak * share) as u32);
            let spec = Spec {
                load: Load::Open { pattern: Pattern::Constant, rate_hz: plain_hz.max(1) },
                company: Accompanied::BySigned((plain_hz / signed_hz).max(1)),
                duration_s: options.duration,
                ..base.clone()
            };
            row.rounds.push(by_driver(sitting.offer(&spec)?)?);
        }
    }
    let text = text(&rows, options);
    Findings::new(&rows, text)
}

impl Row {
    fn name(&self) -> String {
        match self.plain_share {
            None => "beside as many plain ones".to_owned(),
            Some(share) => format!("beside {} of the peak", percent(share)),
        }
    }
}

fn text(rows: &[Row], options: &FastPathOptions) -> String {
    let mut table = Table::new(&[
        "signed requests",
        "plain/s",
        "plain lost",
        "signed/s",
        "signed sent",
        "signed lost",
        "dropped by the queue",
        "core busy",
    ]);
    for row in rows {
        let report = whole(&row.rounds);
        table.row(vec![
            row.name(),
            thousands(report.sent_per_s()),
            thousands(report.lost as f64),
            thousands(report.companions as f64 / report.elapsed_s),
            thousands(report.companions as f64),
            thousands(report.companions.saturating_sub(report.companions_answered) as f64),
            thousands(report.dropped as f64),
            percent(busy_share(&row.rounds)),
        ]);
    }
    let reports = rows.iter().flat_map(|row| row.rounds.iter().map(|it| (row.name(), &it.report)));
    format!(
        "over a veth, its ends served by kernel threads on the server's core and on the clients', above the \
         worker; {} rounds of {} s. A full queue drops plain and signed requests alike.\n\n{}{}",
        options.rounds,
        options.duration,
        table.text(),
        invalid_text(reports)
    )
}

/// Of a server that is asked for signed time by many.
const RATE_HZ: u32 = 5_000;
const SHARES: [Option<f64>; 2] = [None, Some(0.8)];
