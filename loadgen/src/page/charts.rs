//! The charts of a result: which there are, and which figures go on which axes.
//!
//! Must never: connect points of different loads in another order than that of their rates.

use super::chart::{Axis, Chart, Line};
use super::scale::{Scale, Unit};
use crate::table::thousands;
use crate::{Distribution, Document, Experiment, Point, SignedHistogram, Trial, knee};

/// A chart and what a reader is told about it.
pub(super) struct Drawing {
    pub(super) title: &'static str,
    pub(super) why: &'static str,
    pub(super) chart: Chart,
}

impl Drawing {
    const fn new(title: &'static str, why: &'static str, chart: Chart) -> Self {
        Self { title, why, chart }
    }
}

/// The charts of one load.
pub(super) fn of_run(trial: &Trial) -> Vec<Drawing> {
    let has_errors = trial.report.offset.count() > 0;
    let mut drawings = vec![Drawing::new(BY_PERCENTILE, LATENCY_WHY, percentiles(&[trial]))];
    let mut add = |title, why, chart| drawings.push(Drawing::new(title, why, chart));
    if has_errors {
        add("Served-time error", ERROR_WHY, error_bars(trial));
    }
    if trial.series.len() > 1 {
        add("Rate over time", "Requests sent and valid replies.", rates(trial));
        add("Latency over time", "By interval.", latency_over_time(trial));
        if has_errors {
            add("Served-time error over time", "By interval.", error_over_time(trial));
        }
        if trial.report.lost + trial.report.faults.total() > 0 {
            let why = "Requests without a valid reply in time, by interval.";
            add("Loss over time", why, loss_over_time(trial));
        }
    }
    drawings
}

/// The charts of several loads.
pub(super) fn of_steps(document: &Document) -> Vec<Drawing> {
    let trials = document.trials.as_slice();
    let mark = match &document.capacity {
        Some(capacity) => Some((f64::from(capacity.found.rate_hz), "found")),
        None => knee(trials).and_then(|knee| Some((knee.offered_per_s?, "knee"))),
    };
    let mut drawings = Vec::new();
    let mut add = |title, why, chart| drawings.push(Drawing::new(title, why, chart));
    if trials.iter().all(|trial| trial.offered_per_s.is_some())
        && document.kind != Experiment::Compare
    {
        add("Throughput against offered rate", KNEE_WHY, throughput(trials, mark));
        add("Latency against offered rate", "", latency_by_rate(trials));
        add("Loss against offered rate", LOSS_WHY, loss_by_rate(trials));
        if trials.iter().any(|trial| trial.report.offset.count() > 0) {
            add("Served-time error against offered rate", ERROR_WHY, error_by_rate(trials));
        }
    }
    let merged = by_subject(trials);
    let some = chosen(if merged.is_empty() { trials } else { &merged });
    add(BY_PERCENTILE, LATENCY_WHY, percentiles(&some));
    drawings
}

/// Each side of a comparison as one; empty if there are no sides.
fn by_subject(trials: &[Trial]) -> Vec<Trial> {
    let mut sides: Vec<Trial> = Vec::new();
    for trial in trials.iter().filter(|trial| trial.subject.is_some()) {
        match sides.iter_mut().find(|side| side.subject == trial.subject) {
            Some(side) => side.report.merge(&trial.report),
            None => sides.push(trial.clone()),
        }
    }
    sides.sort_by(|one, other| one.subject.cmp(&other.subject));
    sides
}

/// Latency by percentile, one curve a load.
fn percentiles(trials: &[&Trial]) -> Chart {
    let colours = colours(trials.len());
    let curves = trials.iter().zip(colours);
    percentile_chart(curves.map(|(trial, colour)| (name(trial), colour, &trial.report.latency)))
}

/// Latency by percentile: a curve for each name, colour and distribution.
pub fn percentile_curves<'a>(
    curves: impl Iterator<Item = (String, &'static str, &'a SignedHistogram)> + Clone,
) -> String {
    percentile_chart(curves).html(BY_PERCENTILE)
}

fn percentile_chart<'a>(
    curves: impl Iterator<Item = (String, &'static str, &'a SignedHistogram)> + Clone,
) -> Chart {
    let counts = curves.clone().map(|(_, _, latency)| latency.count());
    // As many nines as the largest sample can tell.
    let nines = (counts.max().unwrap_or(1) as f64).log10().clamp(1.0, 7.0);
    let points = |latency: &SignedHistogram| -> Vec<(f64, f64)> {
        let steps = (nines * STEPS_PER_NINE) as i32;
        let quantile = |step: i32| 1.0 - 10f64.powf(-f64::from(step) / STEPS_PER_NINE);
        (0..=steps)
            .map(quantile)
            .map(|quantile| (quantile, latency.quantile(quantile) as f64))
            .collect()
    };
    let lines: Vec<Line> = curves
        .map(|(name, colour, latency)| Line { name, colour, points: points(latency), dots: false })
        .collect();
    let x = Axis { label: "percentile", scale: Scale::Nines { nines }, unit: Unit::Share };
    let y = log_axis("latency", Unit::Nanos, &lines);
    Chart { lines, ..Chart::new(x, y) }
}

/// At most so many loads that their curves can be told apart, from the slowest to the fastest.
fn chosen(trials: &[Trial]) -> Vec<&Trial> {
    let mut sorted: Vec<&Trial> = trials.iter().collect();
    if sorted.iter().all(|trial| trial.subject.is_none()) {
        sorted.sort_by(|a, b| a.report.sent_per_s().total_cmp(&b.report.sent_per_s()));
    }
    let count = sorted.len().min(RAMP.len());
    let last = sorted.len().saturating_sub(1);
    (0..count).map(|index| sorted[index * last / (count - 1).max(1)]).collect()
}

/// How often the served time was wrong by how much.
fn error_bars(trial: &Trial) -> Chart {
    let errors = &trial.report.offset;
    let (low, high) = (errors.quantile(0.001) as f64, errors.quantile(0.999) as f64);
    let width = ((high - low) / BARS as f64).max(1.0);
    let bars: Vec<(f64, f64, f64)> = (0..BARS)
        .map(|index| {
            let (from, to) = (low + width * index as f64, low + width * (index + 1) as f64);
            let count = errors.count_between(from as i64, to as i64);
            (from, to, count as f64 / errors.count() as f64)
        })
        .collect();
    let x = Axis {
        label: "served − true time, the middle 99.8 %",
        scale: Scale::Linear { low, high: low + width * BARS as f64 },
        unit: Unit::Nanos,
    };
    let shares = bars.iter().map(|(_, _, share)| *share);
    let y = Axis { label: "share of replies", scale: Scale::from_zero(shares), unit: Unit::Share };
    let mark = (low <= 0.0 && high >= 0.0).then(|| (0.0, String::new()));
    Chart { bars, mark, ..Chart::new(x, y) }
}

/// Sent and answered over time.
fn rates(trial: &Trial) -> Chart {
    let lines = vec![
        over_time(trial, "sent", "b", |point| point.per_s(point.sent)),
        over_time(trial, "answered", "a", |point| point.per_s(point.answered)),
    ];
    let values = lines.iter().flat_map(|line| line.points.iter().map(|(_, y)| *y));
    let scale = Scale::from_zero(values);
    let y = Axis { label: "a second", scale, unit: Unit::PerSecond };
    Chart { lines, ..Chart::new(time_axis(trial), y) }
}

/// Percentiles of latency over time.
fn latency_over_time(trial: &Trial) -> Chart {
    let line = |name, colour, figure: fn(&Distribution) -> i64| {
        over_time(trial, name, colour, move |point| figure(&point.latency.distribution) as f64)
    };
    let lines = vec![
        line("p99.9", "d", |it| it.p99_9_ns),
        line("p99", "b", |it| it.p99_ns),
        line("p50", "a", |it| it.p50_ns),
    ];
    let y = log_axis("latency", Unit::Nanos, &lines);
    Chart { lines, ..Chart::new(time_axis(trial), y) }
}

/// Percentiles of the served-time error over time.
fn error_over_time(trial: &Trial) -> Chart {
    let line = |name, colour, figure: fn(&Distribution) -> i64| {
        over_time(trial, name, colour, move |point| figure(&point.offset.distribution) as f64)
    };
    let lines = vec![
        line("p99", "b", |it| it.p99_ns),
        line("p50", "a", |it| it.p50_ns),
        line("p1", "d", |it| it.p1_ns),
    ];
    let y = linear_axis("served − true time", Unit::Nanos, &lines);
    Chart { lines, ..Chart::new(time_axis(trial), y) }
}

/// What was lost or invalid over time.
fn loss_over_time(trial: &Trial) -> Chart {
    let lines = vec![over_time(trial, "lost or invalid", "d", |point| {
        (point.lost + point.invalid) as f64 / point.sent.max(1) as f64
    })];
    let y = share_axis(&lines);
    Chart { lines, ..Chart::new(time_axis(trial), y) }
}

/// Valid replies a second by rate offered, with one rate marked.
fn throughput(trials: &[Trial], mark: Option<(f64, &str)>) -> Chart {
    let lines = vec![by_rate(trials, "answered", "a", |trial| trial.report.answered_per_s())];
    let values = lines[0].points.iter().map(|(_, y)| *y);
    let y =
        Axis { label: "answered a second", scale: Scale::from_zero(values), unit: Unit::PerSecond };
    let mark = mark.map(|(rate, name)| (rate, format!("{name} {}/s", Unit::PerSecond.text(rate))));
    Chart { lines, mark, ideal: true, ..Chart::new(rate_axis(trials), y) }
}

/// Percentiles of latency by rate offered.
fn latency_by_rate(trials: &[Trial]) -> Chart {
    let line = |name, colour, quantile: f64| {
        by_rate(trials, name, colour, move |trial| trial.report.latency.quantile(quantile) as f64)
    };
    let lines = vec![line("p99.9", "d", 0.999), line("p99", "b", 0.99), line("p50", "a", 0.5)];
    let y = log_axis("latency", Unit::Nanos, &lines);
    Chart { lines, ..Chart::new(rate_axis(trials), y) }
}

/// What was not answered by rate offered.
fn loss_by_rate(trials: &[Trial]) -> Chart {
    let lines =
        vec![by_rate(trials, "not answered", "d", |trial| 1.0 - trial.report.answered_share())];
    let y = share_axis(&lines);
    Chart { lines, ..Chart::new(rate_axis(trials), y) }
}

/// Percentiles of the served-time error by rate offered.
fn error_by_rate(trials: &[Trial]) -> Chart {
    let line = |name, colour, quantile: f64| {
        by_rate(trials, name, colour, move |trial| trial.report.offset.quantile(quantile) as f64)
    };
    let lines = vec![line("p99", "b", 0.99), line("p50", "a", 0.5), line("p1", "d", 0.01)];
    let y = linear_axis("served − true time", Unit::Nanos, &lines);
    Chart { lines, ..Chart::new(rate_axis(trials), y) }
}

fn over_time(
    trial: &Trial,
    name: &str,
    colour: &'static str,
    figure: impl Fn(&Point) -> f64,
) -> Line {
    let points = trial.series.iter().filter(|point| point.has_rates(trial.interval_s));
    let points: Vec<_> =
        points.map(|point| (point.start_s + point.length_s / 2.0, figure(point))).collect();
    let dots = points.len() <= DOTS_MAX;
    Line { name: name.to_owned(), colour, points, dots }
}

fn by_rate(
    trials: &[Trial],
    name: &str,
    colour: &'static str,
    figure: impl Fn(&Trial) -> f64,
) -> Line {
    let offered = trials.iter().filter(|trial| trial.report.sent > 0);
    let mut points: Vec<_> =
        offered.filter_map(|trial| Some((trial.offered_per_s?, figure(trial)))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    Line { name: name.to_owned(), colour, points, dots: true }
}

fn name(trial: &Trial) -> String {
    match (&trial.subject, trial.offered_per_s) {
        (Some(subject), _) => subject.clone(),
        (None, Some(rate)) => format!("{}/s", thousands(rate)),
        (None, None) => "closed loop".to_owned(),
    }
}

/// One colour for one curve; a ramp from the slowest load to the fastest for several.
fn colours(count: usize) -> Vec<&'static str> {
    match count {
        0 | 1 => vec!["a"],
        2 => vec!["a", "b"],
        count => (0..count).map(|index| RAMP[index * (RAMP.len() - 1) / (count - 1)]).collect(),
    }
}

fn time_axis(trial: &Trial) -> Axis {
    let end = trial.series.iter().map(|point| point.start_s + point.length_s).fold(0.0, f64::max);
    Axis {
        label: "since the start",
        scale: Scale::Linear { low: 0.0, high: end.max(1e-3) },
        unit: Unit::Seconds,
    }
}

fn rate_axis(trials: &[Trial]) -> Axis {
    let rates = trials.iter().filter_map(|trial| trial.offered_per_s);
    Axis { label: "offered a second", scale: Scale::from_zero(rates), unit: Unit::PerSecond }
}

fn share_axis(lines: &[Line]) -> Axis {
    Axis { label: "of requests", scale: Scale::from_zero(heights(lines)), unit: Unit::Share }
}

fn log_axis(label: &'static str, unit: Unit, lines: &[Line]) -> Axis {
    Axis { label, scale: Scale::log(heights(lines)), unit }
}

fn linear_axis(label: &'static str, unit: Unit, lines: &[Line]) -> Axis {
    Axis { label, scale: Scale::around(heights(lines).chain([0.0])), unit }
}

fn heights(lines: &[Line]) -> impl Iterator<Item = f64> + Clone {
    lines.iter().flat_map(|line| line.points.iter().map(|(_, y)| *y))
}

const BY_PERCENTILE: &str = "Latency by percentile";
const LATENCY_WHY: &str = "From the moment each request was meant to be sent to the kernel's stamp of its \
    reply, so that a server that stops is charged for all who waited.";
const ERROR_WHY: &str = "θ = ((T2 − T1) + (T3 − T4)) / 2 with kernel stamps for T1 and T4, client and server \
    on one clock: any offset is error.";
const KNEE_WHY: &str = "Valid replies a second while load was offered. The dashed line is a server that \
    answers everything; the knee is the highest rate of which 99 % was answered.";
const LOSS_WHY: &str = "Requests without a valid reply in time.";
/// The style's ramp, in order.
const RAMP: [&str; 6] = ["r0", "r1", "r2", "r3", "r4", "r5"];
const STEPS_PER_NINE: f64 = 24.0;
const BARS: usize = 60;
/// A curve of more points than this is a line.
const DOTS_MAX: usize = 40;
