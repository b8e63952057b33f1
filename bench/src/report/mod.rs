//! `report`: everything about everybody, side by side: a table, JSON, and a page with charts.
//!
//! First prices: a closed loop says what an answer costs each contender's core and how many there are a
//! second, in many short rounds in turns with the reference (`prices`), until every ratio is known closely
//! or the time is up. Then, over the veth, loads: a load of half its capacity says how late and how wrong a
//! contender's answers are, and loads beyond it what is left of that. The loads are those of `overload` and
//! `accuracy`.
//!
//! Must never: take much longer than it said, give a ratio without the interval that holds it, or leave out
//! silently who could not be measured.

mod bars;
mod candidate;
mod page;
mod plan;
mod prices;
mod repeat;
mod row;
mod text;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;
use timeball_load::SplitMix64;

use crate::cli::ReportOptions;
use crate::contenders;
use crate::error::{Attempt, BenchError};
use crate::host::{Host, is_root};
use crate::place::{Arrivals, On, Place};
use crate::server::Server;
use candidate::Candidate;
use plan::Plan;
use repeat::Agreement;
use row::Row;

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
        runs.push(Run::make(options, &plan, &servers, stop, u64::from(number))?);
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

/// The whole report, once.
#[derive(Debug, Serialize)]
struct Run {
    /// Rounds of prices.
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
    // It comes first, in every table and every round.
    servers.sort_by_key(|server| server.name != reference);
    if !is_root() {
        eprintln!(
            "not root: loopback only, without veth and without servers that must have port 123"
        );
        servers.retain(|server| server.fixed_port().is_none());
    }
    Ok(servers)
}

impl Run {
    fn make(
        options: &ReportOptions,
        plan: &Plan,
        servers: &[Server],
        stop: &AtomicBool,
        number: u64,
    ) -> Result<Self, BenchError> {
        let began = Instant::now();
        let core = options.common.server_core;
        // All have their seats at once, some of them at the same port: each has a network of its own.
        let place =
            |on: On| servers.iter().map(move |_| Place::make(on, Arrivals::ServerCore, core));
        let places = plan.networks.iter().map(|&on| Ok((on, place(on).collect::<Result<_, _>>()?)));
        let places = places.collect::<Result<Vec<(On, Vec<Place>)>, BenchError>>()?;
        let mut networks: Vec<Vec<Candidate<'_>>> = places
            .iter()
            .map(|(on, places)| {
                let seated = places.iter().zip(servers);
                seated.map(|it| Candidate::new(*on, it, &options.common, stop)).collect()
            })
            .collect();
        for candidate in networks.iter_mut().flatten() {
            candidate.sit()?;
        }
        let mut random = SplitMix64::new(number, 0);
        let mut rounds = 0;
        while plan.has_time(began.elapsed().as_secs_f64(), rounds, &networks) {
            rounds += 1;
            for candidates in &mut networks {
                prices::round(candidates, began, &mut random)?;
            }
            eprintln!(
                "round {rounds}: {}",
                plan.progress(began.elapsed().as_secs_f64(), &networks)
            );
        }
        for candidate in networks.iter_mut().flatten().filter(|it| Plan::is_whole(it.on)) {
            candidate.load(plan)?;
            eprintln!("{}", candidate.progress());
        }
        let took_s = began.elapsed().as_secs_f64();
        let rows: Vec<Row> = networks.iter().flatten().filter_map(|it| Row::of(plan, it)).collect();
        let remarks = remarks(&networks, &rows);
        Ok(Self { rounds, took_s, rows, remarks })
    }
}

fn remarks(networks: &[Vec<Candidate<'_>>], rows: &[Row]) -> Vec<String> {
    let mut remarks = Vec::new();
    for candidate in networks.iter().flatten() {
        if let Some(fault) = &candidate.fault {
            let (name, on) = (&candidate.server.name, candidate.on.name());
            let turns = candidate.turns.len();
            remarks.push(format!("{name} on {on} was given up after {turns} turns: {fault}"));
        }
    }
    let open: Vec<String> = rows.iter().filter_map(Row::unsettled).collect();
    if !open.is_empty() {
        remarks.push(format!(
            "not settled when the time was up, so known to more than {:.1} % either way: {}",
            plan::SETTLED * 100.0,
            open.join(", ")
        ));
    }
    let dropped: u32 = rows.iter().map(|row| row.dropped).sum();
    if dropped > 0 {
        let made: usize = rows.iter().map(|row| row.ratios.len()).sum();
        remarks.push(format!(
            "{dropped} of {} ratios were dropped, because the hypervisor took time from the server's or \
             the generator's core",
            made + dropped as usize
        ));
    }
    let behind: u32 =
        rows.iter().flat_map(|row| &row.beyond).map(|it| u32::from(it.is_behind)).sum();
    if behind > 0 {
        remarks.push(format!(
            "in {behind} overloads the generator sent less than it should: there, believe the rate offered, \
             not the factor"
        ));
    }
    let stolen = rows.iter().map(|row| row.stolen_share).fold(0.0, f64::max);
    if stolen > STOLEN_MAX {
        remarks.push(format!(
            "the hypervisor took up to {:.0} % of the server's core: figures are as much about its \
             neighbours",
            stolen * 100.0
        ));
    }
    remarks
}

const SCHEMA: &str = "timeball-bench-report/2";
/// More than this, and a figure is not the server's.
const STOLEN_MAX: f64 = 0.02;
