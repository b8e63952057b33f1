//! What came of a run, as plain numbers for people and programs.
//!
//! Must never: hold anything that the reader would have to compute to believe; every ratio has its
//! parts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Distribution, Fault};

/// The outcome of one run.
///
/// Of every request: `sent = answered + lost + given up with an invalid reply`; see
/// [`Report::faults`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// From the first intended moment to the end of offering, in seconds; draining comes after.
    pub elapsed_s: f64,
    /// Requests handed to the kernel.
    pub sent: u64,
    /// Requests the kernel had no room for; they were dropped, not retried.
    pub unsent: u64,
    /// Valid replies.
    pub answered: u64,
    /// Of these, the ones that had arrived when offering ended.
    pub answered_in_time: u64,
    /// Requests without a reply in time.
    pub lost: u64,
    /// Invalid replies by reason.
    pub faults: BTreeMap<String, u64>,
    /// Exchanges that break T1 ≤ T2 ≤ T3 ≤ T4.
    pub causality_violations: u64,
    /// Replies without a kernel stamp of their arrival; they are answers, but no times are taken.
    pub unstamped: u64,
    /// Requests handed over later than intended, by this much: how far the generator fell behind.
    pub lag: Distribution,
    /// Arrival of the reply (kernel stamp) after the request's *intended* moment.
    pub latency: Distribution,
    /// θ = ((T2 − T1) + (T3 − T4)) / 2 with kernel stamps for T1 and T4: the served time's error.
    pub offset: Distribution,
    /// T2 − T1 with the kernel's departure stamp as T1: an upper bound of T2's error.
    pub receive_error: Distribution,
    /// T4 − T3 with the kernel's arrival stamp as T4: an upper bound of T3's error.
    pub transmit_error: Distribution,
    /// T3 − T2.
    pub residence: Distribution,
    /// (T4 − T3) of a burst's last request less that of its first.
    pub burst_position: Distribution,
}

impl Report {
    /// Valid replies a second while load was offered.
    pub fn answered_per_s(&self) -> f64 {
        if self.elapsed_s > 0.0 { self.answered_in_time as f64 / self.elapsed_s } else { 0.0 }
    }

    /// Requests a second that were really sent.
    pub fn sent_per_s(&self) -> f64 {
        if self.elapsed_s > 0.0 { self.sent as f64 / self.elapsed_s } else { 0.0 }
    }

    /// Valid replies as a share of the requests sent, 0 to 1.
    pub fn answered_share(&self) -> f64 {
        if self.sent > 0 { self.answered as f64 / self.sent as f64 } else { 0.0 }
    }

    /// How many replies were invalid for `fault`.
    pub fn faults_of(&self, fault: Fault) -> u64 {
        self.faults.get(fault.text()).copied().unwrap_or(0)
    }
}
