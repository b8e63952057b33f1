//! Figures over rounds: medians, and the spread beside every one.
//!
//! A ratio is taken within a round, between servers that ran within seconds of each other, and then
//! the median over the rounds; a ratio of two medians would compare moments that have nothing in
//! common.
//!
//! Must never: give a median without its least and greatest.

use serde::{Deserialize, Serialize};

/// Median, least and greatest of one figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The middle one, or the mean of the middle two.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The greatest.
    pub(crate) max: f64,
}

impl Spread {
    /// Of `values`; `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Some(Self { median, min, max })
    }

    /// Of the ratios `dividends[i] / divisors[i]`, round by round.
    pub(crate) fn of_ratios(dividends: &[f64], divisors: &[f64]) -> Option<Self> {
        Self::of(dividends.iter().zip(divisors).map(|(dividend, divisor)| dividend / divisor))
    }

    /// `1.02 (0.98–1.05)`.
    pub(crate) fn ratio_text(&self) -> String {
        format!("{:.3} ({:.3}–{:.3})", self.median, self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_and_the_ends_are_kept() {
        let spread = Spread::of([3.0, 1.0, 9.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, min: 1.0, max: 9.0 });
        assert_eq!(Spread::of([1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine was twice as slow in the second round; the ratio does not notice.
        let spread = Spread::of_ratios(&[110.0, 220.0], &[100.0, 200.0]).unwrap();
        assert_eq!(spread.ratio_text(), "1.100 (1.100–1.100)");
    }
}
