//! Reading the kernel's clocks.
//!
//! Each reading is a call into the vDSO where the clock source allows it: tens of nanoseconds, no
//! switch into the kernel. [`reading`] takes the three clocks as near to one instant as user space
//! can, because the discipline compares them: a step shows as a change of `realtime − monotonic`, a
//! suspend as a change of `boottime − monotonic`, and whatever passes between the reads would look
//! like either.
//!
//! Must never: set a clock (that is `kernel_clock`), or be called where time is an argument.

use core::mem::MaybeUninit;

use timeball_time::{ClockReading, Interval, Monotonic, Realtime, Timestamp};

/// The kernel's `CLOCK_REALTIME` now.
#[inline]
pub fn realtime() -> Timestamp<Realtime> {
    Timestamp::from_nanos(nanos_of(libc::CLOCK_REALTIME))
}

/// The kernel's `CLOCK_MONOTONIC` now.
#[inline]
pub fn monotonic() -> Timestamp<Monotonic> {
    Timestamp::from_nanos(nanos_of(libc::CLOCK_MONOTONIC))
}

/// How far CLOCK_TAI is ahead of CLOCK_REALTIME: whole seconds, zero where nobody has told the kernel.
pub(crate) fn tai_ahead() -> Interval {
    let ahead_ns = nanos_of(libc::CLOCK_TAI) - nanos_of(libc::CLOCK_REALTIME);
    Interval::from_secs((ahead_ns + NANOS_PER_S / 2).div_euclid(NANOS_PER_S))
}

/// The kernel's three clocks, as near to one instant as can be read.
///
/// `realtime` and `boottime` are read between two reads of `monotonic`, of which the middle is
/// given; of three tries the one with the least time between them is kept, so that an interrupt in
/// the middle of one does not count.
pub fn reading() -> ClockReading {
    let mut tightest = Interval::MAX;
    let mut kept = None;
    for _ in 0..READING_TRIES {
        let before = monotonic();
        let realtime = realtime();
        let boottime = Timestamp::from_nanos(nanos_of(libc::CLOCK_BOOTTIME));
        let width = monotonic() - before;
        if kept.is_none() || width < tightest {
            tightest = width;
            kept = Some(ClockReading { realtime, monotonic: before + width.half(), boottime });
        }
    }
    kept.expect("READING_TRIES is at least one")
}

/// How far `CLOCK_REALTIME` is ahead of `CLOCK_BOOTTIME`: changed by nothing but a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Distance {
    pub(crate) ahead: Interval,
    /// The truth lies within this of `ahead`.
    pub(crate) uncertainty: Interval,
}

/// The distance now, as near as user space can tell.
///
/// Every reading of one clock between two of the other leaves room for the truth, and what is left of that
/// room after all of them is a few nanoseconds: the distance itself does not move.
pub(crate) fn realtime_ahead_of_boottime() -> Distance {
    let (mut least, mut most) = (i64::MIN, i64::MAX);
    for _ in 0..DISTANCE_READS {
        let before = nanos_of(libc::CLOCK_BOOTTIME);
        let realtime = nanos_of(libc::CLOCK_REALTIME);
        let after = nanos_of(libc::CLOCK_BOOTTIME);
        let (low, high) = (realtime.wrapping_sub(after), realtime.wrapping_sub(before));
        let (low, high) = (low.min(high), low.max(high));
        if high < least || low > most {
            // The clock was set between two readings: what was learnt before is void.
            (least, most) = (low, high);
        } else {
            (least, most) = (least.max(low), most.min(high));
        }
    }
    let ahead = least + (most - least) / 2;
    let uncertainty = Interval::from_nanos((most - least).unsigned_abs().div_ceil(2) as i64 + 1);
    Distance { ahead: Interval::from_nanos(ahead), uncertainty }
}

/// The precision of the clock as RFC 5905 section 7.3 defines it: log₂ of the seconds it takes to
/// read it or of its resolution, whichever is larger; measured, rounded up, and kept within -29 to
/// -18.
pub fn precision() -> i8 {
    let mut least = i64::MAX;
    let mut last = realtime();
    for _ in 0..PRECISION_READS {
        let now = realtime();
        let gap = (now - last).nanos();
        if gap > 0 {
            least = least.min(gap);
        }
        last = now;
    }
    log2_seconds(least)
}

/// The least `p` in -29..=-18 with `nanos` ≤ 2ᵖ s; -18 if there is none.
fn log2_seconds(nanos: i64) -> i8 {
    (PRECISION_MIN..PRECISION_MAX)
        .find(|&p| i128::from(nanos) << -p <= 1_000_000_000)
        .unwrap_or(PRECISION_MAX)
}

#[inline]
fn nanos_of(clock: libc::clockid_t) -> i64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // JUSTIFICATION: std gives neither nanoseconds since 1970 as one integer nor CLOCK_BOOTTIME.
    // SAFETY: the pointer is to a timespec this function owns; the call writes it and keeps
    // nothing.
    let result = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
    assert!(result == 0, "the three clocks read here exist on every Linux since 2.6.39");
    // JUSTIFICATION: initialising first would cost a store per reading on the packet path.
    // SAFETY: clock_gettime returned 0, so it has written the whole timespec.
    let time = unsafe { time.assume_init() };
    time.tv_sec.wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec)
}

const NANOS_PER_S: i64 = 1_000_000_000;

/// Tries of one [`reading`]; an interrupt spoils one now and then, never three in a row.
const READING_TRIES: usize = 3;

/// Readings from which the distance of two clocks is taken: some microseconds.
const DISTANCE_READS: usize = 32;

/// Consecutive reads from which [`precision`] is taken: about a tenth of a millisecond.
const PRECISION_READS: usize = 2_000;

/// A quarter of a nanosecond's neighbourhood is nothing a kernel clock in nanoseconds can claim.
const PRECISION_MIN: i8 = -29;

/// Above 3.8 µs the clock source is broken; clients are told no worse, root dispersion says the
/// rest.
const PRECISION_MAX: i8 = -18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_agrees_with_the_standard_library() {
        let before = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
        let now = realtime().nanos();
        let after = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
        assert!((before as i64..=after as i64).contains(&now));
    }

    #[test]
    fn two_readings_without_a_step_agree_on_the_distance_between_the_clocks() {
        let (first, second) = (reading(), reading());
        let distance = |r: &ClockReading| r.realtime.nanos() - r.monotonic.nanos();
        // An interrupt in every try of either reading would be needed to exceed this.
        assert!((distance(&first) - distance(&second)).abs() < 1_000_000);
        assert!(second.monotonic >= first.monotonic);
        assert!(second.boottime.nanos() >= second.monotonic.nanos() - 1_000_000);
    }

    #[test]
    fn the_distance_of_two_clocks_stays_and_is_known_to_less_than_a_microsecond() {
        let distances: Vec<_> = (0..50).map(|_| realtime_ahead_of_boottime()).collect();
        let best = distances.iter().min_by_key(|d| d.uncertainty).expect("fifty");
        assert!(best.uncertainty < Interval::from_micros(1), "{best:?}");
        for distance in &distances {
            let apart = (distance.ahead - best.ahead).abs();
            assert!(apart <= distance.uncertainty + best.uncertainty, "{distance:?}, {best:?}");
        }
    }

    #[test]
    fn precision_is_rounded_up_and_clamped() {
        assert_eq!(log2_seconds(1), -29);
        assert_eq!(log2_seconds(30), -24); // 2^-25 s is 29.8 ns
        assert_eq!(log2_seconds(29), -25);
        assert_eq!(log2_seconds(59), -24);
        assert_eq!(log2_seconds(i64::MAX), -18);
        assert!((-29..=-18).contains(&precision()));
    }
}
