//! One question to a server and its one answer: the client's half of NTP (RFC 5905 section 8).
//!
//! A request says nothing about the client: every field but version and mode is zero, and the
//! transmit field holds a random nonce in place of the time (RFC 9109 and the data minimisation
//! draft). The nonce comes back as the reply's origin, so who did not see the request has one
//! chance in 2⁶⁴ to forge an answer; it is good for one reply, so replays and duplicates fail too.
//! The time of sending never leaves this struct.
//!
//! ```text
//! T1 client sends   T2 server receives   T3 server sends   T4 client receives
//! offset θ = ((T2 − T1) + (T3 − T4)) / 2      server minus client, exact if both ways take as long
//! delay  δ = (T4 − T1) − (T3 − T2)            |error of θ| ≤ δ / 2 whatever the ways take
//! ```
//!
//! T2 and T3 are only known modulo 2³² s; they are dated between 2000 and 2136, so that the offset is right
//! on either side of 2036, and for a local clock that starts in 1970 in any year.
//!
//! With a key the request is signed and its answer must be (RFC 5905 section 9.2, RFC 8573): one that
//! is not says nothing at all, neither a time nor a kiss nor that our key is unknown (crypto-NAK), and
//! leaves the exchange open for the true one.
//!
//! Must never: believe anything in a packet, a kiss-o'-death included, before its origin has
//! matched and its code, if there is a key, has been verified.

use std::sync::Arc;

use timeball_time::{
    Interval, Leap, NtpShort, NtpTimestamp, Rate, ReferenceId, Stratum, Timescale, Timestamp,
};
use timeball_wire::{CRYPTO_NAK_LEN, Flags, Header, Key, Mode, Trailer};

use crate::rejection::{Kiss, Rejection};
use crate::request::Request;

/// A request under way, with its local times on timescale `S`.
#[derive(Clone, Debug)]
pub struct Exchange<S: Timescale> {
    nonce: NtpTimestamp,
    sent: Timestamp<S>,
    key: Option<Arc<Key>>,
    answered: bool,
}

impl<S: Timescale> Exchange<S> {
    /// A request with the random `nonce`, about to be sent at `sent`.
    ///
    /// `nonce` must be unpredictable; zero, which is no nonce, is replaced by one. With `key` the
    /// request is signed, and so must its answer be.
    pub const fn new(nonce: u64, sent: Timestamp<S>, key: Option<Arc<Key>>) -> Self {
        let nonce = if nonce == 0 { 1 } else { nonce };
        Self { nonce: NtpTimestamp::from_bits(nonce), sent, key, answered: false }
    }

    /// The request's octets.
    pub fn request(&self) -> Request {
        let flags = Flags { leap: Leap::None, version: VERSION, mode: Mode::Client };
        let header = Header { transmit: self.nonce, ..Header::new(flags) };
        Request::new(header.encode(), self.key.as_deref())
    }

    /// When the request was sent: as given, or the kernel's stamp if there was one.
    pub const fn sent(&self) -> Timestamp<S> {
        self.sent
    }

    /// The kernel's stamp of the departure: better than the reading taken before the send.
    ///
    /// A stamp before that reading, or more than [`TRANSMIT_WAIT_MAX`] after it, belongs to
    /// something else and is ignored.
    pub fn transmitted(&mut self, stamp: Timestamp<S>) {
        let wait = stamp - self.sent;
        if !self.answered && wait >= Interval::ZERO && wait <= TRANSMIT_WAIT_MAX {
            self.sent = stamp;
        }
    }

    /// Judges `datagram`, received at `received`, as the answer to this request.
    ///
    /// `precision` is the local clock's, log2 seconds. A packet whose origin or code does not match
    /// leaves the exchange open; the first whose do match ends it, accepted or not.
    pub fn accept(
        &mut self,
        datagram: &[u8],
        received: Timestamp<S>,
        precision: i8,
    ) -> Result<Sample<S>, Rejection> {
        let header = Header::parse(datagram).ok_or(Rejection::Malformed)?;
        let Flags { version, mode, .. } = header.flags;
        if !VERSIONS_ANSWERED.contains(&version) {
            return Err(Rejection::Version);
        }
        let trailer = Trailer::parse(version, datagram).map_err(|_| Rejection::Malformed)?;
        if mode != Mode::Server {
            return Err(Rejection::Mode);
        }
        self.match_origin(header.origin)?;
        self.check_code(version, datagram, trailer.code_len)?;
        self.answered = true;
        check_state(&header)?;
        check_times(&header)?;
        let sample = self.measure(&header, received, precision);
        check_measurement(&sample)?;
        Ok(sample)
    }

    /// TEST1 and TEST2.
    fn match_origin(&self, origin: NtpTimestamp) -> Result<(), Rejection> {
        if origin.is_zero() {
            return Err(Rejection::OriginZero);
        }
        if origin != self.nonce {
            return Err(Rejection::Origin);
        }
        if self.answered {
            return Err(Rejection::Duplicate);
        }
        Ok(())
    }

    /// TEST5: is the answer signed with our key, if we have one?
    fn check_code(&self, version: u8, datagram: &[u8], code_len: usize) -> Result<(), Rejection> {
        if code_len == CRYPTO_NAK_LEN {
            return Err(Rejection::CryptoNak);
        }
        let Some(key) = &self.key else { return Ok(()) };
        let (message, code) = datagram.split_at(datagram.len() - code_len);
        if code.is_empty() {
            return Err(Rejection::Unsigned);
        }
        if key.verifies(version, message, code) { Ok(()) } else { Err(Rejection::Code) }
    }

    fn measure(&self, header: &Header, received: Timestamp<S>, precision: i8) -> Sample<S> {
        let there = header.receive.dated() - self.sent;
        // From T3 to T4.
        let back = header.transmit.dated() - received;
        let round_trip = received - self.sent;
        let turnaround = header.transmit.since(header.receive);
        let resolution = Interval::from_poll(precision) + Interval::from_poll(header.precision);
        Sample {
            sent: self.sent,
            received,
            offset: Interval::from_nanos(midpoint(there.nanos(), back.nanos())),
            delay: round_trip - turnaround,
            turnaround,
            dispersion: resolution + FREQUENCY_TOLERANCE.over(round_trip.max(Interval::ZERO)),
            leap: header.flags.leap,
            stratum: Stratum::new(header.stratum),
            poll: header.poll,
            precision: header.precision,
            root_delay: header.root_delay,
            root_dispersion: header.root_dispersion,
            reference_id: header.reference_id,
            reference_time: header.reference,
        }
    }
}

/// What one accepted answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample<S: Timescale> {
    /// T1 by the local clock.
    pub sent: Timestamp<S>,
    /// T4 by the local clock.
    pub received: Timestamp<S>,
    /// Server minus local clock.
    pub offset: Interval,
    /// Time on the way, both ways together; may be negative by as much as the clocks' rates differ.
    pub delay: Interval,
    /// Time the server took, T3 − T2; not negative.
    pub turnaround: Interval,
    /// Error of reading both clocks, plus [`FREQUENCY_TOLERANCE`] over the exchange.
    pub dispersion: Interval,
    /// The server's leap indicator; never [`Leap::Unsynchronised`].
    pub leap: Leap,
    /// The server's stratum, 1 to 15.
    pub stratum: Stratum,
    /// log2 seconds: the poll interval the server echoes or asks for.
    pub poll: i8,
    /// log2 seconds: the server's clock resolution.
    pub precision: i8,
    /// The server's round-trip delay to its reference.
    pub root_delay: NtpShort,
    /// The server's error bound to its reference.
    pub root_dispersion: NtpShort,
    /// Where the server has its time from.
    pub reference_id: ReferenceId,
    /// When the server's clock was last corrected.
    pub reference_time: NtpTimestamp,
}

impl<S: Timescale> Sample<S> {
    /// The local instant the offset belongs to: half way through the exchange.
    pub fn time(&self) -> Timestamp<S> {
        self.sent + (self.received - self.sent).half()
    }
}

/// KoD and TEST6, TEST7: is there a clock behind this reply, and is it good enough to listen to?
pub(crate) fn check_state(header: &Header) -> Result<(), Rejection> {
    if header.stratum == 0 {
        return Err(Kiss::from_code(header.reference_id)
            .map_or(Rejection::Unsynchronised, Rejection::KissOfDeath));
    }
    if header.flags.leap == Leap::Unsynchronised || header.stratum > STRATUM_MAX {
        return Err(Rejection::Unsynchronised);
    }
    let distance = header.root_delay.interval().half() + header.root_dispersion.interval();
    if distance >= ROOT_DISTANCE_MAX {
        return Err(Rejection::RootDistance);
    }
    Ok(())
}

/// TEST3, the order of the server's own times, and the second half of TEST7.
fn check_times(header: &Header) -> Result<(), Rejection> {
    if header.receive.is_zero() || header.transmit.is_zero() {
        return Err(Rejection::TimeMissing);
    }
    let turnaround = header.transmit.since(header.receive);
    if turnaround < Interval::ZERO {
        return Err(Rejection::TimeOrder);
    }
    if turnaround > TURNAROUND_MAX {
        return Err(Rejection::Turnaround);
    }
    let reference_age = header.transmit.since(header.reference);
    if !header.reference.is_zero() && reference_age < Interval::ZERO {
        return Err(Rejection::ReferenceTime);
    }
    Ok(())
}

fn check_measurement<S: Timescale>(sample: &Sample<S>) -> Result<(), Rejection> {
    if sample.delay < DELAY_MIN {
        return Err(Rejection::DelayNegative);
    }
    if sample.delay > DELAY_MAX {
        return Err(Rejection::DelayLong);
    }
    Ok(())
}

/// `(a + b) / 2` without overflow, rounded towards zero.
fn midpoint(a: i64, b: i64) -> i64 {
    ((i128::from(a) + i128::from(b)) / 2) as i64
}

/// The worst frequency error of a clock that nobody has measured: PHI of RFC 5905, 15 ppm.
pub const FREQUENCY_TOLERANCE: Rate = Rate::from_ppb(15_000);

/// The longest a request may wait between the reading of the clock and its departure.
pub const TRANSMIT_WAIT_MAX: Interval = Interval::from_secs(1);

/// The version spoken.
const VERSION: u8 = 4;
/// Versions accepted in a reply: some version 3 servers answer a version 4 request with their own.
const VERSIONS_ANSWERED: core::ops::RangeInclusive<u8> = 3..=4;
/// RFC 5905: MAXSTRAT is 16 and means "unsynchronised".
const STRATUM_MAX: u8 = 15;
/// RFC 5905: MAXDISP.
const ROOT_DISTANCE_MAX: Interval = Interval::from_secs(16);
/// A server that held a request for longer was not serving time.
const TURNAROUND_MAX: Interval = Interval::from_secs(4);
/// An offset that may be wrong by more than half of this is of no use.
const DELAY_MAX: Interval = Interval::from_secs(3);
/// Two clocks 5 % apart in rate make an exchange of 20 ms look a millisecond shorter than it was.
const DELAY_MIN: Interval = Interval::from_millis(-1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use timeball_time::Realtime;

    use super::*;

    const NONCE: u64 = 0x0123_4567_89AB_CDEF;
    const T1: i64 = 1_764_000_000_000_000_000;

    fn at(nanos: i64) -> Timestamp<Realtime> {
        Timestamp::from_nanos(nanos)
    }

    fn exchange() -> Exchange<Realtime> {
        Exchange::new(NONCE, at(T1), None)
    }

    /// A good reply of a server that is `ahead` ns ahead; 1 ms there, 2 ms back, 0.5 ms inside.
    fn reply(ahead: i64) -> Header {
        let server = |nanos: i64| NtpTimestamp::floor(at(T1 + ahead + nanos));
        let flags = Flags { leap: Leap::None, version: 4, mode: Mode::Server };
        Header {
            stratum: 2,
            precision: -24,
            root_delay: NtpShort::from_bits(100),
            root_dispersion: NtpShort::from_bits(200),
            reference_id: ReferenceId::from_octets([192, 0, 2, 9]),
            reference: server(-10_000_000_000),
            origin: NtpTimestamp::from_bits(NONCE),
            receive: server(1_000_000),
            transmit: server(1_500_000),
            ..Header::new(flags)
        }
    }

    const T4: i64 = T1 + 3_500_000;

    fn judge(change: impl FnOnce(&mut Header)) -> Result<Sample<Realtime>, Rejection> {
        let mut header = reply(0);
        change(&mut header);
        exchange().accept(&header.encode(), at(T4), -24)
    }

    #[test]
    fn a_request_reveals_nothing_but_version_mode_and_nonce() {
        let request = exchange().request();
        assert_eq!(request[0], 0x23);
        assert!(request[1..40].iter().all(|&octet| octet == 0));
        assert_eq!(request[40..], NONCE.to_be_bytes());
        assert_ne!(Exchange::new(0, at(T1), None).request()[40..], [0; 8]);
    }

    #[test]
    fn offset_and_delay_are_those_of_the_rfc() {
        for ahead in [0, 1_234_567, -99_000_000_000, 5_000_000_000_000] {
            let sample = exchange().accept(&reply(ahead).encode(), at(T4), -24).unwrap();
            // (there − back) / 2 = −0.5 ms of asymmetry.
            assert!((sample.offset.nanos() - (ahead - 500_000)).abs() <= 1, "{sample:?}");
            assert!((sample.delay.nanos() - 3_000_000).abs() <= 1);
            assert_eq!(sample.time(), at(T1 + 1_750_000));
        }
    }

    #[test]
    fn the_offset_is_right_on_either_side_of_2036_and_2038() {
        for rollover_s in [2_085_978_496i64, 1 << 31] {
            for client_s in [-500i64, -1, 0, 500] {
                for ahead_s in [-1000, -1, 1, 1000] {
                    let t1 = (rollover_s + client_s) * 1_000_000_000;
                    let shift = t1 - T1;
                    let mut header = reply(0);
                    for field in [&mut header.receive, &mut header.transmit, &mut header.reference]
                    {
                        let local = field.unfold(at(T1)) + Interval::from_nanos(shift);
                        *field = NtpTimestamp::floor(local + Interval::from_secs(ahead_s));
                    }
                    let mut exchange = Exchange::new(NONCE, at(t1), None);
                    // Exactly at the rollover T2 may be the reserved zero; the next ns is not.
                    let sample = exchange.accept(&header.encode(), at(T4 + shift), -24).unwrap();
                    let error = sample.offset - Interval::from_secs(ahead_s);
                    assert!((error.nanos() + 500_000).abs() <= 2, "{error:?}");
                }
            }
        }
    }

    #[test]
    fn each_test_of_the_rfc_has_its_reason() {
        use Rejection as R;
        let refused = |change: fn(&mut Header)| judge(change).unwrap_err();
        assert_eq!(refused(|h| h.flags.mode = Mode::Client), R::Mode);
        assert_eq!(refused(|h| h.flags.version = 5), R::Version);
        assert_eq!(refused(|h| h.flags.version = 2), R::Version);
        assert_eq!(refused(|h| h.origin = NtpTimestamp::ZERO), R::OriginZero);
        assert_eq!(refused(|h| h.origin = NtpTimestamp::from_bits(NONCE ^ 1)), R::Origin);
        assert_eq!(refused(|h| h.receive = NtpTimestamp::ZERO), R::TimeMissing);
        assert_eq!(refused(|h| h.transmit = NtpTimestamp::ZERO), R::TimeMissing);
        assert_eq!(refused(|h| h.transmit = NtpTimestamp::floor(at(T1))), R::TimeOrder);
        assert_eq!(refused(|h| h.flags.leap = Leap::Unsynchronised), R::Unsynchronised);
        assert_eq!(refused(|h| h.stratum = 16), R::Unsynchronised);
        assert_eq!(refused(|h| h.stratum = 0), R::Unsynchronised);
        assert_eq!(refused(|h| h.root_dispersion = NtpShort::from_bits(16 << 16)), R::RootDistance);
        assert_eq!(refused(|h| h.root_delay = NtpShort::from_bits(u32::MAX)), R::RootDistance);
        let future = |h: &mut Header| h.reference = NtpTimestamp::floor(at(T4 + 1_000_000_000));
        assert_eq!(judge(future).unwrap_err(), R::ReferenceTime);
        let slow = |h: &mut Header| h.transmit = NtpTimestamp::floor(at(T1 + 4_100_000_000));
        assert_eq!(judge(slow).unwrap_err(), R::Turnaround);
        let hasty = |h: &mut Header| h.transmit = NtpTimestamp::floor(at(T4 + 1_000_000_000));
        assert_eq!(judge(hasty).unwrap_err(), R::DelayNegative);
        let late = exchange().accept(&reply(0).encode(), at(T1 + 3_100_000_000), -24);
        assert_eq!(late.unwrap_err(), R::DelayLong);
        assert_eq!(exchange().accept(&[0x24; 47], at(T4), -24).unwrap_err(), R::Malformed);
        let odd = [&reply(0).encode()[..], &[0; 3]].concat();
        assert_eq!(exchange().accept(&odd, at(T4), -24).unwrap_err(), R::Malformed);
        assert!(judge(|h| h.reference = NtpTimestamp::ZERO).is_ok());
        assert!(judge(|h| h.flags.version = 3).is_ok());
    }

    #[test]
    fn a_kiss_counts_only_with_the_right_origin() {
        for (code, kiss) in
            [(*b"RATE", Kiss::Rate), (*b"DENY", Kiss::Deny), (*b"RSTR", Kiss::Restrict)]
        {
            let kiss_reply = |h: &mut Header| {
                h.stratum = 0;
                h.flags.leap = Leap::Unsynchronised;
                h.reference_id = ReferenceId::from_octets(code);
            };
            assert_eq!(judge(kiss_reply).unwrap_err(), Rejection::KissOfDeath(kiss));
            let spoofed = |h: &mut Header| {
                kiss_reply(h);
                h.origin = NtpTimestamp::from_bits(NONCE + 1);
            };
            assert_eq!(judge(spoofed).unwrap_err(), Rejection::Origin);
        }
    }

    #[test]
    fn a_nonce_is_good_for_one_reply() {
        let mut exchange = exchange();
        let good = reply(0).encode();
        assert_eq!(exchange.accept(&[&good[..], &[0; 3]].concat(), at(T4), -24).ok(), None);
        assert!(exchange.accept(&good, at(T4), -24).is_ok());
        assert_eq!(exchange.accept(&good, at(T4), -24).unwrap_err(), Rejection::Duplicate);
    }

    #[test]
    fn a_kernel_stamp_replaces_the_reading_only_if_it_can_be_this_requests() {
        let mut exchange = exchange();
        exchange.transmitted(at(T1 - 1));
        assert_eq!(exchange.sent(), at(T1));
        exchange.transmitted(at(T1 + 2_000_000_000));
        assert_eq!(exchange.sent(), at(T1));
        exchange.transmitted(at(T1 + 30_000));
        assert_eq!(exchange.sent(), at(T1 + 30_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(FORGERIES))]

        #[test]
        fn no_forgery_is_accepted(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            prop_assert!(exchange().accept(&bytes, at(T4), -24).is_err());
        }

        #[test]
        fn no_good_reply_with_a_guessed_origin_is_accepted(guess: u64) {
            prop_assume!(guess != NONCE);
            let result = judge(|h| h.origin = NtpTimestamp::from_bits(guess));
            prop_assert!(matches!(result, Err(Rejection::Origin | Rejection::OriginZero)));
        }
    }

    const FORGERIES: u32 = if cfg!(debug_assertions) { 50_000 } else { 500_000 };
}
