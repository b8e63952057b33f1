//! From figures to places on an axis, and the figures that are written beside it.
//!
//! Must never: place a figure outside its axis.

use crate::table::thousands;

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Equal steps.
    Linear {
        /// At the origin.
        low: f64,
        /// At the end.
        high: f64,
    },
    /// Equal factors.
    Log {
        /// At the origin; above zero.
        low: f64,
        /// At the end.
        high: f64,
    },
    /// Shares of all, from 0, with as much room for each further nine: 90 %, 99 %, 99.9 %.
    Nines {
        /// How many nines the axis has.
        nines: f64,
    },
}

impl Scale {
    /// From zero to a round figure above the largest of `values`.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let high = values.fold(0.0, f64::max);
        Self::Linear { low: 0.0, high: if high > 0.0 { high * 1.05 } else { 1.0 } }
    }

    /// Just around `values`.
    pub fn around(values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return Self::Linear { low: 0.0, high: 1.0 };
        }
        let margin = ((high - low) * 0.05).max(f64::EPSILON.max(high.abs() * 1e-6));
        Self::Linear { low: low - margin, high: high + margin }
    }

    /// Around the positive ones of `values`, at least a factor of two wide.
    pub fn log(values: impl Iterator<Item = f64> + Clone) -> Self {
        let positive = values.filter(|value| *value > 0.0);
        let low = positive.clone().fold(f64::INFINITY, f64::min);
        let high = positive.fold(0.0, f64::max);
        if low > high {
            return Self::Log { low: 1.0, high: 10.0 };
        }
        let (low, high) = (low / 1.15, high * 1.15);
        Self::Log { low, high: high.max(low * 2.0) }
    }

    /// Where `value` lies, 0 to 1.
    pub fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear { low, high } => (value - low) / (high - low),
            Self::Log { low, high } => (value.max(low) / low).ln() / (high / low).ln(),
            Self::Nines { nines } => -(1.0 - value).max(1e-12).log10() / nines,
        };
        place.clamp(0.0, 1.0)
    }

    /// The figures to write, rising.
    pub fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { low, high } => {
                let step = round_step((high - low) / TICKS);
                let first = (low / step).ceil() as i64;
                let last = (high / step).floor() as i64;
                (first..=last).map(|number| number as f64 * step).collect()
            }
            Self::Log { low, high } => {
                // Few decades have room for figures between them.
                let between: &[f64] = match (high / low).log10() {
                    decades if decades > 3.5 => &[1.0],
                    decades if decades > 1.2 => &[1.0, 3.0],
                    _ => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
                };
                let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
                let all = decades.flat_map(|decade| {
                    between.iter().map(move |factor| factor * 10f64.powi(decade))
                });
                all.filter(|tick| (low..=high).contains(tick)).collect()
            }
            Self::Nines { nines } => {
                let further = (1..=nines.ceil() as i32).map(|count| 1.0 - 10f64.powi(-count));
                let limit = 1.0 - 10f64.powf(-nines) * 0.999;
                [0.0].into_iter().chain(further).filter(|tick| *tick <= limit).collect()
            }
        }
    }
}

/// The next of 1, 2, 5, 10, 20 … from `step` on.
fn round_step(step: f64) -> f64 {
    let decade = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * decade >= step * 0.999);
    factor.unwrap_or(10.0) * decade
}

/// What the figures of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Counts a second.
    PerSecond,
    /// Nanoseconds, written as ns, µs, ms or s.
    Nanos,
    /// A share of one, written in percent.
    Share,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// `value` as it is written at an axis: short, and exact for round figures.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::PerSecond if value >= 1e6 => format!("{} M", trimmed(value / 1e6)),
            Self::PerSecond if value >= 1e4 => format!("{} k", trimmed(value / 1e3)),
            Self::PerSecond => thousands(value),
            Self::Nanos => {
                let magnitude = value.abs();
                let (factor, unit) = match magnitude {
                    _ if magnitude >= 1e9 => (1e9, "s"),
                    _ if magnitude >= 1e6 => (1e6, "ms"),
                    _ if magnitude >= 1e3 => (1e3, "µs"),
                    _ => (1.0, "ns"),
                };
                if value == 0.0 {
                    "0".to_owned()
                } else {
                    format!("{} {unit}", trimmed(value / factor))
                }
            }
            Self::Share => format!("{} %", trimmed(value * 100.0)),
            Self::Seconds => format!("{} s", trimmed(value)),
        }
    }
}

/// At most as many decimals as it takes, and no more than significant.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.7}");
    let rounded: f64 = text.parse().unwrap_or(value);
    let digits = match rounded.abs() {
        magnitude if (99.0..100.0).contains(&magnitude) => 6,
        magnitude if magnitude >= 100.0 => 0,
        magnitude if magnitude >= 10.0 => 1,
        magnitude if magnitude >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{rounded:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// About so many figures at an axis of equal steps.
const TICKS: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_run_from_one_end_to_the_other_and_not_beyond() {
        for scale in [Scale::Linear { low: 10.0, high: 30.0 }, Scale::Log { low: 10.0, high: 1e5 }]
        {
            assert_eq!(scale.place(10.0), 0.0);
            assert_eq!(scale.place(1e9), 1.0);
            assert_eq!(scale.place(-5.0), 0.0);
        }
        assert!((Scale::Log { low: 1.0, high: 1e4 }.place(100.0) - 0.5).abs() < 1e-12);
        let nines = Scale::Nines { nines: 4.0 };
        assert!((nines.place(0.99) - 0.5).abs() < 1e-9 && nines.place(0.0) == 0.0);
        assert_eq!(nines.place(1.0), 1.0);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Scale::Linear { low: 0.0, high: 104.0 }.ticks(), [0.0, 50.0, 100.0]);
        assert_eq!(Scale::Linear { low: -1.1, high: 1.1 }.ticks(), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(Scale::Log { low: 9.0, high: 1.2e6 }.ticks(), [1e1, 1e2, 1e3, 1e4, 1e5, 1e6]);
        assert_eq!(Scale::Nines { nines: 3.0 }.ticks().len(), 4);
    }

    #[test]
    fn no_values_and_equal_values_still_make_an_axis() {
        for scale in [
            Scale::around([].into_iter()),
            Scale::around([7.0, 7.0].into_iter()),
            Scale::log([].into_iter()),
            Scale::log([3.0].into_iter()),
            Scale::from_zero([0.0].into_iter()),
        ] {
            assert!(scale.place(7.0).is_finite() && scale.ticks().len() < 20, "{scale:?}");
        }
    }

    #[test]
    fn figures_are_short_and_exact() {
        let text = |unit: Unit, value| unit.text(value);
        assert_eq!(text(Unit::PerSecond, 250_000.0), "250 k");
        assert_eq!(text(Unit::PerSecond, 1_500_000.0), "1.5 M");
        assert_eq!(text(Unit::PerSecond, 2_000.0), "2 000");
        assert_eq!(text(Unit::Nanos, 1_500.0), "1.5 µs");
        assert_eq!(text(Unit::Nanos, -30_000_000.0), "-30 ms");
        assert_eq!(text(Unit::Share, 0.999_9), "99.99 %");
        assert_eq!(text(Unit::Share, 0.05), "5 %");
        assert_eq!(text(Unit::Seconds, 12.0), "12 s");
    }
}
