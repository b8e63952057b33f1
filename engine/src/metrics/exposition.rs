//! The text of a scrape: Prometheus' format 0.0.4, or OpenMetrics 1.0 for those who ask for it.
//!
//! The two differ in what a counter's family is called and in how the text ends.
//!
//! Must never: write a family whose name is not in the table.

use std::fmt::Write as _;

use super::families::{Family, Kind, Seen};
use crate::report::Histogram;

/// A scrape's text, as far as it is written.
#[derive(Debug)]
pub(super) struct Exposition {
    text: String,
    open_metrics: bool,
    /// The family being written.
    name: &'static str,
}

impl Exposition {
    /// Every family of `families`, as `seen`.
    pub(super) fn of<'f>(
        families: impl Iterator<Item = &'f Family>,
        seen: &Seen<'_>,
        open_metrics: bool,
    ) -> String {
        let mut exposition = Self { text: String::new(), open_metrics, name: "" };
        for family in families {
            exposition.begin(family);
            (family.samples)(seen, &mut exposition);
        }
        if open_metrics {
            exposition.text.push_str("# EOF\n");
        }
        exposition.text
    }

    /// One sample of the present family, with these labels.
    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", labels, value);
    }

    /// The present family's only sample.
    pub(super) fn only(&mut self, value: f64) {
        self.add(&[], value);
    }

    /// The present family's only sample, if there is a value.
    pub(super) fn maybe(&mut self, value: Option<f64>) {
        value.into_iter().for_each(|value| self.only(value));
    }

    /// One histogram of the present family, with these labels.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut so_far = 0;
        let bounds = histogram.bounds.iter().map(|&bound| number(bound));
        for (bound, count) in bounds.zip(&histogram.counts) {
            so_far += count;
            self.sample("_bucket", &[labels, &[("le", bound.as_str())]].concat(), so_far as f64);
        }
        let all = histogram.counts.iter().sum::<u64>() as f64;
        self.sample("_bucket", &[labels, &[("le", "+Inf")]].concat(), all);
        self.sample("_sum", labels, histogram.sum);
        self.sample("_count", labels, all);
    }

    fn begin(&mut self, family: &Family) {
        self.name = family.name;
        let name = match family.kind {
            Kind::Counter if self.open_metrics => family.name.trim_end_matches("_total"),
            _ => family.name,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {}", family.help);
        let _ = writeln!(self.text, "# TYPE {name} {}", family.kind.name());
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (place, (label, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", Escaped(value));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{after} {}", number(value));
    }
}

/// A number as both formats want it.
fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

/// A label's value between its quotes.
struct Escaped<'t>(&'t str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}

/// The type of the text.
pub(super) const fn content_type(open_metrics: bool) -> &'static str {
    if open_metrics {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_histograms_add_up() {
        let mut text =
            Exposition { text: String::new(), open_metrics: false, name: "timeball_x_seconds" };
        text.add(&[("source", "a\"b\\c\nd"), ("n", "1")], 0.5);
        let histogram =
            Histogram { bounds: vec![0.001, 0.01], counts: vec![3, 0, 2], sum: f64::INFINITY };
        text.histogram(&[("worker", "0")], &histogram);
        let expected = "timeball_x_seconds{source=\"a\\\"b\\\\c\\nd\",n=\"1\"} 0.5\n\
             timeball_x_seconds_bucket{worker=\"0\",le=\"0.001\"} 3\n\
             timeball_x_seconds_bucket{worker=\"0\",le=\"0.01\"} 3\n\
             timeball_x_seconds_bucket{worker=\"0\",le=\"+Inf\"} 5\n\
             timeball_x_seconds_sum{worker=\"0\"} +Inf\n\
             timeball_x_seconds_count{worker=\"0\"} 5\n";
        assert_eq!(text.text, expected);
    }
}
