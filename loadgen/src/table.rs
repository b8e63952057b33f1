//! Aligned columns for people.
//!
//! Must never: round a figure so far that two different results look alike.

use std::collections::BTreeMap;

use crate::Report;

/// Rows of text under a header; the first column is aligned left, the others right.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row; missing cells stay empty.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The whole table, each line ending in a newline.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = widths.iter().enumerate().map(|(column, &width)| {
                let cell = row.get(column).map_or("", String::as_str);
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
            if number == 0 {
                let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
                text.push_str(&rule.join("  "));
                text.push('\n');
            }
        }
        text
    }
}

/// Says for each named report that has any what was invalid about its replies; empty if none has.
pub fn invalid_text<'a>(reports: impl Iterator<Item = (String, &'a Report)>) -> String {
    let mut lines = BTreeMap::<String, BTreeMap<&str, u64>>::new();
    for (name, report) in reports {
        for (fault, count) in report.faults.seen() {
            *lines.entry(name.clone()).or_default().entry(fault.text()).or_default() += count;
        }
    }
    let text = |(name, reasons): (&String, &BTreeMap<&str, u64>)| {
        let reasons = reasons.iter().map(|(reason, count)| format!("{count} {reason}"));
        format!("\ninvalid replies of {name}: {}", reasons.collect::<Vec<_>>().join(", "))
    };
    lines.iter().map(text).collect()
}

/// A count with spaces between the thousands.
pub fn thousands(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// Nanoseconds as microseconds.
pub fn micros(nanos: i64) -> String {
    let micros = nanos as f64 / 1_000.0;
    let digits = if micros.abs() < 10.0 { 2 } else { usize::from(micros.abs() < 1_000.0) };
    format!("{micros:.digits$}")
}

/// A share of one as a percentage.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["server", "ns"]);
        table.row(vec!["a".to_owned(), "1".to_owned()]);
        table.row(vec!["long name".to_owned(), "12 345".to_owned()]);
        table.row(vec!["×".to_owned()]);
        let expected = "server         ns\n---------  ------\na               1\n\
                        long name  12 345\n×\n";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn invalid_replies_are_summed_by_server_and_reason() {
        let faulty = |count| {
            let mut report = Report::default();
            (0..count).for_each(|_| report.faults.count(Fault::Short));
            report
        };
        let (one, two, none) = (faulty(1), faulty(2), Report::default());
        let reports = [("a".to_owned(), &one), ("b".to_owned(), &none), ("a".to_owned(), &two)];
        assert_eq!(
            invalid_text(reports.into_iter()),
            "\ninvalid replies of a: 3 shorter than a header"
        );
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(thousands(516_654.4), "516 654");
        assert_eq!(thousands(-1_000.0), "-1 000");
        assert_eq!(thousands(12.0), "12");
        assert_eq!(thousands(f64::INFINITY), "-");
        assert_eq!(micros(-3_456), "-3.46");
        assert_eq!(micros(45_678), "45.7");
        assert_eq!(micros(4_567_890), "4568");
        assert_eq!(percent(0.987), "98.7 %");
    }
}
