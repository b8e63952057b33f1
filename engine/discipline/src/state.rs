//! What outlives a restart: the whole of what was known of the clock, and of what the kernel did to it.
//!
//! The kernel clock runs on while the program does not. In the same boot, and if nobody has stepped the
//! clock or changed its frequency meanwhile, truth is where the old estimate says, with the error that an
//! estimate so old has in any case:
//!
//! ```text
//! truth − kernel time = correction + rate · elapsed        rate: of truth against the kernel clock
//! ```
//!
//! So a server that is restarted, or has crashed, goes on serving at once, as in holdover, while its sources
//! are asked again. In any other case the frequency is what is left, and it is what the drift file has too.
//!
//! The file is text, a name and a value a line, with a digest against bits that have turned: whatever
//! does not fit to the last digit is refused whole.
//!
//! Must never: be believed about a clock that somebody else has touched.

use core::fmt::Write as _;

use timeball_time::{
    Boottime, ClockReading, Interval, Leap, LeapKind, LeapMaker, LeapSecond, Rate, Realtime,
    ReferenceId, Snapshot, Stratum, Timestamp,
};

use crate::action::{Action, Actions, Event};
use crate::books::Observed;
use crate::discipline::Discipline;
use crate::distance::Proven;
use crate::election::Reference;
use crate::estimate::{Covariance, Estimate};
use crate::returning::Absence;
use crate::status::Basis;

/// What is kept.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct State {
    /// When it was kept, by the kernel's clocks.
    pub realtime: Timestamp<Realtime>,
    /// The same instant since the machine was booted.
    pub boottime: Timestamp<Boottime>,
    /// How long it had been suspended until then.
    pub suspended: Interval,
    /// The frequency that the kernel applied.
    pub kernel_frequency: Rate,
    /// Truth minus kernel time then.
    pub correction: Interval,
    /// Frequency of truth against the free clock, s/s.
    pub frequency: f64,
    /// Covariance of both.
    pub covariance: Covariance,
    /// Variance that the frequency gains per second.
    pub wander_variance: f64,
    /// Typical wander, 1/√s.
    pub wander: f64,
    /// Deviation of one measurement, seconds.
    pub jitter: f64,
    /// Root delay.
    pub root_delay: Interval,
    /// Root dispersion without the estimate's own deviation and without age.
    pub dispersion: Interval,
    /// The least error that may be claimed beyond half the root delay.
    pub proven: Interval,
    /// How fast that may grow, beside 15 ppm.
    pub proven_skew: Rate,
    /// How long ago the system peer had been heard.
    pub age: Interval,
    /// Stratum announced.
    pub stratum: Stratum,
    /// Reference announced.
    pub reference_id: ReferenceId,
    /// What the sources warned of.
    pub leap: Leap,
    /// The leap second at the end of the day.
    pub leap_ahead: Option<LeapSecond>,
    /// The last leap second made.
    pub leap_made: Option<LeapSecond>,
}

/// Why a state cannot be taken up; its frequency can.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Outdated {
    /// Longer ago than the estimate of a clock is good for, or in the future.
    #[error("it is too old")]
    Age,
    /// Somebody stepped the kernel clock.
    #[error("the kernel clock was stepped since")]
    Stepped,
    /// The machine was suspended.
    #[error("the machine was suspended since")]
    Suspended,
    /// Somebody changed what the kernel applies.
    #[error("the kernel clock's frequency was changed since")]
    Frequency,
    /// The error bound is past the limit.
    #[error("its error bound has grown too large")]
    Distance,
}

impl Discipline {
    /// Goes on where the last run of the program left off; to be called before anything else.
    ///
    /// # Errors
    /// [`Outdated`]; nothing is changed then.
    pub fn restore(
        &mut self,
        state: &State,
        now: ClockReading,
        out: &mut Actions,
    ) -> Result<(), Outdated> {
        self.take_up(state, None, now, out)
    }

    /// The same; if `served` is still being served by another, from there on without a jump.
    pub(crate) fn take_up(
        &mut self,
        state: &State,
        served: Option<Snapshot>,
        now: ClockReading,
        out: &mut Actions,
    ) -> Result<(), Outdated> {
        let elapsed = now.boottime - state.boottime;
        let stepped = (now.realtime - state.realtime) - elapsed;
        let suspended = suspended_of(&now) - state.suspended;
        if elapsed < Interval::ZERO || elapsed > AGE_MAX {
            return Err(Outdated::Age);
        } else if stepped.abs() >= crate::books::STEP_MIN {
            return Err(Outdated::Stepped);
        } else if suspended.abs() >= SUSPEND_MIN {
            return Err(Outdated::Suspended);
        } else if (self.books.frequency() - state.kernel_frequency).as_ratio().abs() > RATE_MIN {
            return Err(Outdated::Frequency);
        }
        let reference = self.reference_of(state, elapsed, stepped, &now);
        let free = self.books.free(now.realtime);
        if reference.distance(free) >= self.config.max_root_distance {
            return Err(Outdated::Distance);
        }
        let target = reference.estimate.offset_at(free);
        let step = served.is_none();
        self.servo.go_on_from(served);
        self.servo.draw(free, now.realtime, Some(target), reference.estimate.frequency(), step);
        self.reference = Some(reference);
        self.sources.iter_mut().for_each(|source| source.absence = Absence::EXPECTED);
        self.basis = Basis::Sources;
        self.fresh = false;
        self.frequency = Rate::from_ratio(reference.estimate.frequency());
        self.reference_time = self.servo.reference_time();
        self.leap.resume(state.leap_ahead, state.leap_made);
        // It may have come meanwhile.
        self.observe_leap(&now, &mut Observed::default(), out);
        out.note(Event::Restored { age: elapsed });
        self.publish(&now, true, out);
        Ok(())
    }

    /// The reference of `state`, kept `elapsed` ago, on the free clock of this run.
    fn reference_of(
        &self,
        state: &State,
        elapsed: Interval,
        stepped: Interval,
        now: &ClockReading,
    ) -> Reference {
        let applied = state.kernel_frequency.as_ratio();
        let rate = Rate::from_ratio((1.0 + state.frequency) / (1.0 + applied) - 1.0);
        let free = self.books.free(now.realtime);
        let correction = state.correction - stepped + rate.over(elapsed);
        let correction = correction + (now.realtime - free.reinterpret());
        let epoch = free - elapsed;
        let estimate = Estimate::new(
            epoch,
            correction - Rate::from_ratio(state.frequency).over(elapsed),
            state.frequency,
            state.covariance,
            state.wander_variance,
            state.wander,
            state.jitter,
        );
        Reference {
            estimate,
            leap: state.leap,
            stratum: state.stratum,
            reference_id: state.reference_id,
            root_delay: state.root_delay,
            dispersion: state.dispersion,
            proven: Proven { error: state.proven, skew: state.proven_skew },
            heard: epoch - state.age,
        }
    }

    /// What the next run would like to know, while there is something to know.
    pub fn state(&self, now: &ClockReading) -> Option<State> {
        let reference = self.reference.filter(|_| self.basis == Basis::Sources)?;
        let (free, estimate) = (self.books.free(now.realtime), &reference.estimate);
        let truth = (free + estimate.offset_at(free)).reinterpret::<Realtime>();
        Some(State {
            realtime: now.realtime,
            boottime: now.boottime,
            suspended: suspended_of(now),
            kernel_frequency: self.books.frequency(),
            correction: truth - now.realtime,
            frequency: estimate.frequency(),
            covariance: estimate.covariance_at(free),
            wander_variance: estimate.wander_variance(),
            wander: estimate.wander(),
            jitter: estimate.jitter(),
            root_delay: reference.root_delay,
            dispersion: reference.dispersion,
            proven: reference.proven.error,
            proven_skew: reference.proven.skew,
            age: (free - reference.heard).max(Interval::ZERO),
            stratum: reference.stratum,
            reference_id: reference.reference_id,
            leap: reference.leap,
            leap_ahead: self.leap.ahead(),
            leap_made: self.leap.made(),
        })
    }

    /// Asks for the state to be kept, if that was last done `gap` ago.
    pub(crate) fn save_state(&mut self, now: &ClockReading, gap: Interval, out: &mut Actions) {
        if self.state_saved.is_some_and(|saved| now.monotonic - saved < gap) {
            return;
        }
        if let Some(state) = self.state(now) {
            self.state_saved = Some(now.monotonic);
            out.push(Action::SaveState(state));
        }
    }
}

fn suspended_of(now: &ClockReading) -> Interval {
    Interval::from_nanos(now.boottime.nanos().saturating_sub(now.monotonic.nanos()))
}

/// The text of a state kept in the boot called `boot`.
pub fn format(state: &State, boot: u128) -> String {
    let mut text = format!("{HEADER}\nboot {boot:032x}\n");
    for (name, value) in NAMES.iter().zip(values(state)) {
        // Writing to a String cannot fail. An `f64` is written so that it reads back the same.
        let _ = match value {
            Value::Whole(whole) => writeln!(text, "{name} {whole}"),
            Value::Real(real) => writeln!(text, "{name} {real:e}"),
        };
    }
    let digest = digest(&text);
    text + &format!("digest {digest:016x}\n")
}

/// Reads what [`format()`] wrote in this boot, called `boot`.
///
/// # Errors
/// [`StateError`]; the remedy is to delete the file, and the only cost is a slower start.
pub fn parse(text: &str, boot: u128) -> Result<State, StateError> {
    let (body, last) = text.trim_end().rsplit_once('\n').ok_or(StateError::Empty)?;
    let claimed = last.strip_prefix("digest ").ok_or(StateError::Damaged)?;
    let body = format!("{body}\n");
    if claimed != format!("{:016x}", digest(&body)) {
        return Err(StateError::Damaged);
    }
    let mut lines = body.lines();
    if lines.next() != Some(HEADER) {
        return Err(StateError::Version);
    }
    let mut value = |name: &str| {
        let (found, value) = lines.next().and_then(|line| line.split_once(' '))?;
        (found == name).then(|| value.to_owned())
    };
    let kept = value("boot").and_then(|boot| u128::from_str_radix(&boot, 16).ok());
    let mut values = Vec::with_capacity(NAMES.len());
    for name in NAMES {
        values.push(value(name).ok_or(StateError::Damaged)?);
    }
    let state = state_of(&values).filter(is_possible).ok_or(StateError::Damaged)?;
    if kept == Some(boot) {
        Ok(state)
    } else {
        Err(StateError::Boot(Rate::from_ratio(state.frequency)))
    }
}

/// Why a state file's text was not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StateError {
    /// Nothing in it.
    #[error("the state file is empty; delete it")]
    Empty,
    /// Its digest does not match, or a value is none.
    #[error("the state file is damaged; delete it")]
    Damaged,
    /// Written by another version of this program.
    #[error("the state file is not one of this version; delete it")]
    Version,
    /// From before the machine was booted; the frequency is still good.
    #[error("the state file is from before the machine was started; of use is only its frequency")]
    Boot(Rate),
}

enum Value {
    Whole(i64),
    Real(f64),
}

const NAMES: [&str; 22] = [
    "realtime_ns",
    "boottime_ns",
    "suspended_ns",
    "kernel_frequency",
    "correction_ns",
    "frequency",
    "variance_offset",
    "variance_cross",
    "variance_frequency",
    "wander_variance",
    "wander",
    "jitter_s",
    "root_delay_ns",
    "dispersion_ns",
    "proven_ns",
    "age_ns",
    "stratum",
    "reference_id",
    "leap",
    "leap_ahead_s",
    "leap_made_s",
    "proven_skew",
];

fn values(state: &State) -> [Value; NAMES.len()] {
    use Value::{Real, Whole};
    [
        Whole(state.realtime.nanos()),
        Whole(state.boottime.nanos()),
        Whole(state.suspended.nanos()),
        Real(state.kernel_frequency.as_ratio()),
        Whole(state.correction.nanos()),
        Real(state.frequency),
        Real(state.covariance.offset),
        Real(state.covariance.cross),
        Real(state.covariance.frequency),
        Real(state.wander_variance),
        Real(state.wander),
        Real(state.jitter),
        Whole(state.root_delay.nanos()),
        Whole(state.dispersion.nanos()),
        Whole(state.proven.nanos()),
        Whole(state.age.nanos()),
        Whole(state.stratum.get().into()),
        Whole(u32::from_be_bytes(state.reference_id.octets()).into()),
        Whole(state.leap.to_bits().into()),
        Whole(state.leap_ahead.map_or(0, leap_value)),
        Whole(state.leap_made.map_or(0, leap_value)),
        Real(state.proven_skew.as_ratio()),
    ]
}

/// Its midnight in seconds, negative if a second is left out; no leap second is as old as 1970.
fn leap_value(leap: LeapSecond) -> i64 {
    let seconds = leap.midnight.nanos() / 1_000_000_000;
    if leap.kind == LeapKind::Insert { seconds } else { -seconds }
}

fn leap_of(value: i64, made_by: LeapMaker) -> Option<LeapSecond> {
    let kind = if value > 0 { LeapKind::Insert } else { LeapKind::Delete };
    let midnight = Timestamp::from_nanos(0) + Interval::from_secs(value.saturating_abs());
    (value != 0).then_some(LeapSecond { midnight, kind, made_by })
}

fn state_of(values: &[String]) -> Option<State> {
    let whole = |at: usize| values.get(at)?.parse::<i64>().ok();
    let real = |at: usize| values.get(at)?.parse::<f64>().ok();
    let interval = |at| whole(at).map(Interval::from_nanos);
    Some(State {
        realtime: Timestamp::from_nanos(whole(0)?),
        boottime: Timestamp::from_nanos(whole(1)?),
        suspended: interval(2)?,
        kernel_frequency: Rate::from_ratio(real(3)?),
        correction: interval(4)?,
        frequency: real(5)?,
        covariance: Covariance { offset: real(6)?, cross: real(7)?, frequency: real(8)? },
        wander_variance: real(9)?,
        wander: real(10)?,
        jitter: real(11)?,
        root_delay: interval(12)?,
        dispersion: interval(13)?,
        proven: interval(14)?,
        proven_skew: Rate::from_ratio(real(21)?),
        age: interval(15)?,
        stratum: Stratum::new(u8::try_from(whole(16)?).ok()?),
        reference_id: ReferenceId::from_octets(u32::try_from(whole(17)?).ok()?.to_be_bytes()),
        leap: Leap::from_bits(u8::try_from(whole(18)?).ok()?),
        leap_ahead: leap_of(whole(19)?, LeapMaker::Mapping),
        leap_made: leap_of(whole(20)?, LeapMaker::Over),
    })
}

/// Written so that a NaN fails everywhere.
fn is_possible(state: &State) -> bool {
    let Covariance { offset, cross, frequency } = state.covariance;
    let deviations = [offset, frequency, state.wander_variance, state.wander, state.jitter];
    let intervals = [state.root_delay, state.dispersion, state.proven, state.age];
    state.frequency.abs() <= FREQUENCY_MAX
        && state.proven_skew >= Rate::ZERO
        && state.kernel_frequency.as_ratio().abs() <= FREQUENCY_MAX
        && cross.is_finite()
        && deviations.iter().all(|&deviation| (0.0..=1e6).contains(&deviation))
        && intervals.iter().all(|&interval| (Interval::ZERO..=AGE_MAX).contains(&interval))
        && state.stratum.is_synchronised()
        && state.leap != Leap::Unsynchronised
}

/// FNV-1a: against accidents, not against whoever may write the file.
fn digest(text: &str) -> u64 {
    let turn = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, turn)
}

const HEADER: &str = "timeball state 1";
/// How long an estimate without any answer is worth taking up.
const AGE_MAX: Interval = Interval::from_secs(6 * 3600);
/// Between two writings.
pub(crate) const STATE_SAVE_GAP: Interval = Interval::from_secs(300);
/// The kernel rounds what it is told by less.
const RATE_MIN: f64 = 1e-9;
const SUSPEND_MIN: Interval = Interval::from_millis(100);
/// No crystal is that wrong; the same limit as the drift file's.
const FREQUENCY_MAX: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOOT: u128 = 0x3f0c_0000_1111_2222_3333_4444_5555_6666;

    fn sample() -> State {
        State {
            realtime: Timestamp::from_nanos(1_795_300_000_123_456_789),
            boottime: Timestamp::from_nanos(77_000_000_001),
            suspended: Interval::ZERO,
            kernel_frequency: Rate::from_ratio(-1.25e-5),
            correction: Interval::from_nanos(-100_000_123),
            frequency: 1.234_567_890_123e-5,
            covariance: Covariance { offset: 1e-10, cross: -1e-14, frequency: 1.1e-16 },
            wander_variance: 1.7e-18,
            wander: 1.3e-9,
            jitter: 1e-4,
            root_delay: Interval::from_micros(200),
            dispersion: Interval::from_nanos(321),
            proven: Interval::from_micros(40),
            proven_skew: Rate::from_ratio(2e-6),
            age: Interval::from_secs(33),
            stratum: Stratum::new(2),
            reference_id: ReferenceId::from_octets([192, 0, 2, 1]),
            leap: Leap::Insert,
            leap_ahead: Some(LeapSecond {
                midnight: Timestamp::from_nanos(1_798_761_600_000_000_000),
                kind: LeapKind::Insert,
                made_by: LeapMaker::Mapping,
            }),
            leap_made: Some(LeapSecond {
                midnight: Timestamp::from_nanos(1_483_228_800_000_000_000),
                kind: LeapKind::Delete,
                made_by: LeapMaker::Over,
            }),
        }
    }

    #[test]
    fn what_is_written_reads_back_to_the_last_bit() {
        assert_eq!(parse(&format(&sample(), BOOT), BOOT), Ok(sample()));
        let plain = State { leap_ahead: None, leap_made: None, ..sample() };
        assert_eq!(parse(&format(&plain, BOOT), BOOT), Ok(plain));
    }

    #[test]
    fn of_another_boot_only_the_frequency_is_left() {
        let frequency = Rate::from_ratio(sample().frequency);
        assert_eq!(parse(&format(&sample(), BOOT), 1), Err(StateError::Boot(frequency)));
    }

    #[test]
    fn impossible_values_are_refused_even_with_a_good_digest() {
        for change in [
            |s: &mut State| s.frequency = f64::NAN,
            |s: &mut State| s.frequency = 0.5,
            |s: &mut State| s.covariance.offset = -1.0,
            |s: &mut State| s.covariance.cross = f64::INFINITY,
            |s: &mut State| s.jitter = f64::INFINITY,
            |s: &mut State| s.root_delay = Interval::from_secs(-1),
            |s: &mut State| s.dispersion = Interval::MAX,
            |s: &mut State| s.stratum = Stratum::UNSYNCHRONISED,
            |s: &mut State| s.leap = Leap::Unsynchronised,
        ] {
            let mut state = sample();
            change(&mut state);
            assert_eq!(parse(&format(&state, BOOT), BOOT), Err(StateError::Damaged), "{state:?}");
        }
        assert_eq!(parse("", BOOT), Err(StateError::Empty));
        let other = format(&sample(), BOOT).replace("state 1", "state 2");
        let (body, _) = other.trim_end().rsplit_once('\n').unwrap();
        let body = format!("{body}\n");
        let signed = format!("{body}digest {:016x}\n", digest(&body));
        assert_eq!(parse(&signed, BOOT), Err(StateError::Version));
    }

    proptest! {
        #[test]
        fn any_damage_is_noticed(at in 0usize..700, bit in 0u8..7) {
            let mut bytes = format(&sample(), BOOT).into_bytes();
            // What follows the digest is blank, and blanks are not looked at.
            let at = at % (bytes.len() - 1);
            bytes[at] ^= 1 << bit;
            if let Ok(text) = core::str::from_utf8(&bytes) {
                prop_assert!(parse(text, BOOT).is_err());
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            prop_assert!(parse(&text, BOOT).is_err());
        }
    }
}
