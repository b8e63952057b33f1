//! A result in the formats of other programs: CSV time series, HdrHistogram interval logs, and percentile
//! distributions.
//!
//! * CSV: one line an interval, one header line, plain numbers, nanoseconds.
//! * `.hlog`: HdrHistogram log format, V2 compressed histograms of nanoseconds, one an interval; the
//!   maxima beside them in milliseconds, as the format's own tools write them. The magnitude of the
//!   served-time error goes beside latency under the tag `error`.
//! * `.hgrm`: the percentile distribution of latency in microseconds, as HdrHistogram prints it.
//!
//! Must never: leave an interval out.

use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::text::{load_text, utc};
use crate::{DamagedHistogram, Document, Point, SignedHistogram, Trial};

/// Every interval of every load as CSV.
pub fn csv(document: &Document) -> String {
    let mut text = CSV_COLUMNS.join(",") + "\n";
    for (number, trial) in document.trials.iter().enumerate() {
        for point in &trial.series {
            let cells = csv_cells(number, trial, point);
            text.push_str(&cells.join(","));
            text.push('\n');
        }
    }
    text
}

fn csv_cells(number: usize, trial: &Trial, point: &Point) -> [String; CSV_COLUMNS.len()] {
    let (latency, offset) = (&point.latency.distribution, &point.offset.distribution);
    let started_s = trial.started_unix_ns as f64 / 1e9;
    [
        number.to_string(),
        trial.subject.clone().unwrap_or_default().replace([',', '"', '\n'], " "),
        trial.offered_per_s.map_or_else(String::new, |rate| rate.to_string()),
        format!("{:.3}", started_s + point.start_s),
        format!("{:.3}", point.start_s),
        format!("{:.3}", point.length_s),
        point.sent.to_string(),
        format!("{:.1}", point.per_s(point.sent)),
        point.unsent.to_string(),
        point.answered.to_string(),
        format!("{:.1}", point.per_s(point.answered)),
        point.lost.to_string(),
        point.invalid.to_string(),
        latency.min_ns.to_string(),
        latency.p50_ns.to_string(),
        latency.p90_ns.to_string(),
        latency.p99_ns.to_string(),
        latency.p99_9_ns.to_string(),
        latency.max_ns.to_string(),
        offset.p1_ns.to_string(),
        offset.p50_ns.to_string(),
        offset.p99_ns.to_string(),
    ]
}

/// The columns of the time series.
const CSV_COLUMNS: [&str; 22] = [
    "load",
    "subject",
    "offered_per_s",
    "start_unix_s",
    "start_s",
    "length_s",
    "sent",
    "sent_per_s",
    "unsent",
    "answered",
    "answered_per_s",
    "lost",
    "invalid",
    "latency_min_ns",
    "latency_p50_ns",
    "latency_p90_ns",
    "latency_p99_ns",
    "latency_p99_9_ns",
    "latency_max_ns",
    "offset_p1_ns",
    "offset_p50_ns",
    "offset_p99_ns",
];

/// Every interval's histograms as an HdrHistogram log.
pub fn hlog(document: &Document) -> Result<String, DamagedHistogram> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let start = document.trials.iter().map(|trial| trial.started_unix_ns).min().unwrap_or(0);
    let start_time = UNIX_EPOCH + Duration::from_nanos(start.max(0) as u64);
    let mut log = IntervalLogWriterBuilder::new();
    log.add_comment(&format!("[Logged with {}]", document.program))
        .add_comment("[Histogram log format version 1.3]")
        .with_start_time(start_time)
        .with_base_time(start_time)
        .with_max_value_divisor(1e6);
    // Writing to memory does not fail, and three digits of a minute fit the encoding.
    let failed = |error: &dyn std::fmt::Display| DamagedHistogram::new(error.to_string());
    let mut log =
        log.begin_log_with(&mut bytes, &mut serializer).map_err(|error| failed(&error))?;
    for trial in &document.trials {
        let name = tag_text(document, trial);
        let since_s = (trial.started_unix_ns - start) as f64 / 1e9;
        for point in &trial.series {
            let at = Duration::from_secs_f64((since_s + point.start_s).max(0.0));
            let length = Duration::from_secs_f64(point.length_s);
            let latency = SignedHistogram::try_from(&point.latency)?;
            let error = SignedHistogram::try_from(&point.offset)?;
            let lines = [
                (latency.at_least_zero().clone(), name.clone()),
                (
                    error.magnitudes(),
                    [name.as_str(), "error"].join(if name.is_empty() { "" } else { "-" }),
                ),
            ];
            for (histogram, tag) in lines.iter().filter(|(histogram, _)| !histogram.is_empty()) {
                let tag = Tag::new(tag).filter(|tag| !tag.as_str().is_empty());
                log.write_histogram(histogram, at, length, tag).map_err(|error| failed(&error))?;
            }
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What tells the loads of one log apart; nothing if there is one only.
fn tag_text(document: &Document, trial: &Trial) -> String {
    let number = document.trials.iter().position(|other| std::ptr::eq(other, trial));
    match (&document.trials[..], number) {
        ([_], _) | (_, None) => String::new(),
        (_, Some(number)) => {
            let what = trial.subject.clone().unwrap_or_else(|| {
                trial.offered_per_s.map_or_else(|| "closed".to_owned(), |rate| format!("{rate:.0}"))
            });
            let what = what.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
            format!("{number}-{what}")
        }
    }
}

/// The percentile distribution of the latency of every load, one after the other.
pub fn hgrm(document: &Document) -> String {
    let mut text = String::new();
    for trial in &document.trials {
        if document.trials.len() > 1 {
            let subject = trial.subject.as_deref().unwrap_or_default();
            text.push_str(&format!(
                "#[{subject} {}, {}]\n",
                load_text(trial),
                utc(trial.started_unix_ns)
            ));
        }
        text.push_str(&percentiles(trial.report.latency.at_least_zero()));
    }
    text
}

fn percentiles(histogram: &Histogram<u64>) -> String {
    let micros = |nanos: f64| nanos / 1e3;
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>16}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        let (value, quantile) =
            (micros(step.value_iterated_to() as f64), step.quantile_iterated_to());
        let count = histogram.count_between(0, step.value_iterated_to());
        let inverse = if quantile < 1.0 {
            format!("{:.2}", 1.0 / (1.0 - quantile))
        } else {
            "inf".to_owned()
        };
        text.push_str(&format!("{value:>12.3} {quantile:>14.12} {count:>10} {inverse:>16}\n"));
    }
    text.push_str(&format!(
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n#[Max     = {:>12.3}, Total count    = {:>12}]\n\
         #[Buckets = {:>12}, SubBuckets     = {:>12}]\n",
        micros(histogram.mean()),
        micros(histogram.stdev()),
        micros(histogram.max() as f64),
        histogram.len(),
        histogram.buckets(),
        SUB_BUCKETS,
    ));
    text
}

/// As fine as HdrHistogram's own tools print.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
/// Of a histogram of three digits.
const SUB_BUCKETS: u32 = 2_048;

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::trial::tests::trial;
    use crate::{Experiment, Machine};

    fn document(trials: Vec<Trial>) -> Document {
        Document::new(Experiment::Sweep, Machine::look(), trials)
    }

    #[test]
    fn every_interval_is_a_line_of_as_many_numbers_as_columns() {
        let text = csv(&document(vec![trial(1_000, 5_000), trial(2_000, 7_000)]));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 1 + 4);
        assert!(lines.iter().all(|line| line.len() == CSV_COLUMNS.len()));
        let column = |name| CSV_COLUMNS.iter().position(|column| *column == name).unwrap();
        let number = |line: usize, name| lines[line][column(name)].parse::<f64>().unwrap();
        assert_eq!((number(1, "sent"), number(4, "sent_per_s")), (500.0, 1_000.0));
        assert_eq!(number(3, "offered_per_s"), 2_000.0);
        assert_eq!(number(4, "start_unix_s") - number(3, "start_unix_s"), 1.0);
        let median = trial(2_000, 7_000).report.latency.quantile(0.5) as f64;
        assert_eq!(number(4, "latency_p50_ns"), median);
    }

    #[test]
    fn the_log_is_read_back_by_the_library_whole() {
        let base64 = base64::engine::general_purpose::STANDARD;
        let log = hlog(&document(vec![trial(1_000, 5_000)])).unwrap();
        let mut seen = Vec::new();
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            let LogEntry::Interval(interval) = entry.unwrap() else { continue };
            let bytes = base64::Engine::decode(&base64, interval.encoded_histogram()).unwrap();
            let histogram: Histogram<u64> =
                Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            let tag = interval.tag().map(|tag| tag.as_str().to_owned());
            seen.push((tag, interval.start_timestamp().as_secs(), histogram));
        }
        let report = trial(1_000, 5_000).report;
        assert_eq!(seen.len(), 4);
        for (second, pair) in seen.chunks(2).enumerate() {
            assert_eq!((&pair[0].0, pair[0].1), (&None, second as u64));
            assert_eq!(&pair[0].2, report.latency.at_least_zero());
            assert_eq!(pair[1].0.as_deref(), Some("error"));
            assert_eq!(pair[1].2, report.offset.magnitudes());
        }
    }

    #[test]
    fn several_loads_in_one_log_are_told_apart_by_tags() {
        let log = hlog(&document(vec![trial(1_000, 5_000), trial(2_000, 5_000)])).unwrap();
        for tag in ["Tag=0-1000,", "Tag=0-1000-error,", "Tag=1-2000,"] {
            assert_eq!(log.matches(tag).count(), 2, "{tag} in {log}");
        }
    }

    #[test]
    fn the_percentile_file_rises_to_the_maximum_and_counts_everything() {
        let text = hgrm(&document(vec![trial(10_000, 50_000)]));
        let rows: Vec<Vec<f64>> = text
            .lines()
            .filter(|line| line.trim_start().starts_with(|letter: char| letter.is_ascii_digit()))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.len() > 20 && rows.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1]));
        let last = rows.last().unwrap();
        let report = trial(10_000, 50_000).report;
        assert_eq!((last[1], last[2], last[3]), (1.0, 10_000.0, f64::INFINITY));
        assert_eq!(last[0], report.latency.quantile(1.0) as f64 / 1e3);
        assert!(text.contains("Total count    =        10000]"), "{text}");
    }
}
