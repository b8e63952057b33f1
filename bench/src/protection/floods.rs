//! The share of well-behaved clients' requests that is answered while others flood.
//!
//! The capacity is what a server whose limits are only observed answers to a closed loop, in the same set-up
//! and round. Then one with its limits on, and otherwise as it comes, is asked by clients who stay far
//! below their allowance; they go on while a flood of a multiple of that capacity begins, made in the kernel
//! from addresses that nobody has. What the well-behaved get is told apart for the first seconds, in which
//! the server has yet to find out who floods, and for what follows.
//!
//! One core sends both, so a well-behaved client asks while the flood has paused for it, and finds room
//! where the flood finds none. What of the flood was dropped before it arrived is shown: on a network card
//! the others would have lost as much.
//!
//! Must never: count a flooder as well-behaved, or call a factor what was not sent.

use serde::Serialize;
use timeball_load::table::{Table, micros, percent, thousands};
use timeball_load::{Load, Pattern, Report};

use crate::error::BenchError;
use crate::load::{self, Spec};
use crate::namespace::{FORGED, STRANGERS};
use crate::overload::{Setup, beyond};
use crate::place::{On, Place};
use crate::rounds::Spread;
use crate::server::Seat;
use crate::sitting::{CAPACITY_S, WARM_UP_S, closed_loop};

use super::Bench;
use super::guarded::Guarded;

/// One flood in one set-up at one factor, over the rounds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    setup: Setup,
    /// From so many addresses; none: each address once.
    flooders: Option<u32>,
    factor: f64,
    rounds: Vec<Round>,
}

/// What one flood did.
#[derive(Debug, Serialize)]
struct Round {
    capacity_per_s: f64,
    flood_sent_per_s: f64,
    /// What was not dropped on its way, for want of room at the server's end.
    flood_arrived_share: f64,
    flood_answered_share: f64,
    /// Of the well-behaved, while the flood begins.
    first_answered_share: f64,
    /// Of the well-behaved, afterwards.
    answered_share: f64,
    latency_p99_ns: u64,
}

/// Floods in all set-ups.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for setup in [Setup::Usual, Setup::WorkerAboveNetwork] {
        let floods = bench.options.flooders.iter().flat_map(|&flooders| {
            bench.options.factors.iter().map(move |&factor| (flooders, factor))
        });
        let mut of_setup: Vec<Row> = floods
            .map(|(flooders, factor)| {
                let flooders = (flooders > 0).then_some(flooders);
                Row { setup, flooders, factor, rounds: Vec::new() }
            })
            .collect();
        for _ in 0..bench.options.rounds {
            let (place, seat) = network(bench, setup)?;
            let capacity = capacity(bench, &place, &seat)?;
            for row in &mut of_setup {
                let round = flood(bench, (&place, &seat), (row.flooders, row.factor), capacity)?;
                eprintln!("{}", row.cells([&round].into_iter()).join("  "));
                row.rounds.push(round);
            }
        }
        rows.extend(of_setup);
    }
    Ok(rows)
}

/// The set-ups of `overload`, as they are there by default.
fn network(bench: &Bench<'_>, setup: Setup) -> Result<(Place, Seat), BenchError> {
    let core = bench.options.common.server_core;
    let (arrivals, priority) = setup.scheduling(NETWORK_PRIORITY, WORKER_PRIORITY);
    let place = Place::make(On::Veth, arrivals, core)?;
    if let Place::Veth(pair) = &place {
        pair.take_frames()?;
    }
    Ok((place, Seat { priority, ..Seat::on(core) }))
}

/// Answers a second to whom nothing is withheld.
fn capacity(bench: &Bench<'_>, place: &Place, seat: &Seat) -> Result<f64, BenchError> {
    let base = closed_loop(place, &bench.options.common);
    let observing = "[limits]\nmode = \"observe\"\n";
    let server = Guarded::start(bench, place, seat, observing, &base)?;
    let base = Spec { target: server.address, ..base };
    load::offer(place, &Spec { duration_s: WARM_UP_S, ..base.clone() }, bench.stop)?;
    let outcome = load::offer(place, &Spec { duration_s: CAPACITY_S, ..base }, bench.stop)?;
    Ok(outcome.report.answered_per_s())
}

fn flood(
    bench: &Bench<'_>,
    (place, seat): (&Place, &Seat),
    (flooders, factor): (Option<u32>, f64),
    capacity: f64,
) -> Result<Round, BenchError> {
    let base = closed_loop(place, &bench.options.common);
    let mut server = Guarded::start(bench, place, seat, "", &base)?;
    let base = Spec { target: server.address, segments: 1, ..base };
    let load = Load::Open { pattern: Pattern::Poisson, rate_hz: bench.options.rate };
    let quiet = Spec { load, duration_s: KNOWN_S, timeout_s: TIMEOUT_S, ..base.clone() };
    // Everybody asks at least twice, and is known then.
    load::offer(place, &quiet, bench.stop)?;
    let first = Spec { duration_s: bench.options.duration.min(FIRST_S), ..quiet.clone() };
    let then = Spec { duration_s: bench.options.duration, ..quiet };
    let (network, prefix_len) = if flooders.is_some() { FORGED } else { STRANGERS };
    let flooding = Spec {
        network,
        prefix_len,
        clients: flooders.unwrap_or(STRANGERS_MAX),
        in_kernel: true,
        ..beyond(&base, factor * capacity, first.duration_s + then.duration_s + BEGIN_S)
    };
    let (flooded, first, then) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| load::offer(place, &flooding, bench.stop));
        let first = load::offer(place, &first, bench.stop);
        let then = load::offer(place, &then, bench.stop);
        let flood = flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (flood, first, then)
    });
    server.is_alive()?;
    let (flooded, first, then) = (flooded?.report, first?.report, then?.report);
    Ok(Round {
        capacity_per_s: capacity,
        flood_sent_per_s: flooded.sent_per_s(),
        flood_arrived_share: 1.0 - flooded.dropped as f64 / flooded.sent.max(1) as f64,
        flood_answered_share: flooded.answered_share(),
        first_answered_share: answered_share(&first),
        answered_share: answered_share(&then),
        latency_p99_ns: then.latency.quantile(0.99).max(0) as u64,
    })
}

/// Of what came to the server: what our own receive buffers dropped was answered.
fn answered_share(report: &Report) -> f64 {
    report.answered as f64 / report.sent.saturating_sub(report.overruns).max(1) as f64
}

impl Row {
    fn cells<'a>(&self, rounds: impl Iterator<Item = &'a Round> + Clone) -> Vec<String> {
        let spread = |of: fn(&Round) -> f64| {
            Spread::of(rounds.clone().map(of)).unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 })
        };
        let least =
            |spread: Spread| format!("{} ({})", percent(spread.median), percent(spread.min));
        vec![
            self.setup.name().to_owned(),
            self.flooders.map_or("each address once".to_owned(), |it| thousands(it.into())),
            format!("{}", self.factor),
            thousands(spread(|it| it.flood_sent_per_s).median),
            format!("{:.2}", spread(|it| it.flood_sent_per_s / it.capacity_per_s).median),
            percent(spread(|it| it.flood_arrived_share).median),
            percent(spread(|it| it.flood_answered_share).median),
            least(spread(|it| it.first_answered_share)),
            least(spread(|it| it.answered_share)),
            micros(spread(|it| it.latency_p99_ns as f64).median as i64),
        ]
    }
}

/// The table.
pub(super) fn text(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "set-up",
        "flooders",
        "offered ×",
        "flood/s",
        "sent ×",
        "arrived",
        "answered",
        "others answered at first (least)",
        "then (least)",
        "p99 RTT µs",
    ]);
    rows.iter().for_each(|row| table.row(row.cells(row.rounds.iter())));
    format!(
        "Well-behaved clients beside a flood of multiples of what the server can answer, limits on; \
         the first {FIRST_S} s, and what follows\n\n{}",
        table.text()
    )
}

/// As `overload` has them.
const NETWORK_PRIORITY: u8 = 10;
const WORKER_PRIORITY: u8 = 50;
/// Clients ask for so long before the flood.
const KNOWN_S: f64 = 1.0;
/// In this time the server finds out who floods: it looks once a second.
const FIRST_S: f64 = 3.0;
/// The flood is there a little earlier, and ends later, than what is measured beside it.
const BEGIN_S: f64 = 0.5;
/// Whatever takes longer is useless to a client.
const TIMEOUT_S: f64 = 0.2;
/// More addresses than a flood has requests.
const STRANGERS_MAX: u32 = 8_000_000;
