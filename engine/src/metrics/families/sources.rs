//! The sources, each by its name in the config.

use super::{Family, Seen, counter, gauge};
use crate::metrics::exposition::Exposition;
use crate::report::Source;

pub(super) static FAMILIES: &[Family] = &[
    gauge(
        "timeball_source_info",
        "source, address, reference_id, state, tally",
        "Always 1; where each source is, where it has its time from, whether it is asked, and what \
         selection made of it.",
        |seen, out| {
            each(seen, |name, source| {
                let last = source.last.as_ref();
                let labels = [
                    ("source", name),
                    ("address", source.address.as_deref().unwrap_or_default()),
                    ("reference_id", last.map_or("", |last| &last.reference_id)),
                    ("state", &source.state),
                    ("tally", &source.tally),
                ];
                out.add(&labels, 1.0);
            });
        },
    ),
    gauge(
        "timeball_source_selected",
        "source",
        "1 if the served time rests on it (ntpq's * and +), else 0.",
        |seen, out| value(seen, out, |one| Some(f64::from(matches!(one.symbol, '*' | '+')))),
    ),
    gauge(
        "timeball_source_falseticker",
        "source",
        "1 if it disagrees with the majority, else 0.",
        |seen, out| value(seen, out, |one| Some(f64::from(one.symbol == 'x'))),
    ),
    gauge(
        "timeball_source_reach_ratio",
        "source",
        "Share of the last eight requests that were answered.",
        |seen, out| value(seen, out, |one| Some(f64::from(one.reach.count_ones()) / 8.0)),
    ),
    gauge("timeball_source_stratum", "source", "As it says; absent: never heard.", |seen, out| {
        value(seen, out, |one| one.last.as_ref().map(|last| last.stratum.into()));
    }),
    gauge("timeball_source_poll_seconds", "source", "Between two requests.", |seen, out| {
        value(seen, out, |one| Some(f64::from(one.poll_log2_s).exp2()));
    }),
    gauge(
        "timeball_source_last_answer_age_seconds",
        "source",
        "Since the last accepted answer; absent: never.",
        |seen, out| value(seen, out, |one| one.when_s),
    ),
    gauge(
        "timeball_source_offset_seconds",
        "source",
        "Its time minus served time, by its whole history.",
        |seen, out| value(seen, out, |one| one.offset_s),
    ),
    gauge(
        "timeball_source_offset_error_seconds",
        "source",
        "Standard deviation of that.",
        |seen, out| value(seen, out, |one| one.offset_error_s),
    ),
    gauge(
        "timeball_source_delay_seconds",
        "source",
        "Least round-trip delay in its history.",
        |seen, out| value(seen, out, |one| one.delay_s),
    ),
    gauge(
        "timeball_source_jitter_seconds",
        "source",
        "Deviation of a single measurement.",
        |seen, out| value(seen, out, |one| one.jitter_s),
    ),
    gauge(
        "timeball_source_root_distance_seconds",
        "source",
        "Bound of its offset's error.",
        |seen, out| value(seen, out, |one| one.root_distance_s),
    ),
    counter(
        "timeball_source_requests_total",
        "source",
        "Requests sent to its present address.",
        |seen, out| value(seen, out, |one| Some(one.requests as f64)),
    ),
    counter(
        "timeball_source_rejected_total",
        "source, reason",
        "Its datagrams that were not believed, by reason; those that never occurred are absent.",
        |seen, out| {
            each(seen, |name, source| {
                for (reason, &count) in &source.rejected {
                    out.add(&[("source", name), ("reason", reason)], count as f64);
                }
            });
        },
    ),
];

/// For each source a name that no other has, and what is known of it.
fn each(seen: &Seen<'_>, mut with: impl FnMut(&str, &Source)) {
    let sources = &seen.report.sources;
    for (place, source) in sources.iter().enumerate() {
        // Servers found on the local network are called by how they were looked for.
        match sources[..place].iter().filter(|other| other.name == source.name).count() {
            0 => with(&source.name, source),
            before => with(&format!("{} ({})", source.name, before + 1), source),
        }
    }
}

fn value(seen: &Seen<'_>, out: &mut Exposition, of: impl Fn(&Source) -> Option<f64>) {
    each(seen, |name, source| {
        of(source).into_iter().for_each(|value| out.add(&[("source", name)], value));
    });
}
