//! The rows of the tables, the same in the text and on the page.
//!
//! Must never: leave out a count that is not zero.

use super::words::MEASURES;
use crate::table::{micros, percent, thousands};
use crate::{Cohort, Trial};

/// Titles of [`counts`].
pub(crate) const COUNTS: [&str; 4] = ["", "requests", "share", "rate"];

/// What became of the requests of one load.
pub(crate) fn counts(trial: &Trial) -> Vec<Vec<String>> {
    let report = &trial.report;
    let due = report.sent + report.unsent + report.missed;
    let row = |name: &str, count: u64, rate: Option<f64>| {
        let share = percent(count as f64 / due.max(1) as f64);
        let rate = rate.map_or(String::new(), |rate| format!("{}/s", thousands(rate)));
        vec![name.to_owned(), thousands(count as f64), share, rate]
    };
    let mut rows = vec![row("sent", report.sent, Some(report.sent_per_s()))];
    let ours = [
        ("due and never sent", report.missed),
        ("no room to send", report.unsent),
        ("dropped by the device", report.dropped),
        ("replies we had no room for", report.overruns),
    ];
    rows.extend(
        ours.into_iter().filter(|(_, count)| *count > 0).map(|(name, it)| row(name, it, None)),
    );
    rows.push(row("answered", report.answered, Some(report.answered_per_s())));
    rows.push(row("lost", report.lost, None));
    rows.push(row("invalid", report.faults.total(), None));
    let reasons = report.faults.seen();
    rows.extend(reasons.map(|(fault, count)| row(&format!("· {}", fault.text()), count, None)));
    if report.unstamped > 0 {
        rows.push(row("answered without a stamp", report.unstamped, None));
    }
    rows
}

/// Titles of [`times`].
pub(crate) const TIMES: [&str; 9] =
    ["µs", "count", "min", "p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// The distributions of one load that hold anything.
pub(crate) fn times(trial: &Trial) -> Vec<Vec<String>> {
    let named = MEASURES.iter().filter_map(|(key, name)| {
        let (_, histogram) =
            trial.report.measures().into_iter().find(|(stored, _)| stored == key)?;
        (histogram.count() > 0).then_some((name, histogram.distribution()))
    });
    let row = |(name, it): (&&str, crate::Distribution)| {
        let mut cells = vec![(*name).to_owned(), thousands(it.count as f64)];
        let figures =
            [it.min_ns, it.p50_ns, it.p90_ns, it.p99_ns, it.p99_9_ns, it.p99_99_ns, it.max_ns];
        cells.extend(figures.map(micros));
        cells
    };
    named.map(row).collect()
}

/// Titles of [`others`].
pub(crate) const OTHERS: [&str; 5] = ["", "sent", "answered", "octets back / sent", "refused"];

/// Hostile packets, and how the clients of each behaviour fared, where there were any.
pub(crate) fn others(trial: &Trial) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (kind, it) in trial.report.hostile.all().into_iter().filter(|(_, it)| it.sent > 0) {
        let octets = [it.octets_answered, it.octets_sent].map(|count| thousands(count as f64));
        rows.push(vec![
            format!("hostile, {}", kind.name()),
            thousands(it.sent as f64),
            thousands(it.answered as f64),
            octets.join(" / "),
        ]);
    }
    let cohorts = trial.report.cohorts.all().into_iter().filter(|(_, it)| it.sent > 0);
    let cohorts: Vec<_> = cohorts.collect();
    if cohorts.len() > 1 {
        rows.extend(cohorts.into_iter().map(|(cohort, it)| {
            let name = match cohort {
                Cohort::WellBehaved => "well-behaved clients",
                Cohort::Chatty => "chatty clients",
                Cohort::Abuser => "the abuser",
            };
            let [sent, answered, refused] =
                [it.sent, it.answered, it.refused].map(|count| thousands(count as f64));
            vec![name.to_owned(), sent, answered, String::new(), refused]
        }));
    }
    rows
}

/// Titles of [`senders`].
pub(crate) const SENDERS: [&str; 5] = ["sender", "sent/s", "answered/s", "no room", "late p99 µs"];

/// The threads that sent.
pub(crate) fn senders(trial: &Trial) -> Vec<Vec<String>> {
    let per_s = |count: u64| thousands(count as f64 / trial.report.elapsed_s.max(1e-9));
    let row = |(number, sender): (usize, &crate::Sender)| {
        let core = sender.core.map_or(String::new(), |core| format!(", core {core}"));
        vec![
            format!("{number}{core}"),
            per_s(sender.sent),
            per_s(sender.answered),
            thousands(sender.unsent as f64),
            micros(sender.lag_p99_ns),
        ]
    };
    trial.senders.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::trial;
    use crate::{Fault, Kind};

    #[test]
    fn every_count_that_is_not_zero_has_its_row() {
        let mut trial = trial(1_000, 500);
        assert_eq!(counts(&trial).len(), 4);
        assert!(others(&trial).is_empty());
        let report = &mut trial.report;
        (report.missed, report.unsent, report.dropped, report.overruns) = (1, 2, 3, 4);
        report.unstamped = 5;
        report.faults.count(Fault::Duplicate);
        report.hostile.of_mut(Kind::Mode6).unwrap().sent = 7;
        report.cohorts.of_mut(Cohort::Abuser).sent = 8;
        report.cohorts.of_mut(Cohort::WellBehaved).sent = 9;
        let names: Vec<String> = counts(&trial).into_iter().map(|row| row[0].clone()).collect();
        assert_eq!(names.len(), 10, "{names:?}");
        assert!(names.contains(&"· duplicate".to_owned()), "{names:?}");
        assert_eq!(others(&trial).len(), 3);
        assert!(others(&trial).iter().all(|row| row.len() <= OTHERS.len()));
        assert!(counts(&trial).iter().all(|row| row.len() == COUNTS.len()));
        assert!(times(&trial).iter().all(|row| row.len() == TIMES.len()));
        assert!(senders(&trial).iter().all(|row| row.len() == SENDERS.len()));
    }
}
