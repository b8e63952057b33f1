//! Leap seconds: is there one tonight, and who makes it?
//!
//! **Whose word counts.** The list of leap seconds, while it has not expired. Without one, the leap
//! indicator of the majority of survivors, but only at the end of June and December, where every leap
//! second so far has been: a few servers that are wrong in March shall not cost a second. With the local
//! clock, what the kernel says of itself.
//!
//! **When clients are told.** On the last day, from midnight to midnight UTC: the kernels and daemons that
//! hear of it take the warning for the end of *this* day (RFC 5905 says month; ntpd and chronyd, too, warn on
//! the last day).
//!
//! **Who makes it.** The mapping to served time, at the very nanosecond, through the snapshot. Unless
//! the kernel has been told, by us or by somebody else, and its clock is near enough: then it steps its
//! clock by itself and the mapping goes straight on; if it does not, we make it a moment later.
//!
//! Once made, everything that was measured is moved along with UTC ([`Discipline::make_leap`]), so that
//! answers from before and after the leap agree. Requests that span it are dropped.
//!
//! Must never: make the same leap twice, or one that was only announced while nobody was believed.

use timeball_time::{
    ClockReading, Interval, Leap, LeapKind, LeapMaker, LeapSecond, Monotonic, Served, Timestamp,
};

use crate::action::{Actions, Event};
use crate::books::Observed;
use crate::discipline::Discipline;
use crate::leap_table::LeapTable;
use crate::status::Basis;

/// What is known of leap seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeapWatch {
    table: Option<LeapTable>,
    /// What the kernel says it will do at the end of its day.
    kernel: Option<LeapKind>,
    /// The one tonight.
    ahead: Option<LeapSecond>,
    /// The last one made.
    behind: Option<LeapSecond>,
    /// When the one ahead is due, if soon.
    wakeup: Option<Timestamp<Monotonic>>,
}

impl LeapWatch {
    pub(crate) fn new(table: Option<LeapTable>) -> Self {
        Self { table, ..Self::default() }
    }

    /// Goes by another list, or none, from now on.
    pub(crate) fn replace_table(&mut self, table: Option<LeapTable>) {
        self.table = table;
    }

    /// The one that readers have to know of at the `unbroken` time.
    pub(crate) fn for_readers(&self, unbroken: Timestamp<Served>) -> Option<LeapSecond> {
        let remembered = |leap: &LeapSecond| unbroken - leap.midnight <= REMEMBERED;
        self.ahead.or_else(|| self.behind.filter(remembered))
    }

    /// What clients are warned of.
    pub(crate) fn indicator(&self) -> Leap {
        self.ahead.map_or(Leap::None, |leap| leap.kind.indicator())
    }

    /// When to look again for the sake of a leap.
    pub(crate) const fn wakeup(&self) -> Option<Timestamp<Monotonic>> {
        self.wakeup
    }

    /// TAI − UTC in seconds, by the list.
    pub(crate) fn tai_offset_s(&self, now: Timestamp<Served>) -> Option<i32> {
        self.table.as_ref().and_then(|table| table.tai_offset_s(now))
    }

    /// The last leap second made.
    pub(crate) const fn made(&self) -> Option<LeapSecond> {
        self.behind
    }

    /// The one at the end of the day.
    pub(crate) const fn ahead(&self) -> Option<LeapSecond> {
        self.ahead
    }

    /// What the last run of the program knew of.
    pub(crate) const fn resume(&mut self, ahead: Option<LeapSecond>, made: Option<LeapSecond>) {
        self.ahead = ahead;
        self.behind = made;
    }

    /// Decides whether there is a leap tonight; `warned` is what the basis of served time says.
    fn decide(&mut self, now: Timestamp<Served>, warned: Leap, kernel_near: bool) -> Option<Event> {
        let midnight = next_midnight(now);
        let was = self.ahead;
        // After an inserted second the old day's last one comes again.
        let made = self.behind.is_some_and(|behind| behind.midnight >= midnight);
        let kind = if made { None } else { self.kind_before(midnight, warned) };
        self.ahead = kind.map(|kind| {
            let by_kernel = kernel_near && self.kernel == Some(kind);
            let made_by = if by_kernel { LeapMaker::Kernel } else { LeapMaker::Mapping };
            LeapSecond { midnight, kind, made_by }
        });
        match (was, self.ahead) {
            (None, Some(leap)) => Some(Event::LeapAhead { leap }),
            (Some(leap), None) => Some(Event::LeapWithdrawn { leap }),
            _ => None,
        }
    }

    fn kind_before(&self, midnight: Timestamp<Served>, warned: Leap) -> Option<LeapKind> {
        match &self.table {
            Some(table) if table.covers(midnight) => table.leap_before(midnight),
            _ => LeapKind::warned_of(warned).filter(|_| begins_half_year(midnight)),
        }
    }

    /// Whether the leap ahead is to be entered now, its maker being the mapping or a kernel that is late.
    fn is_due(&self, unbroken: Timestamp<Served>) -> Option<LeapSecond> {
        let late = |leap: &LeapSecond| match leap.made_by {
            LeapMaker::Kernel => KERNEL_LATE,
            LeapMaker::Mapping | LeapMaker::Over => Interval::ZERO,
        };
        self.ahead.filter(|leap| unbroken >= leap.instant() + late(leap))
    }

    /// Whether a step of the kernel clock just seen is the leap it was to make.
    fn is_kernels(&self, step: Interval, unbroken: Timestamp<Served>) -> Option<LeapSecond> {
        self.ahead.filter(|leap| {
            leap.made_by == LeapMaker::Kernel
                && (step - leap.kind.shift()).abs() < STEP_TOLERANCE
                && (unbroken - leap.instant()).abs() < KERNEL_LATE
        })
    }
}

impl Discipline {
    /// The list of leap seconds that it goes by.
    pub const fn leap_table(&self) -> Option<&LeapTable> {
        self.leap.table.as_ref()
    }

    /// A new list of leap seconds was read.
    pub fn on_leap_table(&mut self, table: LeapTable, now: ClockReading, out: &mut Actions) {
        self.leap.replace_table(Some(table));
        self.on_clock_changed(now, out);
    }

    /// The kernel says what it will do at the end of its day (adjtimex with no modes).
    pub fn on_kernel_leap(&mut self, kind: Option<LeapKind>) {
        self.leap.kernel = kind;
    }

    /// TAI − UTC in seconds, by the list of leap seconds.
    pub fn tai_offset_s(&self, now: ClockReading) -> Option<i32> {
        self.leap.tai_offset_s(self.snapshot.served(now.realtime))
    }

    /// Decides anew on a leap tonight, before readers are told.
    pub(crate) fn watch_leap(&mut self, now: &ClockReading, out: &mut Actions) {
        let unbroken = self.unbroken(now);
        let correction = unbroken.reinterpret() - now.realtime;
        let warned = match (self.basis, self.reference) {
            (Basis::Sources, Some(reference)) => reference.leap,
            (Basis::Local, _) => self.leap.kernel.map_or(Leap::None, LeapKind::indicator),
            _ => Leap::None,
        };
        let kernel_near = correction.abs() < KERNEL_NEAR;
        let event = self.leap.decide(unbroken, warned, kernel_near);
        if let Some(event) = event {
            out.note(event);
        }
        self.leap.wakeup = self.leap.ahead.and_then(|leap| {
            let wait = leap.instant() - unbroken + WAKEUP_MARGIN;
            (wait <= WAKEUP_AHEAD).then_some(now.monotonic + wait)
        });
    }

    /// Enters a leap that has come, or that the step in `observed` was; true if there was one.
    pub(crate) fn observe_leap(
        &mut self,
        now: &ClockReading,
        observed: &mut Observed,
        out: &mut Actions,
    ) -> bool {
        let unbroken = self.unbroken(now);
        if let Some(leap) = self.leap.is_kernels(observed.step, unbroken) {
            // Exactly a second: the rest is the noise of reading three clocks.
            self.books.correct(leap.kind.shift() - observed.step);
            observed.step = Interval::ZERO;
            self.make_leap(leap, out);
            return true;
        }
        if let Some(leap) = self.leap.is_due(unbroken) {
            self.make_leap(leap, out);
            return true;
        }
        false
    }

    /// Moves all that is known by the leap: from now on UTC counts otherwise.
    fn make_leap(&mut self, leap: LeapSecond, out: &mut Actions) {
        let shift = leap.kind.shift();
        for source in &mut self.sources {
            source.leap(shift);
        }
        for reference in self.reference.iter_mut().chain(&mut self.holdover) {
            reference.estimate = reference.estimate.moved(shift);
        }
        self.servo.leap(shift);
        self.reference_time = self.reference_time.plus(shift);
        self.leap.ahead = None;
        self.leap.wakeup = None;
        self.leap.behind = Some(LeapSecond { made_by: LeapMaker::Over, ..leap });
        self.leap_to_slew = self.config.slew_leaps;
        out.note(Event::LeapMade { leap });
    }

    /// Served time now as if no leap were ahead.
    pub(crate) fn unbroken(&self, now: &ClockReading) -> Timestamp<Served> {
        let free = self.books.free(now.realtime);
        // Free and served time meet here as two counts of one instant.
        (free + self.servo.offset(free, now.realtime)).reinterpret()
    }
}

/// The first midnight after `now`.
fn next_midnight(now: Timestamp<Served>) -> Timestamp<Served> {
    Timestamp::from_nanos((now.nanos().div_euclid(DAY.nanos()) + 1).saturating_mul(DAY.nanos()))
}

/// Whether the day that begins at `midnight` is 1 January or 1 July.
///
/// Years are counted from 1 March, so that the leap day is the last: then 1 July is day 122 of a year and
/// 1 January day 306, in every year of the Gregorian calendar's 400.
fn begins_half_year(midnight: Timestamp<Served>) -> bool {
    let from_march_2000 = midnight.nanos().div_euclid(DAY.nanos()) - FROM_1970_TO_MARCH_2000_DAYS;
    let of_400_years = from_march_2000.rem_euclid(146_097);
    let century = (of_400_years / 36_524).min(3);
    let of_century = of_400_years - century * 36_524;
    let of_4_years = of_century % 1_461;
    let of_year = of_4_years - (of_4_years / 365).min(3) * 365;
    matches!(of_year, 122 | 306)
}

const DAY: Interval = Interval::from_secs(86_400);
const FROM_1970_TO_MARCH_2000_DAYS: i64 = 11_017;
/// The longest smear is over by then.
const REMEMBERED: Interval = Interval::from_secs(86_400 + 2);
/// A kernel clock this near to served time makes the leap for both.
const KERNEL_NEAR: Interval = Interval::from_millis(100);
/// A kernel that has not made its leap by now will not.
const KERNEL_LATE: Interval = Interval::from_millis(500);
/// A step this near to a second is the leap.
const STEP_TOLERANCE: Interval = Interval::from_millis(1);
/// A leap this near gets a wake-up of its own, this much after its instant.
const WAKEUP_AHEAD: Interval = Interval::from_secs(5);
const WAKEUP_MARGIN: Interval = Interval::from_micros(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn day(days: i64) -> Timestamp<Served> {
        Timestamp::from_nanos(days * DAY.nanos())
    }

    #[test]
    fn half_years_begin_in_january_and_july() {
        let found: Vec<i64> = (0..80_000).filter(|&d| begins_half_year(day(d))).collect();
        // 1 January 1970, 1 July 1970, 1 January 1971, …
        assert_eq!(found[..4], [0, 181, 365, 546]);
        // 1 July 2016, 1 January 2017, and 1 January 2100, which is no leap year, and 1 July.
        for (index, expected) in [(93, 16_983), (94, 17_167), (260, 47_482), (261, 47_663)] {
            assert_eq!(found[index], expected);
        }
        assert!(found.windows(2).all(|pair| matches!(pair[1] - pair[0], 181..=184)));
    }

    #[test]
    fn midnight_is_never_now() {
        assert_eq!(next_midnight(day(3)), day(4));
        assert_eq!(next_midnight(day(4) - Interval::from_nanos(1)), day(4));
    }
}
