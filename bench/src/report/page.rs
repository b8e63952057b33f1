//! The report as one page that needs nothing else, in the style of the load generator's.
//!
//! Must never: fetch anything, or show a figure that the JSON does not hold.

use timeball_load::page::{
    Axis, Chart, Line, Scale, Unit, card, escaped, facts, lines, note, percentile_curves, put,
    shell_words, table, whole,
};
use timeball_load::table::{micros, percent, thousands};

use super::bars::{Bar, Shape, svg};
use super::row::Row;
use super::text::{HEADER, LEGEND, cells};
use super::{Document, Run, repeat};
use crate::place::On;
use crate::rounds::Spread;
use crate::server::Family;

/// The whole page.
pub(super) fn html(document: &Document) -> String {
    let mut body = format!("<h1>{TITLE}</h1>");
    // The last run stands for all; whether they agree is said below.
    let Some(run) = document.runs.last() else { return whole(TITLE, &body) };
    put(
        &mut body,
        format_args!(
            "<p class=\"sub\">{} · timeball-bench {} · {} rounds in turns, {:.0} s</p>",
            escaped(&document.host.began_text()),
            env!("CARGO_PKG_VERSION"),
            run.rounds,
            run.took_s
        ),
    );
    document.host.remark().iter().chain(&run.remarks).for_each(|remark| note(&mut body, remark));
    charts(&mut body, run);
    for on in &document.plan.networks {
        let rows = run.rows.iter().filter(|row| row.on == *on).map(cells);
        card(&mut body, &format!("All figures on {}", on.name()), LEGEND, &table(&HEADER, rows));
    }
    if let Some(agreement) = &document.agreement {
        let rows = agreement.ratios.iter().map(repeat::Ratios::cells);
        let title = format!("{} runs compared", document.runs.len());
        card(&mut body, &title, &agreement.verdict(), &table(&repeat::HEADER, rows));
    }
    made_on(&mut body, document, run);
    whole(TITLE, &body)
}

fn charts(body: &mut String, run: &Run) {
    body.push_str("<div class=\"cards\">");
    for (on, where_) in [(On::Loopback, "on loopback"), (On::Veth, "over a veth")] {
        let rows: Vec<&Row> = run.rows.iter().filter(|row| row.on == on).collect();
        if rows.is_empty() {
            continue;
        }
        let coloured = coloured(&rows);
        let cost = |row: &Row| row.core_ns_per_answer;
        let drawn = bars("Core time per answer", &coloured, Unit::Nanos, cost, |row| {
            row.times_reference.map_or(String::new(), |it| format!("× {:.2}", it.ratio))
        });
        card(body, &format!("Core time per answer {where_}"), COST_WHY, &drawn);
        let rate = |row: &Row| row.answered_per_s;
        let drawn = bars("Answers a second", &coloured, Unit::PerSecond, rate, |_| String::new());
        card(body, &format!("Answers a second {where_}"), RATE_WHY, &drawn);
        if rows.iter().any(|row| !row.beyond.is_empty()) {
            card(body, "Goodput when too much is asked", GOODPUT_WHY, &goodput(&coloured));
        }
        if rows.iter().any(|row| row.half.is_some()) {
            card(body, "Latency by percentile", LATENCY_WHY, &latency(&coloured));
            card(body, "Served-time error", ERROR_WHY, &error(&coloured));
        }
    }
    body.push_str("</div>");
}

/// Everybody's colour: ours are blue, plain echoes grey, the others each their own.
fn coloured<'a>(rows: &[&'a Row]) -> Vec<(&'a Row, &'static str)> {
    let mut used = [0; 3];
    rows.iter()
        .map(|&row| {
            let (family, palette): (usize, &[&str]) = match row.family {
                Family::Timeball => (0, &["r3", "r5", "r1", "r4", "r0", "r2"]),
                Family::Echo => (1, &["soft", "ink"]),
                Family::Peer => (2, &["b", "d", "c", "f", "e"]),
            };
            let colour = palette[used[family] % palette.len()];
            used[family] += 1;
            (row, colour)
        })
        .collect()
}

fn bars(
    title: &str,
    rows: &[(&Row, &'static str)],
    unit: Unit,
    figure: impl Fn(&Row) -> Spread,
    beside: impl Fn(&Row) -> String,
) -> String {
    let bars: Vec<Bar> = rows
        .iter()
        .map(|&(row, colour)| {
            let Spread { median, min, max } = figure(row);
            let text = format!("{} {}", unit.text(median), beside(row));
            let name = row.server.clone();
            Bar { name, colour, figure: median, span: (min, max), text: text.trim_end().to_owned() }
        })
        .collect();
    let scale = Scale::from_zero(bars.iter().map(|bar| bar.span.1));
    svg(title, Shape::FromZero, scale, unit, &bars)
}

fn goodput(rows: &[(&Row, &'static str)]) -> String {
    let line = |&(row, colour): &(&Row, &'static str)| {
        let beyond = row.beyond.iter().map(|it| (it.factor, it.share_of_capacity));
        let points = [(1.0, 1.0)].into_iter().chain(beyond).collect();
        Line { name: row.server.clone(), colour, points, dots: true }
    };
    let lines: Vec<Line> = rows.iter().map(line).collect();
    let points = lines.iter().flat_map(|line| &line.points);
    let (right, top) = points.fold((1.0, 1.0), |(x, y): (f64, f64), it| (x.max(it.0), y.max(it.1)));
    let x = Axis {
        label: "offered, by own capacity",
        scale: Scale::Linear { low: 1.0, high: right },
        unit: Unit::Share,
    };
    let y = Axis {
        label: "answered, by own capacity",
        scale: Scale::from_zero([top].into_iter()),
        unit: Unit::Share,
    };
    Chart { lines, ..Chart::new(x, y) }.html("Goodput")
}

fn latency(rows: &[(&Row, &'static str)]) -> String {
    let measured = rows.iter().filter(|(row, _)| row.half.is_some());
    percentile_curves(measured.filter_map(|&(row, colour)| {
        Some((row.server.clone(), colour, &row.half.as_ref()?.latencies))
    }))
}

fn error(rows: &[(&Row, &'static str)]) -> String {
    let bars: Vec<Bar> = rows
        .iter()
        // An echo serves no time.
        .filter(|(row, _)| row.family != Family::Echo)
        .filter_map(|&(row, colour)| {
            let offset = row.half.as_ref().map(|half| half.offset).filter(|it| it.count > 0)?;
            let text = format!(
                "{} ({} to {}) µs",
                micros(offset.p50_ns),
                micros(offset.p1_ns),
                micros(offset.p99_ns)
            );
            let (figure, span) =
                (offset.p50_ns as f64, (offset.p1_ns as f64, offset.p99_ns as f64));
            Some(Bar { name: row.server.clone(), colour, figure, span, text })
        })
        .collect();
    let ends = bars.iter().flat_map(|bar| [bar.span.0, bar.span.1, 0.0]);
    // Beyond the axis the figures tell.
    let ends: Vec<f64> = ends.map(|end| end.clamp(-ERROR_MAX_NS, ERROR_MAX_NS)).collect();
    svg("Served-time error", Shape::Dot, Scale::around(ends.into_iter()), Unit::Nanos, &bars)
}

fn made_on(body: &mut String, document: &Document, run: &Run) {
    let host = &document.host;
    let mut html = facts(host.machine.facts());
    html.push_str(&lines(&shell_words(&host.command)));
    card(body, "Made on", "And the command that made it.", &html);
    let mut html = String::new();
    for row in &run.rows {
        let repeat = format!(
            "# {} on {}, alone beside the reference\n{} report --on {} --only '{}'\n\n\
             # as it was started\n{}",
            row.server,
            row.on.name(),
            host.command.first().map_or("timeball-bench", String::as_str),
            row.on.name(),
            row.server,
            row.recipe
        );
        put(
            &mut html,
            format_args!(
                "<details><summary>{} on {}: {}/s, {} stolen</summary>{}</details>",
                escaped(&row.server),
                row.on.name(),
                thousands(row.answered_per_s.median),
                percent(row.stolen_share),
                lines(&repeat)
            ),
        );
    }
    card(body, "Every contender", RECIPES_WHY, &html);
}

const TITLE: &str = "NTP servers side by side";
const COST_WHY: &str = "Busy time of the server's core by valid answers, in a closed loop: less is better. \
    Bars are medians, spans least and greatest turn; × is how much cheaper than the recvmmsg echo.";
const RATE_WHY: &str = "Valid answers a second of one core, at its own pace.";
const GOODPUT_WHY: &str = "What arrives of 1.5, 2 and 3 times what the server can carry, by what it can \
    carry. As usual: receiving in software interrupts, above the server.";
const LATENCY_WHY: &str = "At half of each server's own capacity, Poisson: from the moment each request was \
    meant to be sent to the kernel's stamp of its reply.";
const ERROR_WHY: &str = "θ = ((T2 − T1) + (T3 − T4)) / 2 at half of own capacity, kernel stamps for T1 and \
    T4, client and server on one clock: any offset is error. Median, and where 98 % lie.";
const RECIPES_WHY: &str =
    "How each was started, with its configuration, and how to measure it again.";
/// An error of more than this is off the axis; its figures are not.
const ERROR_MAX_NS: f64 = 50_000.0;
