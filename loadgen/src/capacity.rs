//! What a search for the highest rate found, as it is stored and told.
//!
//! Must never: give the rate without what it had to meet and how far the searches agree.

use serde::{Deserialize, Serialize};

use crate::table::{micros, percent, thousands};
use crate::{Found, Level, Verdict};

/// The highest rate that meets a service level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Most requests without a valid reply, as a share of those sent.
    pub loss_max: f64,
    /// Longest latency of all but the slowest 1 %, in nanoseconds.
    pub p99_max_ns: Option<i64>,
    /// Largest served-time error of all but the worst 1 %, in nanoseconds.
    pub error_p99_max_ns: Option<i64>,
    /// What was found.
    pub found: Found,
}

impl Capacity {
    /// `found`, which had to meet `level`.
    pub fn new(level: Level, found: Found) -> Self {
        Self {
            loss_max: level.loss_max,
            p99_max_ns: level.p99_max.map(|max| max.nanos()),
            error_p99_max_ns: level.error_p99_max.map(|max| max.nanos()),
            found,
        }
    }

    /// What had to be met.
    pub fn level_text(&self) -> String {
        let mut parts = vec![format!("loss ≤ {} %", self.loss_max * 100.0)];
        parts.extend(self.p99_max_ns.map(|max| format!("p99 ≤ {} µs", micros(max))));
        let error = |max| format!("p99 of |served-time error| ≤ {} µs", micros(max));
        parts.extend(self.error_p99_max_ns.map(error));
        parts.join(", ")
    }

    /// The rate, and how sure it is, in sentences.
    pub fn text(&self) -> String {
        let found = &self.found;
        if found.rate_hz == 0 {
            return format!(
                "no rate meets {}: at {}/s {}",
                self.level_text(),
                thousands(found.trials.last().map_or(0.0, |(rate, _)| f64::from(*rate))),
                found
                    .trials
                    .last()
                    .map_or("nothing was tried".to_owned(), |(_, it)| verdict_text(*it)),
            );
        }
        let rates: Vec<String> =
            found.brackets.iter().map(|bracket| thousands(f64::from(bracket.met_hz))).collect();
        let mut text = format!(
            "{}/s is the highest rate found with {}\nsearches ended at {} a second; ",
            thousands(f64::from(found.rate_hz)),
            self.level_text(),
            rates.join(", "),
        );
        text.push_str(&if found.agreed {
            format!("the last three agree within {}", percent(found.spread))
        } else {
            format!(
                "they lie {} apart and do not agree: the machine is busy, or the server's capacity varies",
                percent(found.spread)
            )
        });
        if found.is_generators {
            text.push_str(
                "\nthe generator, not the server, ended a search: the server can do this and more",
            );
        } else if let Some((rate, verdict)) = self.first_miss_above() {
            let rate = thousands(f64::from(rate));
            text.push_str(&format!("\nat {rate}/s {}", verdict_text(verdict)));
        }
        text
    }

    /// The lowest rate above the one found that missed the level, and how.
    fn first_miss_above(&self) -> Option<(u32, Verdict)> {
        let missed = self
            .found
            .trials
            .iter()
            .filter(|(rate, verdict)| *rate > self.found.rate_hz && *verdict != Verdict::Met);
        missed.min_by_key(|(rate, _)| *rate).copied()
    }
}

fn verdict_text(verdict: Verdict) -> String {
    match verdict {
        Verdict::Met => "it is met".to_owned(),
        Verdict::Loss { share } => format!("{} were lost", percent(share)),
        Verdict::Latency { p99_ns } => format!("p99 was {} µs", micros(p99_ns)),
        Verdict::Error { p99_ns } => {
            format!("the served time was wrong by {} µs at p99", micros(p99_ns))
        }
        Verdict::Generator => "the generator could not keep up".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bracket;

    fn capacity(found: Found) -> Capacity {
        Capacity { loss_max: 0.001, p99_max_ns: Some(2_000_000), error_p99_max_ns: None, found }
    }

    fn found(rate_hz: u32, agreed: bool) -> Found {
        Found {
            rate_hz,
            spread: 0.031,
            agreed,
            is_generators: false,
            interrupted: false,
            brackets: vec![Bracket { met_hz: rate_hz, missed_hz: rate_hz + 1 }],
            trials: vec![
                (210_000, Verdict::Loss { share: 0.25 }),
                (rate_hz, Verdict::Met),
                (186_000, Verdict::Latency { p99_ns: 2_300_000 }),
            ],
        }
    }

    #[test]
    fn it_says_the_rate_the_level_the_certainty_and_what_stopped_it() {
        let text = capacity(found(182_000, true)).text();
        for words in [
            "182 000/s",
            "loss ≤ 0.1 %, p99 ≤ 2000 µs",
            "within 3.1 %",
            "at 186 000/s p99 was 2300",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(capacity(found(182_000, false)).text().contains("do not agree"));
        let limited = Found { is_generators: true, ..found(182_000, true) };
        assert!(capacity(limited).text().contains("the generator, not the server"));
    }

    #[test]
    fn a_level_that_nothing_meets_is_told_as_such() {
        let text = capacity(found(0, false)).text();
        assert!(text.starts_with("no rate meets loss"), "{text}");
    }
}
