//! `generator`: can the load generator out-drive the server it is to measure?
//!
//! One core sends as fast as it can, by each way of sending, at a timeball on the other core; between, a
//! closed loop measures what that timeball can answer. A way is fit to find the limit of a server if it
//! sends well more than that. At four fifths of each way's own maximum the rate asked must be the rate
//! sent.
//!
//! Must never: compare a rate with a capacity of another round.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::table::{Table, thousands};
use timeball_load::{Load, Pattern, Report};

use crate::cli::GeneratorOptions;
use crate::contenders;
use crate::error::BenchError;
use crate::host::Host;
use crate::load::Spec;
use crate::namespace::FORGED;
use crate::place::{Arrivals, On, Place};
use crate::rounds::Spread;
use crate::server::Seat;
use crate::sitting::Sitting;

/// Measures and prints.
pub(crate) fn run(options: &GeneratorOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let host = Host::look();
    let mut servers = contenders::timeballs(&options.servers);
    servers.retain(|server| options.servers.wants(&server.name));
    let Some(server) = servers.first() else {
        return Err(BenchError::Usage("there is no timeball to measure against".to_owned()));
    };
    let core = options.common.server_core;
    let place = Place::make(On::Veth, Arrivals::ServerCore, core)?;
    let seat = Seat::on(core);
    let mut sitting = Sitting::begin(&place, server, seat, &options.common, stop)?;
    let base = Spec { duration_s: options.duration, ..sitting.base().clone() };
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        let capacity = sitting.offer(&base)?.report.answered_per_s();
        eprintln!("round {round}: {} answers {}/s", server.name, thousands(capacity));
        let ways = Way::all(options.common.segments);
        let figures = ways.map(|way| drive(&mut sitting, &way.spec(&base)));
        let figures = figures.into_iter().collect::<Result<Vec<_>, _>>()?;
        rounds.push((capacity, figures));
    }
    let rows: Vec<Row> = Way::all(options.common.segments)
        .into_iter()
        .enumerate()
        .map(|(index, way)| Row::of(way, rounds.iter().map(|round| (round.0, &round.1[index]))))
        .collect();
    if options.common.json {
        println!("{:#}", serde_json::json!({ "host": host, "generator": rows }));
    } else {
        println!("{}\n{}\n\n{}", host.text(), host.command.join(" "), text(&rows, &server.name));
    }
    Ok(())
}

/// A way of sending.
#[derive(Clone, Copy, Debug, Serialize)]
struct Way {
    frames: bool,
    segments: usize,
}

impl Way {
    fn all(segments: usize) -> [Self; 4] {
        let way = |frames, segments| Self { frames, segments };
        [way(false, 1), way(false, segments), way(true, 1), way(true, segments)]
    }

    /// The same load, this way.
    fn spec(self, base: &Spec) -> Spec {
        let (network, prefix_len) =
            if self.frames { FORGED } else { (base.network, base.prefix_len) };
        let Self { frames, segments } = self;
        Spec { network, prefix_len, frames, segments, ..base.clone() }
    }

    fn name(self) -> String {
        let path = if self.frames { "frames" } else { "sockets" };
        match self.segments {
            1 => path.to_owned(),
            segments => format!("{path}, {segments} a message"),
        }
    }
}

/// What one way did in one round.
#[derive(Clone, Debug)]
struct Drive {
    /// Requests sent a second when everything was always due.
    most_per_s: f64,
    /// By how much the rate sent differed from the rate asked, at four fifths of that, as a share.
    deviation: f64,
}

fn drive(sitting: &mut Sitting<'_>, spec: &Spec) -> Result<Drive, BenchError> {
    let mut offer = |rate_hz| {
        let load = Load::Open { pattern: Pattern::Constant, rate_hz };
        let outcome = sitting.offer(&Spec { load, ..spec.clone() })?;
        Ok::<Report, BenchError>(outcome.report)
    };
    let most_per_s = offer(BEYOND_HZ)?.sent_per_s();
    let asked_hz = (most_per_s * 0.8).max(1.0) as u32;
    let sent = offer(asked_hz)?.sent as f64;
    let asked = f64::from(asked_hz) * spec.duration_s;
    Ok(Drive { most_per_s, deviation: (sent - asked).abs() / asked })
}

/// One way over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    way: Way,
    most_per_s: Option<Spread>,
    /// By the server's capacity, round by round.
    times_capacity: Option<Spread>,
    deviation: Option<Spread>,
}

impl Row {
    fn of<'a>(way: Way, rounds: impl Iterator<Item = (f64, &'a Drive)> + Clone) -> Self {
        let (capacities, drives): (Vec<f64>, Vec<&Drive>) = rounds.unzip();
        let most: Vec<f64> = drives.iter().map(|drive| drive.most_per_s).collect();
        Self {
            way,
            times_capacity: Spread::of_ratios(&most, &capacities),
            most_per_s: Spread::of(most),
            deviation: Spread::of(drives.iter().map(|drive| drive.deviation)),
        }
    }
}

fn text(rows: &[Row], server: &str) -> String {
    let mut table =
        Table::new(&["sent by", "most sent/s", "× capacity (min–max)", "asked − sent at 80 %"]);
    for row in rows {
        let ratio = row.times_capacity.map_or("-".to_owned(), |spread| spread.ratio_text());
        let percent = |spread: Spread| format!("{:.3} %", spread.median * 100.0);
        table.row(vec![
            row.way.name(),
            row.most_per_s.map_or("-".to_owned(), |spread| thousands(spread.median)),
            ratio,
            row.deviation.map_or("-".to_owned(), percent),
        ]);
    }
    format!(
        "one core sending over a veth, by the capacity of {server} on one other\n\n{}",
        table.text()
    )
}

/// More than any core sends.
const BEYOND_HZ: u32 = 50_000_000;
