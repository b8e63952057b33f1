//! What things are called, in the text and on the page alike.
//!
//! Must never: give one thing two names.

use crate::table::{percent, thousands};
use crate::{Comparison, Load, Pattern, Ratio, Trial};

/// Names of the distributions of a report, by the key they are stored under.
pub(crate) const MEASURES: [(&str, &str); 7] = [
    ("latency", "latency"),
    ("offset", "served-time error θ"),
    ("receive_error", "T2 late by at most"),
    ("transmit_error", "T3 early by at most"),
    ("residence", "in the server, T3 − T2"),
    ("burst_position", "last less first of a burst"),
    ("lag", "generator late by"),
];

/// What load was offered.
pub(crate) fn load_text(trial: &Trial) -> String {
    load_words(trial.load, trial.offered_per_s)
}

/// The same, of `offered_per_s` requests a second in all.
pub(crate) fn load_words(load: Load, offered_per_s: Option<f64>) -> String {
    let rate = offered_per_s.map_or(String::new(), |rate| format!(" {}/s", thousands(rate)));
    match load {
        Load::Closed { window } => {
            format!("closed loop, {} in flight", thousands(f64::from(window)))
        }
        Load::Open { pattern: Pattern::Constant, .. } => format!("open loop, paced,{rate}"),
        Load::Open { pattern: Pattern::Poisson, .. } => format!("open loop, Poisson,{rate}"),
        Load::Open { pattern: Pattern::Bursts { size }, .. } => {
            format!("open loop, bursts of {size},{rate}")
        }
        Load::Open { pattern: Pattern::Crowd, .. } => {
            format!("open loop, everybody at the turn of a second,{rate}")
        }
    }
}

/// What a ratio of `comparison` says, in words.
pub(crate) fn ratio_verdict(comparison: &Comparison, ratio: Ratio) -> String {
    if ratio.differs() {
        let change = ratio.ratio - 1.0;
        let direction = if change > 0.0 { "more" } else { "less" };
        let own = comparison.generator_loads > 0;
        let doubt = if own { ", or the generator's own doing" } else { "" };
        format!("{} {direction}{doubt}", percent(change.abs()))
    } else {
        let wide = (ratio.high - 1.0).max(1.0 - ratio.low);
        if wide <= SAME_MAX {
            format!("same, within {}", percent(wide))
        } else {
            "undecided: run more rounds".to_owned()
        }
    }
}

/// An interval that reaches farther from 1 than this says nothing.
const SAME_MAX: f64 = 0.25;

/// A moment as people write it: 2026-11-23 07:59:23 UTC.
pub fn utc(unix_ns: i64) -> String {
    let seconds = unix_ns.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years from March, so that the leap day is the last; eras of 400 years are all alike.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + carry;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        let at = |seconds: i64| utc(seconds * 1_000_000_000);
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(951_868_799), "2000-02-29 23:59:59 UTC");
        assert_eq!(at(1_795_420_763), "2026-11-23 07:59:23 UTC");
        assert_eq!(at(4_102_444_799), "2099-12-31 23:59:59 UTC");
    }

    #[test]
    fn a_verdict_says_how_much_or_how_little_it_can_be() {
        let mut comparison = Comparison::of(("A", "B"), &[], &[], crate::Method::Paired);
        comparison.generator_loads = 1;
        let doubted = ratio_verdict(&comparison, Ratio { ratio: 2.7, low: 1.08, high: 6.76 });
        assert_eq!(doubted, "170.0 % more, or the generator's own doing");
        comparison.generator_loads = 0;
        let ratio = |ratio, low, high| ratio_verdict(&comparison, Ratio { ratio, low, high });
        assert_eq!(ratio(1.1, 1.05, 1.15), "10.0 % more");
        assert_eq!(ratio(0.8, 0.7, 0.9), "20.0 % less");
        assert_eq!(ratio(1.01, 0.97, 1.05), "same, within 5.0 %");
        assert_eq!(ratio(0.97, 0.3, 3.0), "undecided: run more rounds");
    }
}
