//! A result as one HTML page that needs nothing else: style, drawings and figures are in it.
//!
//! The page is made to be sent around and opened years later: no script, no font, no address to fetch. It
//! follows the reader's light or dark setting, and every command that made it is on it.
//!
//! Must never: fetch anything, or show a figure that the stored result does not hold.

mod chart;
mod charts;
mod parts;
mod picture;
mod scale;

pub use chart::{Axis, Chart, Line, escaped, put};
pub use charts::percentile_curves;
pub use parts::{card, facts, lines, note, shell_words, table, whole};
pub use picture::svg;
pub use scale::{Scale, Unit};

use crate::table::{micros, percent, thousands};
use crate::text::{cells, load_text, ratio_verdict, remarks, utc};
use crate::{Comparison, Document, Experiment, Method, Trial};

use chart::interval_svg;
use charts::Drawing;

/// The whole page.
pub fn html(document: &Document) -> String {
    let title = title(document);
    let mut body = format!("<h1>{}</h1>", escaped(&title));
    if let Some(first) = document.trials.first() {
        put(
            &mut body,
            format_args!(
                "<p class=\"sub\">{} · {} · from {}</p>",
                utc(first.started_unix_ns),
                escaped(&document.program),
                if document.generators.len() == 1 {
                    "one generator".to_owned()
                } else {
                    format!("{} generators", document.generators.len())
                },
            ),
        );
    }
    for remark in remarks(document) {
        note(&mut body, &remark);
    }
    match document.trials.as_slice() {
        [trial] => run(&mut body, trial),
        trials => steps(&mut body, document, trials),
    }
    generators(&mut body, document);
    whole(&title, &body)
}

fn title(document: &Document) -> String {
    let target = document.trials.first().map_or(String::new(), |it| it.target.to_string());
    match (document.kind, document.trials.as_slice()) {
        (Experiment::Compare, _) => match &document.comparison {
            Some(Comparison { a, b, .. }) => format!("{a} against {b}"),
            None => "Comparison".to_owned(),
        },
        (_, [trial]) => format!("{target}: {}", load_text(trial)),
        (Experiment::Find, _) => format!("{target}: the highest rate that meets the service level"),
        (_, trials) => format!("{target} under {} loads", trials.len()),
    }
}

fn run(body: &mut String, trial: &Trial) {
    tiles(body, trial);
    body.push_str("<div class=\"cards\">");
    cards(body, &charts::of_run(trial));
    body.push_str("</div>");
    card(body, "Distributions", "All in µs.", &table(&cells::TIMES, cells::times(trial)));
    body.push_str("<div class=\"cards\">");
    card(body, "Requests", "", &table(&cells::COUNTS, cells::counts(trial)));
    card(body, "Senders", SENDERS_WHY, &table(&cells::SENDERS, cells::senders(trial)));
    body.push_str("</div>");
    let others = cells::others(trial);
    if !others.is_empty() {
        card(body, "Hostile packets and clients", OTHERS_WHY, &table(&cells::OTHERS, others));
    }
}

fn cards(body: &mut String, drawings: &[Drawing]) {
    for Drawing { title, why, chart } in drawings {
        card(body, title, why, &chart.html(title));
    }
}

fn steps(body: &mut String, document: &Document, trials: &[Trial]) {
    if let Some(capacity) = &document.capacity {
        let text = escaped(&capacity.text()).replace('\n', "<br>");
        card(body, "The highest rate", "", &format!("<p class=\"answer\">{text}</p>"));
    }
    if let Some(comparison) = &document.comparison {
        card(body, "B divided by A", &method_text(comparison), &comparison_table(comparison));
    }
    body.push_str("<div class=\"cards\">");
    cards(body, &charts::of_steps(document));
    body.push_str("</div>");
    card(body, "Every load", "Latency in µs.", &trials_table(trials));
}

fn tiles(body: &mut String, trial: &Trial) {
    let report = &trial.report;
    let latency = report.latency.distribution();
    let error = report.offset.magnitudes();
    let time = |nanos: i64| Unit::Nanos.text(nanos as f64);
    let mut tiles = vec![
        (thousands(report.answered_per_s()), "answered a second"),
        (percent(report.answered_share()), "of requests answered"),
        (time(latency.p50_ns), "median latency"),
        (time(latency.p99_ns), "p99 latency"),
        (time(latency.p99_9_ns), "p99.9 latency"),
    ];
    if !error.is_empty() {
        tiles.push((time(error.value_at_quantile(0.99) as i64), "p99 of served-time error"));
    }
    body.push_str("<div class=\"tiles\">");
    for (figure, what) in tiles {
        put(body, format_args!("<div class=\"tile\"><b>{figure}</b><span>{what}</span></div>"));
    }
    body.push_str("</div>");
}

fn trials_table(trials: &[Trial]) -> String {
    let header = [
        "load",
        "sent/s",
        "answered/s",
        "answered",
        "lost",
        "invalid",
        "p50",
        "p99",
        "p99.9",
        "max",
    ];
    let rows = trials.iter().map(|trial| {
        let (report, latency) = (&trial.report, trial.report.latency.distribution());
        let subject =
            trial.subject.as_ref().map_or(String::new(), |subject| format!("{subject}: "));
        let mut cells = vec![
            format!("{subject}{}", load_text(trial)),
            thousands(report.sent_per_s()),
            thousands(report.answered_per_s()),
            percent(report.answered_share()),
            thousands(report.lost as f64),
            thousands(report.faults.total() as f64),
        ];
        let figures = [latency.p50_ns, latency.p99_ns, latency.p99_9_ns, latency.max_ns];
        cells.extend(figures.map(micros));
        cells
    });
    table(&header, rows)
}

fn comparison_table(comparison: &Comparison) -> String {
    let ratios = comparison.figures.iter().map(|it| it.ratio);
    let ends = ratios.flat_map(|ratio| [ratio.low, ratio.high, 1.0]);
    let scale = Scale::log(ends.collect::<Vec<_>>().into_iter());
    let mut html = String::from(
        "<div class=\"scroll\"><table><tr><th></th><th>A</th><th>B</th><th>B / A</th>\
         <th>95 % interval</th><th></th><th>verdict</th></tr>",
    );
    for it in &comparison.figures {
        let colour = if it.ratio.differs() { "b" } else { "a" };
        put(
            &mut html,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.3}</td><td>{:.3} – {:.3}</td><td>{}</td>\
                 <td>{}</td></tr>",
                escaped(&it.name),
                figure(it.a),
                figure(it.b),
                it.ratio.ratio,
                it.ratio.low,
                it.ratio.high,
                interval_svg(scale, it.ratio, colour),
                ratio_verdict(comparison, it.ratio),
            ),
        );
    }
    html.push_str("</table></div>");
    html
}

fn figure(value: f64) -> String {
    if value >= 1_000.0 { thousands(value) } else { format!("{value:.2}") }
}

fn method_text(comparison: &Comparison) -> String {
    let Comparison { a, b, method, .. } = comparison;
    let method = match method {
        Method::Paired => "Rounds in turns; Student's t on log B − log A within each round.",
        Method::Unpaired => "Two sets of results; Welch's t on the logarithms of each.",
    };
    format!("A is {a}, B is {b}. {method}")
}

fn generators(body: &mut String, document: &Document) {
    for generator in &document.generators {
        let machine = generator.machine.facts().into_iter();
        let device = [("device to the server", generator.device.text())];
        let cores: Vec<_> = document.trials[0]
            .senders
            .iter()
            .map(|sender| sender.core.map_or("anywhere".to_owned(), |core| core.to_string()))
            .collect();
        let pinning = [("senders on core", cores.join(", "))];
        let rows = machine.chain(device).chain(pinning);
        let html = facts(rows) + &lines(&shell_words(&generator.command));
        card(body, "Made on", "And the command that made it.", &html);
    }
}

const SENDERS_WHY: &str = "The generator's threads; what left late is in the latency.";
const OTHERS_WHY: &str =
    "Hostile packets are to be answered by nobody, and are counted nowhere else.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::trial;
    use crate::{Machine, Ratio};

    fn pages() -> [String; 3] {
        let document = |kind, trials| Document::new(kind, Machine::look(), trials);
        let rates = [1_000, 5_000, 20_000];
        let mut compared =
            document(Experiment::Compare, vec![trial(900, 5_000), trial(1_000, 9_000)]);
        let (a, b) = (&compared.trials[0], &compared.trials[1]);
        compared.comparison =
            Some(Comparison::of(("<A>", "B & co"), &[a, a], &[b, b], Method::Paired));
        [
            document(Experiment::Run, vec![trial(20_000, 5_000)]),
            document(Experiment::Sweep, rates.map(|rate| trial(rate, 5_000)).into()),
            compared,
        ]
        .map(|document| html(&document))
    }

    #[test]
    fn a_page_fetches_nothing_and_runs_nothing() {
        for page in pages() {
            for word in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"]
            {
                assert!(!page.contains(word), "{word}");
            }
            assert!(page.contains("<svg") && page.contains("prefers-color-scheme: dark"));
        }
    }

    #[test]
    fn each_kind_of_result_has_its_charts() {
        let [run, sweep, compared] = pages();
        for title in ["Latency by percentile", "Served-time error", "Rate over time", "Made on"] {
            assert!(run.contains(title), "{title}");
        }
        for title in ["Throughput against offered rate", "knee 20 k/s", "Loss against offered rate"]
        {
            assert!(sweep.contains(title), "{title}");
        }
        assert!(
            compared.contains("B divided by A")
                && compared.contains("&lt;A&gt; against B &amp; co")
        );
        assert!(!compared.contains("NaN") && !run.contains("NaN") && !sweep.contains("NaN"));
    }

    #[test]
    fn a_picture_has_the_charts_of_its_page_and_stands_by_itself() {
        let rates = [1_000, 5_000, 20_000];
        let trials = rates.map(|rate| trial(rate, 5_000)).into();
        let svg = svg(&Document::new(Experiment::Sweep, Machine::look(), trials));
        assert_eq!((svg.matches("<svg ").count(), svg.matches("</svg>").count()), (1, 1));
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
        for title in ["Throughput against offered rate", "knee 20 k/s", "Latency by percentile"] {
            assert!(svg.contains(title), "{title}");
        }
        for word in ["NaN", "href=", "url(", "@import", "<script", "<image"] {
            assert!(!svg.contains(word), "{word}");
        }
        assert_eq!(svg.matches("http").count(), 1, "its name space, which nobody fetches");
    }

    #[test]
    fn commands_are_quoted_for_a_shell() {
        let words = ["timeball-load", "run", "127.0.0.1:123", "it's", "a b"].map(str::to_owned);
        assert_eq!(shell_words(&words), r"timeball-load run 127.0.0.1:123 'it'\''s' 'a b'");
    }

    #[test]
    fn an_interval_that_leaves_out_one_is_shown_in_another_colour() {
        let scale = Scale::Linear { low: 0.5, high: 1.5 };
        let ratio = Ratio { ratio: 1.1, low: 1.05, high: 1.15 };
        assert!(interval_svg(scale, ratio, "b").contains("var(--b)"));
    }
}
