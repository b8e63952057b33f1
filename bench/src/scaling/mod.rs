//! `scaling`: what an answer costs one worker, what several carry together, and what follows for machines and
//! networks that are not here.
//!
//! The price of an answer is taken as in `throughput`: one worker alone on a core, everything that the kernel
//! does for it included. What several carry is measured in lanes: a worker and a generator on each core, on
//! loopback, so that every core has its own work and nothing crosses over. Three ways are compared in turns:
//! one lane alone; several lanes of one server, with a worker each; and as many lanes of separate servers,
//! which share nothing in user space. If one server carries as much as the separate ones do, its workers do
//! not stand in each other's way, whatever the machine's cores share beneath.
//!
//! Must never: give a figure of the model without the measurement that it follows from.

mod lanes;
mod model;
mod text;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::cli::ScalingOptions;
use crate::contenders;
use crate::error::{Attempt, BenchError};
use crate::host::{Host, is_root};
use crate::load::Outcome;
use crate::place::{Arrivals, On, Place};
use crate::rounds::Spread;
use crate::server::Server;
use crate::sitting::saturated;
use lanes::Lanes;
use model::Model;

/// Measures, or reads what was measured, and says what follows.
pub(crate) fn run(options: &ScalingOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let measurement = match &options.from {
        Some(path) => Measurement::read(path)?,
        None => Measurement::make(options, stop)?,
    };
    let model = Model::of(&measurement);
    if options.common.json {
        println!("{:#}", serde_json::json!({ "measurement": measurement, "model": model }));
    } else {
        println!("{}\n{}", text::measurement(&measurement), text::model(&model));
    }
    Ok(())
}

/// All that the model is made of.
#[derive(Debug, Serialize, Deserialize)]
struct Measurement {
    schema: String,
    /// The machine, on one line.
    machine: String,
    command: Vec<String>,
    /// Where prices were taken.
    on: On,
    rounds: u32,
    duration_s: f64,
    prices: Vec<Price>,
    lanes: Vec<Lanes>,
}

/// A result as it is stored.
#[derive(Debug, Deserialize)]
struct Stored {
    measurement: Measurement,
}

/// What an answer costs one worker alone on its core.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Price {
    server: String,
    /// Busy time of the core by valid answers.
    core_ns_per_answer: Spread,
    /// How much of that was software interrupts.
    softirq_share: Spread,
}

impl Measurement {
    fn make(options: &ScalingOptions, stop: &AtomicBool) -> Result<Self, BenchError> {
        let host = Host::look();
        let mut servers = contenders::timeballs(&options.servers);
        servers.retain(|server| options.servers.wants(&server.name));
        if servers.is_empty() {
            return Err(BenchError::Usage("there is no timeball to measure".to_owned()));
        }
        let on = if is_root() { On::Veth } else { On::Loopback };
        let most = options.workers.unwrap_or(usize::MAX);
        let cores: Vec<usize> = timeball_sys::allowed_cores().into_iter().take(most).collect();
        let counts = counts(cores.len());
        let (mut prices, mut lanes) =
            (vec![Vec::new(); servers.len()], Lanes::of_each(&servers, &counts));
        for round in 1..=options.rounds {
            let place = Place::make(on, Arrivals::ServerCore, options.common.server_core)?;
            for (server, outcomes) in servers.iter().zip(&mut prices) {
                eprintln!("round {round}/{}: {} alone", options.rounds, server.name);
                // One worker on the server's core, asked from the clients'.
                let (common, duration_s) = (&options.common, options.duration);
                outcomes.push(saturated(&place, server, common, duration_s, stop)?);
            }
            drop(place);
            let place = Place::make(On::Loopback, Arrivals::Sender, options.common.server_core)?;
            for lanes in &mut lanes {
                let server = servers.iter().find(|server| server.name == lanes.server);
                let Some(server) = server else { continue };
                let cores = &cores[..lanes.workers];
                eprintln!(
                    "round {round}/{}: {} in {} lanes",
                    options.rounds,
                    server.name,
                    cores.len()
                );
                lanes.measure(options, &place, server, cores, stop)?;
            }
        }
        let prices = servers.iter().zip(&prices);
        Ok(Self {
            schema: SCHEMA.to_owned(),
            machine: host.text(),
            command: host.command,
            on,
            rounds: options.rounds,
            duration_s: options.duration,
            prices: prices.filter_map(|(server, outcomes)| Price::of(server, outcomes)).collect(),
            lanes,
        })
    }

    fn read(path: &Path) -> Result<Self, BenchError> {
        let text =
            std::fs::read_to_string(path).attempting(|| format!("reading {}", path.display()))?;
        Self::parse(&text).map_err(|cause| {
            BenchError::Usage(format!("{}: {cause}; store one with --json", path.display()))
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match stored.measurement {
            measurement if measurement.schema == SCHEMA => Ok(measurement),
            other => {
                Err(format!("it is of format {:?}, this program reads {SCHEMA:?}", other.schema))
            }
        }
    }
}

impl Price {
    fn of(server: &Server, outcomes: &[Outcome]) -> Option<Self> {
        let softirq = |it: &Outcome| it.busy.softirq_ns as f64 / it.busy.busy_ns as f64;
        Some(Self {
            server: server.name.clone(),
            core_ns_per_answer: Spread::of(outcomes.iter().map(Outcome::busy_ns_per_answer))?,
            softirq_share: Spread::of(outcomes.iter().map(softirq))?,
        })
    }
}

/// Numbers of workers to look at: doubled, and all there can be.
fn counts(most: usize) -> Vec<usize> {
    let doubled = std::iter::successors(Some(2), |count| Some(count * 2));
    let mut counts: Vec<usize> = doubled.take_while(|&count| count <= most).collect();
    if most > 1 && counts.last() != Some(&most) {
        counts.push(most);
    }
    counts
}

const SCHEMA: &str = "timeball-bench-scaling/1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_workers_double_up_to_all_there_can_be() {
        assert!(counts(1).is_empty());
        assert_eq!(counts(2), [2]);
        assert_eq!(counts(6), [2, 4, 6]);
        assert_eq!(counts(8), [2, 4, 8]);
    }

    /// What the book says was computed, from what is kept of the measurement.
    #[test]
    fn the_tables_of_the_book_follow_from_the_measurement_that_is_kept() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("capacity.json");
        let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/capacity.md");
        let model = Model::of(&Measurement::read(&kept).unwrap());
        let book = std::fs::read_to_string(book).unwrap();
        for table in text::tables(&model) {
            assert!(book.contains(table.trim_end()), "not in capacity.md:\n{table}");
        }
    }

    #[test]
    fn a_result_of_another_kind_is_refused_by_its_place() {
        let error = Measurement::parse("{\n \"measurement\": 5 }").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
    }
}
