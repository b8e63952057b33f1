//! Distributions of signed nanoseconds.
//!
//! An error has a sign, and the sign is the point: a transmit timestamp that is a microsecond late
//! is a lie, one that is a microsecond early is not. hdrhistogram counts only magnitudes, so one
//! histogram holds what is below zero and another the rest.
//!
//! Must never: allocate while recording, or clip silently (what is out of range is counted at the
//! edge).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};
use timeball_time::Interval;

/// A histogram of intervals of either sign, to three digits, up to a minute.
///
/// Serialized it is a [`Distribution`] for the reader and, beside it, both sides whole in the compressed
/// HdrHistogram V2 encoding, so that what was stored can be added up later.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "PackedHistogram", try_from = "PackedHistogram")]
pub struct SignedHistogram {
    /// Magnitudes of the values below zero.
    below: Histogram<u64>,
    /// Zero and above.
    above: Histogram<u64>,
    sum_ns: i128,
}

/// Shown as its figures: nobody reads fifty thousand counts.
impl fmt::Debug for SignedHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.distribution().fmt(f)
    }
}

impl Default for SignedHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl SignedHistogram {
    /// An empty histogram; its room for every value there can be, half a megabyte, is taken here.
    pub fn new() -> Self {
        Self { below: side(), above: side(), sum_ns: 0 }
    }

    /// Counts one value.
    #[inline]
    pub fn record(&mut self, value: Interval) {
        let nanos = value.nanos();
        self.sum_ns += i128::from(nanos);
        if nanos < 0 {
            self.below.saturating_record(nanos.unsigned_abs());
        } else {
            self.above.saturating_record(nanos.unsigned_abs());
        }
    }

    /// Counts a value `count` times, but not in the mean: that is for whoever knows the sum.
    pub(crate) fn add_counted(&mut self, nanos: i64, count: u64) {
        let side = if nanos < 0 { &mut self.below } else { &mut self.above };
        side.saturating_record_n(nanos.unsigned_abs(), count);
    }

    /// The sum of values that [`SignedHistogram::add_counted`] has counted.
    pub(crate) fn add_sum(&mut self, sum_ns: i64) {
        self.sum_ns += i128::from(sum_ns);
    }

    /// Counts all that `other` has counted.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, and every value of `other` lies within them.
        let added = [self.below.add(&other.below), self.above.add(&other.above)];
        debug_assert!(added.iter().all(Result::is_ok), "{added:?}");
        self.sum_ns += other.sum_ns;
    }

    /// Forgets everything counted, and keeps its room.
    pub fn clear(&mut self) {
        self.below.reset();
        self.above.reset();
        self.sum_ns = 0;
    }

    /// The values that are zero or above, as the library counts them.
    pub const fn at_least_zero(&self) -> &Histogram<u64> {
        &self.above
    }

    /// The magnitudes of all values, whatever their sign.
    pub fn magnitudes(&self) -> Histogram<u64> {
        let mut all = self.above.clone();
        let added = all.add(&self.below);
        debug_assert!(added.is_ok(), "{added:?}");
        all
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.below.len() + self.above.len()
    }

    /// The smallest value not exceeded by the share `quantile` (0 to 1) of all; zero if there are
    /// none.
    pub fn quantile(&self, quantile: f64) -> i64 {
        let count = self.count();
        if count == 0 {
            return 0;
        }
        let rank = ((quantile.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count);
        let below = self.below.len();
        if rank <= below {
            // The r-th value from the bottom has the (n − r + 1)-th magnitude.
            let magnitude_rank = below - rank + 1;
            -(value_at_rank(&self.below, magnitude_rank) as i64)
        } else {
            value_at_rank(&self.above, rank - below) as i64
        }
    }

    /// How many values lie from `low` on and below `high`.
    pub fn count_between(&self, low: i64, high: i64) -> u64 {
        let within = |side: &Histogram<u64>, low: i64, high: i64| match u64::try_from(high) {
            Ok(high) => side.count_between(low.max(0) as u64, high),
            Err(_) => 0,
        };
        within(&self.above, low, high - 1) + within(&self.below, 1 - high, -low)
    }

    /// The usual figures.
    pub fn distribution(&self) -> Distribution {
        let count = self.count();
        Distribution {
            count,
            mean_ns: if count == 0 { 0.0 } else { self.sum_ns as f64 / count as f64 },
            min_ns: self.quantile(0.0),
            p0_1_ns: self.quantile(0.001),
            p1_ns: self.quantile(0.01),
            p50_ns: self.quantile(0.5),
            p90_ns: self.quantile(0.9),
            p99_ns: self.quantile(0.99),
            p99_9_ns: self.quantile(0.999),
            p99_99_ns: self.quantile(0.999_9),
            max_ns: self.quantile(1.0),
        }
    }
}

/// The figures of one distribution, in nanoseconds; all zero when nothing was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Values counted.
    pub count: u64,
    /// Their mean.
    pub mean_ns: f64,
    /// The least.
    pub min_ns: i64,
    /// Exceeded by 99.9 %.
    pub p0_1_ns: i64,
    /// Exceeded by 99 %.
    pub p1_ns: i64,
    /// The median.
    pub p50_ns: i64,
    /// Exceeded by 10 %.
    pub p90_ns: i64,
    /// Exceeded by 1 %.
    pub p99_ns: i64,
    /// Exceeded by 0.1 %.
    pub p99_9_ns: i64,
    /// Exceeded by 0.01 %.
    pub p99_99_ns: i64,
    /// The largest.
    pub max_ns: i64,
}

fn value_at_rank(histogram: &Histogram<u64>, rank: u64) -> u64 {
    // Half a rank off, so that rounding in the library cannot move to the next.
    let quantile = (rank as f64 - 0.5) / histogram.len() as f64;
    histogram.value_at_quantile(quantile)
}

fn side() -> Histogram<u64> {
    // Cannot fail: the bounds and the digits are constants within the documented ranges, and a
    // failure would leave an empty histogram of the least size.
    Histogram::new_with_bounds(1, RANGE_NS, DIGITS)
        .or_else(|_| Histogram::new(DIGITS))
        .unwrap_or_else(|_| unreachable!("{DIGITS} digits are allowed"))
}

/// A histogram as it is stored: its figures, and beside them the whole of it in a few hundred octets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PackedHistogram {
    /// The usual figures.
    #[serde(flatten)]
    pub distribution: Distribution,
    /// Magnitudes of the values below zero, in nanoseconds: V2, compressed, base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    below: String,
    /// The values from zero on, likewise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    above: String,
}

impl From<SignedHistogram> for PackedHistogram {
    fn from(histogram: SignedHistogram) -> Self {
        Self::from(&histogram)
    }
}

impl From<&SignedHistogram> for PackedHistogram {
    fn from(histogram: &SignedHistogram) -> Self {
        Self {
            distribution: histogram.distribution(),
            below: encode(&histogram.below),
            above: encode(&histogram.above),
        }
    }
}

impl TryFrom<PackedHistogram> for SignedHistogram {
    type Error = DamagedHistogram;

    fn try_from(stored: PackedHistogram) -> Result<Self, DamagedHistogram> {
        Self::try_from(&stored)
    }
}

impl TryFrom<&PackedHistogram> for SignedHistogram {
    type Error = DamagedHistogram;

    fn try_from(stored: &PackedHistogram) -> Result<Self, DamagedHistogram> {
        let (below, above) = (decode(&stored.below)?, decode(&stored.above)?);
        let count = below.len() + above.len();
        if count != stored.distribution.count {
            return Err(DamagedHistogram("it holds another count than it says".to_owned()));
        }
        let sum_ns = (stored.distribution.mean_ns * count as f64).round() as i128;
        Ok(Self { below, above, sum_ns })
    }
}

/// A stored histogram cannot be read; whoever changed it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored histogram is damaged: {0}")]
pub struct DamagedHistogram(String);

impl DamagedHistogram {
    pub(crate) const fn new(how: String) -> Self {
        Self(how)
    }
}

/// The compressed V2 encoding in base64; empty for an empty histogram.
fn encode(histogram: &Histogram<u64>) -> String {
    if histogram.is_empty() {
        return String::new();
    }
    let mut bytes = Vec::new();
    // Writing to memory does not fail, and three digits of a minute fit the encoding.
    let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    debug_assert!(written.is_ok(), "{written:?}");
    STANDARD.encode(bytes)
}

/// The reverse of [`encode`], within this module's bounds.
fn decode(text: &str) -> Result<Histogram<u64>, DamagedHistogram> {
    let mut histogram = side();
    if text.is_empty() {
        return Ok(histogram);
    }
    let bytes = STANDARD.decode(text).map_err(|error| DamagedHistogram(error.to_string()))?;
    let stored: Histogram<u64> = Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| DamagedHistogram(error.to_string()))?;
    histogram.add(stored).map_err(|error| DamagedHistogram(error.to_string()))?;
    Ok(histogram)
}

const RANGE_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = i64>) -> SignedHistogram {
        let mut histogram = SignedHistogram::new();
        values.into_iter().for_each(|nanos| histogram.record(Interval::from_nanos(nanos)));
        histogram
    }

    #[test]
    fn quantiles_run_through_zero() {
        let histogram = of(-500..=500);
        assert_eq!(histogram.count(), 1_001);
        assert_eq!(histogram.quantile(0.0), -500);
        assert_eq!(histogram.quantile(0.5), 0);
        assert_eq!(histogram.quantile(1.0), 500);
        assert_eq!(histogram.quantile(0.25), -250);
        assert_eq!(histogram.distribution().mean_ns, 0.0);
    }

    #[test]
    fn quantiles_of_one_sign_are_right_on_either_side() {
        assert_eq!(of(1..=100).quantile(0.99), 99);
        assert_eq!(of(-100..=-1).quantile(0.99), -2);
        assert_eq!(of([-7]).quantile(0.5), -7);
        assert_eq!(of([]).distribution(), Distribution::default());
    }

    #[test]
    fn values_are_counted_between_bounds_of_either_sign() {
        let histogram = of(-500..500);
        assert_eq!(histogram.count_between(-500, 500), 1_000);
        assert_eq!(histogram.count_between(-10, 20), 30);
        assert_eq!(histogram.count_between(-20, -10), 10);
        assert_eq!(histogram.count_between(10, 20), 10);
        assert_eq!(histogram.count_between(0, 1), 1);
        assert_eq!(histogram.count_between(-1, 0), 1);
    }

    #[test]
    fn large_values_keep_three_digits_and_absurd_ones_are_counted_at_the_edge() {
        let histogram = of([1_234_567, -9_876_543_210]);
        assert!((histogram.quantile(1.0) - 1_234_567).abs() <= 1_300);
        assert!((histogram.quantile(0.0) + 9_876_543_210).abs() <= 10_000_000);
        let histogram = of([i64::MAX, i64::MIN]);
        assert_eq!(histogram.count(), 2);
        assert!(histogram.quantile(1.0) >= RANGE_NS as i64);
        assert!(histogram.quantile(0.0) <= -(RANGE_NS as i64));
    }

    #[test]
    fn a_stored_histogram_is_the_same_again() {
        let histogram = of((-3_000..90_000).map(|value| value * 37));
        let text = serde_json::to_string(&histogram).unwrap();
        let back: SignedHistogram = serde_json::from_str(&text).unwrap();
        assert_eq!(back, histogram);
        let empty = serde_json::to_string(&of([])).unwrap();
        assert_eq!(serde_json::from_str::<SignedHistogram>(&empty).unwrap(), of([]));
        assert!(!empty.contains("above"), "{empty}");
    }

    #[test]
    fn a_damaged_histogram_is_refused() {
        let text = serde_json::to_string(&of([1, 2, 3])).unwrap();
        for (from, to) in [("\"count\":3", "\"count\":4"), ("\"above\":\"HIST", "\"above\":\"hist")]
        {
            let damaged = text.replace(from, to);
            assert_ne!(damaged, text);
            assert!(serde_json::from_str::<SignedHistogram>(&damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn the_sum_of_two_is_one_histogram_of_all() {
        let mut sum = of([-5, 7, 1_000_000]);
        sum.add(&of([-9_000, 0]));
        assert_eq!(sum, of([-5, 7, 1_000_000, -9_000, 0]));
        assert_eq!(sum.magnitudes().len(), 5);
        sum.clear();
        assert_eq!(sum, of([]));
    }
}
