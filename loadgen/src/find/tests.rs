//! A search of servers whose limits are known, on machines that are steady and on such as there are.
//!
//! Must never: take so long that nobody runs it.

use std::convert::Infallible;

use timeball_time::Interval;

use super::*;
use crate::random::SplitMix64;
use crate::{Load, Pattern, Point, Report};

const LEVEL: Level = Level { loss_max: 0.001, p99_max: None, error_p99_max: None };

/// A load of ten seconds with nothing known of its moments.
fn trial(report: Report) -> Trial {
    Trial {
        subject: None,
        target: "127.0.0.1:123".parse().unwrap(),
        load: Load::Open { pattern: Pattern::Poisson, rate_hz: 1 },
        offered_per_s: None,
        clients: 1,
        duration_s: 10.0,
        timeout_s: 0.5,
        started_unix_ns: 0,
        interval_s: 0.0,
        senders: Vec::new(),
        series: Vec::new(),
        report,
    }
}

/// A server that answers `capacity_hz` requests a second and loses what is more.
fn offered(rate_hz: u32, capacity_hz: f64) -> Report {
    let sent = u64::from(rate_hz) * 10;
    let answered = sent.min((capacity_hz * 10.0) as u64);
    Report { sent, answered, lost: sent - answered, ..Report::default() }
}

fn search(offer: impl FnMut(u32) -> Report) -> Found {
    search_up_to(FindOptions::new(LEVEL).max_hz, offer)
}

/// Of a machine that is a steady one.
fn search_up_to(max_hz: u32, mut offer: impl FnMut(u32) -> Report) -> Found {
    let options = FindOptions { max_hz, paced: false, ..FindOptions::new(LEVEL) };
    let found = find(&options, |step| match step.ask {
        Ask::Rate(rate_hz) => Ok::<_, Infallible>(trial(offer(rate_hz))),
        Ask::Pace => panic!("nobody asked for that"),
    });
    found.unwrap()
}

#[test]
fn the_capacity_of_a_steady_server_is_found_to_the_precision_asked() {
    for capacity in [1.0, 7.0, 500.0, 1_000.0, 123_456.0, 5_000_000.0] {
        let found = search(|rate| offered(rate, capacity));
        let ratio = f64::from(found.rate_hz) / capacity;
        assert!((0.98..=1.02).contains(&ratio), "{capacity}: {found:?}");
        assert!(found.sure && !found.is_generators && found.trials.len() < 50, "{found:?}");
    }
}

/// A server of 200 000/s on a machine such as there are: its pace goes up and down by a tenth in a minute,
/// and now and then it is held up for some hundredths of a second, in which all is lost.
struct Machine {
    random: SplitMix64,
    now_s: f64,
    /// How much of each slot was answered at most.
    held_up: f64,
}

impl Machine {
    fn new(seed: u64) -> Self {
        let mut random = SplitMix64::new(seed, 3);
        let now_s = random.unit() * 60.0;
        Self { random, now_s, held_up: 0.02 }
    }

    /// What it can answer a second now, as one slot shows it.
    fn capacity_hz(&mut self) -> f64 {
        let drift = 1.0 + 0.1 * (self.now_s * std::f64::consts::TAU / 60.0).sin();
        200_000.0 * drift * (0.985 + 0.03 * self.random.unit())
    }

    fn pace(&mut self) -> Trial {
        self.now_s += 0.5;
        let spoilt = if self.random.unit() < 0.05 { 0.7 } else { 1.0 };
        let answered_in_time = (self.capacity_hz() * spoilt * 1.05) as u64;
        trial(Report {
            elapsed_s: 1.0,
            answered_in_time,
            answered: 1,
            sent: 1,
            ..Report::default()
        })
    }

    /// A second of load.
    fn load(&mut self, rate_hz: u32) -> Trial {
        let slot_s = Level::SLOT_S;
        let (mut report, mut series) = (Report::default(), Vec::new());
        let mut lost_in = Vec::new();
        for index in 0..30 {
            let offering = index < 20;
            let sent = if offering { (f64::from(rate_hz) * slot_s) as u64 } else { 0 };
            let held_up = if self.random.unit() < self.held_up { 0.4 } else { 0.0 };
            let answered = sent.min((self.capacity_hz() * slot_s * (1.0 - held_up)) as u64);
            lost_in.push(sent - answered);
            report.sent += sent;
            report.answered += answered;
            series.push(Point {
                start_s: f64::from(index) * slot_s,
                sent,
                answered,
                lost: if index < 10 { 0 } else { lost_in[index as usize - 10] },
                ..Point::default()
            });
            self.now_s += slot_s;
        }
        Trial { duration_s: 1.0, interval_s: slot_s, series, ..trial(report) }
    }

    fn search(&mut self, options: &FindOptions) -> Found {
        let found = find(options, |step| {
            Ok::<_, Infallible>(match step.ask {
                Ask::Pace => self.pace(),
                Ask::Rate(rate_hz) => self.load(rate_hz),
            })
        });
        found.unwrap()
    }
}

/// The greatest by the least of five searches, and how many of them were sure.
fn five(group: u64, options: &FindOptions) -> (f64, usize) {
    let found: Vec<Found> =
        (0..5).map(|run| Machine::new(10 * group + run).search(options)).collect();
    let rates = || found.iter().map(|found| f64::from(found.rate_hz));
    let (least, most) = (rates().fold(f64::MAX, f64::min), rates().fold(0.0, f64::max));
    assert!(least > 180_000.0 && most < 220_000.0, "{group}: {:?}", rates().collect::<Vec<_>>());
    (most / least, found.iter().filter(|found| found.sure).count())
}

#[test]
fn five_finds_on_a_machine_that_drifts_and_is_held_up_agree_within_five_percent() {
    let options = FindOptions::new(Level { loss_max: 0.01, ..LEVEL });
    let groups: Vec<(f64, usize)> = (0..3).map(|group| five(group, &options)).collect();
    let agree = groups.iter().filter(|(ratio, _)| *ratio <= 1.05).count();
    let sure: usize = groups.iter().map(|(_, sure)| sure).sum();
    assert!(agree >= 3 && sure >= 13, "{agree} of 3 agree, {sure} of 15 are sure: {groups:?}");
}

#[test]
fn without_the_pace_they_would_not() {
    let options =
        FindOptions { paced: false, ..FindOptions::new(Level { loss_max: 0.01, ..LEVEL }) };
    let apart = (0..2).filter(|&group| five(group, &options).0 > 1.05);
    assert!(apart.count() >= 1);
}

#[test]
fn a_server_that_keeps_changing_is_said_to_be_unsure() {
    let mut calls = 0u32;
    let found = search(|rate| {
        calls += 1;
        offered(rate, if (calls / 7).is_multiple_of(2) { 100_000.0 } else { 50_000.0 })
    });
    assert!(!found.sure && f64::from(found.high_hz) > 1.1 * f64::from(found.low_hz), "{found:?}");
}

#[test]
fn a_trial_between_two_paces_is_made_again_but_not_for_ever() {
    let (mut calls, mut rates) = (0u32, 0);
    let options = FindOptions { trials_max: 30, ..FindOptions::new(LEVEL) };
    let found = find(&options, |step| {
        let pace = if calls.is_multiple_of(2) { 100_000 } else { 50_000 };
        Ok::<_, Infallible>(match step.ask {
            Ask::Pace => {
                calls += 1;
                trial(Report { elapsed_s: 1.0, answered_in_time: pace, ..Report::default() })
            }
            Ask::Rate(rate) => {
                rates += 1;
                trial(offered(rate, 70_000.0))
            }
        })
    });
    let found = found.unwrap();
    assert!(rates <= 32, "{rates}");
    let disturbed = found.trials.iter().filter(|trial| trial.1 == Verdict::Disturbed).count();
    assert!(disturbed * 3 >= rates && disturbed < rates, "{found:?}");
    assert_eq!(found.paces_hz[0], 50_000);
}

#[test]
fn the_generators_limit_is_told_from_the_servers() {
    let found = search(|rate| {
        let missed = u64::from(rate.saturating_sub(300_000)) * 10;
        Report { missed, ..offered(rate.min(300_000), 1e9) }
    });
    assert!(found.is_generators && found.rate_hz.abs_diff(300_000) < 7_000, "{found:?}");
}

#[test]
fn a_trial_in_which_the_generator_was_held_up_is_repeated_and_not_counted() {
    let mut calls = 0u32;
    let found = search(|rate| {
        calls += 1;
        if !calls.is_multiple_of(3) {
            return offered(rate, 100_000.0);
        }
        let mut report = offered(rate, 10_000.0);
        report.lag.record(Interval::from_millis(5));
        report
    });
    assert!(found.sure && found.rate_hz.abs_diff(100_000) < 2_000, "{found:?}");
    let is_disturbed = |trial: &&(u32, Verdict)| trial.1 == Verdict::Disturbed;
    assert!(found.trials.iter().filter(is_disturbed).count() > 2, "{found:?}");
}

#[test]
fn a_level_nobody_meets_and_one_that_everybody_meets_end_the_search() {
    let found = search(|rate| offered(rate, 0.0));
    assert_eq!((found.rate_hz, found.sure), (0, false));
    let found = search_up_to(64_000, |rate| offered(rate, 1e12));
    assert_eq!((found.rate_hz, found.sure, found.trials.len()), (64_000, true, 7));
}

#[test]
fn an_interrupted_search_tells_what_it_knew() {
    let mut left = 5;
    let found = search(|rate| {
        left -= 1;
        Report { interrupted: left == 0, ..offered(rate, 1e6) }
    });
    assert!(found.interrupted && !found.sure);
    assert_eq!((found.rate_hz, found.trials.len()), (8_000, 4));
}
