//! `fast-path`: answers that are given in the driver.
//!
//! All over a `veth`, with a load that is made and checked in the kernel: nothing else is fast enough, and
//! neither is anything else near enough to a wire. One figure a file:
//!
//! * [`price`]: what an answer costs;
//! * [`offset`]: how true its time is;
//! * [`overload`]: what is left when too much is asked;
//! * [`junk`]: what good clients notice of frames that nobody can answer;
//! * [`signed`]: what becomes of the requests that are the workers';
//! * [`changes`]: who is lost at a reload, a take-over, a new start.
//!
//! Must never: take for the driver's what workers have answered.

mod changes;
mod driver;
mod junk;
mod offset;
mod overload;
mod price;
mod signed;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::{Load, Report};

pub(crate) use driver::serve;

use crate::cli::{CommonOptions, FastPathOptions, Figure, program_beside};
use crate::contenders;
use crate::error::BenchError;
use crate::host::Host;
use crate::load::{Outcome, Spec};
use crate::namespace::Pair;
use crate::server::Server;

/// Measures and prints.
pub(crate) fn run(options: &FastPathOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let host = Host::look();
    let measure = match options.figure {
        Figure::Price => price::measure,
        Figure::Offset => offset::measure,
        Figure::Overload => overload::measure,
        Figure::Junk => junk::measure,
        Figure::Signed => signed::measure,
        Figure::Changes => changes::measure,
    };
    let Findings { rows, text } = measure(options, stop)?;
    if options.common.json {
        println!("{:#}", serde_json::json!({ "host": host, "fast_path": rows }));
    } else {
        println!("{}\n{}\n\n{text}", host.text(), host.command.join(" "));
    }
    Ok(())
}

/// What was measured, for programs and for people.
struct Findings {
    rows: serde_json::Value,
    text: String,
}

impl Findings {
    fn new(rows: &[impl Serialize], text: String) -> Result<Self, BenchError> {
        let unfit = |error: serde_json::Error| BenchError::Usage(error.to_string());
        Ok(Self { rows: serde_json::to_value(rows).map_err(unfit)?, text })
    }
}

/// A `veth` whose ends are each served by a kernel thread: the server's on its core, which so does nothing
/// but serve, and the clients' on theirs.
fn threaded(common: &CommonOptions) -> Result<Pair, BenchError> {
    let pair = Pair::make()?;
    pair.thread_arrivals(common.server_core, NETWORK_PRIORITY)?;
    pair.thread_replies(common.client_core, NETWORK_PRIORITY)?;
    Ok(pair)
}

/// The timeball that answers in the driver, by the program of `options`.
fn in_driver(options: &FastPathOptions) -> Result<Server, BenchError> {
    Ok(contenders::in_driver(program(options)?))
}

fn program(options: &FastPathOptions) -> Result<PathBuf, BenchError> {
    let missing =
        || BenchError::Usage("timeball: not found; build it, or give --timeball".to_owned());
    options.timeball.clone().or_else(program_beside).ok_or_else(missing)
}

/// Fails if it was not the driver that answered: half of its answers take it less than a microsecond.
fn by_driver(outcome: Outcome) -> Result<Outcome, BenchError> {
    let residence_ns = outcome.report.residence.quantile(0.5);
    if residence_ns < RESIDENCE_NS_MAX {
        return Ok(outcome);
    }
    let micros = residence_ns / 1_000;
    Err(BenchError::NotPermitted(format!(
        "it is not the driver that answers: half of the answers took the server more than {micros} µs; \
         `timeball status` says why"
    )))
}

/// The most answers a second that any closed loop gets out of the server: with few requests in flight it
/// waits for the clients, with many its queue overflows.
fn peak(
    base: &Spec,
    duration_s: f64,
    mut offer: impl FnMut(Spec) -> Result<Outcome, BenchError>,
) -> Result<f64, BenchError> {
    let mut peak = 0f64;
    for window in WINDOWS {
        let load = Load::Closed { window };
        let outcome = offer(Spec { load, duration_s, ..base.clone() })?;
        peak = peak.max(outcome.report.answered_per_s());
    }
    Ok(peak)
}

/// What all `rounds` counted, one after the other.
fn whole(rounds: &[Outcome]) -> Report {
    let mut whole = Report::default();
    for Outcome { report, .. } in rounds {
        let elapsed_s = whole.elapsed_s + report.elapsed_s;
        whole.merge(report);
        whole.elapsed_s = elapsed_s;
    }
    whole
}

/// The part of all `rounds` in which the server's core was busy.
fn busy_share(rounds: &[Outcome]) -> f64 {
    let busy_ns: u64 = rounds.iter().map(|it| it.busy.busy_ns).sum();
    let took_s: f64 = rounds.iter().map(|it| it.took_s).sum();
    busy_ns as f64 / 1e9 / took_s
}

/// Of the kernel threads that serve the ends of the `veth`: below nobody's on their cores.
const NETWORK_PRIORITY: u8 = 10;
/// Requests in flight among which the peak is sought. A queue of a `veth` holds 256.
const WINDOWS: [u32; 4] = [64, 128, 256, 512];
/// A worker that is busy takes several.
const RESIDENCE_NS_MAX: i64 = 2_000;
