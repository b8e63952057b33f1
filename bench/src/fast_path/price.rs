//! `fast-path price`: what an answer costs when it is given in the driver.
//!
//! Over a `veth` whose two ends are each served by a kernel thread of its own, pinned to the server's core
//! and to the clients', so that the server's core does nothing but serve. The load is made in the kernel,
//! and keeps a window of requests in flight. The figure is the busy time of the server's core per valid
//! answer; beside it stand a plain echo at the same place, which is what the driver alone costs, and the
//! plain recvfrom echo.
//!
//! Must never: compare runs of different rounds.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::table::{Table, micros, percent, thousands};
use timeball_load::{Expectation, Load};

use super::{Findings, threaded};
use crate::cli::{Drive, Echo, FastPathOptions};
use crate::error::BenchError;
use crate::load::{self, Outcome, Spec};
use crate::namespace::SERVER;
use crate::place::Place;
use crate::process::{Running, confinement};
use crate::rounds::Spread;
use crate::sitting::{WARM_UP_S, closed_loop};

/// Every server in turns.
pub(super) fn measure(
    options: &FastPathOptions,
    stop: &AtomicBool,
) -> Result<Findings, BenchError> {
    let mut rounds: Vec<[Outcome; SERVERS.len()]> = Vec::new();
    for round in 1..=options.rounds {
        let turn = |server| price(options, server, stop);
        let [first, second, third, fourth] = SERVERS;
        let outcomes = [turn(first)?, turn(second)?, turn(third)?, turn(fourth)?];
        for (server, outcome) in SERVERS.iter().zip(&outcomes) {
            eprintln!(
                "round {round}/{}: {:<25} {:>9} answered/s, {:>6} ns per answer",
                options.rounds,
                server.name(),
                thousands(outcome.report.answered_per_s()),
                thousands(outcome.busy_ns_per_answer()),
            );
        }
        rounds.push(outcomes);
    }
    let rows: Vec<Row> = (0..SERVERS.len()).map(|index| Row::of(index, &rounds)).collect();
    Findings::new(&rows, text(&rows, options))
}

/// Who answers.
#[derive(Clone, Copy, Debug)]
enum Server {
    /// A socket server.
    Socket(Echo),
    /// A program in the driver.
    Driver(Drive),
}

/// The one all are compared with, the one that cannot be beaten, the one that cannot be beaten by whoever
/// tells the time, and ours.
const SERVERS: [Server; 4] = [
    Server::Socket(Echo::Recvfrom),
    Server::Driver(Drive::Echo),
    Server::Driver(Drive::ClockEcho),
    Server::Driver(Drive::Answer),
];

impl Server {
    fn name(self) -> String {
        match self {
            Self::Socket(kind) => format!("echo {}", kind.name()),
            Self::Driver(Drive::Echo) => "echo in the driver".to_owned(),
            Self::Driver(Drive::ClockEcho) => "echo that reads the clock".to_owned(),
            Self::Driver(Drive::Answer) => "timeball in the driver".to_owned(),
        }
    }

    const fn expectation(self) -> Expectation {
        match self {
            Self::Driver(Drive::Answer) => Expectation::Server,
            Self::Socket(_) | Self::Driver(_) => Expectation::Echo,
        }
    }

    /// Requests in flight, of `usual`. What the kernel makes comes in bursts, and the usual receive buffer
    /// holds less than a hundred; each one lost would keep its place in the window empty for a while.
    fn window(self, usual: u32) -> u32 {
        match self {
            Self::Socket(_) => usual.min(SOCKET_WINDOW),
            Self::Driver(_) => usual,
        }
    }

    fn words(self, target: SocketAddr, device: &str) -> Result<Vec<String>, BenchError> {
        let (program, target) = (load::this_program()?, target.to_string());
        let words = match self {
            Self::Socket(kind) => vec![program, "echo".into(), kind.name().into(), target],
            Self::Driver(drive) => {
                vec![program, "driver".into(), drive.name().into(), device.into(), target]
            }
        };
        Ok(words)
    }
}

/// One server, freshly started, warmed up, measured, and stopped, on a network of its own.
fn price(
    options: &FastPathOptions,
    server: Server,
    stop: &AtomicBool,
) -> Result<Outcome, BenchError> {
    let common = &options.common;
    let pair = threaded(common)?;
    let target = SocketAddr::new(SERVER, PORT);
    let mut words = pair.server_prefix();
    words.extend(confinement(Some(&common.server_core.to_string()), None));
    words.extend(server.words(target, pair.server_device())?);
    let mut running = Running::start(&words, false)?;
    let place = Place::Veth(pair);
    let spec = |duration_s| Spec {
        target,
        load: Load::Closed { window: server.window(common.window) },
        duration_s,
        expectation: server.expectation(),
        ..closed_loop(&place, common).in_kernel()
    };
    // The load begins with one request that must be answered, for which it waits.
    load::offer(&place, &spec(WARM_UP_S), stop)?;
    let outcome = load::offer(&place, &spec(options.duration), stop)?;
    match running.ended() {
        Some(cause) => Err(BenchError::Silent { server: server.name(), address: target, cause }),
        None => Ok(outcome),
    }
}

/// One server over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// Busy time of the server's core per valid answer, in nanoseconds.
    core_ns_per_answer: Option<Spread>,
    answered_per_s: Option<Spread>,
    /// The recvfrom echo's core time per answer divided by this one's, round by round.
    times_recvfrom: Option<Spread>,
    /// The driver echo's core time per answer divided by this one's, round by round.
    times_driver_echo: Option<Spread>,
    rounds: Vec<Outcome>,
}

impl Row {
    fn of(index: usize, rounds: &[[Outcome; SERVERS.len()]]) -> Self {
        let costs = |index: usize| -> Vec<f64> {
            rounds.iter().map(|round| round[index].busy_ns_per_answer()).collect()
        };
        let own = rounds.iter().map(|round| round[index].clone());
        Self {
            name: SERVERS[index].name(),
            core_ns_per_answer: Spread::of(costs(index)),
            answered_per_s: Spread::of(own.clone().map(|outcome| outcome.report.answered_per_s())),
            times_recvfrom: Spread::of_ratios(&costs(0), &costs(index)),
            times_driver_echo: Spread::of_ratios(&costs(1), &costs(index)),
            rounds: own.collect(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let ratio = |spread: Option<Spread>| spread.map_or("-".to_owned(), |it| it.ratio_text());
        let figure =
            |spread: Option<Spread>| spread.map_or("-".to_owned(), |it| thousands(it.median));
        let median = |of: fn(&Outcome) -> f64| {
            Spread::of(self.rounds.iter().map(of)).map_or(f64::NAN, |spread| spread.median)
        };
        let sum = |of: fn(&Outcome) -> u64| self.rounds.iter().map(of).sum::<u64>() as f64;
        let latency = [
            median(|outcome| outcome.report.latency.quantile(0.5) as f64),
            median(|outcome| outcome.report.latency.quantile(0.99) as f64),
        ];
        vec![
            self.name.clone(),
            figure(self.answered_per_s),
            figure(self.core_ns_per_answer),
            ratio(self.times_recvfrom),
            ratio(self.times_driver_echo),
            percent(median(|it| it.busy_share())),
            latency.map(|nanos| micros(nanos as i64)).join("/"),
            thousands(sum(|it| it.report.lost)),
            thousands(sum(|it| it.report.faults.total())),
        ]
    }
}

fn text(rows: &[Row], options: &FastPathOptions) -> String {
    let mut table = Table::new(&[
        "server",
        "answered/s",
        "core ns/answer",
        "× recvfrom (min–max)",
        "× driver echo (min–max)",
        "core busy",
        "p50/p99 µs",
        "lost",
        "invalid",
    ]);
    rows.iter().for_each(|row| table.row(row.cells()));
    format!(
        "over a veth, its ends served by kernel threads on the server's core and on the clients'; {} \
         requests in flight (at most {SOCKET_WINDOW} to the socket) from {} clients, {} rounds of {} s; \
         medians\n\n{}",
        options.common.window,
        options.common.clients,
        options.rounds,
        options.duration,
        table.text()
    )
}

const PORT: u16 = 123;
const SOCKET_WINDOW: u32 = 64;
