//! The drift file's text: the oscillator's frequency error from one run to the next.
//!
//! ntpd writes one number, the frequency in ppm that the kernel must apply: positive if the clock
//! is slow. chrony writes two, the rate in ppm by which the clock is fast, and its uncertainty: the
//! sign is the other way round. Both are read; ntpd's is written, so that going back loses nothing.
//!
//! Must never: return a frequency no crystal has; a NaN passes `abs() > limit`, so the test is the
//! other way round.

use timeball_time::Rate;

/// Reads a drift file's text: the frequency of truth against the free clock.
///
/// The file is at fault for every error; the remedy is to delete it.
pub fn parse(text: &str) -> Result<Rate, DriftError> {
    let mut words = text.split_ascii_whitespace();
    let first = words.next().ok_or(DriftError::Empty)?;
    let ppm = number(first)?;
    let frequency = match words.next() {
        None => ppm,
        Some(skew) => {
            number(skew)?;
            -ppm
        }
    };
    if words.next().is_some() {
        return Err(DriftError::Trailing);
    }
    Ok(Rate::from_ratio(frequency * 1e-6))
}

/// The text for a frequency, as ntpd writes it.
pub fn format(frequency: Rate) -> String {
    format!("{:.6}\n", frequency.as_ppm())
}

fn number(word: &str) -> Result<f64, DriftError> {
    let ppm: f64 = word.parse().map_err(|_| DriftError::NotANumber)?;
    // Written so that a NaN fails.
    if ppm.abs() <= DRIFT_MAX_PPM { Ok(ppm) } else { Err(DriftError::Absurd) }
}

/// Why a drift file's text was not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DriftError {
    /// Nothing in it.
    #[error("the drift file is empty; delete it")]
    Empty,
    /// A word that is no number.
    #[error("the drift file does not hold a number; delete it")]
    NotANumber,
    /// Infinite, not a number, or above 1000 ppm: no clock is that wrong.
    #[error("the drift file's frequency is absurd (above 1000 ppm); delete it")]
    Absurd,
    /// More than ntpd's one number or chrony's two.
    #[error("the drift file holds more than a frequency and its error; delete it")]
    Trailing,
}

/// More than twice what the kernel can correct.
const DRIFT_MAX_PPM: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read_with_their_own_sign() {
        assert_eq!(parse("-12.345\n"), Ok(Rate::from_ratio(-12.345e-6)));
        let chrony = parse("           -12.345678             0.012345\n").unwrap();
        assert!((chrony.as_ppm() - 12.345678).abs() < 1e-6);
        assert_eq!(parse("0"), Ok(Rate::ZERO));
    }

    #[test]
    fn what_is_written_reads_back() {
        for ppm in [0.0, 1.234567, -499.999999] {
            let rate = Rate::from_ratio(ppm * 1e-6);
            let back = parse(&format(rate)).unwrap();
            assert!((back.as_ppm() - ppm).abs() < 1e-6);
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        assert_eq!(parse(""), Err(DriftError::Empty));
        assert_eq!(parse(" \n"), Err(DriftError::Empty));
        assert_eq!(parse("twelve"), Err(DriftError::NotANumber));
        for absurd in ["NaN", "inf", "-inf", "1e9", "1000.1", "-1001", "1 nan", "3 inf"] {
            assert_eq!(parse(absurd), Err(DriftError::Absurd), "{absurd}");
        }
        assert_eq!(parse("1 2 3"), Err(DriftError::Trailing));
    }
}
