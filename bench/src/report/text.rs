//! The report as tables for people.
//!
//! Must never: show a figure that the page has not.

use timeball_load::Distribution;
use timeball_load::page::shell_words;
use timeball_load::table::{Table, micros, percent, thousands};

use super::Document;
use super::row::{Half, Row};
use crate::rounds::Spread;

/// Columns of the table.
pub(super) const HEADER: [&str; 15] = [
    "server",
    "answered/s",
    "core ns/answer (min–max)",
    "× recvmmsg (95 %)",
    "rounds",
    "softirq",
    "goodput 1.5 ×",
    "2 ×",
    "3 ×",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "θ p50 µs",
    "θ p99 µs",
    "invalid",
];

/// All of it.
pub(super) fn text(document: &Document) -> String {
    let mut text = format!("{}\n{}\n", document.host.text(), shell_words(&document.host.command));
    for (number, run) in document.runs.iter().enumerate() {
        if document.runs.len() > 1 {
            text.push_str(&format!("\nRun {}\n", number + 1));
        }
        text.push_str(&format!("\n{LEGEND}\n{} rounds in {:.0} s.\n", run.rounds, run.took_s));
        for on in &document.plan.networks {
            let mut table = Table::new(&HEADER);
            run.rows.iter().filter(|row| row.on == *on).for_each(|row| table.row(cells(row)));
            text.push_str(&format!("\non {}\n\n{}", on.name(), table.text()));
        }
        run.remarks.iter().for_each(|remark| text.push_str(&format!("! {remark}\n")));
    }
    if let Some(agreement) = &document.agreement {
        text.push_str(&format!("\n{}", agreement.text()));
    }
    text.trim_end().to_owned()
}

/// The cells of a row.
pub(super) fn cells(row: &Row) -> Vec<String> {
    let none = || "-".to_owned();
    let Spread { median, min, max } = row.core_ns_per_answer;
    let mut cells = vec![
        row.server.clone(),
        thousands(row.answered_per_s.median),
        format!("{} ({}–{})", thousands(median), thousands(min), thousands(max)),
        row.times_reference.map_or_else(none, |it| it.text()),
        row.ratios.len().to_string(),
        percent(row.softirq_share),
    ];
    let share = |at: usize| row.beyond.get(at).map(|it| percent(it.share_of_capacity));
    cells.extend((0..3).map(|at| share(at).unwrap_or_else(none)));
    let time = |of: fn(&Half) -> Distribution, figure: fn(&Distribution) -> i64| {
        let measured = row.half.as_ref().map(of).filter(|times| times.count > 0);
        measured.map_or_else(none, |times| micros(figure(&times)))
    };
    cells.extend([
        time(|half| half.latency, |it| it.p50_ns),
        time(|half| half.latency, |it| it.p99_ns),
        time(|half| half.latency, |it| it.p99_9_ns),
        // An echo serves no time.
        time(|half| half.offset, |it| it.p50_ns),
        time(|half| half.offset, |it| it.p99_ns),
    ]);
    cells.push(thousands(row.invalid as f64));
    cells
}

/// What the columns mean, and how ratios are made.
pub(super) const LEGEND: &str = "\
One server core each. core ns/answer is the busy time of the server's core by valid answers in a \
closed loop, median of turns of a quarter of a second. × recvmmsg is the recvmmsg echo's divided by \
the server's: taken in every round against the eight turns of the echo around it, then the mean of the \
middle half of the rounds, with the interval that holds it with 95 % (bootstrap). A round is dropped \
if the hypervisor took more than 2 % of the server's core or the generator's, never by what it says; \
rounds are added until the interval is within 1.5 % either way, and a ratio that is not within 2.5 % \
when the time is up is called not settled. Goodput is what arrives of 1.5, 2 and 3 × the server's own \
capacity, by that capacity. Latency and θ, the served time's error, are at half of its own capacity, \
Poisson, over the veth, client and server on one clock.";
