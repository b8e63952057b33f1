//! The rates of a sweep: a list, or a ramp from one rate to another.
//!
//! Must never: have more than [`STEPS_MAX`] steps; each is a run.

use std::str::FromStr;

/// Rates to offer one after the other, a second; written `1000,2000,5000`, or as a ramp by a factor,
/// `1k..64k*2`, or by a sum, `10k..50k+10k`. `k` and `M` stand for a thousand and a million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps(Vec<u32>);

impl Steps {
    /// The rates, in order; at least one.
    pub fn rates_hz(&self) -> &[u32] {
        &self.0
    }
}

impl FromStr for Steps {
    type Err = StepsError;

    fn from_str(text: &str) -> Result<Self, StepsError> {
        let rates = match text.split_once("..") {
            Some((first, rest)) => ramp(first, rest),
            None => text.split(',').map(rate_hz).collect(),
        };
        match rates {
            Some(rates) if rates.len() > STEPS_MAX => Err(StepsError::TooMany),
            Some(rates) => Ok(Self(rates)),
            None => Err(StepsError::Text { text: text.to_owned() }),
        }
    }
}

fn ramp(first: &str, rest: &str) -> Option<Vec<u32>> {
    let first = rate_hz(first)?;
    let (last, next): (u32, Box<dyn Fn(f64) -> f64>) = match rest.split_once('*') {
        Some((last, factor)) => {
            let factor = factor.parse::<f64>().ok().filter(|factor| *factor > 1.0)?;
            (rate_hz(last)?, Box::new(move |rate| rate * factor))
        }
        None => {
            let (last, more) = rest.split_once('+')?;
            let more = f64::from(rate_hz(more)?);
            (rate_hz(last)?, Box::new(move |rate| rate + more))
        }
    };
    if last < first {
        return None;
    }
    // Rounding along the way must not leave out the last.
    let limit = f64::from(last) * (1.0 + 1e-9);
    let rates = std::iter::successors(Some(f64::from(first)), |rate| Some(next(*rate)));
    let rates = rates.take_while(|rate| *rate <= limit).take(STEPS_MAX + 1);
    Some(rates.map(|rate| rate.round() as u32).collect())
}

/// A rate such as `1500`, `20k` or `1.5M`; at least 1.
fn rate_hz(text: &str) -> Option<u32> {
    let text = text.trim();
    let (number, unit) = match text.char_indices().last()? {
        (at, 'k') => (&text[..at], 1e3),
        (at, 'M') => (&text[..at], 1e6),
        _ => (text, 1.0),
    };
    let rate = number.parse::<f64>().ok()? * unit;
    (1.0..=f64::from(u32::MAX)).contains(&rate).then(|| rate.round() as u32)
}

/// Why these are no steps; whoever asked for them is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// Not written as steps.
    #[error(
        "{text:?} are no steps; write rates as 10k,20k,50k, or a ramp as 1k..64k*2 or 10k..50k+10k"
    )]
    Text {
        /// What was written.
        text: String,
    },
    /// Too many.
    #[error("a sweep has at most 1000 steps; take a larger factor or sum")]
    TooMany,
}

/// Most steps.
const STEPS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ramps_are_read() {
        let rates = |text: &str| text.parse::<Steps>().unwrap().rates_hz().to_vec();
        assert_eq!(rates("100"), [100]);
        assert_eq!(rates("1k, 2.5k,1M"), [1_000, 2_500, 1_000_000]);
        assert_eq!(rates("1k..8k*2"), [1_000, 2_000, 4_000, 8_000]);
        assert_eq!(rates("10k..45k+10k"), [10_000, 20_000, 30_000, 40_000]);
        assert_eq!(rates("1..3*1.5"), [1, 2, 2]);
        assert_eq!(rates("100k..1M*1.1").len(), 25);
    }

    #[test]
    fn what_is_no_step_or_would_never_end_is_refused() {
        for text in ["", "0", "x", "1k..", "1k..2k", "1k..8k*1", "1k..8k*0.5", "8k..1k*2", "1..5+0"]
        {
            assert!(matches!(text.parse::<Steps>(), Err(StepsError::Text { .. })), "{text}");
        }
        assert_eq!("1..1M+1".parse::<Steps>(), Err(StepsError::TooMany));
        assert_eq!("1..1M*1.000001".parse::<Steps>(), Err(StepsError::TooMany));
    }
}
