//! What a rate must meet to count, and what a trial says about it.
//!
//! A machine is held up for a moment now and then by what has nothing to do with the server, and the
//! longer a trial the surer it is hit. So a trial that misses the level is judged again without the tenth
//! of a second that spoils it, if there is one: what was sent, lost and answered in that moment is left
//! out, and the rest must meet the level in full. Such a verdict is told apart.
//!
//! Must never: forgive more than one such moment of a trial.

use serde::{Deserialize, Serialize};
use timeball_time::Interval;

use crate::{PackedHistogram, Point, Report, SignedHistogram, Trial};

/// What a rate must meet to count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Most requests without a valid reply, as a share of those sent, 0 to 1.
    pub loss_max: f64,
    /// Longest latency of all but the slowest 1 %.
    pub p99_max: Option<Interval>,
    /// Largest error of the served time, of either sign, of all but the worst 1 %.
    pub error_p99_max: Option<Interval>,
}

/// What a trial at one rate says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The level is met.
    Met,
    /// It is met but for one tenth of a second.
    MetButAMoment,
    /// More was lost than allowed.
    Loss {
        /// The share lost, 0 to 1.
        share: f64,
    },
    /// Answers took too long.
    Latency {
        /// What 1 % exceeded, in nanoseconds.
        p99_ns: i64,
    },
    /// The served time was too wrong.
    Error {
        /// What 1 % exceeded, in nanoseconds.
        p99_ns: i64,
    },
    /// The generator could not offer this rate: nothing is known of the server.
    Generator,
    /// The generator was held up, or the machine changed its pace: not counted, and tried again.
    Disturbed,
}

impl Verdict {
    /// Whether the rate counts as one that meets the level.
    pub const fn is_met(&self) -> bool {
        matches!(self, Self::Met | Self::MetButAMoment)
    }
}

/// What was counted in a trial, or in a part of it; not yet against any level.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    sent: u64,
    unanswered: u64,
    /// Replies with a latency, and how many of them took too long.
    timed: u64,
    late: u64,
    /// Replies with an error, and of how many it was too large.
    compared: u64,
    wrong: u64,
}

impl Level {
    /// What `trial` says about its rate; of its moments only if its series has intervals of at most
    /// [`Self::SLOT_S`].
    pub fn judge(&self, trial: &Trial) -> Verdict {
        let report = &trial.report;
        if report.is_generators() {
            return Verdict::Generator;
        }
        let verdict = self.hold(report);
        if verdict != Verdict::Met && self.forgives(trial) {
            Verdict::MetButAMoment
        } else {
            verdict
        }
    }

    fn hold(&self, report: &Report) -> Verdict {
        let share = 1.0 - report.answered_share();
        if report.sent == 0 || share > self.loss_max {
            return Verdict::Loss { share };
        }
        let latency_ns = report.latency.quantile(0.99);
        if self.p99_max.is_some_and(|max| latency_ns > max.nanos()) {
            return Verdict::Latency { p99_ns: latency_ns };
        }
        let error_ns = report.offset.magnitudes().value_at_quantile(0.99) as i64;
        match self.error_p99_max {
            Some(max) if error_ns > max.nanos() => Verdict::Error { p99_ns: error_ns },
            _ => Verdict::Met,
        }
    }

    /// Whether there is a moment without which the level is met.
    fn forgives(&self, trial: &Trial) -> bool {
        // A trial of little more than a moment would not be judged at all.
        let is_short = trial.duration_s < SLOTS_MIN * trial.interval_s;
        if trial.interval_s <= 0.0 || trial.interval_s > Self::SLOT_S || is_short {
            return false;
        }
        let slots = self.slots(trial);
        let mut all = slots.iter().fold(Counted::default(), |sum, slot| sum.and(slot));
        // What is in no slot, such as a reply that was wrong, is in none that can be left out.
        let report = &trial.report;
        all.unanswered = all.unanswered.max(report.sent.saturating_sub(report.answered));
        slots.windows(MOMENT_SLOTS).any(|moment| {
            let moment = moment.iter().fold(Counted::default(), |sum, slot| sum.and(slot));
            self.is_held(&all.without(&moment))
        })
    }

    /// The same as [`Self::hold`] by counts.
    fn is_held(&self, counted: &Counted) -> bool {
        let is_rare = |count: u64, of: u64, share: f64| count as f64 <= of as f64 * share;
        counted.sent > 0
            && is_rare(counted.unanswered, counted.sent, self.loss_max)
            && is_rare(counted.late, counted.timed, 0.01)
            && is_rare(counted.wrong, counted.compared, 0.01)
    }

    /// What was sent in each interval of `trial`, and of that lost; replies stand where they arrived.
    fn slots(&self, trial: &Trial) -> Vec<Counted> {
        let slot = |seconds: f64| (seconds / trial.interval_s).round().max(0.0) as usize;
        let mut slots = vec![Counted::default(); slot(trial.duration_s)];
        // Replies still to come when load ended belong to the last.
        let last = slots.len().saturating_sub(1);
        for point in &trial.series {
            let (here, given_up) = (slot(point.start_s), slot(trial.timeout_s));
            if let Some(slot) = slots.get_mut(here.min(last)) {
                *slot = slot.and(&self.replies(point));
                slot.sent += point.sent;
            }
            // A request is given up as lost so long after it was sent.
            if let Some(slot) = slots.get_mut(here.saturating_sub(given_up).min(last)) {
                slot.unanswered += point.lost;
            }
        }
        slots
    }

    /// The replies of `point`, held to this level.
    fn replies(&self, point: &Point) -> Counted {
        let beyond = |packed: &PackedHistogram, max: Option<Interval>| {
            let (Some(max), Ok(values)) = (max, SignedHistogram::try_from(packed)) else {
                return (0, 0);
            };
            let (count, max) = (values.count(), max.nanos());
            (count, count - values.count_between(-max, max + 1))
        };
        let (timed, late) = beyond(&point.latency, self.p99_max);
        let (compared, wrong) = beyond(&point.offset, self.error_p99_max);
        Counted { timed, late, compared, wrong, ..Counted::default() }
    }

    /// Intervals of a series in which moments are told apart, in seconds.
    pub const SLOT_S: f64 = 0.05;
}

impl Counted {
    fn and(self, other: &Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    fn without(self, other: &Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }

    fn zip(self, other: &Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            sent: with(self.sent, other.sent),
            unanswered: with(self.unanswered, other.unanswered),
            timed: with(self.timed, other.timed),
            late: with(self.late, other.late),
            compared: with(self.compared, other.compared),
            wrong: with(self.wrong, other.wrong),
        }
    }
}

/// Slots of a moment: a tenth of a second, wherever it begins.
const MOMENT_SLOTS: usize = 2;
/// Fewer slots than this are judged as they are.
const SLOTS_MIN: f64 = 5.0 * MOMENT_SLOTS as f64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Load, Pattern};

    const LEVEL: Level = Level {
        loss_max: 0.001,
        p99_max: Some(Interval::from_millis(2)),
        error_p99_max: Some(Interval::from_micros(50)),
    };

    /// A second at 10 000/s of which so many of each slot of 50 ms were lost, and the rest answered after
    /// so many microseconds.
    fn trial(lost: [u64; 20], latency_us: [i64; 20]) -> Trial {
        let mut report = Report { elapsed_s: 1.0, ..Report::default() };
        let mut series = Vec::new();
        for index in 0..30 {
            let mut latency = SignedHistogram::new();
            let sent = if index < 20 { 500 } else { 0 };
            let answered = if index < 20 { 500 - lost[index] } else { 0 };
            (0..answered).for_each(|_| latency.record(Interval::from_micros(latency_us[index])));
            report.latency.add(&latency);
            (report.sent, report.answered) = (report.sent + sent, report.answered + answered);
            series.push(Point {
                start_s: index as f64 * 0.05,
                length_s: 0.05,
                sent,
                answered,
                lost: if index < 10 { 0 } else { lost[index - 10] },
                latency: PackedHistogram::from(&latency),
                ..Point::default()
            });
        }
        report.lost = report.sent - report.answered;
        Trial {
            subject: None,
            target: "127.0.0.1:123".parse().unwrap(),
            load: Load::Open { pattern: Pattern::Poisson, rate_hz: 10_000 },
            offered_per_s: Some(10_000.0),
            clients: 1,
            duration_s: 1.0,
            timeout_s: 0.5,
            started_unix_ns: 0,
            interval_s: Level::SLOT_S,
            senders: Vec::new(),
            series,
            report,
        }
    }

    /// `usual` everywhere but in the slots of `places`, where it is `there`.
    fn but<T: Copy>(usual: T, places: &[usize], there: T) -> [T; 20] {
        std::array::from_fn(|index| if places.contains(&index) { there } else { usual })
    }

    #[test]
    fn a_trial_that_is_good_throughout_meets_the_level() {
        assert_eq!(LEVEL.judge(&trial([0; 20], [90; 20])), Verdict::Met);
    }

    #[test]
    fn one_moment_is_forgiven_wherever_it_is_and_told_apart() {
        for place in 0..19 {
            let moment = [place, place + 1];
            let lost = trial(but(0, &moment, 300), [90; 20]);
            assert_eq!(LEVEL.judge(&lost), Verdict::MetButAMoment, "{place}");
            let late = trial([0; 20], but(90, &moment, 30_000));
            assert_eq!(LEVEL.judge(&late), Verdict::MetButAMoment, "{place}");
            let both = trial(but(0, &moment, 300), but(90, &moment, 30_000));
            assert_eq!(LEVEL.judge(&both), Verdict::MetButAMoment, "{place}");
        }
    }

    #[test]
    fn two_moments_or_a_loss_throughout_are_not_forgiven() {
        let twice = LEVEL.judge(&trial(but(0, &[3, 12], 300), [90; 20]));
        assert!(matches!(twice, Verdict::Loss { .. }), "{twice:?}");
        let always = LEVEL.judge(&trial([1; 20], [90; 20]));
        assert!(matches!(always, Verdict::Loss { share } if (share - 0.002).abs() < 1e-9));
        let late = LEVEL.judge(&trial([0; 20], but(90, &[1, 5, 9], 3_000)));
        assert!(matches!(late, Verdict::Latency { .. }), "{late:?}");
    }

    #[test]
    fn replies_that_were_wrong_are_of_no_moment() {
        let mut wrong = trial([0; 20], [90; 20]);
        wrong.report.answered -= 20;
        assert!(matches!(LEVEL.judge(&wrong), Verdict::Loss { .. }));
    }

    #[test]
    fn without_short_intervals_nothing_is_forgiven() {
        let mut coarse = trial(but(0, &[4, 5], 300), [90; 20]);
        coarse.interval_s = 1.0;
        assert!(matches!(LEVEL.judge(&coarse), Verdict::Loss { .. }));
    }

    #[test]
    fn each_part_of_the_level_is_held_to() {
        let mut good = trial([0; 20], [900; 20]);
        good.series.clear();
        good.report.offset.record(Interval::from_micros(-40));
        let level = |p99, error| Level {
            loss_max: 0.0,
            p99_max: Some(Interval::from_micros(p99)),
            error_p99_max: Some(Interval::from_micros(error)),
        };
        assert_eq!(level(1_000, 50).judge(&good), Verdict::Met);
        assert!(matches!(level(800, 50).judge(&good), Verdict::Latency { .. }));
        assert!(matches!(level(1_000, 30).judge(&good), Verdict::Error { .. }));
        good.report.answered -= 1;
        assert!(matches!(level(1_000, 50).judge(&good), Verdict::Loss { .. }));
        good.report = Report::default();
        assert!(matches!(level(1_000, 50).judge(&good), Verdict::Loss { .. }));
    }
}
