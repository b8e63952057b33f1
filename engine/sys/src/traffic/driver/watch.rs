//! What the programs have counted, taken over bit by bit, and the giving up of requests that nobody answers.
//!
//! Must never: count a request as lost that a program has counted as answered.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use timeball_time::{Realtime, Timestamp};

use super::shared::{
    BUCKET_BITS, BUCKETS, FAULTS, Flight, GENERATIONS, GIVEN_UP, MEASURES, PENDING, STAGES, Tally,
};
use super::{Driver, DriverError};

/// Reads what a driver's programs count.
#[derive(Debug)]
pub struct Watch<'a> {
    driver: &'a Driver,
    /// Every request before this one is answered or given up.
    oldest: u64,
    given_up: u64,
    taken: Taken,
    tallies: Vec<TakenTally>,
}

/// What has been taken over so far.
#[derive(Debug, Default)]
struct Taken {
    sent: u64,
    dropped: u64,
    lost: u64,
    idle_ns: u64,
    along: u64,
}

/// What has been taken over so far of one core.
#[derive(Clone, Debug)]
struct TakenTally {
    answered: u64,
    answered_in_time: u64,
    causality_violations: u64,
    along_answered: u64,
    faults: [u64; FAULTS],
    sums_ns: [i64; MEASURES],
    /// From zero on, then magnitudes of those below.
    buckets: Vec<u32>,
}

/// What was counted since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Requests made.
    pub sent: u64,
    /// Of these, the ones for which the device had no room.
    pub dropped: u64,
    /// Requests given up.
    pub lost: u64,
    /// Valid replies.
    pub answered: u64,
    /// Of these, the ones that came before sending ended.
    pub answered_in_time: u64,
    /// Exchanges whose times are impossible.
    pub causality_violations: u64,
    /// Companions sent.
    pub along: u64,
    /// Replies to them.
    pub along_answered: u64,
    /// Invalid replies by reason.
    pub faults: [u64; FAULTS],
    /// Time in which nothing was due, in nanoseconds.
    pub idle_ns: u64,
    /// Sums of all values, by [`Measure`], in nanoseconds.
    pub sums_ns: [i64; MEASURES],
    /// How often each value was seen.
    pub values: Vec<Value>,
}

/// A value that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Of what.
    pub measure: Measure,
    /// The least of its bucket, which is as wide as HdrHistogram's with three digits.
    pub nanos: i64,
    /// How often.
    pub count: u64,
}

/// A distribution, in the order of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Made after its moment.
    Lag,
    /// Answered after its moment.
    Latency,
    /// ((T2 − T1) − (T4 − T3)) / 2.
    Offset,
    /// T2 − T1.
    ReceiveError,
    /// T4 − T3.
    TransmitError,
    /// T3 − T2.
    Residence,
}

impl Measure {
    /// Every distribution.
    pub const ALL: [Self; MEASURES] = [
        Self::Lag,
        Self::Latency,
        Self::Offset,
        Self::ReceiveError,
        Self::TransmitError,
        Self::Residence,
    ];
}

impl<'a> Watch<'a> {
    pub(super) fn new(driver: &'a Driver) -> Self {
        let tally = TakenTally {
            answered: 0,
            answered_in_time: 0,
            causality_violations: 0,
            along_answered: 0,
            faults: [0; FAULTS],
            sums_ns: [0; MEASURES],
            buckets: vec![0; 2 * MEASURES * BUCKETS],
        };
        let tallies = vec![tally; driver.tallies.values().len()];
        Self { driver, oldest: 0, given_up: 0, taken: Taken::default(), tallies }
    }

    /// Gives up what was sent before `before` and is not answered; says whether anything is in flight yet.
    ///
    /// # Errors
    /// [`DriverError::Refused`]: the device takes nothing.
    pub fn give_up(&mut self, before: Timestamp<Realtime>) -> Result<bool, DriverError> {
        let Driver { flights, base, device, .. } = self.driver;
        let (course, flights) = (self.driver.course(), flights.values());
        let before_ns = (before - *base).nanos();
        let next = course.next.load(Ordering::Acquire);
        let made = next + course.along.load(Ordering::Relaxed);
        if next >= REFUSED_MIN && course.pending.load(Ordering::Relaxed) >= made {
            return Err(DriverError::Refused { device: device.clone() });
        }
        // What is older has lost its slot, and the program has counted that.
        self.oldest = self.oldest.max(next.saturating_sub(flights.len() as u64));
        while self.oldest < next {
            let flight = &flights[self.oldest as usize & (flights.len() - 1)];
            let generation = self.oldest / flights.len() as u64 % GENERATIONS;
            match give_up(flight, generation, before_ns) {
                Some(is_lost) => self.given_up += u64::from(is_lost),
                None => break,
            }
            self.oldest += 1;
        }
        course.given_up.store(self.given_up, Ordering::Release);
        Ok(self.oldest < next)
    }

    /// What was counted since this was last asked.
    pub fn take(&mut self) -> Account {
        let course = self.driver.course();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Taken { sent, dropped, lost, idle_ns, along } = &mut self.taken;
        let mut account = Account {
            sent: grown(read(&course.next), sent),
            dropped: grown(read(&course.dropped), dropped),
            lost: grown(self.given_up + read(&course.evicted), lost),
            idle_ns: grown(read(&course.idle_ns), idle_ns),
            along: grown(read(&course.along), along),
            ..Account::default()
        };
        for (tally, taken) in self.driver.tallies.values().iter().zip(&mut self.tallies) {
            taken.take(tally, &mut account);
        }
        account
    }

    /// Frames that the kernel would not give to the device, now that sending has ended.
    pub fn refused(&self) -> u64 {
        self.driver.course().pending.load(Ordering::Relaxed)
    }

    /// Requests that were due until sending ended and not made; of exponential gaps the number expected.
    pub fn missed(&self) -> u64 {
        let course = self.driver.course();
        let next = course.next.load(Ordering::Relaxed);
        let [start_ns, due_ns, end_ns, ended_ns] =
            [&course.start_ns, &course.due_ns, &course.end_ns, &course.ended_ns]
                .map(|time| time.load(Ordering::Relaxed));
        self.driver.options.missed(next, due_ns, (start_ns, end_ns.min(ended_ns)))
    }

    /// Replies that the device has dropped for want of room since it is there, by itself or on behalf of
    /// its other end; `None` if it does not say.
    pub fn device_drops(&self) -> Option<u64> {
        let mut netlink = crate::netlink::Netlink::open().ok()?;
        netlink.receive_drops(self.driver.options.link.interface)
    }
}

/// Gives a request up if it is pending and was sent before; says whether it was. `None`: it may wait.
fn give_up(flight: &Flight, generation: u64, before_ns: i64) -> Option<bool> {
    let state = flight.state.load(Ordering::Acquire);
    let is_pending = state % STAGES == PENDING && state / STAGES % GENERATIONS == generation;
    if !is_pending {
        return Some(false);
    }
    if flight.sent_ns.load(Ordering::Relaxed) > before_ns {
        return None;
    }
    let given_up = state - PENDING + GIVEN_UP;
    let order = (Ordering::AcqRel, Ordering::Relaxed);
    Some(flight.state.compare_exchange(state, given_up, order.0, order.1).is_ok())
}

impl TakenTally {
    fn take(&mut self, tally: &Tally, account: &mut Account) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        account.answered += grown(read(&tally.answered), &mut self.answered);
        account.answered_in_time +=
            grown(read(&tally.answered_in_time), &mut self.answered_in_time);
        account.causality_violations +=
            grown(read(&tally.causality_violations), &mut self.causality_violations);
        account.along_answered += grown(read(&tally.along_answered), &mut self.along_answered);
        for (at, fault) in tally.faults.iter().enumerate() {
            account.faults[at] += grown(read(fault), &mut self.faults[at]);
        }
        for (at, sum) in tally.sums_ns.iter().enumerate() {
            let now: i64 = AtomicI64::load(sum, Ordering::Relaxed);
            account.sums_ns[at] += now - std::mem::replace(&mut self.sums_ns[at], now);
        }
        let sides = tally.above.iter().chain(&tally.below);
        for (at, (side, taken)) in sides.zip(self.buckets.chunks_exact_mut(BUCKETS)).enumerate() {
            let sign = if at < MEASURES { 1 } else { -1 };
            let measure = Measure::ALL[at % MEASURES];
            for (bucket, (count, taken)) in side.iter().zip(taken).enumerate() {
                let now = AtomicU32::load(count, Ordering::Relaxed);
                let count = u64::from(now.wrapping_sub(std::mem::replace(taken, now)));
                if count > 0 {
                    let nanos = sign * least_of(bucket);
                    account.values.push(Value { measure, nanos, count });
                }
            }
        }
    }
}

fn grown(now: u64, taken: &mut u64) -> u64 {
    now - std::mem::replace(taken, now)
}

/// The least magnitude that falls into a bucket, in nanoseconds.
fn least_of(bucket: usize) -> i64 {
    let doublings = (bucket >> BUCKET_BITS).saturating_sub(1);
    ((bucket - (doublings << BUCKET_BITS)) << doublings) as i64
}

/// So many frames without one being taken are no accident.
const REFUSED_MIN: u64 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap_and_grow_by_a_thousandth_at_most() {
        assert_eq!((least_of(0), least_of(2_047), least_of(2_048)), (0, 2_047, 2_048));
        assert_eq!((least_of(2_049), least_of(3_072)), (2_050, 4_096));
        for bucket in 2_048..BUCKETS - 1 {
            let (low, high) = (least_of(bucket), least_of(bucket + 1));
            assert!(low < high && (high - low) * 1_000 < low, "{bucket}: {low} to {high}");
        }
        assert_eq!(least_of(BUCKETS - 1) >> 26, (1 << 10) - 1, "up to 2^36");
    }
}
