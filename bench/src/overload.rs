//! `overload`: what is still served when more is offered than can be.
//!
//! Two set-ups on one core. As usual, the softirq that receives stands above the server, so every
//! packet too many takes time from answering. With a threaded NAPI *below* the worker, what is too
//! much is dropped in the device's ring before it has cost anything, and goodput stays at its peak.
//!
//! Every server is offered the same in one round and set-up: the factor times the capacity of the
//! first one listed, measured in that round by a closed loop. Goodput counts replies that arrived
//! while load was offered.
//!
//! Must never: call goodput a share of anything but a capacity measured in the same round and
//! set-up.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::{Load, Pattern};

use crate::cli::{Echo, OverloadOptions};
use crate::contenders;
use crate::error::BenchError;
use crate::host::Host;
use crate::load::{Outcome, Spec};
use crate::place::{Arrivals, On, Place};
use crate::rounds::Spread;
use crate::server::{Seat, Server};
use crate::sitting::{CAPACITY_S, Sitting};
use timeball_load::table::{Table, invalid_text, micros, percent, thousands};

/// Measures and prints.
pub(crate) fn run(options: &OverloadOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let host = Host::look();
    let servers = servers(options)?;
    let mut results = Vec::new();
    for setup in [Setup::Usual, Setup::WorkerAboveNetwork] {
        results.extend(measure(options, setup, &servers, stop)?);
    }
    if options.common.json {
        let document = serde_json::json!({ "host": host, "overload": results });
        println!("{document:#}");
    } else {
        println!("{}\n{}\n\n{}", host.text(), host.command.join(" "), text(&results));
    }
    Ok(())
}

/// Who may interrupt whom on the server's core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Setup {
    /// Receiving in software interrupts, above the server.
    Usual,
    /// Receiving in a threaded NAPI, below the server's worker.
    WorkerAboveNetwork,
}

impl Setup {
    /// Who takes what arrives, and the worker's priority, of those of the network's thread and the worker.
    pub(crate) const fn scheduling(self, network: u8, worker: u8) -> (Arrivals, Option<u8>) {
        match self {
            Self::Usual => (Arrivals::ServerCore, None),
            Self::WorkerAboveNetwork => (Arrivals::Thread(network), Some(worker)),
        }
    }

    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Usual => "as usual",
            Self::WorkerAboveNetwork => "worker above NAPI",
        }
    }
}

/// One server in one set-up at one factor, over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    setup: Setup,
    server: String,
    factor: f64,
    capacity_per_s: Option<Spread>,
    sent_per_s: Option<Spread>,
    goodput_per_s: Option<Spread>,
    /// Goodput by the server's own capacity, round by round.
    share_of_capacity: Option<Spread>,
    /// Goodput by that of the recvfrom echo, round by round.
    times_recvfrom: Option<Spread>,
    rounds: Vec<Outcome>,
}

/// One server's round: its capacity, and an outcome for each factor.
struct Round {
    capacity: f64,
    outcomes: Vec<Outcome>,
}

fn servers(options: &OverloadOptions) -> Result<Vec<Server>, BenchError> {
    let mut servers = contenders::timeballs(&options.servers);
    servers.extend(contenders::echoes());
    servers.retain(|server| options.servers.wants(&server.name));
    if servers.is_empty() {
        return Err(BenchError::Usage("--only leaves no server to measure".to_owned()));
    }
    Ok(servers)
}

fn measure(
    options: &OverloadOptions,
    setup: Setup,
    servers: &[Server],
    stop: &AtomicBool,
) -> Result<Vec<Row>, BenchError> {
    let core = options.common.server_core;
    let (arrivals, priority) = setup.scheduling(options.network_priority, options.worker_priority);
    let place = Place::make(On::Veth, arrivals, core)?;
    let mut rounds: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
    for number in 1..=options.rounds {
        let mut reference = None;
        for (server, rounds) in servers.iter().zip(&mut rounds) {
            let seat = Seat { priority, ..Seat::on(core) };
            let round = turn(options, &place, server, seat, reference, stop)?;
            reference = reference.or(Some(round.capacity));
            eprintln!(
                "{setup:?} round {number}/{}: {:<24} capacity {:>9}/s, goodput {}",
                options.rounds,
                server.name,
                thousands(round.capacity),
                goodputs(options, &round),
            );
            rounds.push(round);
        }
    }
    Ok(rows(options, setup, servers, &rounds))
}

fn turn(
    options: &OverloadOptions,
    place: &Place,
    server: &Server,
    seat: Seat,
    reference: Option<f64>,
    stop: &AtomicBool,
) -> Result<Round, BenchError> {
    let mut sitting = Sitting::begin(place, server, seat, &options.common, stop)?;
    let capacity = sitting.saturate(CAPACITY_S)?.report.answered_per_s();
    let mut outcomes = Vec::new();
    for factor in &options.factors {
        let rate_hz = factor * reference.unwrap_or(capacity);
        let spec = beyond(sitting.base(), rate_hz, options.duration);
        outcomes.push(sitting.offer(&spec)?);
    }
    Ok(Round { capacity, outcomes })
}

/// A constant load of `rate_hz`, which may be more than the server can carry.
pub(crate) fn beyond(base: &Spec, rate_hz: f64, duration_s: f64) -> Spec {
    let load = Load::Open { pattern: Pattern::Constant, rate_hz: rate_hz.max(1.0) as u32 };
    Spec { load, duration_s, timeout_s: TIMEOUT_S, ..base.clone() }
}

fn rows(
    options: &OverloadOptions,
    setup: Setup,
    servers: &[Server],
    rounds: &[Vec<Round>],
) -> Vec<Row> {
    let goodput = |rounds: &[Round], index: usize| -> Vec<f64> {
        rounds.iter().map(|round| round.outcomes[index].report.answered_per_s()).collect()
    };
    let recvfrom = contenders::echo(Echo::Recvfrom).name;
    let recvfrom = servers.iter().position(|server| server.name == recvfrom);
    let mut rows = Vec::new();
    for (server, of_server) in servers.iter().zip(rounds) {
        let capacities: Vec<f64> = of_server.iter().map(|round| round.capacity).collect();
        for (index, &factor) in options.factors.iter().enumerate() {
            let goodputs = goodput(of_server, index);
            let echoes = recvfrom.map(|echo| goodput(&rounds[echo], index));
            let outcomes: Vec<Outcome> =
                of_server.iter().map(|round| round.outcomes[index].clone()).collect();
            rows.push(Row {
                setup,
                server: server.name.clone(),
                factor,
                capacity_per_s: Spread::of(capacities.iter().copied()),
                sent_per_s: Spread::of(outcomes.iter().map(|it| it.report.sent_per_s())),
                goodput_per_s: Spread::of(goodputs.iter().copied()),
                share_of_capacity: Spread::of_ratios(&goodputs, &capacities),
                times_recvfrom: echoes.and_then(|echoes| Spread::of_ratios(&goodputs, &echoes)),
                rounds: outcomes,
            });
        }
    }
    rows
}

fn goodputs(options: &OverloadOptions, round: &Round) -> String {
    let each = options.factors.iter().zip(&round.outcomes).map(|(factor, outcome)| {
        format!("{}/s at {factor} ×", thousands(outcome.report.answered_per_s()))
    });
    each.collect::<Vec<_>>().join(", ")
}

fn text(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "set-up",
        "server",
        "capacity/s",
        "offered ×",
        "sent/s",
        "goodput/s",
        "of own capacity (min–max)",
        "× recvfrom (min–max)",
        "p50 RTT µs",
        "invalid",
    ]);
    for row in rows {
        let median =
            |spread: Option<Spread>| spread.map_or("-".to_owned(), |it| thousands(it.median));
        let ratio = |spread: Option<Spread>| spread.map_or("-".to_owned(), |it| it.ratio_text());
        let latency =
            Spread::of(row.rounds.iter().map(|it| it.report.latency.quantile(0.5) as f64));
        let invalid: u64 = row.rounds.iter().map(|it| invalid(&it.report)).sum();
        table.row(vec![
            row.setup.name().to_owned(),
            row.server.clone(),
            median(row.capacity_per_s),
            format!("{}", row.factor),
            median(row.sent_per_s),
            median(row.goodput_per_s),
            ratio(row.share_of_capacity),
            ratio(row.times_recvfrom),
            latency.map_or("-".to_owned(), |spread| micros(spread.median as i64)),
            thousands(invalid as f64),
        ]);
    }
    let behind = rows.iter().flat_map(|row| &row.rounds).filter(|it| is_behind(it)).count();
    let note = if behind == 0 {
        String::new()
    } else {
        format!(
            "\nIn {behind} runs the generator sent less than {} of what was to be offered: believe \
             sent/s, not the factor.\n",
            percent(BEHIND_SHARE)
        )
    };
    let reports = rows
        .iter()
        .flat_map(|row| row.rounds.iter().map(|round| (row.server.clone(), &round.report)));
    format!("{}{note}{}", table.text(), invalid_text(reports))
}

/// Invalid replies, but for those to requests that had been given up: under overload they are late.
pub(crate) fn invalid(report: &timeball_load::Report) -> u64 {
    let late = report.faults_of(timeball_load::Fault::Late);
    report.faults.total() - late
}

/// Whether the generator could not offer what it was told to.
pub(crate) fn is_behind(outcome: &Outcome) -> bool {
    let report = &outcome.report;
    // At the end the last request was this much later than intended.
    report.lag.quantile(1.0) as f64 / 1e9 > (1.0 - BEHIND_SHARE) * report.elapsed_s
}

/// Under overload whatever takes longer is useless to a client.
const TIMEOUT_S: f64 = 0.2;
/// A generator that sends less than this share of its schedule has fallen behind.
const BEHIND_SHARE: f64 = 0.95;
