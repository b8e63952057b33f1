//! Offset and frequency of the truth against the free clock, with their covariance, at an instant.
//!
//! An estimate is a prediction: asked about a later instant it answers with the offset moved on by
//! the frequency, and with a deviation that has grown by what the oscillator may have wandered
//! since.
//!
//! Must never: get surer as time passes without a measurement.

use timeball_time::{Free, Interval, Rate, Timestamp};

/// Covariance of offset (s) and frequency (s/s).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Covariance {
    /// Variance of the offset, s².
    pub offset: f64,
    /// Covariance of offset and frequency, s.
    pub cross: f64,
    /// Variance of the frequency.
    pub frequency: f64,
}

impl Covariance {
    /// After `tau` seconds in which the frequency wandered by `q` per second.
    #[must_use]
    pub fn after(self, tau: f64, q: f64) -> Self {
        let Self { offset, cross, frequency } = self;
        Self {
            offset: offset + tau * (2.0 * cross + tau * (frequency + q * tau / 3.0)),
            cross: cross + tau * (frequency + q * tau / 2.0),
            frequency: frequency + q * tau,
        }
    }
}

/// What is known of the truth against the free clock.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    epoch: Timestamp<Free>,
    offset: Interval,
    frequency: f64,
    covariance: Covariance,
    wander_variance: f64,
    wander: f64,
    jitter: f64,
}

impl Estimate {
    /// An estimate at `epoch`; `wander_variance` is the mean of wander² per second, `wander` its
    /// typical value in 1/√s, `jitter` the deviation of a single measurement in seconds.
    pub const fn new(
        epoch: Timestamp<Free>,
        offset: Interval,
        frequency: f64,
        covariance: Covariance,
        wander_variance: f64,
        wander: f64,
        jitter: f64,
    ) -> Self {
        Self { epoch, offset, frequency, covariance, wander_variance, wander, jitter }
    }

    /// The same estimate with the truth moved by `shift`.
    #[must_use]
    pub fn moved(self, shift: Interval) -> Self {
        Self { offset: self.offset + shift, ..self }
    }

    /// The instant the estimate was made for.
    pub const fn epoch(&self) -> Timestamp<Free> {
        self.epoch
    }

    /// Truth minus the free clock at `at`.
    pub fn offset_at(&self, at: Timestamp<Free>) -> Interval {
        self.offset + Rate::from_ratio(self.frequency).over(at - self.epoch)
    }

    /// Truth against the free clock, s/s: positive if the clock is slow.
    pub const fn frequency(&self) -> f64 {
        self.frequency
    }

    /// Standard deviation of the offset at `at`, in seconds.
    pub fn offset_sd_at(&self, at: Timestamp<Free>) -> f64 {
        self.covariance_at(at).offset.max(0.0).sqrt()
    }

    /// Standard deviation of the frequency at `at`, s/s.
    pub fn frequency_sd_at(&self, at: Timestamp<Free>) -> f64 {
        self.covariance_at(at).frequency.max(0.0).sqrt()
    }

    /// The covariance at `at`; before the epoch, that of the epoch.
    pub fn covariance_at(&self, at: Timestamp<Free>) -> Covariance {
        let tau = (at - self.epoch).max(Interval::ZERO).as_secs_f64();
        self.covariance.after(tau, self.wander_variance)
    }

    /// Variance the frequency gains per second.
    pub const fn wander_variance(&self) -> f64 {
        self.wander_variance
    }

    /// Typical wander of the oscillator, 1/√s.
    pub const fn wander(&self) -> f64 {
        self.wander
    }

    /// Standard deviation of one measurement, in seconds.
    pub const fn jitter(&self) -> f64 {
        self.jitter
    }
}
