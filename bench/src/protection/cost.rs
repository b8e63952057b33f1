//! What limits and the sandbox cost an answer, and what it costs to be looked at every second.
//!
//! Of each pair both take turns, one right after the other, and who is first alternates. The ratio is that of
//! the busy time of the server's core per answer, with the interval in which the true one lies 95 times of
//! 100.
//!
//! Must never: withhold an answer by limits whose cost is measured: there are clients enough to stay below
//! them.

use serde::Serialize;
use timeball_load::Ratio;
use timeball_load::table::{Table, thousands};

use crate::error::BenchError;
use crate::load::{self, Spec, this_program};
use crate::place::{Arrivals, On, Place};
use crate::process::Running;
use crate::server::Seat;
use crate::sitting::{WARM_UP_S, closed_loop};

use super::Bench;
use super::guarded::Guarded;

/// Two that are compared, over the rounds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// What is compared with what.
    name: &'static str,
    /// Busy time of the server's core per answer without, in nanoseconds.
    without_ns: Vec<f64>,
    /// The same with.
    with_ns: Vec<f64>,
    /// With divided by without; `None` of a single round.
    ratio: Option<Ratio>,
}

/// Settings to compare: what, without, with.
const DRESSES: [(&str, &str, &str); 4] = [
    ("limits observed, by none", "[limits]\nmode = \"off\"\n", "[limits]\nmode = \"observe\"\n"),
    ("limits on, by none", "[limits]\nmode = \"off\"\n", "[limits]\nmode = \"on\"\n"),
    ("sandbox, by none", "[sandbox]\nmode = \"off\"\n", "[sandbox]\nmode = \"on\"\n"),
    // What a difference of nothing looks like.
    ("the same, by itself", "", ""),
];

/// Limits and sandbox.
pub(super) fn measure_dress(bench: &Bench<'_>) -> Result<Vec<Row>, BenchError> {
    let common = &bench.options.common;
    let place = Place::make(On::Veth, Arrivals::ServerCore, common.server_core)?;
    let mut rows = Vec::new();
    for (name, without, with) in DRESSES {
        rows.push(pairs(bench, name, |is_with| {
            let base = Spec { clients: CLIENTS, ..closed_loop(&place, common) };
            let seat = Seat::on(common.server_core);
            let sections = if is_with { with } else { without };
            let server = Guarded::start(bench, &place, &seat, sections, &base)?;
            let base = Spec { target: server.address, ..base };
            load::offer(&place, &Spec { duration_s: WARM_UP_S, ..base.clone() }, bench.stop)?;
            let spec = Spec { duration_s: bench.options.duration, ..base };
            Ok(load::offer(&place, &spec, bench.stop)?.busy_ns_per_answer())
        })?);
    }
    Ok(rows)
}

/// A scrape and a `status` a second, of one server.
pub(super) fn measure_watching(bench: &Bench<'_>) -> Result<Vec<Row>, BenchError> {
    let common = &bench.options.common;
    let place = Place::make(On::Veth, Arrivals::ServerCore, common.server_core)?;
    let base = Spec { clients: CLIENTS, ..closed_loop(&place, common) };
    let seat = Seat::on(common.server_core);
    let page = std::net::SocketAddr::new(crate::namespace::SERVER, PAGE_PORT);
    let sections = format!("[metrics]\nlisten = [\"{page}\"]\nallow = [\"198.18.0.0/15\"]\n");
    let server = Guarded::start(bench, &place, &seat, &sections, &base)?;
    let base = Spec { target: server.address, ..base };
    load::offer(&place, &Spec { duration_s: WARM_UP_S, ..base.clone() }, bench.stop)?;
    let spec = Spec { duration_s: bench.options.duration, ..base };
    let core = common.client_core.to_string();
    let mut scraping = place.client_prefix();
    scraping.extend(["taskset", "-c", &core].map(str::to_owned));
    scraping.extend([this_program()?, "scrape".to_owned(), page.to_string()]);
    let mut asking = ["sh", "-c", ASKING].map(str::to_owned).to_vec();
    asking.extend(server.words(bench, "status"));
    let mut rows = Vec::new();
    for (name, words) in [("a scrape a second", &scraping), ("`status` a second", &asking)] {
        rows.push(pairs(bench, name, |is_with| {
            let mut watcher = is_with.then(|| Running::start(words, false)).transpose()?;
            let outcome = load::offer(&place, &spec, bench.stop)?;
            match watcher.as_mut().and_then(Running::ended) {
                Some(cause) => Err(BenchError::Program { command: words.join(" "), cause }),
                None => Ok(outcome.busy_ns_per_answer()),
            }
        })?);
    }
    Ok(rows)
}

/// Both of a pair in every round.
fn pairs(
    bench: &Bench<'_>,
    name: &'static str,
    turn: impl Fn(bool) -> Result<f64, BenchError>,
) -> Result<Row, BenchError> {
    let (mut without_ns, mut with_ns) = (Vec::new(), Vec::new());
    for round in 0..bench.options.rounds {
        for is_with in [round % 2 == 0, round % 2 == 1] {
            if is_with { &mut with_ns } else { &mut without_ns }.push(turn(is_with)?);
        }
    }
    let ratio = Ratio::paired(&without_ns, &with_ns);
    let row = Row { name, without_ns, with_ns, ratio };
    eprintln!("{}", row.cells().join("  "));
    Ok(row)
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let mean = |values: &[f64]| thousands(values.iter().sum::<f64>() / values.len() as f64);
        let ratio = |Ratio { ratio, low, high }| format!("{ratio:.3} ({low:.3}–{high:.3})");
        vec![
            self.name.to_owned(),
            mean(&self.without_ns),
            mean(&self.with_ns),
            self.ratio.map_or("-".to_owned(), ratio),
        ]
    }
}

/// The table.
pub(super) fn text(rows: &[Row]) -> String {
    let mut table = Table::new(&["what", "ns/answer without", "with", "ratio (95 % interval)"]);
    rows.iter().for_each(|row| table.row(row.cells()));
    format!("Busy time of the server's core per answer, in pairs\n\n{}", table.text())
}

/// So many that a saturated core gives none of them more than a few answers a second.
const CLIENTS: u32 = 65_534;
const PAGE_PORT: u16 = 9559;
/// Until it is killed.
const ASKING: &str = "while :; do \"$0\" \"$@\" >/dev/null || exit; sleep 1; done";
