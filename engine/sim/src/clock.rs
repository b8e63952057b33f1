//! The client's kernel clocks as functions of true time, which alone advances by itself.
//!
//! Each true second the oscillator's frequency takes a random step:
//!
//! ```text
//! f = frequency + Σ wander·N(0,1) + swing·sin(2π t/period)     constant within a second
//! d(boottime) = (1 + f)·(1 + applied)·dt                       applied: by command, or by somebody
//! realtime = boottime + phase                                  phase: by steps only
//! ```
//!
//! Clocks are sums of integer nanoseconds times rates in units of 2⁻⁶⁰, kept in 128 bits: nothing is
//! rounded away however long the run, and no epoch is ever held in an `f64`.
//!
//! Must never: be seen by the discipline but through a reading.

use timeball_time::{ClockReading, Monotonic, Realtime, Timestamp};

use crate::S;
use crate::random::Random;

/// How the client's clock behaves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ClockModel {
    /// True time at the start, ns since 1970.
    pub start: i64,
    /// Clock minus true time at the start, seconds.
    pub offset: f64,
    /// Clock against true time, s/s: positive if the clock is fast.
    pub frequency: f64,
    /// Deviation of the frequency's random step, per √s.
    pub wander: f64,
    /// Day and night.
    pub temperature: Option<Temperature>,
}

impl Default for ClockModel {
    /// 0.1 s and 100 ppm fast, wandering by 1e-9/√s, on 22 November 2026.
    fn default() -> Self {
        Self { start: EPOCH, offset: 0.1, frequency: 1e-4, wander: 1e-9, temperature: None }
    }
}

/// A frequency that swings with the temperature of the room.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Temperature {
    /// Largest departure, s/s.
    pub swing: f64,
    /// Seconds from one maximum to the next.
    pub period_s: f64,
}

/// 22 November 2026.
pub const EPOCH: i64 = 1_795_300_000 * S;

/// The kernel's clocks.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// True time, ns since 1970.
    now: i64,
    model: ClockModel,
    /// Where the random walk of the frequency has got to.
    walked: f64,
    random: Random,
    /// The oscillator's frequency of this second.
    frequency: f64,
    /// Applied by command.
    applied: f64,
    /// What both make together, in [`UNIT`]s.
    rate: i64,
    /// What the oscillator makes alone.
    free_rate: i64,
    /// How far boottime, and boottime without steering, are ahead of true time, in ns·[`UNIT`].
    ahead: i128,
    free_ahead: i128,
    /// Realtime minus boottime, ns.
    phase: i64,
    /// Boottime minus monotonic, ns.
    suspended: i64,
}

impl Clock {
    pub(crate) fn new(model: ClockModel, random: Random) -> Self {
        let mut clock = Self {
            now: model.start,
            model,
            walked: model.frequency,
            random,
            frequency: 0.0,
            applied: 0.0,
            rate: 0,
            free_rate: 0,
            ahead: 0,
            free_ahead: 0,
            phase: model.start - UPTIME + (model.offset * 1e9).round() as i64,
            suspended: 0,
        };
        clock.warm();
        clock
    }

    /// Moves true time on to `to`; an instant already passed changes nothing.
    pub(crate) fn advance(&mut self, to: i64) {
        while self.now < to {
            let elapsed = self.now - self.model.start;
            let second_end = self.now - elapsed.rem_euclid(S) + S;
            let until = to.min(second_end);
            let length = i128::from(until - self.now);
            self.ahead += length * i128::from(self.rate);
            self.free_ahead += length * i128::from(self.free_rate);
            self.now = until;
            if until == second_end {
                self.walked += self.model.wander * self.random.normal();
                self.warm();
            }
        }
    }

    /// The frequency of the second that begins.
    fn warm(&mut self) {
        let warmth = self.model.temperature.map_or(0.0, |Temperature { swing, period_s }| {
            let elapsed_s = ((self.now - self.model.start) / S) as f64;
            swing * (std::f64::consts::TAU * elapsed_s / period_s).sin()
        });
        self.frequency = self.walked + warmth;
        self.set_rates();
    }

    fn set_rates(&mut self) {
        self.rate = (self.kernel_rate() * UNIT).round() as i64;
        self.free_rate = (self.frequency * UNIT).round() as i64;
    }

    /// Kernel clock against true time.
    fn kernel_rate(&self) -> f64 {
        self.frequency + self.applied + self.frequency * self.applied
    }

    /// The three clocks at this instant.
    pub(crate) fn reading(&self) -> ClockReading {
        let boottime = self.elapsed() + rounded(self.ahead) + UPTIME;
        ClockReading {
            realtime: Timestamp::from_nanos(boottime + self.phase),
            monotonic: Timestamp::from_nanos(boottime - self.suspended),
            boottime: Timestamp::from_nanos(boottime),
        }
    }

    /// The true instant at which monotonic time comes to `at`, if nothing happens to the clock before.
    pub(crate) fn when_monotonic(&self, at: Timestamp<Monotonic>) -> i64 {
        self.when_boottime(at.nanos() + self.suspended)
    }

    /// The same for realtime.
    pub(crate) fn when_realtime(&self, at: Timestamp<Realtime>) -> i64 {
        self.when_boottime(at.nanos() - self.phase)
    }

    /// Exact, so that it does not depend on when it is asked.
    fn when_boottime(&self, at: i64) -> i64 {
        let stands = (i128::from(self.elapsed() + UPTIME) << UNIT_BITS) + self.ahead;
        let missing = (i128::from(at) << UNIT_BITS) - stands;
        let rate = (1 << UNIT_BITS) + i128::from(self.rate);
        let wait = missing.div_euclid(rate) + i128::from(missing.rem_euclid(rate) > 0);
        self.now + wait as i64
    }

    /// Somebody steps realtime.
    pub(crate) fn step(&mut self, by_ns: i64) {
        self.phase += by_ns;
    }

    /// Somebody sets the frequency that the kernel applies.
    pub(crate) fn apply(&mut self, frequency: f64) {
        self.applied = frequency;
        self.set_rates();
    }

    /// Sleeps until `until`; what the kernel then believes to have slept is off by `error_ns`.
    pub(crate) fn suspend(&mut self, until: i64, error_ns: i64) {
        let length = until - self.now;
        let (ahead, free_ahead) = (self.ahead, self.free_ahead);
        self.advance(until);
        // Nothing ticked; the time slept was added at the end, from another clock.
        let error = i128::from(error_ns) << UNIT_BITS;
        self.ahead = ahead + error;
        self.free_ahead = free_ahead + error;
        self.suspended += length + error_ns;
    }

    /// Stands still until `until`, as in a virtual machine that is paused: no clock of it knows.
    pub(crate) fn pause(&mut self, until: i64) {
        let length = i128::from(until - self.now) << UNIT_BITS;
        let (ahead, free_ahead) = (self.ahead, self.free_ahead);
        self.advance(until);
        self.ahead = ahead - length;
        self.free_ahead = free_ahead - length;
    }

    /// True time, ns since 1970.
    pub(crate) const fn now(&self) -> i64 {
        self.now
    }

    /// True nanoseconds since the start.
    pub(crate) const fn elapsed(&self) -> i64 {
        self.now - self.model.start
    }

    /// The oscillator against true time.
    pub(crate) const fn frequency(&self) -> f64 {
        self.frequency
    }

    /// The frequency that the kernel applies.
    pub(crate) const fn applied(&self) -> f64 {
        self.applied
    }

    /// What realtime would show had nobody ever touched it, ns since 1970.
    pub(crate) fn free(&self) -> i64 {
        let start = self.model.start + (self.model.offset * 1e9).round() as i64;
        start + self.elapsed() + rounded(self.free_ahead)
    }
}

fn rounded(ahead: i128) -> i64 {
    ((ahead + (1 << (UNIT_BITS - 1))) >> UNIT_BITS) as i64
}

/// Rates are counted in 2⁻⁶⁰: 8 s/s is the largest, and 1e-18 the least.
const UNIT_BITS: u32 = 60;
const UNIT: f64 = (1u64 << UNIT_BITS) as f64;
/// How long the machine has been running at the start.
const UPTIME: i64 = 77 * S;

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(model: ClockModel) -> Clock {
        Clock::new(model, Random::new(1, 1))
    }

    const STEADY: ClockModel =
        ClockModel { start: EPOCH, offset: 0.1, frequency: 1e-4, wander: 0.0, temperature: None };

    #[test]
    fn a_steady_clock_gains_what_its_frequency_says_in_any_number_of_steps() {
        let mut once = clock(STEADY);
        once.advance(EPOCH + 100_000 * S);
        assert_eq!(once.reading().realtime.nanos() - once.now(), 10 * S + 100_000_000);
        let mut often = clock(STEADY);
        for k in 1..=1_000_000 {
            often.advance(EPOCH + k * S / 10);
        }
        assert_eq!(often.reading(), once.reading());
    }

    #[test]
    fn an_instant_to_come_is_found_to_the_nanosecond_from_wherever_it_is_asked() {
        let mut clock = clock(STEADY);
        let wanted = clock.reading().monotonic + timeball_time::Interval::from_nanos(123_456_789);
        let at = clock.when_monotonic(wanted);
        clock.advance(EPOCH + 77_777);
        assert_eq!(clock.when_monotonic(wanted), at);
        clock.advance(at);
        let error = (clock.reading().monotonic - wanted).nanos();
        assert!((0..=1).contains(&error), "{error}");
    }

    #[test]
    fn wander_spreads_with_the_root_of_time() {
        let spread = |seconds: i64| {
            let squares = (0..400).map(|seed| {
                let model = ClockModel { wander: 1e-9, ..STEADY };
                let mut clock = Clock::new(model, Random::new(seed, 1));
                clock.advance(EPOCH + seconds * S);
                (clock.frequency() - 1e-4).powi(2)
            });
            (squares.sum::<f64>() / 400.0).sqrt()
        };
        assert!((spread(100) / 1e-8 - 1.0).abs() < 0.15, "{}", spread(100));
        assert!((spread(900) / 3e-8 - 1.0).abs() < 0.15, "{}", spread(900));
    }

    #[test]
    fn steps_commands_and_suspends_move_the_clocks_they_should() {
        let mut clock = clock(STEADY);
        let (before, before_free) = (clock.reading(), clock.free());
        clock.step(5 * S);
        assert_eq!((clock.reading().realtime - before.realtime).nanos(), 5 * S);
        assert_eq!(clock.reading().boottime, before.boottime);
        clock.apply(-1e-4);
        clock.advance(EPOCH + 100 * S);
        let steered = clock.reading();
        // (1 + 1e-4)(1 − 1e-4) − 1 is −1e-8.
        assert_eq!((steered.boottime - before.boottime).nanos(), 100 * S - 1_000);
        assert_eq!(clock.free() - before_free, 100 * S + 10_000_000);
        clock.suspend(EPOCH + 200 * S, S / 2);
        let after = clock.reading();
        assert_eq!(after.monotonic, steered.monotonic);
        assert_eq!((after.realtime - steered.realtime).nanos(), 100 * S + S / 2);
    }

    #[test]
    fn a_room_that_warms_and_cools_ends_where_it_began() {
        let temperature = Some(Temperature { swing: 1e-6, period_s: 1000.0 });
        let mut clock = clock(ClockModel { temperature, ..STEADY });
        clock.advance(EPOCH + 250 * S);
        assert!((clock.frequency() - 1.01e-4).abs() < 1e-12);
        clock.advance(EPOCH + 1000 * S);
        let gained = clock.free() - clock.now() - 100_000_000;
        assert!((gained - 100_000_000).abs() < 2_000, "{gained}");
    }
}
