//! `generator`: can the load generator out-drive the server it is to measure?
//!
//! One core sends as fast as it can, by each way of sending, at a timeball on the other core; between, a
//! closed loop measures what that timeball can answer. A way is fit to find the limit of a server if it
//! sends well more than that. At four fifths of each way's own maximum the rate asked must be the rate
//! sent.
//!
//! Frames made in the kernel are taken at the other end by a thread of its own on the server's core: without,
//! the core that sends would do the server's part of the work. So they have a place and a timeball of their
//! own.
//!
//! Must never: compare a rate with a capacity of another round.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::table::{Table, thousands};
use timeball_load::{Load, Pattern, Report};

use crate::cli::GeneratorOptions;
use crate::contenders;
use crate::error::BenchError;
use crate::host::Host;
use crate::load::Spec;
use crate::namespace::FORGED;
use crate::place::{Arrivals, On, Place};
use crate::rounds::Spread;
use crate::server::{Seat, Server};
use crate::sitting::Sitting;

/// Measures and prints.
pub(crate) fn run(options: &GeneratorOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let host = Host::look();
    let mut servers = contenders::timeballs(&options.servers);
    servers.retain(|server| options.servers.wants(&server.name));
    let Some(server) = servers.first() else {
        return Err(BenchError::Usage("there is no timeball to measure against".to_owned()));
    };
    let mut rows = measure(
        (options, server, stop),
        Arrivals::ServerCore,
        &Way::of_user_space(options.common.segments),
    )?;
    let in_kernel = Arrivals::Thread(NETWORK_PRIORITY);
    rows.extend(measure((options, server, stop), in_kernel, &[Way::InKernel])?);
    if options.common.json {
        println!("{:#}", serde_json::json!({ "host": host, "generator": rows }));
    } else {
        println!("{}\n{}\n\n{}", host.text(), host.command.join(" "), text(&rows, &server.name));
    }
    Ok(())
}

/// Every one of `ways`, over a veth of its own at which frames arrive as told.
fn measure(
    (options, server, stop): (&GeneratorOptions, &Server, &AtomicBool),
    arrivals: Arrivals,
    ways: &[Way],
) -> Result<Vec<Row>, BenchError> {
    let core = options.common.server_core;
    let place = Place::make(On::Veth, arrivals, core)?;
    let seat = Seat::on(core);
    let mut sitting = Sitting::begin(&place, server, seat, &options.common, stop)?;
    let base = Spec { duration_s: options.duration, ..sitting.base().clone() };
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        let capacity = sitting.offer(&base)?.report.answered_per_s();
        eprintln!("round {round}: {} answers {}/s", server.name, thousands(capacity));
        let figures = ways.iter().map(|way| drive(&mut sitting, &way.spec(&base)));
        rounds.push((capacity, figures.collect::<Result<Vec<_>, _>>()?));
    }
    let row = |(index, way): (usize, &Way)| {
        Row::of(*way, rounds.iter().map(|round| (round.0, &round.1[index])))
    };
    Ok(ways.iter().enumerate().map(row).collect())
}

/// A way of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    /// By sockets, so many requests a message.
    Sockets(usize),
    /// By frames made in user space, so many requests a message.
    Frames(usize),
    /// By frames made in the kernel.
    InKernel,
}

impl Way {
    const fn of_user_space(segments: usize) -> [Self; 4] {
        [Self::Sockets(1), Self::Sockets(segments), Self::Frames(1), Self::Frames(segments)]
    }

    /// The same load, this way.
    fn spec(self, base: &Spec) -> Spec {
        let (network, prefix_len) = FORGED;
        match self {
            Self::Sockets(segments) => Spec { segments, ..base.clone() },
            Self::Frames(segments) => {
                Spec { network, prefix_len, frames: true, segments, ..base.clone() }
            }
            Self::InKernel => base.clone().in_kernel(),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Sockets(1) => "sockets".to_owned(),
            Self::Frames(1) => "frames".to_owned(),
            Self::Sockets(segments) => format!("sockets, {segments} a message"),
            Self::Frames(segments) => format!("frames, {segments} a message"),
            Self::InKernel => "frames made in the kernel".to_owned(),
        }
    }
}

/// What one way did in one round.
#[derive(Clone, Debug)]
struct Drive {
    /// Requests sent a second when everything was always due.
    most_per_s: f64,
    /// By how much the rate sent differed from the rate asked, at four fifths of that, as a share.
    deviation: f64,
}

fn drive(sitting: &mut Sitting<'_>, spec: &Spec) -> Result<Drive, BenchError> {
    let mut offer = |rate_hz| {
        let load = Load::Open { pattern: Pattern::Constant, rate_hz };
        let outcome = sitting.offer(&Spec { load, ..spec.clone() })?;
        Ok::<Report, BenchError>(outcome.report)
    };
    let most_per_s = offer(BEYOND_HZ)?.sent_per_s();
    let asked_hz = (most_per_s * 0.8).max(1.0) as u32;
    let sent = offer(asked_hz)?.sent as f64;
    let asked = f64::from(asked_hz) * spec.duration_s;
    Ok(Drive { most_per_s, deviation: (sent - asked).abs() / asked })
}

/// One way over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    way: Way,
    most_per_s: Option<Spread>,
    /// By the server's capacity, round by round.
    times_capacity: Option<Spread>,
    deviation: Option<Spread>,
}

impl Row {
    fn of<'a>(way: Way, rounds: impl Iterator<Item = (f64, &'a Drive)> + Clone) -> Self {
        let (capacities, drives): (Vec<f64>, Vec<&Drive>) = rounds.unzip();
        let most: Vec<f64> = drives.iter().map(|drive| drive.most_per_s).collect();
        Self {
            way,
            times_capacity: Spread::of_ratios(&most, &capacities),
            most_per_s: Spread::of(most),
            deviation: Spread::of(drives.iter().map(|drive| drive.deviation)),
        }
    }
}

fn text(rows: &[Row], server: &str) -> String {
    let mut table =
        Table::new(&["sent by", "most sent/s", "× capacity (min–max)", "asked − sent at 80 %"]);
    for row in rows {
        let ratio = row.times_capacity.map_or("-".to_owned(), |spread| spread.ratio_text());
        let percent = |spread: Spread| format!("{:.3} %", spread.median * 100.0);
        table.row(vec![
            row.way.name(),
            row.most_per_s.map_or("-".to_owned(), |spread| thousands(spread.median)),
            ratio,
            row.deviation.map_or("-".to_owned(), percent),
        ]);
    }
    format!(
        "one core sending over a veth, by the capacity of {server} on one other\n\n{}",
        table.text()
    )
}

/// Of the thread that takes frames for the server.
const NETWORK_PRIORITY: u8 = 10;
/// More than any core sends.
const BEYOND_HZ: u32 = 50_000_000;
