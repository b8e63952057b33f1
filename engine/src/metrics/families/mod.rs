//! Every metric there is: its name, kind, labels, meaning, and where it is taken from. The one place that
//! says so: scrapes are written and `docs/src/metrics.md` is printed from here.
//!
//! Names and units are by the Prometheus conventions: base units at the end of the name, `_total` behind
//! what only rises, `_ratio` for shares of one.
//!
//! Must never: have a label whose values strangers can choose.

mod clients;
mod clock;
mod fast_path;
mod server;
mod sources;

use std::fmt::Write as _;

use super::Tally;
use super::exposition::Exposition;
use crate::report::Report;

/// One metric with all its labels' values.
pub(super) struct Family {
    /// Its name.
    pub(super) name: &'static str,
    /// What can be done with its values.
    pub(super) kind: Kind,
    /// Its labels, as in the document.
    labels: &'static str,
    /// What it means, unit included.
    pub(super) help: &'static str,
    /// Writes its samples.
    pub(super) samples: fn(&Seen<'_>, &mut Exposition),
}

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Rises, until the server starts again.
    Counter,
    /// Comes and goes.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The word for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What a scrape is drawn from.
pub(super) struct Seen<'s> {
    /// The server.
    pub(super) report: &'s Report,
    /// This page's own visitors.
    pub(super) visits: &'s Tally,
}

/// Every family, in the order of the page.
pub(super) fn all() -> impl Iterator<Item = &'static Family> {
    groups().into_iter().flat_map(|(_, families)| families)
}

fn groups() -> [(&'static str, &'static [Family]); 5] {
    [
        ("The server", server::FAMILIES),
        ("Requests and replies", clients::FAMILIES),
        ("The fast path", fast_path::FAMILIES),
        ("The clock", clock::FAMILIES),
        ("The sources", sources::FAMILIES),
    ]
}

/// The tables of `docs/src/metrics.md`.
pub(crate) fn document() -> String {
    let mut text = String::new();
    for (title, families) in groups() {
        let _ = writeln!(
            text,
            "### {title}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|"
        );
        for Family { name, kind, labels, help, .. } in families {
            let _ = writeln!(text, "| `{name}` | {} | {labels} | {help} |", kind.name());
        }
        text.push('\n');
    }
    text
}

type Samples = fn(&Seen<'_>, &mut Exposition);

const fn counter(
    name: &'static str,
    labels: &'static str,
    help: &'static str,
    samples: Samples,
) -> Family {
    Family { name, kind: Kind::Counter, labels, help, samples }
}

const fn gauge(
    name: &'static str,
    labels: &'static str,
    help: &'static str,
    samples: Samples,
) -> Family {
    Family { name, kind: Kind::Gauge, labels, help, samples }
}

const fn histogram(
    name: &'static str,
    labels: &'static str,
    help: &'static str,
    samples: Samples,
) -> Family {
    Family { name, kind: Kind::Histogram, labels, help, samples }
}
