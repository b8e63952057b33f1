//! What is lost while the server reads its configuration again and again, or another takes its place.
//!
//! The load is steady and counted request by request; beside it the same for as long with the server left
//! alone, because a machine that loses by itself must not be taken for a server that does.
//!
//! Must never: count a reload that was refused.

use std::time::{Duration, Instant};

use serde::Serialize;
use timeball_load::table::{Table, thousands};
use timeball_load::{Load, Pattern, Report};

use crate::error::BenchError;
use crate::load::{self, Spec};
use crate::place::{Arrivals, On, Place};
use crate::server::Seat;
use crate::sitting::closed_loop;

use super::Bench;
use super::guarded::Guarded;

/// What one run lost.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    disturbance: Disturbance,
    /// How often it was disturbed.
    times: u32,
    sent: u64,
    lost: u64,
    /// Of these, in the generator's own buffers.
    overruns: u64,
    latency_p999_ns: u64,
    longest_ns: u64,
}

/// What is done meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Disturbance {
    Nothing,
    Reloads,
    TakeOvers,
}

impl Disturbance {
    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "left alone",
            Self::Reloads => "reloads",
            Self::TakeOvers => "take-overs",
        }
    }
}

/// Each, in every round.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Row>, BenchError> {
    let all = [Disturbance::Nothing, Disturbance::Reloads, Disturbance::TakeOvers];
    let turns = (0..bench.options.rounds).flat_map(|_| all);
    turns.map(|disturbance| disturbed(bench, disturbance)).collect()
}

fn disturbed(bench: &Bench<'_>, disturbance: Disturbance) -> Result<Row, BenchError> {
    let common = &bench.options.common;
    let place = Place::make(On::Veth, Arrivals::ServerCore, common.server_core)?;
    let base = Spec { clients: CLIENTS, ..closed_loop(&place, common) };
    let seat = Seat::on(common.server_core);
    let mut server = Guarded::start(bench, &place, &seat, CONFIGS[0], &base)?;
    let load = Load::Open { pattern: Pattern::Constant, rate_hz: bench.options.reload_rate };
    let (target, duration_s) = (server.address, bench.options.duration);
    let spec = Spec { target, load, duration_s, timeout_s: TIMEOUT_S, ..base };
    let (report, times) = std::thread::scope(|scope| {
        let load = scope.spawn(|| load::offer(&place, &spec, bench.stop));
        let mut times = 0;
        let begun = Instant::now();
        let mut outcome = Ok(());
        while !load.is_finished() && outcome.is_ok() {
            std::thread::sleep(BETWEEN);
            // The load's own process starts before it offers anything, and waits for the last reply after.
            let while_loaded = begun.elapsed().as_secs_f64() < duration_s;
            if while_loaded && disturbance != Disturbance::Nothing {
                outcome = disturb(bench, &mut server, disturbance, times);
                times += u32::from(outcome.is_ok());
            }
        }
        let report = load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        outcome.and(report).map(|outcome| (outcome.report, times))
    })?;
    server.is_alive()?;
    let row = Row::of(disturbance, times, &report);
    eprintln!("{}", row.cells().join("  "));
    Ok(row)
}

/// Once; other workers, other rules, another backend, in turn.
fn disturb(
    bench: &Bench<'_>,
    server: &mut Guarded,
    disturbance: Disturbance,
    times: u32,
) -> Result<(), BenchError> {
    if disturbance == Disturbance::TakeOvers {
        return server.replace();
    }
    server.write(CONFIGS[(times as usize + 1) % CONFIGS.len()])?;
    let output = server.ask(bench, "reload")?;
    if output.status.success() {
        return Ok(());
    }
    let cause = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(BenchError::Program { command: "timeball reload".to_owned(), cause })
}

impl Row {
    fn of(disturbance: Disturbance, times: u32, report: &Report) -> Self {
        let latency = |share| report.latency.quantile(share).max(0) as u64;
        Self {
            disturbance,
            times,
            sent: report.sent,
            lost: report.lost,
            overruns: report.overruns,
            latency_p999_ns: latency(0.999),
            longest_ns: latency(1.0),
        }
    }

    fn cells(&self) -> Vec<String> {
        let count = |count: u64| thousands(count as f64);
        vec![
            self.disturbance.name().to_owned(),
            count(self.times.into()),
            count(self.sent),
            count(self.lost),
            count(self.overruns),
            count(self.latency_p999_ns / 1000),
            count(self.longest_ns / 1000),
        ]
    }
}

/// The table.
pub(super) fn text(rows: &[Row]) -> String {
    let head = ["what", "times", "sent", "lost", "by us", "p99.9 RTT µs", "longest µs"];
    let mut table = Table::new(&head);
    rows.iter().for_each(|row| table.row(row.cells()));
    format!("A steady load while the server is reloaded or replaced\n\n{}", table.text())
}

/// What is reloaded in turn, behind `[server]`'s first lines.
const CONFIGS: [&str; 4] = [
    "",
    "backend = \"mmsg\"\n",
    "[[access]]\nnetwork = \"192.0.2.0/24\"\nallow = []\n",
    "[limits]\nburst = 65\n",
];
/// A client asks a few times a second, and stays below its allowance.
const CLIENTS: u32 = 65_534;
/// Longer than any reload: what is late is not lost.
const TIMEOUT_S: f64 = 2.0;
const BETWEEN: Duration = Duration::from_millis(100);
