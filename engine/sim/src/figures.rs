//! What a run is judged by: how far served time was from the truth, second by second.
//!
//! The statistics are those of the reference figures: over the seconds of a window, by default from
//! the first second in which the time was served as synchronised; RMS, the 95th percentile and the
//! largest of the error's magnitude, and how often servers were asked. Besides, how large an error was
//! claimed: clients choose by root distance, so one larger than it need be costs them.
//!
//! Frequency has two figures. *Believed* is the error of the frequency the discipline believes the
//! oscillator to have. *Served* is the rate of served time against the truth from one second to the
//! next: it contains the slewing towards a better estimate, which is made up within seconds.
//!
//! Must never: leave out a second of the window because it was a bad one.

use crate::world::World;

/// One second, as looked at from outside.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Look {
    /// Served minus true time, seconds.
    pub error: f64,
    /// Root distance claimed, seconds.
    pub distance: f64,
    /// Whether clients were told to believe it.
    pub synchronised: bool,
    /// The machine slept, and nobody looked.
    pub asleep: bool,
    /// Frequency believed minus the oscillator's, s/s.
    pub frequency_error: f64,
}

impl Look {
    /// A second in which nobody could look.
    pub(crate) const ASLEEP: Self =
        Self { error: 0.0, distance: 0.0, synchronised: false, asleep: true, frequency_error: 0.0 };
}

/// From which second on a world is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// From the first synchronised one.
    Synchronised,
    /// From this one.
    From(usize),
}

/// One run in numbers; all in seconds unless said otherwise.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Figures {
    /// Root of the mean square of the served time's error.
    pub rms_s: f64,
    /// 95 % of seconds were better.
    pub p95_s: f64,
    /// The largest error.
    pub worst_s: f64,
    /// When it was first synchronised; none if never.
    pub sync_s: Option<usize>,
    /// Time per request, over all sources together.
    pub poll_s: f64,
    /// RMS of the believed frequency's error, ppm.
    pub believed_ppm: f64,
    /// RMS of the served time's own rate, ppm.
    pub served_ppm: f64,
    /// The middle of the root distances claimed while synchronised.
    pub distance_s: f64,
}

impl Figures {
    /// The figures of `world`, which has ended, over `window`.
    pub fn of(world: &World, window: Window) -> Self {
        let sync_s = world.synchronised_at();
        let from = match window {
            Window::Synchronised => sync_s.map_or(world.looks.len(), |second| second - 1),
            Window::From(second) => second,
        };
        let looks = &world.looks[from.min(world.looks.len())..];
        let awake = || looks.iter().filter(|look| !look.asleep);
        let mut sizes: Vec<f64> = awake().map(|look| look.error.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let at = |share: f64| sizes.get((share * sizes.len() as f64) as usize).copied();
        Self {
            rms_s: rms(awake().map(|look| look.error)),
            p95_s: at(0.95).unwrap_or(f64::NAN),
            worst_s: sizes.last().copied().unwrap_or(f64::NAN),
            sync_s,
            poll_s: world.looks.len() as f64 / world.sent.len() as f64,
            believed_ppm: 1e6 * rms(awake().map(|look| look.frequency_error)),
            served_ppm: 1e6 * rms(looks.windows(2).map(|pair| pair[1].error - pair[0].error)),
            distance_s: median(awake().filter(|l| l.synchronised).map(|look| look.distance)),
        }
    }

    /// The median of each figure; a run that never synchronised counts as one that took for ever.
    pub fn medians(runs: &[Self]) -> Self {
        let of = |field: fn(&Self) -> f64| median(runs.iter().map(field));
        let sync = of(|f| f.sync_s.map_or(f64::INFINITY, |second| second as f64));
        Self {
            rms_s: of(|f| f.rms_s),
            p95_s: of(|f| f.p95_s),
            worst_s: of(|f| f.worst_s),
            sync_s: sync.is_finite().then_some(sync.round() as usize),
            poll_s: of(|f| f.poll_s),
            believed_ppm: of(|f| f.believed_ppm),
            served_ppm: of(|f| f.served_ppm),
            distance_s: of(|f| f.distance_s),
        }
    }
}

/// Root of the mean square; NaN of nothing.
pub(crate) fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), v| (sum + v * v, count + 1.0));
    f64::sqrt(sum / count)
}

/// The middle of `values`; the mean of the two in the middle if their number is even.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => (values[(n - 1) / 2] + values[n / 2]) / 2.0,
    }
}

/// By how much the signs of paired differences differ from a coin's, in standard deviations: negative
/// if `ours` is mostly the smaller. Ties say nothing and are left out.
pub fn sign_test(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut larger, mut smaller) = (0.0, 0.0);
    for (ours, theirs) in pairs {
        larger += f64::from(u8::from(ours > theirs));
        smaller += f64::from(u8::from(ours < theirs));
    }
    if larger + smaller == 0.0 { 0.0 } else { (larger - smaller) / f64::sqrt(larger + smaller) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_test_tells_a_coin_from_a_difference() {
        let pairs = |wins: usize| (0..20).map(move |k| (f64::from(u8::from(k >= wins)), 0.5));
        assert_eq!(sign_test(pairs(10)), 0.0);
        assert!(sign_test(pairs(15)) < -2.0 && sign_test(pairs(14)) > -2.0);
        assert!(sign_test(pairs(0)) > 4.0);
        assert_eq!(sign_test([(1.0, 1.0)].into_iter()), 0.0);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert_eq!(median([9.0].into_iter()), 9.0);
        assert!(median(std::iter::empty()).is_nan());
    }
}
