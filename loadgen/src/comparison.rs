//! Two servers compared: ratios of their figures with the interval in which the true ratio lies.
//!
//! Machines change their pace by a fifth within an hour, so two servers are loaded in turns and compared
//! round by round: what slows a round down slows both. A ratio has no additive error, so logarithms are
//! compared: with d the mean over n rounds of log B − log A, and s the deviation of those differences, the
//! ratio is exp(d) and its 95 % interval exp(d ± t·s/√n), t of Student's distribution with n − 1 degrees
//! of freedom. Results that were not made in turns are compared by Welch's form of the same.
//!
//! Must never: give a ratio without its interval, an interval from one round, or hide that the
//! generator was the limit.

use serde::{Deserialize, Serialize};

use crate::Trial;

/// What a comparison says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The first, by which the other is divided.
    pub a: String,
    /// The second.
    pub b: String,
    /// How the intervals were made.
    pub method: Method,
    /// Loads in which the generator was a limit: if there are any, a difference may be its own.
    pub generator_loads: usize,
    /// Each figure compared.
    pub figures: Vec<FigureRatio>,
}

/// How the interval of a ratio is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Rounds in turns: Student's t on the differences of logarithms within each round.
    Paired,
    /// Two sets of results: Welch's t on the logarithms of each set.
    Unpaired,
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FigureRatio {
    /// What it is, with its unit.
    pub name: String,
    /// Geometric mean over the rounds of A.
    pub a: f64,
    /// Likewise of B.
    pub b: f64,
    /// B divided by A.
    pub ratio: Ratio,
}

/// A ratio and where the true one lies, 95 times of 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The best estimate.
    pub ratio: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Ratio {
    /// Whether the interval leaves out 1: the two differ.
    pub const fn differs(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }

    /// Of rounds in turns; `a[i]` and `b[i]` are of one round. `None` with less than two rounds, or
    /// figures that are not positive.
    pub fn paired(a: &[f64], b: &[f64]) -> Option<Self> {
        let differences: Vec<f64> =
            a.iter().zip(b).filter_map(|(a, b)| Some(log(*b)? - log(*a)?)).collect();
        if a.len() != b.len() || differences.len() < a.len() {
            return None;
        }
        let Sample { count, mean, variance } = Sample::of(&differences)?;
        Some(Self::around(mean, (variance / count).sqrt(), count - 1.0))
    }

    /// Of two sets with nothing in common.
    pub fn unpaired(a: &[f64], b: &[f64]) -> Option<Self> {
        let logs = |values: &[f64]| values.iter().copied().map(log).collect::<Option<Vec<f64>>>();
        let (a, b) = (Sample::of(&logs(a)?)?, Sample::of(&logs(b)?)?);
        let (from_a, from_b) = (a.variance / a.count, b.variance / b.count);
        let error = from_a + from_b;
        // Welch and Satterthwaite; without any spread there is nothing to weigh.
        let freedom = if error > 0.0 {
            error.powi(2) / (from_a.powi(2) / (a.count - 1.0) + from_b.powi(2) / (b.count - 1.0))
        } else {
            a.count + b.count - 2.0
        };
        Some(Self::around(b.mean - a.mean, error.sqrt(), freedom))
    }

    fn around(mean: f64, error: f64, freedom: f64) -> Self {
        let margin = student(freedom) * error;
        Self { ratio: mean.exp(), low: (mean - margin).exp(), high: (mean + margin).exp() }
    }
}

impl Comparison {
    /// Compares the trials of `a` with those of `b`: round by round if they were made in turns.
    ///
    /// Figures that either has none of, such as latency without an answer, are left out.
    pub fn of(names: (&str, &str), a: &[&Trial], b: &[&Trial], method: Method) -> Self {
        let figures = FIGURES.iter().filter_map(|(name, figure)| {
            let values = |trials: &[&Trial]| trials.iter().map(|it| figure(it)).collect::<Vec<_>>();
            let (a, b) = (values(a), values(b));
            let ratio = match method {
                Method::Paired => Ratio::paired(&a, &b),
                Method::Unpaired => Ratio::unpaired(&a, &b),
            }?;
            let (a, b) = (geometric_mean(&a)?, geometric_mean(&b)?);
            Some(FigureRatio { name: (*name).to_owned(), a, b, ratio })
        });
        let limited = |trial: &&&Trial| !trial.report.limits().is_empty();
        Self {
            a: names.0.to_owned(),
            b: names.1.to_owned(),
            method,
            generator_loads: a.iter().chain(b).filter(limited).count(),
            figures: figures.collect(),
        }
    }
}

/// Count, mean and variance of a sample.
struct Sample {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Sample {
    fn of(values: &[f64]) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { count, mean, variance: squares / (count - 1.0) })
    }
}

fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logs = values.iter().copied().map(log).collect::<Option<Vec<f64>>>()?;
    Some((logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp())
}

fn log(value: f64) -> Option<f64> {
    (value > 0.0 && value.is_finite()).then(|| value.ln())
}

/// The 97.5 % quantile of Student's distribution, between whole degrees of freedom the one below: wider,
/// never narrower.
fn student(freedom: f64) -> f64 {
    let index = (freedom.floor().max(1.0) as usize).min(QUANTILES.len()) - 1;
    QUANTILES[index]
}

/// For 1 to 30 degrees of freedom; the last serves for more.
const QUANTILES: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

type Figure = fn(&Trial) -> f64;

/// What is compared; every figure is positive.
const FIGURES: [(&str, Figure); 6] = [
    ("answered/s", |trial| trial.report.answered_per_s()),
    ("answered share", |trial| trial.report.answered_share()),
    ("latency p50 µs", |trial| trial.report.latency.quantile(0.5) as f64 / 1e3),
    ("latency p99 µs", |trial| trial.report.latency.quantile(0.99) as f64 / 1e3),
    ("latency p99.9 µs", |trial| trial.report.latency.quantile(0.999) as f64 / 1e3),
    ("residence p50 µs", |trial| trial.report.residence.quantile(0.5) as f64 / 1e3),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look normal, the same in every run: the sum of twelve uniform ones.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f64 {
            let mut sum = -6.0;
            for _ in 0..12 {
                self.0 = self
                    .0
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                sum += (self.0 >> 11) as f64 / (1u64 << 53) as f64;
            }
            sum
        }

        /// Rounds of two servers, B `factor` times A, on a machine whose pace drifts by a fifth.
        fn rounds(&mut self, count: usize, factor: f64) -> (Vec<f64>, Vec<f64>) {
            (0..count)
                .map(|_| {
                    let pace = 400_000.0 * (0.2 * self.next()).exp();
                    (pace * (0.03 * self.next()).exp(), pace * factor * (0.03 * self.next()).exp())
                })
                .unzip()
        }
    }

    #[test]
    fn a_difference_of_a_tenth_is_found_and_its_size_is_in_the_interval() {
        let mut noise = Noise(1);
        let mut covered = 0;
        for _ in 0..200 {
            let (a, b) = noise.rounds(7, 1.1);
            let ratio = Ratio::paired(&a, &b).unwrap();
            assert!(ratio.differs() || ratio.low > 0.97, "{ratio:?}");
            covered += usize::from((ratio.low..=ratio.high).contains(&1.1));
            assert!(ratio.low < ratio.ratio && ratio.ratio < ratio.high);
        }
        assert!((180..=198).contains(&covered), "{covered} of 200 intervals of 95 %");
    }

    #[test]
    fn no_difference_is_found_where_there_is_none_but_one_time_in_twenty() {
        let mut noise = Noise(2);
        let false_alarms = (0..1_000)
            .filter(|_| {
                let (a, b) = noise.rounds(7, 1.0);
                Ratio::paired(&a, &b).unwrap().differs()
            })
            .count();
        assert!((25..=80).contains(&false_alarms), "{false_alarms} of 1000, 50 expected");
    }

    #[test]
    fn sets_that_were_not_made_in_turns_have_wider_intervals() {
        let (a, b) = Noise(3).rounds(7, 1.1);
        let (paired, unpaired) = (Ratio::paired(&a, &b).unwrap(), Ratio::unpaired(&a, &b).unwrap());
        assert!((paired.ratio - unpaired.ratio).abs() < 1e-9);
        assert!(unpaired.high / unpaired.low > 2.0 * paired.high / paired.low - 1.0);
        assert!(!unpaired.differs(), "the machine's pace hides a tenth: {unpaired:?}");
    }

    #[test]
    fn one_round_or_a_figure_that_is_not_there_gives_no_ratio() {
        assert_eq!(Ratio::paired(&[1.0], &[2.0]), None);
        assert_eq!(Ratio::unpaired(&[1.0, 2.0], &[2.0]), None);
        assert_eq!(Ratio::paired(&[1.0, 0.0], &[2.0, 2.0]), None);
        assert_eq!(Ratio::paired(&[1.0, 2.0], &[2.0, 2.0, 2.0]), None);
    }

    #[test]
    fn figures_without_spread_give_the_ratio_exactly() {
        let ratio = Ratio::unpaired(&[2.0, 2.0], &[3.0, 3.0]).unwrap();
        assert!((ratio.ratio - 1.5).abs() < 1e-12 && (ratio.high - ratio.low).abs() < 1e-12);
    }
}
