//! What a search for the highest rate found, as it is stored and told.
//!
//! Must never: give the rate without what it had to meet and how sure it is.

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
        let disturbed = self.counted(Verdict::Disturbed);
        let repeated = if disturbed == 0 {
            String::new()
        } else {
            format!(
                ", {disturbed} of them repeated because the generator was held up or the pace changed"
            )
        };
        let forgiven = self.counted(Verdict::MetButAMoment);
        let mut text = format!(
            "{}/s is the rate of which half of the trials met {}\n{} to {} holds it with 95 % \
             ({} trials{repeated})",
            thousands(f64::from(found.rate_hz)),
            self.level_text(),
            thousands(f64::from(found.low_hz)),
            thousands(f64::from(found.high_hz)),
            found.trials.len(),
        );
        if forgiven > 0 {
            text.push_str(&format!("\n{forgiven} of them met it but for one tenth of a second"));
        }
        let [least, middle, most] = found.paces_hz.map(|pace| thousands(f64::from(pace)));
        if found.paces_hz[1] > 0 {
            text.push_str(&format!(
                "\nmeanwhile a closed loop was answered {middle} times a second ({least} to {most}); the \
                 rate is for {middle}"
            ));
        }
        if !found.sure {
            text.push_str(
                "\nthat is less sure than was asked: the machine is busy, or the server's capacity varies; \
                 let it make more trials (--trials)",
            );
        }
        if found.is_generators {
            text.push_str(
                "\nthe generator, not the server, was the limit: the server can do this and more",
            );
        } else if let Some((rate, verdict)) = self.first_miss_above() {
            let rate = thousands(f64::from(rate));
            text.push_str(&format!("\nat {rate}/s {}", verdict_text(verdict)));
        }
        text
    }

    /// The lowest rate above the one found that missed the level, and how.
    fn first_miss_above(&self) -> Option<(u32, Verdict)> {
        let missed = self.found.trials.iter().filter(|(rate, verdict)| {
            *rate > self.found.rate_hz && !verdict.is_met() && *verdict != Verdict::Disturbed
        });
        missed.min_by_key(|(rate, _)| *rate).copied()
    }

    /// Trials of this kind.
    fn counted(&self, kind: Verdict) -> usize {
        self.found.trials.iter().filter(|(_, verdict)| *verdict == kind).count()
    }
}

fn verdict_text(verdict: Verdict) -> String {
    match verdict {
        Verdict::Met => "it is met".to_owned(),
        Verdict::MetButAMoment => "it is met but for a tenth of a second".to_owned(),
        Verdict::Loss { share } => format!("{} were lost", percent(share)),
        Verdict::Latency { p99_ns } => format!("p99 was {} µs", micros(p99_ns)),
        Verdict::Error { p99_ns } => {
            format!("the served time was wrong by {} µs at p99", micros(p99_ns))
        }
        Verdict::Generator => "the generator could not keep up".to_owned(),
        Verdict::Disturbed => "the machine was disturbed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(found: Found) -> Capacity {
        Capacity { loss_max: 0.001, p99_max_ns: Some(2_000_000), error_p99_max_ns: None, found }
    }

    fn found(rate_hz: u32, sure: bool) -> Found {
        Found {
            rate_hz,
            low_hz: rate_hz - rate_hz / 50,
            high_hz: rate_hz + rate_hz / 50,
            sure,
            is_generators: false,
            interrupted: false,
            paces_hz: [190_000, 200_000, 210_000],
            trials: vec![
                (210_000, Verdict::Loss { share: 0.25 }),
                (rate_hz, Verdict::Met),
                (rate_hz, Verdict::MetButAMoment),
                (184_000, Verdict::Disturbed),
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
            "178 360 to 185 640 holds it with 95 % (5 trials, 1 of them repeated",
            "1 of them met it but for one tenth of a second",
            "answered 200 000 times a second (190 000 to 210 000)",
            "at 186 000/s p99 was 2300",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(capacity(found(182_000, false)).text().contains("less sure"));
        let limited = Found { is_generators: true, ..found(182_000, true) };
        assert!(capacity(limited).text().contains("the generator, not the server"));
    }

    #[test]
    fn a_level_that_nothing_meets_is_told_as_such() {
        let text = capacity(found(0, false)).text();
        assert!(text.starts_with("no rate meets loss"), "{text}");
    }
}
