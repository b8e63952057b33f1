//! `throughput`: what one answer costs the server's core, when the core is saturated.
//!
//! A closed loop keeps a window of requests in flight, so every server runs at its own pace and
//! none is overloaded. The figure is the busy time of the server's core divided by its valid
//! answers; answers a second follow from it on a saturated core, and are noisier.
//!
//! Must never: compare runs of different rounds.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::cli::{Echo, ThroughputOptions};
use crate::contenders;
use crate::error::BenchError;
use crate::host::{Host, is_root};
use crate::load::Outcome;
use crate::place::{Arrivals, On, Place};
use crate::rounds::Spread;
use crate::server::Server;
use crate::sitting::saturated;
use timeball_load::table::{Table, invalid_text, micros, percent, thousands};

/// Measures and prints.
pub(crate) fn run(options: &ThroughputOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let host = Host::look();
    let servers = servers(options)?;
    let networks = match options.on.as_slice() {
        [] if is_root() => vec![On::Loopback, On::Veth],
        [] => {
            eprintln!("not root: loopback only, no veth");
            vec![On::Loopback]
        }
        chosen => chosen.to_vec(),
    };
    let mut results = Vec::new();
    for on in networks {
        results.push(measure(options, on, &servers, stop)?);
    }
    if options.common.json {
        let document = serde_json::json!({ "host": host, "throughput": results });
        println!("{document:#}");
    } else {
        println!("{}\n{}", host.text(), host.command.join(" "));
        results.iter().for_each(|result| println!("\n{}", result.text(options)));
    }
    Ok(())
}

/// Results on one network.
#[derive(Debug, Serialize)]
struct Results {
    on: On,
    servers: Vec<ServerResult>,
}

/// Results of one server.
#[derive(Debug, Serialize)]
struct ServerResult {
    name: String,
    /// Busy time of the server's core per valid answer, in nanoseconds.
    core_ns_per_answer: Option<Spread>,
    answered_per_s: Option<Spread>,
    /// The recvmmsg echo's core time per answer divided by this one's, round by round.
    times_recvmmsg: Option<Spread>,
    /// The same for the recvfrom echo.
    times_recvfrom: Option<Spread>,
    rounds: Vec<Outcome>,
}

fn servers(options: &ThroughputOptions) -> Result<Vec<Server>, BenchError> {
    let mut servers = contenders::echoes();
    servers.extend(contenders::timeballs(&options.servers));
    servers.extend(contenders::signed(&options.servers));
    servers.extend(contenders::peers(&options.servers)?);
    servers.retain(|server| options.servers.wants(&server.name));
    if servers.is_empty() {
        return Err(BenchError::Usage("--only leaves no server to measure".to_owned()));
    }
    Ok(servers)
}

fn measure(
    options: &ThroughputOptions,
    on: On,
    servers: &[Server],
    stop: &AtomicBool,
) -> Result<Results, BenchError> {
    let common = &options.common;
    let arrivals = match options.receive_in_thread {
        Some(priority) => Arrivals::Thread(priority),
        None if options.receive_on_client_core => Arrivals::Sender,
        None => Arrivals::ServerCore,
    };
    let place = Place::make(on, arrivals, common.server_core)?;
    let mut rounds: Vec<Vec<Outcome>> = vec![Vec::new(); servers.len()];
    for round in 1..=options.rounds {
        for (server, outcomes) in servers.iter().zip(&mut rounds) {
            let outcome = saturated(&place, server, &options.common, options.duration, stop)?;
            eprintln!(
                "{on:?} round {round}/{}: {:<24} {:>9} answered/s, {:>6} ns per answer",
                options.rounds,
                server.name,
                thousands(outcome.report.answered_per_s()),
                thousands(outcome.busy_ns_per_answer()),
            );
            outcomes.push(outcome);
        }
    }
    Ok(Results { on, servers: compare(servers, rounds) })
}

fn compare(servers: &[Server], rounds: Vec<Vec<Outcome>>) -> Vec<ServerResult> {
    let costs: Vec<Vec<f64>> = rounds
        .iter()
        .map(|outcomes| outcomes.iter().map(Outcome::busy_ns_per_answer).collect())
        .collect();
    let cost_of = |echo: Echo| {
        let name = contenders::echo(echo).name;
        servers.iter().position(|server| server.name == name).map(|index| &costs[index])
    };
    let (recvmmsg, recvfrom) = (cost_of(Echo::Recvmmsg), cost_of(Echo::Recvfrom));
    let results = servers.iter().zip(rounds).zip(&costs);
    results
        .map(|((server, rounds), costs)| ServerResult {
            name: server.name.clone(),
            core_ns_per_answer: Spread::of(costs.iter().copied()),
            answered_per_s: Spread::of(rounds.iter().map(|round| round.report.answered_per_s())),
            times_recvmmsg: recvmmsg.and_then(|echo| Spread::of_ratios(echo, costs)),
            times_recvfrom: recvfrom.and_then(|echo| Spread::of_ratios(echo, costs)),
            rounds,
        })
        .collect()
}

impl Results {
    fn text(&self, options: &ThroughputOptions) -> String {
        let mut table = Table::new(&[
            "server",
            "answered/s",
            "core ns/answer (min–max)",
            "× recvmmsg (min–max)",
            "× recvfrom (min–max)",
            "core busy",
            "stolen",
            "p50/p99 µs",
            "lost",
            "invalid",
        ]);
        self.servers.iter().for_each(|server| table.row(server.cells()));
        format!(
            "on {:?}: one server core, {} requests in flight from {} clients, {} rounds of {} s; \
             medians; × is the echo's core time per answer divided by the server's, within a round\n\n\
             {}{}",
            self.on,
            options.common.window,
            options.common.clients,
            options.rounds,
            options.duration,
            table.text(),
            invalid_text(self.servers.iter().flat_map(|server| {
                server.rounds.iter().map(|round| (server.name.clone(), &round.report))
            }))
        )
    }
}

impl ServerResult {
    fn cells(&self) -> Vec<String> {
        let ratio = |spread: Option<Spread>| spread.map_or("-".to_owned(), |it| it.ratio_text());
        let median = |figure: fn(&Outcome) -> f64| {
            Spread::of(self.rounds.iter().map(figure)).map_or(f64::NAN, |spread| spread.median)
        };
        let sum = |figure: fn(&Outcome) -> u64| self.rounds.iter().map(figure).sum::<u64>();
        let cost = self.core_ns_per_answer.map_or("-".to_owned(), |cost| {
            let [median, min, max] = [cost.median, cost.min, cost.max].map(thousands);
            format!("{median} ({min}–{max})")
        });
        let latency = [
            median(|outcome| outcome.report.latency.quantile(0.5) as f64),
            median(|outcome| outcome.report.latency.quantile(0.99) as f64),
        ];
        vec![
            self.name.clone(),
            self.answered_per_s.map_or("-".to_owned(), |spread| thousands(spread.median)),
            cost,
            ratio(self.times_recvmmsg),
            ratio(self.times_recvfrom),
            percent(median(|it| it.busy_share())),
            percent(median(|it| it.busy.stolen_ns as f64 / 1e9 / it.took_s)),
            latency.map(|nanos| micros(nanos as i64)).join("/"),
            thousands(sum(|it| it.report.lost) as f64),
            thousands(sum(|it| it.report.faults.total()) as f64),
        ]
    }
}
