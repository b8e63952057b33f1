//! The requests in flight: a table in which a reply finds its request by index.
//!
//! A request's nonce is the run's salt and the request's number, and its slot is the number modulo
//! the table's size. Nothing is searched and nothing hashed. The salt keeps replies to an earlier
//! run from being taken for ours.
//!
//! Requests that got no reply within the time-out are given up in order of sending, which frees
//! their room in a closed loop; a reply that comes later is counted as late, not as an answer.
//!
//! Must never: forget a request without counting it as answered or lost.

use timeball_time::{Interval, NtpTimestamp, Realtime, Timestamp};

use crate::{Cohort, Fault, Kind};

/// The requests sent and not yet answered or given up.
#[derive(Debug)]
pub(crate) struct Flights {
    slots: Vec<Flight>,
    salt: u64,
    /// Number of the next request.
    next: u64,
    /// Every request before this one is answered or given up.
    oldest: u64,
    pending: u64,
    lost: u64,
    timeout: Interval,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) cohort: Cohort,
    pub(crate) intended: Timestamp<Realtime>,
    /// The clock just before it was handed to the kernel: not later than it left.
    pub(crate) sent: Timestamp<Realtime>,
    /// The kernel's stamp of its departure, once known.
    pub(crate) departed: Option<Timestamp<Realtime>>,
    is_pending: bool,
}

impl Flights {
    /// Room for at least `room` requests, given up after `timeout`.
    pub(crate) fn new(room: usize, salt: u32, timeout: Interval) -> Self {
        let zero = Timestamp::from_nanos(0);
        let empty = Flight {
            number: u64::MAX,
            kind: Kind::V4,
            cohort: Cohort::WellBehaved,
            intended: zero,
            sent: zero,
            departed: None,
            is_pending: false,
        };
        Self {
            slots: vec![empty; room.next_power_of_two()],
            salt: u64::from(salt) << 32,
            next: 0,
            oldest: 0,
            pending: 0,
            lost: 0,
            timeout,
        }
    }

    /// Number of the next request.
    pub(crate) const fn next_number(&self) -> u64 {
        self.next
    }

    /// Requests waiting for a reply.
    pub(crate) const fn pending(&self) -> u64 {
        self.pending
    }

    /// Requests given up since this was last asked.
    pub(crate) const fn take_lost(&mut self) -> u64 {
        std::mem::replace(&mut self.lost, 0)
    }

    /// Enters the next request, which is of `kind` from one of `cohort`, and returns its nonce.
    ///
    /// When the table is full the oldest request is given up before its time, counted as lost.
    #[inline]
    pub(crate) fn launch(
        &mut self,
        (kind, cohort): (Kind, Cohort),
        intended: Timestamp<Realtime>,
        sent: Timestamp<Realtime>,
    ) -> NtpTimestamp {
        let number = self.next;
        if number - self.oldest >= self.slots.len() as u64 {
            self.retire_oldest();
        }
        let slot = self.slot(number);
        self.slots[slot] =
            Flight { number, kind, cohort, intended, sent, departed: None, is_pending: true };
        self.next += 1;
        self.pending += 1;
        NtpTimestamp::from_bits(self.salt | number)
    }

    /// Takes back the last `count` requests, the kernel did not take them; shows each to `notice`.
    pub(crate) fn recall(&mut self, count: usize, mut notice: impl FnMut(Cohort)) {
        for _ in 0..count {
            self.next -= 1;
            let slot = self.slot(self.next);
            self.slots[slot].is_pending = false;
            self.slots[slot].number = u64::MAX;
            self.pending -= 1;
            notice(self.slots[slot].cohort);
        }
        self.oldest = self.oldest.min(self.next);
    }

    /// The request that a reply of `origin` answers, and what `accept` makes of it. If it accepts, the
    /// request is no longer in flight.
    #[inline]
    pub(crate) fn land<T>(
        &mut self,
        origin: NtpTimestamp,
        accept: impl FnOnce(&Flight) -> Result<T, Fault>,
    ) -> Result<(Flight, T), Fault> {
        let number = self.number(origin).ok_or(Fault::Origin)?;
        let slot = self.slot(number);
        let flight = &mut self.slots[slot];
        if flight.number != number {
            return Err(Fault::Late);
        }
        if !flight.is_pending {
            return Err(Fault::Duplicate);
        }
        let accepted = accept(flight)?;
        flight.is_pending = false;
        self.pending -= 1;
        Ok((*flight, accepted))
    }

    /// Notes the kernel's stamp of a departure.
    #[inline]
    pub(crate) fn note_departure(&mut self, nonce: NtpTimestamp, at: Timestamp<Realtime>) {
        if let Some(number) = self.number(nonce) {
            let slot = self.slot(number);
            if self.slots[slot].number == number {
                self.slots[slot].departed = Some(at);
            }
        }
    }

    /// Gives up what has waited for longer than the time-out; bounded by the requests in flight.
    pub(crate) fn retire(&mut self, now: Timestamp<Realtime>) {
        while self.oldest < self.next {
            let slot = self.slot(self.oldest);
            let flight = &self.slots[slot];
            if flight.is_pending && now - flight.sent < self.timeout {
                return;
            }
            self.retire_oldest();
        }
    }

    fn retire_oldest(&mut self) {
        let slot = self.slot(self.oldest);
        if self.slots[slot].is_pending {
            self.slots[slot].is_pending = false;
            self.slots[slot].number = u64::MAX;
            self.pending -= 1;
            self.lost += 1;
        }
        self.oldest += 1;
    }

    /// The number behind a nonce, if it is one we have sent.
    #[inline]
    fn number(&self, nonce: NtpTimestamp) -> Option<u64> {
        let bits = nonce.to_bits();
        let number = bits & u64::from(u32::MAX);
        (bits & !u64::from(u32::MAX) == self.salt && number < self.next).then_some(number)
    }

    #[inline]
    fn slot(&self, number: u64) -> usize {
        number as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Timestamp<Realtime> {
        Timestamp::from_nanos(nanos)
    }

    fn flights(room: usize) -> Flights {
        Flights::new(room, 7, Interval::from_nanos(100))
    }

    fn launch(
        flights: &mut Flights,
        intended: Timestamp<Realtime>,
        sent: Timestamp<Realtime>,
    ) -> NtpTimestamp {
        flights.launch((Kind::V4, Cohort::WellBehaved), intended, sent)
    }

    fn land(flights: &mut Flights, origin: NtpTimestamp) -> Result<Flight, Fault> {
        flights.land(origin, |_| Ok(())).map(|(flight, ())| flight)
    }

    #[test]
    fn a_reply_finds_its_request_once_and_only_once() {
        let mut flights = flights(4);
        let first = launch(&mut flights, at(1), at(2));
        let second = launch(&mut flights, at(3), at(4));
        assert_ne!(first, second);
        assert_eq!(land(&mut flights, second).unwrap().intended, at(3));
        assert_eq!(land(&mut flights, second).unwrap_err(), Fault::Duplicate);
        assert_eq!(land(&mut flights, first).unwrap().sent, at(2));
        assert_eq!((flights.pending(), flights.take_lost()), (0, 0));
    }

    #[test]
    fn a_nonce_never_sent_or_of_another_run_is_unknown() {
        let mut flights = flights(4);
        let nonce = launch(&mut flights, at(1), at(2)).to_bits();
        for bits in [nonce + 1, nonce ^ (1 << 40), 0, u64::MAX] {
            let origin = NtpTimestamp::from_bits(bits);
            assert_eq!(land(&mut flights, origin).unwrap_err(), Fault::Origin, "{bits:x}");
        }
        assert_eq!(flights.pending(), 1);
    }

    #[test]
    fn a_request_given_up_is_lost_and_its_reply_late() {
        let mut flights = flights(4);
        let first = launch(&mut flights, at(0), at(0));
        let second = launch(&mut flights, at(50), at(50));
        flights.retire(at(99));
        assert_eq!(flights.pending(), 2);
        flights.retire(at(100));
        assert_eq!((flights.pending(), flights.take_lost()), (1, 1));
        assert_eq!(land(&mut flights, first).unwrap_err(), Fault::Late);
        assert!(land(&mut flights, second).is_ok());
        flights.retire(at(200));
        assert_eq!((flights.pending(), flights.take_lost()), (0, 0));
    }

    #[test]
    fn a_full_table_gives_up_the_oldest_and_counts_it() {
        let mut flights = flights(4);
        let nonces: Vec<_> = (0..6).map(|k| launch(&mut flights, at(k), at(k))).collect();
        assert_eq!((flights.pending(), flights.take_lost()), (4, 2));
        assert_eq!(land(&mut flights, nonces[0]).unwrap_err(), Fault::Late);
        assert!(land(&mut flights, nonces[5]).is_ok());
    }

    #[test]
    fn recalled_requests_were_never_sent() {
        let mut flights = flights(4);
        launch(&mut flights, at(0), at(0));
        let recalled = launch(&mut flights, at(0), at(0));
        flights.recall(1, |_| {});
        assert_eq!(land(&mut flights, recalled).unwrap_err(), Fault::Origin);
        assert_eq!((flights.pending(), flights.take_lost(), flights.next_number()), (1, 0, 1));
    }

    #[test]
    fn a_reply_that_is_not_accepted_leaves_its_request_waiting() {
        let mut flights = flights(4);
        let nonce = launch(&mut flights, at(0), at(0));
        let refused = flights.land(nonce, |_| Err::<(), _>(Fault::Mode));
        assert_eq!((refused.unwrap_err(), flights.pending()), (Fault::Mode, 1));
        assert!(land(&mut flights, nonce).is_ok());
    }

    #[test]
    fn a_departure_is_noted_at_its_request() {
        let mut flights = flights(4);
        let nonce = launch(&mut flights, at(0), at(0));
        flights.note_departure(nonce, at(9));
        assert_eq!(land(&mut flights, nonce).unwrap().departed, Some(at(9)));
    }
}
