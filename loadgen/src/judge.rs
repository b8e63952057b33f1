//! What a reply counts as.
//!
//! Must never: let an invalid reply into latency, or a hostile packet's into anything but its own count.

use timeball_sys::traffic::Arrival;
use timeball_time::{Interval, Realtime, Timestamp};
use timeball_wire::HEADER_LEN;

use crate::check::{Times, read};
use crate::flight::{Flight, Flights};
use crate::{Asked, Expectation, Fault, Options, Reply, Report};

/// Holds replies to their requests and counts them.
pub(crate) struct Judge<'a> {
    pub(crate) options: &'a Options,
    pub(crate) flights: &'a mut Flights,
    pub(crate) report: &'a mut Report,
    pub(crate) bursts: &'a mut Bursts,
    /// When offering ends.
    pub(crate) end: Timestamp<Realtime>,
}

/// How replies within a burst follow each other.
#[derive(Debug)]
pub(crate) struct Bursts {
    /// Requests of one burst; 0 if there are no bursts.
    size: u64,
    /// Number of a burst and T4 − T3 of its first request.
    first: (u64, Interval),
}

impl Bursts {
    /// For bursts of `size` requests that are numbered one after the other; 0 for none.
    pub(crate) const fn new(size: u32) -> Self {
        Self { size: size as u64, first: (u64::MAX, Interval::ZERO) }
    }

    /// Notes T4 − T3 of request `number`; with a burst's last one, says how much it differs from its
    /// first one's.
    #[inline]
    fn note(&mut self, number: u64, transmit_error: Interval) -> Option<Interval> {
        if self.size == 0 {
            return None;
        }
        let (burst, position) = (number / self.size, number % self.size);
        if position == 0 {
            self.first = (burst, transmit_error);
        }
        let is_last = position == self.size - 1 && position > 0 && self.first.0 == burst;
        is_last.then(|| transmit_error - self.first.1)
    }
}

impl Judge<'_> {
    /// Judges what arrived for a request.
    #[inline]
    pub(crate) fn reply(&mut self, arrival: &Arrival<'_>) {
        if let Err(fault) = self.try_reply(arrival) {
            self.report.faults.count(fault);
        }
    }

    #[inline]
    fn try_reply(&mut self, arrival: &Arrival<'_>) -> Result<(), Fault> {
        if arrival.source != Some(self.options.target) {
            return Err(Fault::Stray);
        }
        let header = read(arrival.bytes, self.options.request_len())?;
        if let Some(key) = &self.options.key {
            let (message, code) = arrival.bytes.split_at(HEADER_LEN);
            key.verifies(header.flags.version, message, code).then_some(()).ok_or(Fault::Code)?;
        }
        let (expectation, cohorts) = (self.options.expectation, &mut self.report.cohorts);
        let (flight, reply) = self.flights.land(header.origin, |flight| {
            let (version, reply_mode) = (flight.kind.version(), flight.kind.reply_mode());
            expectation.inspect(&header, Asked { version, reply_mode }).inspect_err(|fault| {
                let refused = *fault == Fault::Refused;
                cohorts.of_mut(flight.cohort).refused += u64::from(refused);
            })
        })?;
        let counted = self.answer(&reply, &flight, arrival.stamp);
        self.report.cohorts.of_mut(flight.cohort).answered += u64::from(counted.is_ok());
        counted
    }

    /// Counts a reply that found its request as an answer, if its times can be true.
    #[inline]
    fn answer(
        &mut self,
        reply: &Reply,
        flight: &Flight,
        arrived: Option<Timestamp<Realtime>>,
    ) -> Result<(), Fault> {
        let Some(t4) = arrived else {
            self.report.unstamped += 1;
            self.report.answered += 1;
            return Ok(());
        };
        if self.options.expectation != Expectation::Echo {
            let times = Times::of(reply, flight.departed.unwrap_or(flight.sent), t4);
            let checked = if self.options.shared_clock {
                // Impossible times are measured too: how far they are wrong is the worst there is to
                // know.
                self.measure_errors(flight, &times);
                times.check_causality()
            } else {
                times.check_order()
            };
            self.report.residence.record(times.t3 - times.t2);
            checked.inspect_err(|_| self.report.causality_violations += 1)?;
        }
        self.report.answered += 1;
        self.report.answered_in_time += u64::from(t4 <= self.end);
        self.report.latency.record(t4 - flight.intended);
        Ok(())
    }

    #[inline]
    fn measure_errors(&mut self, flight: &Flight, times: &Times) {
        let transmit_error = times.t4 - times.t3;
        self.report.transmit_error.record(transmit_error);
        if flight.departed.is_some() {
            let receive_error = times.t2 - times.t1;
            self.report.receive_error.record(receive_error);
            self.report.offset.record((receive_error - transmit_error).half());
        }
        if let Some(position) = self.bursts.note(flight.number, transmit_error) {
            self.report.burst_position.record(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bursts_last_is_compared_with_its_own_first() {
        let nanos = Interval::from_nanos;
        let mut bursts = Bursts::new(3);
        assert_eq!(bursts.note(0, nanos(100)), None);
        assert_eq!(bursts.note(1, nanos(900)), None);
        assert_eq!(bursts.note(2, nanos(150)), Some(nanos(50)));
        // The first of this burst never came.
        assert_eq!(bursts.note(5, nanos(150)), None);
        assert_eq!(Bursts::new(0).note(7, nanos(1)), None);
        assert_eq!(Bursts::new(1).note(7, nanos(1)), None, "one is no burst");
    }
}
