//! A [`Report`] for people: the clock, the sources, what clients got.
//!
//! Must never: be parsed by a program; that is what the JSON is for.

use std::fmt::Write as _;

use super::{Overflow, Report, Sandbox, Source, Work, census, fast_path};

/// All of `report`.
pub(crate) fn text(report: &Report) -> String {
    let confined = format!("sandbox  {}\n", sandbox(&report.sandbox));
    stuck(report)
        + &clock(report)
        + &confined
        + &sources(report)
        + &fast_path::text(report)
        + &workers_text(&report.workers)
        + &overflow(&report.overflow)
        + &census::text(&report.census)
}

/// What was lost, if anything was, and who is held back.
fn overflow(overflow: &Overflow) -> String {
    let Overflow { queue_full, held_back, senders } = overflow;
    let mut text = String::new();
    if queue_full + held_back > 0 {
        let _ = writeln!(
            text,
            "lost     {queue_full} requests found a full queue, {held_back} of senders who were held back"
        );
    }
    if !senders.is_empty() {
        let _ = writeln!(text, "         held back at present: {}", some_of(senders));
    }
    text
}

/// The first few of `names`, and how many more there are.
pub(crate) fn some_of(names: &[String]) -> String {
    let (first, more) = names.split_at(names.len().min(NAMED_MAX));
    let more = (!more.is_empty()).then(|| format!("and {} more", more.len()));
    first.iter().cloned().chain(more).collect::<Vec<_>>().join(", ")
}

/// How the server is confined, in one line.
pub(crate) fn sandbox(sandbox: &Sandbox) -> String {
    if sandbox.in_force.is_empty() && sandbox.missing.is_empty() {
        return "off".to_owned();
    }
    let missing = sandbox.missing.iter().map(|why| format!("without {why}"));
    let parts: Vec<_> = sandbox.in_force.iter().cloned().chain(missing).collect();
    parts.join(", ")
}

/// In one line: what is served, and how far the system peer is from it.
pub(crate) fn headline(report: &Report) -> String {
    let peer = report.clock.system_peer.and_then(|index| report.sources.get(index));
    let peer = peer.filter(|_| report.is_serving()).map_or_else(String::new, |peer| {
        format!("; {} is {} off", peer.name, duration(peer.offset_s, true))
    });
    stuck(report).replace('\n', "; ") + &state(report) + &peer
}

fn stuck(report: &Report) -> String {
    report.stuck.iter().fold(String::new(), |text, name| text + &format!("STUCK: {name}\n"))
}

/// What is served, without figures that change by the second.
pub(crate) fn state(report: &Report) -> String {
    let (header, clock) = (&report.header, &report.clock);
    match &clock.waiting {
        _ if report.is_serving() => format!(
            "stratum {} from {}, leap {}{}",
            header.stratum,
            header.reference_id,
            header.leap,
            if clock.basis == "local" { ": the local clock, for want of sources" } else { "" }
        ),
        Some(waiting) => {
            format!("not synchronised ({}), waiting for {}", header.reference_id, waiting.text)
        }
        None => format!("not synchronised ({})", header.reference_id),
    }
}

fn clock(report: &Report) -> String {
    let (header, clock) = (&report.header, &report.clock);
    let mut text = format!(
        "clock    {}\n         root delay {:.6} s, root dispersion {:.6} s, \
         frequency {:+.3} ± {:.3} ppm, correction {:+.9} s\n",
        state(report),
        header.root_delay_s,
        header.root_dispersion_s,
        clock.frequency_ppm,
        clock.frequency_error_ppm,
        clock.correction_s,
    );
    if let Some(leap) = &clock.leap_second {
        let _ = writeln!(text, "         leap second tonight: {leap}");
    }
    if let Some(local) = report.local.as_ref().filter(|_| !report.is_serving()) {
        let _ = writeln!(
            text,
            "         the local clock is served at stratum {} if no source is usable in {:.0} s",
            local.stratum, local.wait_s
        );
    }
    text
}

fn sources(report: &Report) -> String {
    if report.sources.is_empty() {
        return String::new();
    }
    let width = report.sources.iter().map(|source| source.name.len()).max().unwrap_or(0).max(6);
    let mut text = format!(
        "  {:width$} refid           st reach  poll  when  offset       ± error        delay        jitter\n",
        "source"
    );
    for source in &report.sources {
        let _ = writeln!(text, "{} {:width$} {}", source.symbol, source.name, row(source));
    }
    text + LEGEND
}

fn row(source: &Source) -> String {
    let last = source.last.as_ref();
    let refid = last.map_or("-", |last| last.reference_id.as_str());
    let stratum = last.map_or_else(|| "-".to_owned(), |last| last.stratum.to_string());
    let mut row = format!(
        "{refid:15} {stratum:>2} {:>5o} {:>5} {:>5}  {:12} {:12}   {:12} {}",
        source.reach,
        span(2f64.powi(i32::from(source.poll_log2_s))),
        source.when_s.map_or_else(|| "-".to_owned(), span),
        duration(source.offset_s, true),
        duration(source.offset_error_s, false),
        duration(source.delay_s, false),
        duration(source.jitter_s, false),
    );
    match (&source.unfit, source.state.as_str()) {
        (Some(unfit), _) => row = format!("{row}  {unfit}"),
        (None, "polling") => {}
        (None, state) => row = format!("{row}  {state}"),
    }
    row.truncate(row.trim_end().len());
    row
}

/// Whole seconds, minutes, hours or days, and the letter of the unit.
pub(crate) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 2048.0 => format!("{s:.0}s"),
        s if s < 300.0 * 60.0 => format!("{:.0}m", s / 60.0),
        s if s < 96.0 * 3600.0 => format!("{:.0}h", s / 3600.0),
        s => format!("{:.0}d", s / 86_400.0),
    }
}

/// Four digits and a unit.
fn duration(seconds: Option<f64>, signed: bool) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    let (value, unit) = match seconds.abs() {
        size if size < 999.5e-9 => (seconds * 1e9, "ns"),
        size if size < 999.5e-6 => (seconds * 1e6, "µs"),
        size if size < 999.5e-3 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    if signed { format!("{value:+.1} {unit}") } else { format!("{value:.1} {unit}") }
}

/// What each worker has done.
pub(crate) fn workers_text(workers: &[Work]) -> String {
    let mut text = String::new();
    for (worker, work) in workers.iter().enumerate() {
        let _ = write!(
            text,
            "worker {worker}: {} received, {} answered, {} unanswered",
            work.received, work.answered, work.unanswered
        );
        for (name, count) in work.unanswered_by_reason.iter().chain(&work.noted) {
            let _ = write!(text, ", {name} {count}");
        }
        text.push('\n');
    }
    text
}

/// How many are named in a line.
const NAMED_MAX: usize = 5;
const LEGEND: &str =
    "  * system peer  + combined  - outlier  . spare  x falseticker  (blank) not usable
  reach: octal, a bit for each of the last eight requests; offset: its time minus ours, by its whole
  history, with the standard deviation of that; jitter: of a single answer
";
