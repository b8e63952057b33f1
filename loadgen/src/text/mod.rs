//! A result for people, on a terminal of any width from 80 columns on.
//!
//! Must never: show a figure that another view of the same result would show otherwise.

mod bars;
pub(crate) mod cells;
mod words;

use std::mem::discriminant;

use crate::table::{Table, micros, percent, thousands};
use crate::{Comparison, Document, Experiment, Fault, KNEE_SHARE, Limit, Method, Trial, knee};

use bars::bars;
pub use words::utc;
pub(crate) use words::{load_text, load_words, ratio_verdict};

/// The whole result.
pub fn text(document: &Document) -> String {
    let mut text = String::new();
    match document.trials.as_slice() {
        [trial] => text.push_str(&run_text(trial)),
        trials => text.push_str(&steps_text(document.kind, trials)),
    }
    if let Some(capacity) = &document.capacity {
        text.push_str(&format!("{}\n", capacity.text()));
    }
    if let Some(comparison) = &document.comparison {
        text.push_str(&comparison_text(comparison));
    }
    text.push_str(&invalid_text(&document.trials));
    for remark in remarks(document) {
        text.push_str(&format!("! {remark}\n"));
    }
    for generator in &document.generators {
        text.push_str(&format!(
            "\n{}\nvia {}\n{}\n",
            generator.machine.text(),
            generator.device.text(),
            generator.command.join(" ")
        ));
    }
    text
}

/// What was invalid at which of several loads; one load has it in its table.
fn invalid_text(trials: &[Trial]) -> String {
    let invalid = trials.iter().filter(|trial| trials.len() > 1 && trial.report.faults.total() > 0);
    let line = |trial: &Trial| {
        let reason =
            |(fault, count): (Fault, u64)| format!("{} {}", thousands(count as f64), fault.text());
        let reasons: Vec<_> = trial.report.faults.seen().map(reason).collect();
        format!("invalid at {}: {}\n", load_text(trial), reasons.join(", "))
    };
    invalid.map(line).collect()
}

/// What a reader must know to believe the result: the document's remarks, and what its figures say.
pub(crate) fn remarks(document: &Document) -> Vec<String> {
    let mut remarks = document.remarks.clone();
    remarks.extend(limits(&document.trials));
    if document.was_interrupted() {
        remarks.push("interrupted: this is what was counted until then".to_owned());
    }
    if document.answered() == 0 {
        remarks.push(
            "not one valid answer: is the server running, on this port, and synchronised? (a server that \
             only echoes needs --echo)"
                .to_owned(),
        );
    }
    remarks
}

/// Where the generator was a limit; of each kind the last instance, at the highest rate of a sweep.
fn limits(trials: &[Trial]) -> Vec<String> {
    let mut kinds: Vec<(usize, &Trial, Limit)> = Vec::new();
    for trial in trials {
        for limit in trial.report.limits() {
            let kind = discriminant(&limit);
            match kinds.iter_mut().find(|(_, _, known)| discriminant(known) == kind) {
                Some(known) => *known = (known.0 + 1, trial, limit),
                None => kinds.push((1, trial, limit)),
            }
        }
    }
    let text = |(count, trial, limit): (usize, &Trial, Limit)| match trials.len() {
        1 => format!("the generator was a limit: {limit}"),
        all => format!(
            "in {count} of {all} loads the generator was a limit, last at {}: {limit}",
            load_text(trial)
        ),
    };
    kinds.into_iter().map(text).collect()
}

fn count_text(count: usize, noun: &str) -> String {
    if count == 1 { format!("one {noun}") } else { format!("{count} {noun}s") }
}

fn run_text(trial: &Trial) -> String {
    let report = &trial.report;
    let mut text = format!(
        "{} to {}, {} clients, from {} for {:.1} s\n",
        load_text(trial),
        trial.target,
        thousands(trial.clients as f64),
        utc(trial.started_unix_ns),
        report.elapsed_s,
    );
    let mut add = |header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            let mut table = Table::new(header);
            rows.into_iter().for_each(|row| table.row(row));
            text.push_str(&format!("\n{}", table.text()));
        }
    };
    add(&cells::COUNTS, cells::counts(trial));
    add(&cells::OTHERS, cells::others(trial));
    add(&cells::TIMES, cells::times(trial));
    if trial.senders.len() > 1 {
        add(&cells::SENDERS, cells::senders(trial));
    }
    text + &bars("latency", &report.latency)
}

fn steps_text(kind: Experiment, trials: &[Trial]) -> String {
    let Some(first) = trials.first() else { return String::new() };
    let mut table = Table::new(&[
        "load",
        "sent/s",
        "answered/s",
        "answered",
        "lost",
        "invalid",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "|error| p99 µs",
    ]);
    for trial in trials {
        let report = &trial.report;
        let latency = report.latency.distribution();
        let error = report.offset.magnitudes();
        let name = match (&trial.subject, kind) {
            (Some(subject), Experiment::Compare) => subject.clone(),
            _ => trial
                .offered_per_s
                .map_or_else(|| load_text(trial), |rate| format!("{}/s", thousands(rate))),
        };
        table.row(vec![
            name,
            thousands(report.sent_per_s()),
            thousands(report.answered_per_s()),
            percent(report.answered_share()),
            thousands(report.lost as f64),
            thousands(report.faults.total() as f64),
            micros(latency.p50_ns),
            micros(latency.p99_ns),
            micros(latency.p99_9_ns),
            if error.is_empty() {
                "-".to_owned()
            } else {
                micros(error.value_at_quantile(0.99) as i64)
            },
        ]);
    }
    let what = match kind {
        Experiment::Compare => "loads in turns".to_owned(),
        _ => format!("{} to {}", count_text(trials.len(), "load"), first.target),
    };
    let knee = match knee(trials).filter(|_| kind == Experiment::Sweep) {
        Some(knee) => format!(
            "\nknee: {}/s, the highest rate of which {} was answered\n",
            thousands(knee.offered_per_s.unwrap_or(0.0)),
            percent(KNEE_SHARE)
        ),
        None => String::new(),
    };
    format!("{what}, from {}\n\n{}{knee}\n", utc(first.started_unix_ns), table.text())
}

fn comparison_text(comparison: &Comparison) -> String {
    let Comparison { a, b, method, figures, .. } = comparison;
    let mut table = Table::new(&["figure", "A", "B", "B / A", "95 % interval", "verdict"]);
    for it in figures {
        table.row(vec![
            it.name.clone(),
            figure(it.a),
            figure(it.b),
            format!("{:.3}", it.ratio.ratio),
            format!("{:.3}–{:.3}", it.ratio.low, it.ratio.high),
            ratio_verdict(comparison, it.ratio),
        ]);
    }
    let method = match method {
        Method::Paired => "rounds in turns; Student's t on log B − log A within each round",
        Method::Unpaired => "two sets of results; Welch's t on the logarithms of each",
    };
    let none = if figures.is_empty() {
        "no figure of which both have at least two rounds: run more rounds, or name more results\n"
    } else {
        ""
    };
    format!("A = {a}\nB = {b}\n\n{}{none}\n{method}\n", table.text())
}

fn figure(value: f64) -> String {
    match value {
        _ if value >= 1_000.0 => thousands(value),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::trial;

    #[test]
    fn a_run_shows_counts_times_bars_and_where_it_was_made() {
        let machine = crate::Machine::look();
        let mut document = Document::new(Experiment::Run, machine, vec![trial(50_000, 1_000)]);
        document.trials[0].report.interrupted = true;
        let text = text(&document);
        for words in ["sent", "50 000", "latency", "p99.99", "█", "Linux", "! interrupted"] {
            assert!(text.contains(words), "{words} in\n{text}");
        }
        assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
    }
}
