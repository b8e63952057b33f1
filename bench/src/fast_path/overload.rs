//! `fast-path overload`: what is still answered when more is asked than can be.
//!
//! What a full queue drops is nobody's work; what waits in it is answered in its turn. The socket server
//! stands above the thread that receives for it, which is how it keeps its own peak.
//!
//! Must never: call goodput a share of anything but the same server's peak in the same round.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::Report;
use timeball_load::table::{Table, invalid_text, micros, percent, thousands};

use super::{Findings, by_driver, peak, program, threaded};
use crate::cli::FastPathOptions;
use crate::contenders;
use crate::error::BenchError;
use crate::load::{Outcome, Spec};
use crate::overload::{beyond, invalid};
use crate::place::Place;
use crate::rounds::Spread;
use crate::server::{Seat, Server};
use crate::sitting::{Sitting, WARM_UP_S};

/// One server at one factor, over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    server: String,
    factor: f64,
    peak_per_s: Option<Spread>,
    /// Requests that were sent, by the peak.
    sent_share: Option<Spread>,
    /// Answered while load was offered, by the peak.
    goodput_share: Option<Spread>,
    rounds: Vec<Outcome>,
}

/// One server's round: its peak, and an outcome for each factor.
struct Round {
    peak: f64,
    outcomes: Vec<Outcome>,
}

/// Both servers in turns.
pub(super) fn measure(
    options: &FastPathOptions,
    stop: &AtomicBool,
) -> Result<Findings, BenchError> {
    let core = options.common.server_core;
    let by_sockets = Seat { priority: Some(WORKER_PRIORITY), ..Seat::on(core) };
    let servers = [
        (contenders::in_driver(program(options)?), Seat::on(core)),
        (contenders::by_sockets(program(options)?), by_sockets),
    ];
    let mut rounds: [Vec<Round>; 2] = Default::default();
    for number in 1..=options.rounds {
        for ((server, seat), rounds) in servers.iter().zip(&mut rounds) {
            let round = turn(options, server, seat, stop)?;
            let peak = thousands(round.peak);
            eprintln!("round {number}/{}: {} {peak} answered/s", options.rounds, server.name);
            rounds.push(round);
        }
    }
    let of = |((server, _), rounds): (&(Server, Seat), &Vec<Round>)| -> Vec<Row> {
        FACTORS.iter().zip(0..).map(|(&it, at)| Row::of(&server.name, it, at, rounds)).collect()
    };
    let rows: Vec<Row> = servers.iter().zip(&rounds).flat_map(of).collect();
    Findings::new(&rows, text(&rows, options))
}

/// One server, freshly started: its peak, and what is left of it.
fn turn(
    options: &FastPathOptions,
    server: &Server,
    seat: &Seat,
    stop: &AtomicBool,
) -> Result<Round, BenchError> {
    let place = Place::Veth(threaded(&options.common)?);
    let mut sitting = Sitting::begin(&place, server, seat.clone(), &options.common, stop)?;
    let base = sitting.base().clone().in_kernel();
    let mut offer = |spec: Spec| {
        let outcome = sitting.offer(&spec)?;
        if contenders::is_in_driver(server) { by_driver(outcome) } else { Ok(outcome) }
    };
    offer(Spec { duration_s: WARM_UP_S, ..base.clone() })?;
    let peak = peak(&base, options.duration, &mut offer)?;
    let beyond = |factor: &f64| offer(beyond(&base, factor * peak, options.duration));
    Ok(Round { peak, outcomes: FACTORS.iter().map(beyond).collect::<Result<_, _>>()? })
}

impl Row {
    fn of(server: &str, factor: f64, at: usize, rounds: &[Round]) -> Self {
        let share = |of: fn(&Report) -> f64| {
            Spread::of(rounds.iter().map(|round| of(&round.outcomes[at].report) / round.peak))
        };
        Self {
            server: server.to_owned(),
            factor,
            peak_per_s: Spread::of(rounds.iter().map(|round| round.peak)),
            sent_share: share(Report::sent_per_s),
            goodput_share: share(Report::answered_per_s),
            rounds: rounds.iter().map(|round| round.outcomes[at].clone()).collect(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let ratio = |spread: Option<Spread>| spread.map_or("-".to_owned(), |it| it.ratio_text());
        let median = |of: fn(&Outcome) -> f64| {
            Spread::of(self.rounds.iter().map(of)).map_or(f64::NAN, |spread| spread.median)
        };
        let latency = [0.5, 0.99].map(|quantile| {
            let all = self.rounds.iter().map(|it| it.report.latency.quantile(quantile) as f64);
            micros(Spread::of(all).map_or(0, |spread| spread.median as i64))
        });
        vec![
            self.server.clone(),
            self.peak_per_s.map_or("-".to_owned(), |peak| thousands(peak.median)),
            format!("{} ×", self.factor),
            ratio(self.sent_share),
            ratio(self.goodput_share),
            percent(median(|it| it.report.dropped as f64 / it.report.sent.max(1) as f64)),
            percent(median(|it| it.busy_share())),
            latency.join("/"),
            self.rounds.iter().map(|it| invalid(&it.report)).sum::<u64>().to_string(),
        ]
    }
}

fn text(rows: &[Row], options: &FastPathOptions) -> String {
    let mut table = Table::new(&[
        "server",
        "peak/s",
        "asked",
        "sent, of peak (min–max)",
        "goodput, of peak (min–max)",
        "dropped by the queue",
        "core busy",
        "p50/p99 µs",
        "invalid",
    ]);
    rows.iter().for_each(|row| table.row(row.cells()));
    let reports =
        rows.iter().flat_map(|row| row.rounds.iter().map(|it| (row.server.clone(), &it.report)));
    format!(
        "over a veth, its ends served by kernel threads on the server's core and on the clients'; a worker's \
         priority is {WORKER_PRIORITY}, above them; {} rounds of {} s; medians. Where less was sent than \
         asked, the generator or the thread that takes the replies beside it could do no more.\n\n{}{}",
        options.rounds,
        options.duration,
        table.text(),
        invalid_text(reports)
    )
}

/// Above the network's threads.
const WORKER_PRIORITY: u8 = 50;
const FACTORS: [f64; 3] = [1.5, 2.0, 3.0];
