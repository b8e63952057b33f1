//! A histogram in lines of text.
//!
//! Must never: leave a value out: the first and the last line reach to the ends.

use crate::SignedHistogram;
use crate::table::{micros, percent};

/// The shares of the values by size, in steps that grow by a constant factor; empty without values.
pub(super) fn bars(name: &str, histogram: &SignedHistogram) -> String {
    let values = histogram.magnitudes();
    if values.is_empty() {
        return String::new();
    }
    let low = (values.value_at_quantile(0.001).max(1)) as f64;
    let high = (values.value_at_quantile(0.999) as f64).max(low * 1.01);
    let factor = (high / low).powf(1.0 / LINES as f64);
    let mut lines = Vec::new();
    for line in 0..=LINES {
        let edge = |index: usize| (low * factor.powi(index as i32)) as u64;
        let (from, to) = match line {
            0 => (0, edge(1)),
            LINES => (edge(LINES) + 1, values.max()),
            _ => (edge(line) + 1, edge(line + 1)),
        };
        let share = if to < from {
            0.0
        } else {
            values.count_between(from, to) as f64 / values.len() as f64
        };
        lines.push((to, share));
    }
    // The largest value seen may lie below the last line.
    lines.retain(|(_, share)| *share > 0.0);
    let largest = lines.iter().map(|(_, share)| *share).fold(0.0, f64::max);
    let mut text = format!("\n{name} µs\n");
    for (to, share) in lines {
        let eighths = (share / largest * WIDTH as f64 * 8.0).round() as usize;
        let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
        let line = format!("  ≤ {:>8}  {:>7}  {bar}", micros(to as i64), percent(share));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

const LINES: usize = 12;
const WIDTH: usize = 40;
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

#[cfg(test)]
mod tests {
    use timeball_time::Interval;

    use super::*;

    #[test]
    fn the_shares_add_up_to_everything() {
        let mut histogram = SignedHistogram::new();
        (1..=10_000).for_each(|n| histogram.record(Interval::from_nanos(n * n)));
        let text = bars("latency", &histogram);
        let shares = text.lines().filter_map(|line| {
            line.split_whitespace().nth(2).and_then(|share| share.parse::<f64>().ok())
        });
        let sum: f64 = shares.sum();
        assert!((sum - 100.0).abs() < 1.0, "{sum}\n{text}");
        assert!(text.lines().count() > 8 && text.contains('█'), "{text}");
    }

    #[test]
    fn one_value_is_one_full_bar_and_none_is_nothing() {
        let mut histogram = SignedHistogram::new();
        assert_eq!(bars("latency", &histogram), "");
        histogram.record(Interval::from_nanos(5_000));
        assert_eq!(bars("latency", &histogram).lines().count(), 3);
    }
}
