//! What a survey found: for each server its best answer or the reason there is none, and the choice.
//!
//! Must never: show an offset without its error bound.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use timeball_discipline::Rejection;
use timeball_time::Interval;
use timeball_wire::Header;

use super::survey::Candidate;
use crate::names::{kiss_meaning, reference};

/// One server's answer, in units for people and programs alike: seconds.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    server: String,
    address: Option<String>,
    requests: u32,
    replies: usize,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Time(Time),
    Unsuitable { reason: String },
}

#[derive(Debug, Serialize)]
struct Time {
    /// Server minus this machine's clock.
    offset_s: f64,
    /// The true offset lies within this of `offset_s` if the server tells the truth.
    error_bound_s: f64,
    delay_s: f64,
    stratum: u8,
    leap: u8,
    reference_id: String,
    root_delay_s: f64,
    root_dispersion_s: f64,
    #[serde(skip)]
    offset: Interval,
    #[serde(skip)]
    bound: Interval,
}

impl Time {
    /// The earliest offset the answer allows.
    fn low(&self) -> Interval {
        self.offset - self.bound
    }

    /// Whether the answer allows the offset `point`.
    fn covers(&self, point: Interval) -> bool {
        self.low() <= point && point <= self.offset + self.bound
    }
}

impl Answer {
    /// Sums up what one server said.
    pub(super) fn of(candidate: &Candidate) -> Self {
        let outcome = candidate.best().map_or_else(
            || Outcome::Unsuitable { reason: reason(candidate) },
            |sample| {
                let root_distance =
                    sample.root_delay.interval().half() + sample.root_dispersion.interval();
                let bound = sample.delay.abs().half() + sample.dispersion + root_distance;
                Outcome::Time(Time {
                    offset_s: sample.offset.as_secs_f64(),
                    error_bound_s: bound.as_secs_f64(),
                    delay_s: sample.delay.as_secs_f64(),
                    stratum: sample.stratum.get(),
                    leap: sample.leap.to_bits(),
                    reference_id: reference(sample.stratum.get(), sample.reference_id),
                    root_delay_s: sample.root_delay.interval().as_secs_f64(),
                    root_dispersion_s: sample.root_dispersion.interval().as_secs_f64(),
                    offset: sample.offset,
                    bound,
                })
            },
        );
        Self {
            server: candidate.name.clone(),
            address: candidate.remote.as_ref().ok().map(ToString::to_string),
            requests: candidate.sent,
            replies: candidate.samples.len(),
            outcome,
        }
    }

    fn time(&self) -> Option<&Time> {
        match &self.outcome {
            Outcome::Time(time) => Some(time),
            Outcome::Unsuitable { .. } => None,
        }
    }

    /// Server minus this machine's clock; zero if the server gave no time.
    pub(super) fn offset(&self) -> Interval {
        self.time().map_or(Interval::ZERO, |time| time.offset)
    }
}

/// The answer to go by: of the largest group whose intervals (offset ± bound) share a point, the one with
/// the smallest bound. A single liar among three is thereby left out, however sure of itself it is.
pub(super) fn best(answers: &[Answer]) -> Option<&Answer> {
    let timed = || answers.iter().filter_map(|answer| Some((answer, answer.time()?)));
    let support = |point| timed().filter(|(_, time)| time.covers(point)).count();
    // If any group shares a point, it shares the low edge of one of its members.
    let point = timed().map(|(_, time)| time.low()).max_by_key(|&point| support(point))?;
    timed()
        .filter(|(_, time)| time.covers(point))
        .min_by_key(|(_, time)| time.bound)
        .map(|(answer, _)| answer)
}

/// One line per server, then the verdict.
pub(super) fn text(answers: &[Answer], best: Option<&Answer>) -> String {
    let width = answers.iter().map(|answer| answer.server.len()).max().unwrap_or(0).max(6);
    let mut text = format!(
        "{:width$}  {:>7}  {:>16}  {:>12}  {:>11}  {:4}  refid\n",
        "server", "stratum", "offset s", "± s", "delay s", "leap"
    );
    for answer in answers {
        text += &format!("{:width$}  {}\n", answer.server, row(&answer.outcome));
    }
    if let Some((answer, time)) = best.and_then(|answer| Some((answer, answer.time()?))) {
        text += &format!(
            "\nThis clock is {:.9} s {} ({}, ± {:.9} s)\n",
            time.offset_s.abs(),
            if time.offset_s < 0.0 { "fast" } else { "slow" },
            answer.server,
            time.error_bound_s,
        );
    }
    text
}

fn row(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Time(time) => format!(
            "{:>7}  {:>+16.9}  {:>12.9}  {:>11.9}  {:4}  {}",
            time.stratum,
            time.offset_s,
            time.error_bound_s,
            time.delay_s,
            time.leap,
            time.reference_id
        ),
        Outcome::Unsuitable { reason } => reason.clone(),
    }
}

/// Everything as one JSON object.
pub(super) fn json(answers: &[Answer], best: Option<&Answer>) -> String {
    let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let object = serde_json::json!({
        "unix_time_s": unix_time,
        "servers": answers,
        "best": best.map(|answer| &answer.server),
    });
    format!("{object:#}\n")
}

/// Why a server without a good answer has none, in words an operator can act on.
fn reason(candidate: &Candidate) -> String {
    if let Err(reason) = &candidate.remote {
        return reason.clone();
    }
    if let Some((rejection, header)) = &candidate.rejection {
        return match rejection {
            Rejection::Unsynchronised => unsynchronised(header),
            other => other.to_string(),
        };
    }
    match &candidate.fault {
        Some(fault) if fault.kind() == std::io::ErrorKind::ConnectionRefused => {
            "nobody listens there: it answers that the port is closed".to_owned()
        }
        Some(fault) => fault.to_string(),
        None => format!(
            "no reply to {} requests: it is down, a firewall drops them, or it does not serve you",
            candidate.sent
        ),
    }
}

fn unsynchronised(header: &Header) -> String {
    let code = header.reference_id.code().unwrap_or_default();
    let why = kiss_meaning(code)
        .map_or_else(String::new, |meaning| format!(", kiss code {code}: {meaning}"));
    format!(
        "it says it is not synchronised (leap {}, stratum {}{why})",
        header.flags.leap.to_bits(),
        header.stratum
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(server: &str, offset_s: f64, error_bound_s: f64) -> Answer {
        let time = Time {
            offset_s,
            error_bound_s,
            delay_s: 0.0,
            stratum: 2,
            leap: 0,
            reference_id: String::new(),
            root_delay_s: 0.0,
            root_dispersion_s: 0.0,
            offset: Interval::from_secs_f64(offset_s),
            bound: Interval::from_secs_f64(error_bound_s),
        };
        Answer {
            server: server.to_owned(),
            address: None,
            requests: 4,
            replies: 4,
            outcome: Outcome::Time(time),
        }
    }

    #[test]
    fn a_sure_liar_loses_against_two_that_agree() {
        let answers =
            [answer("liar", 5.0, 0.000_1), answer("a", 0.01, 0.02), answer("b", 0.0, 0.015)];
        assert_eq!(best(&answers).map(|answer| answer.server.as_str()), Some("b"));
    }

    #[test]
    fn of_those_that_agree_the_tightest_is_chosen() {
        let answers = [answer("far", 0.003, 0.03), answer("near", 0.001, 0.002)];
        assert_eq!(best(&answers).map(|answer| answer.server.as_str()), Some("near"));
        assert!(best(&[]).is_none());
    }
}
