//! Measurement and model as tables for people.
//!
//! Must never: round a figure to more than it says.

use timeball_load::page::shell_words;
use timeball_load::table::{Table, percent, thousands};

use super::Measurement;
use super::lanes::{Carried, Lanes, Round};
use super::model::{Model, NETWORKS_GBIT};
use crate::rounds::Spread;

/// What was measured.
pub(super) fn measurement(measurement: &Measurement) -> String {
    let Measurement { machine, command, on, rounds, duration_s, .. } = measurement;
    let mut prices =
        Table::new(&["one worker alone on a core", "core ns/answer (min–max)", "softirq"]);
    for price in &measurement.prices {
        let Spread { median, min, max } = price.core_ns_per_answer;
        let spread = format!("{} ({}–{})", thousands(median), thousands(min), thousands(max));
        prices.row(vec![price.server.clone(), spread, percent(price.softirq_share.median)]);
    }
    let mut lanes = Table::new(&[
        "lanes of a worker and a generator",
        "one lane/s",
        "one server/s",
        "separate/s",
        "× one lane (min–max)",
        "× separate (min–max)",
        "ns/answer: one lane",
        "one server",
        "separate",
    ]);
    measurement.lanes.iter().for_each(|it| lanes.row(cells(it)));
    format!(
        "{machine}\n{}\n\n{rounds} rounds of {duration_s} s, medians; prices on {}\n\n{}\n{}",
        shell_words(command),
        on.name(),
        prices.text(),
        lanes.text()
    )
}

fn cells(lanes: &Lanes) -> Vec<String> {
    let median = |of: fn(&Round) -> Carried, figure: fn(&Carried) -> f64| {
        let figures = lanes.rounds.iter().map(|round| figure(&of(round)));
        Spread::of(figures).map_or("-".to_owned(), |it| thousands(it.median))
    };
    let ratio = |ratios: Vec<f64>| Spread::of(ratios).map_or("-".to_owned(), |it| it.ratio_text());
    let ways: [fn(&Round) -> Carried; 3] = [|it| it.alone, |it| it.together, |it| it.separate];
    let mut cells = vec![format!("{}, {} lanes", lanes.server, lanes.workers)];
    cells.extend(ways.map(|way| median(way, |it| it.answered_per_s)));
    cells.extend([ratio(lanes.times_alone()), ratio(lanes.times_separate())]);
    cells.extend(ways.map(|way| median(way, |it| it.core_ns_per_answer)));
    cells
}

/// What follows.
pub(super) fn model(model: &Model) -> String {
    let [wires, cores, sizes] = tables(model);
    let kept =
        model.kept_per_doubling.map_or("nothing was measured, all assumed".to_owned(), percent);
    let best = model.best.as_deref().unwrap_or("nothing");
    format!(
        "Packets a second each way that a network carries:\n\n{wires}\n\
         One core, and cores that fill a network by IPv4 if nothing is lost:\n\n{cores}\n\
         Machines by {best}, kept at each doubling of the cores: {kept}\n\n{sizes}"
    )
}

/// The three tables of the model.
pub(super) fn tables(model: &Model) -> [String; 3] {
    [wires(model), cores(model), sizes(model)]
}

fn wires(model: &Model) -> String {
    let mut table =
        Table::new(&["packet", "frame", "on the wire", "10 Gbit/s", "25 Gbit/s", "100 Gbit/s"]);
    for wire in &model.wires {
        let mut cells =
            vec![wire.name.to_owned(), wire.frame_octets.to_string(), wire.wire_octets.to_string()];
        cells.extend(wire.per_s.map(millions));
        table.row(cells);
    }
    table.text()
}

fn cores(model: &Model) -> String {
    let header = NETWORKS_GBIT.map(|gbit| format!("cores for {gbit} Gbit/s"));
    let mut names = vec!["served by", "ns/answer", "softirq", "answers/s"];
    names.extend(header.iter().map(String::as_str));
    let mut table = Table::new(&names);
    for core in &model.cores {
        let mut cells = vec![
            core.server.clone(),
            thousands(core.ns_per_answer),
            percent(core.softirq_share),
            significant(core.answers_per_s),
        ];
        cells.extend(core.cores_to_fill.map(|cores| format!("{:.0}", cores.ceil())));
        table.row(cells);
    }
    table.text()
}

fn sizes(model: &Model) -> String {
    let mut table = Table::new(&[
        "cores",
        "at best/s",
        "with losses/s",
        "plan with/s",
        "clients at 64 s",
        "at 1024 s",
        "network",
    ]);
    for size in &model.sizes {
        table.row(vec![
            size.cores.to_string(),
            significant(size.answers_per_s.0),
            significant(size.answers_per_s.1),
            significant(size.planned_per_s),
            millions(size.clients_at_64_s),
            millions(size.clients_at_1024_s),
            size.network_gbit.map_or("more".to_owned(), |gbit| format!("{gbit} Gbit/s")),
        ]);
    }
    table.text()
}

fn millions(value: f64) -> String {
    let digits = if value < 1e7 { 2 } else { usize::from(value < 1e8) };
    format!("{:.digits$} M", value / 1e6)
}

/// Two figures that count, and zeros.
fn significant(value: f64) -> String {
    let step = 10f64.powf(value.log10().floor() - 1.0);
    thousands((value / step).round() * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forecasts_have_two_figures_that_count() {
        assert_eq!(significant(178_571.4), "180 000");
        assert_eq!(significant(9_949_999.0), "9 900 000");
        assert_eq!(millions(10_964_912.0), "11.0 M");
        assert_eq!(millions(3_280_000.0), "3.28 M");
        assert_eq!(millions(219_298_245.0), "219 M");
    }
}
