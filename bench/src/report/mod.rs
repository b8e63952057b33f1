//! `report`: everything about everybody, side by side: a table, JSON, and a page with charts.
//!
//! On each network every contender sits once a round, in turns with the others: a closed loop says what an
//! answer costs its core and how many there are a second; over the veth, loads beyond its capacity say
//! what is left of that, and a load of half its capacity says how late and how wrong the answers are. The
//! loads are those of `throughput`, `overload` and `accuracy`; figures are medians over the rounds, ratios
//! are taken within a round.
//!
//! Must never: take longer than it said, or leave out silently who could not be measured.

mod bars;
mod page;
mod plan;
mod repeat;
mod row;
mod text;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;

use crate::cli::ReportOptions;
use crate::contenders;
use crate::error::{Attempt, BenchError};
use crate::host::{Host, is_root};
use crate::place::{Arrivals, On, Place};
use crate::server::{Seat, Server};
use crate::sitting::Sitting;
use plan::Plan;
use repeat::Agreement;
use row::{Row, Turn};

/// Measures, prints, and writes the page.
pub(crate) fn run(options: &ReportOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let host = Host::look();
    let plan = Plan::of(options);
    let servers = servers(options)?;
    eprintln!("{}", plan.announcement(&servers, options.repeat));
    let mut runs = Vec::new();
    for number in 1..=options.repeat {
        if options.repeat > 1 {
            eprintln!("run {number} of {}", options.repeat);
        }
        runs.push(Run::make(options, &plan, &servers, stop)?);
    }
    let agreement = Agreement::of(&runs);
    let document = Document { schema: SCHEMA, host, plan, runs, agreement };
    if let Some(path) = &options.html {
        let writing = || format!("writing {}", path.display());
        std::fs::write(path, page::html(&document)).attempting(writing)?;
        eprintln!("the page is in {}", path.display());
    }
    if options.common.json {
        println!("{:#}", serde_json::json!(document));
    } else {
        println!("{}", text::text(&document));
    }
    Ok(())
}

/// All that the table and the page are made of.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    host: Host,
    plan: Plan,
    runs: Vec<Run>,
    /// Whether the runs agree, if there are several.
    agreement: Option<Agreement>,
}

/// All rounds, once.
#[derive(Debug, Serialize)]
struct Run {
    /// Rounds made; fewer than planned if time ran out.
    rounds: u32,
    /// How long it took.
    took_s: f64,
    /// A row for each network and contender.
    rows: Vec<Row>,
    /// What a reader must know to believe it.
    remarks: Vec<String>,
}

fn servers(options: &ReportOptions) -> Result<Vec<Server>, BenchError> {
    let mut servers = contenders::echoes();
    servers.extend(contenders::timeballs(&options.servers));
    servers.extend(contenders::peers(&options.servers)?);
    let reference = contenders::reference().name;
    // By the reference everybody else is measured.
    servers.retain(|server| server.name == reference || options.servers.wants(&server.name));
    if !is_root() {
        eprintln!(
            "not root: loopback only, without veth and without servers that must have port 123"
        );
        servers.retain(|server| server.fixed_port().is_none());
    }
    Ok(servers)
}

/// A contender on a network, over the rounds.
struct Candidate<'a> {
    on: On,
    place: &'a Place,
    server: &'a Server,
    turns: Vec<Turn>,
    /// Why it was given up.
    fault: Option<String>,
}

impl Run {
    fn make(
        options: &ReportOptions,
        plan: &Plan,
        servers: &[Server],
        stop: &AtomicBool,
    ) -> Result<Self, BenchError> {
        let core = options.common.server_core;
        let place = |&on: &On| Ok((on, Place::make(on, Arrivals::ServerCore, core)?));
        let places = plan.networks.iter().map(place).collect::<Result<Vec<_>, BenchError>>()?;
        let candidate = |server| {
            places.iter().map(move |(on, place)| Candidate {
                on: *on,
                place,
                server,
                turns: Vec::new(),
                fault: None,
            })
        };
        let mut candidates: Vec<Candidate<'_>> = servers.iter().flat_map(candidate).collect();
        let (began, mut rounds) = (Instant::now(), 0);
        while rounds < plan.rounds && !plan.is_over(began.elapsed().as_secs_f64(), rounds) {
            rounds += 1;
            let sitting = candidates.iter_mut().filter(|candidate| candidate.fault.is_none());
            for candidate in sitting {
                candidate.sit(options, plan, stop)?;
                eprintln!("round {rounds}/{}: {}", plan.rounds, candidate.progress());
            }
        }
        let took_s = began.elapsed().as_secs_f64();
        let rows = Row::all(plan, &candidates);
        let remarks = remarks(plan, rounds, &candidates, &rows);
        Ok(Self { rounds, took_s, rows, remarks })
    }
}

impl Candidate<'_> {
    /// One turn; who fails is given up, and the others go on.
    fn sit(
        &mut self,
        options: &ReportOptions,
        plan: &Plan,
        stop: &AtomicBool,
    ) -> Result<(), BenchError> {
        let seat = Seat::on(options.common.server_core);
        let turn = Sitting::begin(self.place, self.server, seat, &options.common, stop)
            .and_then(|mut sitting| Turn::of(&mut sitting, plan, self.on));
        match turn {
            // A price by no answers would be no figure.
            Ok(turn) if turn.capacity() <= 0.0 => {
                self.fault = Some("it answered nothing when it was saturated".to_owned());
            }
            Ok(turn) => self.turns.push(turn),
            Err(BenchError::Interrupted) => return Err(BenchError::Interrupted),
            Err(error) => self.fault = Some(error.to_string()),
        }
        Ok(())
    }

    fn progress(&self) -> String {
        let place = format!("{:<8} {:<18}", self.on.name(), self.server.name);
        match (&self.fault, self.turns.last()) {
            (Some(fault), _) => format!("{place} given up: {fault}"),
            (None, Some(turn)) => format!("{place} {}", turn.progress()),
            (None, None) => place,
        }
    }
}

fn remarks(plan: &Plan, rounds: u32, candidates: &[Candidate<'_>], rows: &[Row]) -> Vec<String> {
    let mut remarks = Vec::new();
    if rounds < plan.rounds {
        remarks.push(format!("time was up after {rounds} of {} rounds", plan.rounds));
    }
    for candidate in candidates {
        if let Some(fault) = &candidate.fault {
            let (name, on) = (&candidate.server.name, candidate.on.name());
            let rounds = candidate.turns.len();
            remarks.push(format!("{name} on {on} was given up after {rounds} rounds: {fault}"));
        }
    }
    let behind: u32 = rows.iter().flat_map(|row| &row.beyond).map(|it| it.behind_rounds).sum();
    if behind > 0 {
        remarks.push(format!(
            "in {behind} overloads the generator sent less than it should: there, believe the rate offered, \
             not the factor"
        ));
    }
    let stolen = rows.iter().map(|row| row.stolen_share.max).fold(0.0, f64::max);
    if stolen > STOLEN_MAX {
        remarks.push(format!(
            "the hypervisor took up to {:.0} % of the server's core: figures are as much about its \
             neighbours",
            stolen * 100.0
        ));
    }
    remarks
}

const SCHEMA: &str = "timeball-bench-report/1";
/// More than this, and a figure is not the server's.
const STOLEN_MAX: f64 = 0.02;
