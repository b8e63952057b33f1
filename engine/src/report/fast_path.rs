//! What is answered in network drivers: where, how much, and why not.
//!
//! Must never: count a request twice; what the program answers or drops no worker sees.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use timeball_responder::{DropReason, LimiterTally, Totals};
use timeball_sys::xdp::{Counts, Outcome, Tally};
use timeball_wire::IoTally;

use super::draw::{occurred, work};
use super::{Report, Work};

/// The fast path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FastPath {
    /// Why there is none; `None`: the program is loaded.
    pub refused: Option<String>,
    /// Each interface at which it is wanted.
    pub interfaces: Vec<FastInterface>,
    /// What was done there for clients; it is counted among that of all.
    pub work: Work,
    /// Frames that went on to the kernel and the workers, by reason; those that never occurred are left out.
    pub passed_on: BTreeMap<String, u64>,
}

/// An interface at which requests are to be answered in the driver.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FastInterface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`, as configured.
    pub mode: String,
    /// Why they are not; `None`: they are.
    pub hindrance: Option<String>,
}

/// The fast path of the running server, as all who report on it see it.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    refused: Option<String>,
    counts: Option<Arc<Counts>>,
    interfaces: Arc<Mutex<Vec<FastInterface>>>,
}

impl Driver {
    /// Of a program that counts in `counts`.
    pub(crate) fn of(counts: Counts) -> Self {
        Self { refused: None, counts: Some(Arc::new(counts)), interfaces: Arc::default() }
    }

    /// Of none, though it is wanted at `interfaces`, for the reason that each of them has.
    pub(crate) fn refused(why: String, interfaces: Vec<FastInterface>) -> Self {
        let interfaces = Arc::new(Mutex::new(interfaces));
        Self { refused: Some(why), counts: None, interfaces }
    }

    /// Shows `interfaces` from now on, and returns those that are not as they were.
    pub(crate) fn show(&self, interfaces: Vec<FastInterface>) -> Vec<FastInterface> {
        let mut shown = self.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = interfaces.iter().filter(|one| !shown.contains(one)).cloned().collect();
        *shown = interfaces;
        changed
    }

    /// What was answered and what was dropped, as a worker would have counted it.
    pub(crate) fn totals(&self) -> Totals {
        let tally = self.tally();
        let mut dropped = [0; DropReason::ALL.len()];
        for (reason, outcome) in DROPPED {
            dropped[reason as usize] = tally.of(outcome);
        }
        Totals {
            received: tally.answered() + dropped.iter().sum::<u64>(),
            dropped,
            limiter: LimiterTally {
                leaked: tally.of(Outcome::Leaked),
                observed: tally.of(Outcome::Observed),
                forgotten: tally.of(Outcome::Forgotten),
                ..LimiterTally::default()
            },
            unsynchronised: tally.of(Outcome::Unsynchronised),
            // By version, from 1.
            answered: [0, 0, tally.of(Outcome::AnsweredV3), tally.of(Outcome::AnsweredV4)],
            io: IoTally { sent: tally.answered(), ..IoTally::default() },
            ..Totals::default()
        }
    }

    /// How it is now.
    pub(crate) fn report(&self) -> FastPath {
        let tally = self.tally();
        let passed_on = Outcome::PASSED_ON.into_iter();
        FastPath {
            refused: self.refused.clone(),
            interfaces: self.interfaces.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            work: work(&self.totals()),
            passed_on: occurred(passed_on.map(|outcome| (outcome.name(), tally.of(outcome)))),
        }
    }

    fn tally(&self) -> Tally {
        self.counts.as_ref().map(|counts| counts.tally()).unwrap_or_default()
    }
}

/// What the driver drops, by the workers' names.
const DROPPED: [(DropReason, Outcome); 3] = [
    (DropReason::Access, Outcome::Access),
    (DropReason::Version, Outcome::Version),
    (DropReason::Limited, Outcome::Limited),
];

/// The fast path in words: a line for each interface, and one about frames.
pub(super) fn text(report: &Report) -> String {
    let Some(fast_path) = &report.fast_path else { return String::new() };
    let mut text = String::new();
    for (at, line) in lines(fast_path).iter().enumerate() {
        let head = if at == 0 { "driver" } else { "" };
        let _ = writeln!(text, "{head:8} {line}");
    }
    if fast_path.refused.is_none() {
        let (own, all) = (fast_path.work.answered, report.clients.answered);
        let share = 100.0 * own as f64 / all.max(1) as f64;
        let _ =
            write!(text, "         {own} answered, {share:.1} % of all answers; frames passed on");
        let separators = std::iter::once(": ").chain(std::iter::repeat(", "));
        for (separator, (reason, count)) in separators.zip(&fast_path.passed_on) {
            let _ = write!(text, "{separator}{reason} {count}");
        }
        text.push_str(if fast_path.passed_on.is_empty() { ": none\n" } else { "\n" });
    }
    text
}

/// What an operator should know: where the driver was to answer, and does not.
pub(super) fn notes(fast_path: &FastPath) -> Vec<String> {
    if let Some(refused) = &fast_path.refused {
        return vec![format!("no fast path, workers answer everything: {refused}")];
    }
    let hindered = |one: &FastInterface| {
        let why = one.hindrance.as_ref()?;
        Some(format!("workers answer everything that comes by {}: {why}", one.name))
    };
    fast_path.interfaces.iter().filter_map(hindered).collect()
}

/// What is answered where; or why not.
pub(crate) fn lines(fast_path: &FastPath) -> Vec<String> {
    if let Some(refused) = &fast_path.refused {
        return vec![format!("workers answer everything: {refused}")];
    }
    if fast_path.interfaces.is_empty() {
        return vec!["workers answer everything, as configured".to_owned()];
    }
    let line = |one: &FastInterface| match &one.hindrance {
        None => format!("{} answers plain requests ({})", one.name, one.mode),
        Some(why) => format!("{}: workers answer everything: {why}", one.name),
    };
    fast_path.interfaces.iter().map(line).collect()
}
