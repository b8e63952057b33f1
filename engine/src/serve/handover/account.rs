//! What was counted, as it goes from one process to the next: whoever counts on it sees one server.
//!
//! Counters have names there, so that two versions of this program need not have the same ones: what only one
//! of them knows is left out.
//!
//! Must never: be drawn up before the last thread that counts has ended.

use std::collections::BTreeMap;
use std::iter::zip;

use serde::{Deserialize, Serialize};
use timeball_responder::{
    BATCH_BOUNDS, Distribution, DropReason, LimiterTally, RESIDENCE_BOUNDS_NS, Totals,
};
use timeball_wire::{Fallback, IoTally};

/// All of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(in crate::serve) struct Account {
    /// Since when there is counting, seconds since 1970.
    pub(in crate::serve) since_unix_s: f64,
    /// The counters of each worker's place, by name; what is 0 is left out.
    places: Vec<BTreeMap<String, u64>>,
    /// Reloads that were put into force, and those that were refused.
    pub(in crate::serve) reloads: (u64, u64),
    /// Datagrams lost to a full queue, and those lost while senders were held back.
    pub(in crate::serve) lost: (u64, u64),
}

impl Account {
    /// Of what is counted since `since_unix_s` besides the workers' counters: `reloads`, and what was `lost`.
    pub(in crate::serve) fn new(since_unix_s: f64, reloads: (u64, u64), lost: (u64, u64)) -> Self {
        Self { since_unix_s, places: Vec::new(), reloads, lost }
    }

    /// With these `totals` of each worker's place.
    pub(in crate::serve) fn with_totals(self, totals: &[Totals]) -> Self {
        Self { places: totals.iter().copied().map(named).collect(), ..self }
    }

    /// The counters of each worker's place.
    pub(in crate::serve) fn totals(&self) -> Vec<Totals> {
        self.places.iter().map(unnamed).collect()
    }
}

fn named(mut totals: Totals) -> BTreeMap<String, u64> {
    let mut names = BTreeMap::new();
    each(&mut totals, |name, count| {
        if *count > 0 {
            names.insert(name, *count);
        }
    });
    names
}

fn unnamed(names: &BTreeMap<String, u64>) -> Totals {
    let mut totals = Totals::default();
    each(&mut totals, |name, count| *count = names.get(&name).copied().unwrap_or(0));
    totals
}

/// Shows every counter of `totals` by its name. (One that is added there has to be named here.)
fn each(totals: &mut Totals, mut show: impl FnMut(String, &mut u64)) {
    let Totals {
        received,
        batches,
        unstamped,
        unsynchronised,
        symmetric,
        signed,
        crypto_naks,
        answered,
        dropped,
        io: IoTally { sent, send_full, send_refused, frames_exhausted, raw, by_socket },
        residences,
        batch_sizes,
        limiter: LimiterTally { leaked, kisses, observed, forgotten, overloaded },
    } = totals;
    let plain = [
        ("received", received),
        ("batches", batches),
        ("unstamped", unstamped),
        ("unsynchronised", unsynchronised),
        ("symmetric", symmetric),
        ("signed", signed),
        ("crypto_naks", crypto_naks),
        ("sent", sent),
        ("send_full", send_full),
        ("send_refused", send_refused),
        ("frames_exhausted", frames_exhausted),
        ("raw", raw),
        ("leaked", leaked),
        ("kisses", kisses),
        ("observed", observed),
        ("forgotten", forgotten),
        ("overloaded", overloaded),
    ];
    plain.into_iter().for_each(|(name, count)| show(name.to_owned(), count));
    zip(1.., answered).for_each(|(version, count)| show(format!("answered v{version}"), count));
    let reasons = DropReason::ALL.iter().map(|reason| reason.name());
    zip(reasons, dropped).for_each(|(reason, count)| show(format!("dropped {reason}"), count));
    let reasons = Fallback::ALL.iter().map(|reason| reason.name());
    zip(reasons, by_socket).for_each(|(reason, count)| show(format!("by socket {reason}"), count));
    distribution("residence ns", &RESIDENCE_BOUNDS_NS, residences, &mut show);
    distribution("batch", &BATCH_BOUNDS, batch_sizes, &mut show);
}

fn distribution<const BUCKETS: usize>(
    name: &str,
    bounds: &[u64],
    distribution: &mut Distribution<BUCKETS>,
    show: &mut impl FnMut(String, &mut u64),
) {
    let bounds = bounds.iter().copied().chain([u64::MAX]);
    for (bound, count) in zip(bounds, &mut distribution.counts) {
        show(format!("{name} <= {bound}"), count);
    }
    show(format!("{name} sum"), &mut distribution.sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_name_of_its_own_and_comes_through() {
        let (mut totals, mut next) = (Totals::default(), 0);
        each(&mut totals, |_, count| {
            next += 1;
            *count = next;
        });
        assert_eq!(named(totals).len() as u64, next, "no name twice");
        let account = Account::new(5.0, (1, 2), (3, 4)).with_totals(&[totals, Totals::default()]);
        let line = serde_json::to_string(&account).unwrap();
        let read: Account = serde_json::from_str(&line).unwrap();
        assert_eq!(read, account);
        assert_eq!(read.totals(), [totals, Totals::default()]);
        // Of another version that counts more, and less.
        let other = line.replace("\"signed\"", "\"sealed\"");
        let read: Account = serde_json::from_str(&other).unwrap();
        assert_eq!(read.totals()[0], Totals { signed: 0, ..totals });
    }
}
