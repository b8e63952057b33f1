//! A load while it runs, for whoever watches: a block that is redrawn on a terminal, a line an interval
//! elsewhere.
//!
//! It shows what the senders have handed over anyway, once an interval, on the thread that collects;
//! nothing is asked of a sender.
//!
//! Must never: write to standard output, which is for the result.

use std::io::{IsTerminal, Write};

use crate::table::{micros, percent, thousands};
use crate::{PackedHistogram, Point};

/// The view of one run.
#[derive(Debug)]
pub struct Live {
    /// What is being offered.
    title: String,
    is_terminal: bool,
    /// Lines of the block drawn last.
    drawn: usize,
}

impl Live {
    /// A view on standard error; `title` says what is being offered.
    pub fn new(title: String) -> Self {
        Self { title, is_terminal: std::io::stderr().is_terminal(), drawn: 0 }
    }

    /// Shows one more interval.
    pub fn show(&mut self, point: &Point) {
        let text = if self.is_terminal {
            let block = block(&self.title, point);
            let text = redraw(&block, self.drawn);
            self.drawn = block.len();
            text
        } else {
            line(point) + "\n"
        };
        let mut error = std::io::stderr().lock();
        // A view that nobody sees is no reason to end a load.
        let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
    }
}

/// `lines` in the place of the `drawn` lines above the cursor; what is left of a longer line is erased.
///
/// A line that does not fit is cut by the terminal: were it wrapped, it would count as two.
fn redraw(lines: &[String], drawn: usize) -> String {
    let up = if drawn > 0 { format!("\x1b[{drawn}F") } else { String::new() };
    let lines: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("{NO_WRAP}{up}{lines}\x1b[J{WRAP}")
}

fn line(point: &Point) -> String {
    format!(
        "{:>7.1} s  {:>10} sent/s  {:>10} answered/s  lost {:>6}  invalid {}  latency {}{}",
        point.start_s + point.length_s,
        thousands(point.per_s(point.sent)),
        thousands(point.per_s(point.answered)),
        thousands(point.lost as f64),
        thousands(point.invalid as f64),
        latency(&point.latency),
        error(&point.offset),
    )
}

fn block(title: &str, point: &Point) -> Vec<String> {
    let share = |count: u64| percent(count as f64 / point.sent.max(1) as f64);
    let mut lines = vec![
        format!("{BOLD}{title}{PLAIN}  {:.1} s", point.start_s + point.length_s),
        format!(
            "  sent {}/s   answered {}/s   lost {} ({})   invalid {}   no room {}",
            thousands(point.per_s(point.sent)),
            thousands(point.per_s(point.answered)),
            thousands(point.lost as f64),
            share(point.lost),
            thousands(point.invalid as f64),
            thousands(point.unsent as f64),
        ),
        format!("  latency {}{}", latency(&point.latency), error(&point.offset)),
    ];
    if point.senders.len() > 1 {
        let busiest = point.senders.iter().map(|sender| sender.sent).max().unwrap_or(0).max(1);
        lines.extend(point.senders.iter().enumerate().map(|(number, sender)| {
            let length = (sender.sent * BAR_WIDTH / busiest) as usize;
            format!(
                "  sender {number:>3}  {:>10} sent/s  {:>10} answered/s  {}",
                thousands(point.per_s(sender.sent)),
                thousands(point.per_s(sender.answered)),
                "█".repeat(length),
            )
        }));
    }
    lines
}

fn latency(histogram: &PackedHistogram) -> String {
    let it = &histogram.distribution;
    if it.count == 0 {
        return "-".to_owned();
    }
    format!("p50 {} p99 {} p99.9 {} µs", micros(it.p50_ns), micros(it.p99_ns), micros(it.p99_9_ns))
}

fn error(histogram: &PackedHistogram) -> String {
    let it = &histogram.distribution;
    if it.count == 0 {
        return String::new();
    }
    let [low, median, high] = [it.p1_ns, it.p50_ns, it.p99_ns].map(micros);
    format!("   served-time error p1 {low} p50 {median} p99 {high} µs")
}

const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";
const BAR_WIDTH: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SenderPoint;
    use crate::trial::tests::trial;

    #[test]
    fn a_line_has_rates_loss_latency_and_error() {
        let point = &trial(20_000, 5_000).series[1];
        let line = line(point);
        assert!(line.starts_with("    2.0 s      10 000 sent/s      10 000 answered/s"), "{line}");
        assert!(line.contains("p50 15.0 p99 24.8 p99.9 25.0 µs"), "{line}");
        assert!(line.contains("served-time error p1 -0.10"), "{line}");
    }

    #[test]
    fn a_block_is_drawn_over_the_one_before_and_has_a_line_a_sender() {
        let mut point = trial(20_000, 5_000).series[0].clone();
        assert_eq!(block("it", &point).len(), 3);
        point.senders =
            vec![SenderPoint { sent: 10, answered: 9 }, SenderPoint { sent: 5, answered: 5 }];
        let lines = block("it", &point);
        assert_eq!(lines.len(), 5);
        assert!(lines[3].ends_with(&"█".repeat(30)) && lines[4].ends_with(&"█".repeat(15)));
        assert!(redraw(&lines, 0).starts_with(&format!("{NO_WRAP}{BOLD}it")));
        let again = redraw(&lines, 5);
        assert!(
            again.contains("\x1b[5F") && again.ends_with(&format!("\x1b[K\n\x1b[J{WRAP}")),
            "{again:?}"
        );
    }

    #[test]
    fn an_interval_without_answers_shows_no_figures() {
        let line = line(&Point { length_s: 1.0, sent: 10, lost: 10, ..Point::default() });
        assert!(line.ends_with("latency -"), "{line}");
    }
}
