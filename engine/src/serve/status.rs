//! What the server is doing, for a person: the clock, the sources, the workers.
//!
//! The discipline thread puts its state on a [`Board`] whenever it has done something; whoever wants to
//! know reads it there. Workers are read through their counters and notice nothing.
//!
//! Must never: make the discipline thread wait for a reader.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Mutex;

use timeball_discipline::{SourceStatus, Status};
use timeball_responder::Totals;
use timeball_time::{Interval, Leap};

/// The discipline's last state.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Option<Status>>);

impl Board {
    /// Shows `status` from now on; if somebody is reading this very moment, the old one stays.
    pub(super) fn show(&self, status: Status) {
        if let Ok(mut shown) = self.0.try_lock() {
            *shown = Some(status);
        }
    }

    /// Where the sources are.
    pub(super) fn source_addresses(&self) -> Vec<IpAddr> {
        let status = self.read();
        let sources = status.iter().flat_map(|status| &status.sources);
        sources.filter_map(|source| Some(source.remote?.ip())).collect()
    }

    fn read(&self) -> Option<Status> {
        self.0.lock().map_or(None, |shown| shown.clone())
    }
}

/// Clock, sources (called `names`, in their order) and workers.
pub(super) fn text(board: &Board, names: &[String], totals: &[Totals]) -> String {
    let mut text = String::new();
    if let Some(status) = board.read() {
        text += &clock(&status);
        text += &sources(&status, names);
    }
    text + &work(totals)
}

fn clock(status: &Status) -> String {
    let snapshot = &status.snapshot;
    let state = match snapshot.leap {
        Leap::Unsynchronised => {
            format!(
                "not synchronised ({:?}), waiting for {}",
                snapshot.reference_id, status.waiting
            )
        }
        leap => format!(
            "stratum {} from {:?}, leap {}",
            snapshot.stratum.get(),
            snapshot.reference_id,
            leap.to_bits()
        ),
    };
    let dispersion = snapshot.root_dispersion.as_secs_f64();
    format!(
        "clock    {state}\n         root delay {:.6} s, root dispersion {dispersion:.6} s, \
         frequency {:+.3} ppm, correction {:+.9} s\n",
        snapshot.root_delay.interval().as_secs_f64(),
        status.frequency.as_ppm(),
        status.correction.as_secs_f64(),
    )
}

fn sources(status: &Status, names: &[String]) -> String {
    if status.sources.is_empty() {
        return String::new();
    }
    let width = names.iter().map(String::len).max().unwrap_or(0).max(6);
    let mut text =
        format!("  {:width$} st reach poll when     offset       ± delay      jitter\n", "source");
    for (source, name) in status.sources.iter().zip(names) {
        let _ = writeln!(text, "{} {name:width$} {}", source.tally.symbol(), row(source));
    }
    text + "  * system peer  + combined  - outlier  x falseticker  (blank) not usable\n"
}

fn row(source: &SourceStatus) -> String {
    let seconds = |value: Option<Interval>| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{:+.9}", value.as_secs_f64()))
    };
    let stratum = source.last.map_or_else(|| "-".to_owned(), |last| last.stratum.get().to_string());
    let when =
        source.when.map_or_else(|| "-".to_owned(), |when| format!("{:.0}", when.as_secs_f64()));
    format!(
        "{stratum:>2} {:>5o} {:>4} {when:>4} {:>14} {:>12} {:>12} {}",
        source.reach,
        Interval::from_poll(source.poll).as_secs_f64(),
        seconds(source.offset),
        seconds(source.delay),
        seconds(source.jitter),
        source.unfit.map_or_else(String::new, |rejection| rejection.to_string()),
    )
}

/// What the workers have done.
pub(super) fn work(totals: &[Totals]) -> String {
    let mut text = String::new();
    for (worker, totals) in totals.iter().enumerate() {
        let _ = write!(
            text,
            "worker {worker}: {} received, {} answered, {} unanswered",
            totals.received,
            totals.answers(),
            totals.drops()
        );
        let drops = totals.drops_by_reason().map(|(reason, count)| (reason.name(), count));
        let others = [
            ("unsynchronised", totals.unsynchronised),
            ("crypto_nak", totals.crypto_naks),
            ("unstamped", totals.unstamped),
            ("send_full", totals.io.send_full),
            ("send_refused", totals.io.send_refused),
            ("frames_exhausted", totals.io.frames_exhausted),
        ];
        for (name, count) in drops.chain(others).filter(|(_, count)| *count > 0) {
            let _ = write!(text, ", {name} {count}");
        }
        text.push('\n');
    }
    text
}
