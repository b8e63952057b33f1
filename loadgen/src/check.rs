//! What makes a reply valid, and the name of everything that does not.
//!
//! Every reply is checked, in this order: where it came from, its length, whether it belongs to a
//! request in flight, its header, and whether its four timestamps can be true. Where client and server
//! share one clock, T1 ≤ T2 ≤ T3 ≤ T4 must hold to the nanosecond: there is no offset to hide behind.
//!
//! Must never: accept a reply silently that breaks a rule, or count one reply under two reasons.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use timeball_time::{Leap, NtpTimestamp, Realtime, Timestamp};
use timeball_wire::{Header, Mode};

/// How much of the protocol the server is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// Everything a synchronised server owes, and honest timestamps.
    Server,
    /// The same of one that cannot be synchronised where it runs: it may say so.
    Unsynchronised,
    /// A reply of mode 4 with the right origin, whatever it says about its clock and the time.
    Echo,
}

/// What a request asked for, which its reply is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its version, which the reply repeats.
    pub version: u8,
    /// The mode of its reply.
    pub reply_mode: Mode,
}

impl Expectation {
    /// Checks what `header` alone says, once its request is known.
    #[inline]
    pub fn inspect(self, header: &Header, asked: Asked) -> Result<Reply, Fault> {
        if header.flags.mode != asked.reply_mode {
            return Err(Fault::Mode);
        }
        if header.flags.version != asked.version {
            return Err(Fault::Version);
        }
        let reply = Reply { receive: header.receive, transmit: header.transmit };
        if self == Self::Echo {
            return Ok(reply);
        }
        if header.stratum == 0 && REFUSALS.contains(&header.reference_id.octets()) {
            return Err(Fault::Refused);
        }
        if self == Self::Server {
            if header.flags.leap == Leap::Unsynchronised {
                return Err(Fault::Leap);
            }
            if header.stratum == 0 || header.stratum > 15 {
                return Err(Fault::Stratum);
            }
        }
        if header.receive.is_zero() || header.transmit.is_zero() {
            return Err(Fault::ZeroTime);
        }
        Ok(reply)
    }
}

/// Reads the header of a reply to a request of `request_len` octets.
#[inline]
pub(crate) fn read(bytes: &[u8], request_len: usize) -> Result<Header, Fault> {
    if bytes.len() > request_len {
        return Err(Fault::Long);
    }
    Header::parse(bytes).ok_or(Fault::Short)
}

/// What the generator needs of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// T2.
    pub receive: NtpTimestamp,
    /// T3.
    pub transmit: NtpTimestamp,
}

/// The four timestamps of one exchange, all on the one clock that both ends share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// T1: the request left, by the kernel's stamp; else an instant just before it was sent.
    pub(crate) t1: Timestamp<Realtime>,
    /// T2: the request arrived, says the server.
    pub(crate) t2: Timestamp<Realtime>,
    /// T3: the reply left, says the server.
    pub(crate) t3: Timestamp<Realtime>,
    /// T4: the reply arrived, by the kernel's stamp.
    pub(crate) t4: Timestamp<Realtime>,
}

impl Times {
    /// Unfolds the reply's timestamps around `t1`.
    #[inline]
    pub(crate) fn of(reply: &Reply, t1: Timestamp<Realtime>, t4: Timestamp<Realtime>) -> Self {
        Self { t1, t2: reply.receive.unfold(t1), t3: reply.transmit.unfold(t1), t4 }
    }

    /// Checks what must hold whatever the two clocks say: T2 ≤ T3, and the server did not hold the
    /// request for longer than we waited.
    #[inline]
    pub(crate) fn check_order(&self) -> Result<(), Fault> {
        if self.t3 < self.t2 {
            Err(Fault::TransmittedBeforeReceived)
        } else if self.t4 - self.t1 < self.t3 - self.t2 {
            Err(Fault::ArrivedBeforeTransmitted)
        } else {
            Ok(())
        }
    }

    /// Checks T1 ≤ T2 ≤ T3 ≤ T4, which holds if both ends share one clock.
    #[inline]
    pub(crate) fn check_causality(&self) -> Result<(), Fault> {
        if self.t2 < self.t1 {
            Err(Fault::ReceivedBeforeSent)
        } else if self.t3 < self.t2 {
            Err(Fault::TransmittedBeforeReceived)
        } else if self.t4 < self.t3 {
            Err(Fault::ArrivedBeforeTransmitted)
        } else {
            Ok(())
        }
    }
}

/// Why a reply is not valid. The server is at fault, but for [`Fault::Stray`] and [`Fault::Late`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// From another address than the target's.
    Stray,
    /// Longer than its request.
    Long,
    /// Shorter than a header.
    Short,
    /// Not signed with the key that signed the request.
    Code,
    /// Not the mode that answers the request's: 4, or 2 for a peer.
    Mode,
    /// Not the request's version.
    Version,
    /// A kiss code that sends the client away: RATE, DENY or RSTR.
    Refused,
    /// Leap 3: the server says it is not synchronised.
    Leap,
    /// Stratum 0 or above 15.
    Stratum,
    /// A receive or transmit timestamp of zero.
    ZeroTime,
    /// The origin is no request's nonce.
    Origin,
    /// The request had its reply already.
    Duplicate,
    /// The request had been given up as lost.
    Late,
    /// T2 before T1.
    ReceivedBeforeSent,
    /// T3 before T2.
    TransmittedBeforeReceived,
    /// T4 before T3.
    ArrivedBeforeTransmitted,
    /// A wrong checksum or length. The kernel drops these before a socket sees them; a load from inside the
    /// kernel does.
    Damaged,
}

impl Fault {
    /// Every reason.
    pub const ALL: [Self; 17] = [
        Self::Stray,
        Self::Long,
        Self::Short,
        Self::Code,
        Self::Mode,
        Self::Version,
        Self::Refused,
        Self::Leap,
        Self::Stratum,
        Self::ZeroTime,
        Self::Origin,
        Self::Duplicate,
        Self::Late,
        Self::ReceivedBeforeSent,
        Self::TransmittedBeforeReceived,
        Self::ArrivedBeforeTransmitted,
        Self::Damaged,
    ];

    /// Whether this breaks T1 ≤ T2 ≤ T3 ≤ T4.
    pub const fn is_causality(self) -> bool {
        matches!(
            self,
            Self::ReceivedBeforeSent
                | Self::TransmittedBeforeReceived
                | Self::ArrivedBeforeTransmitted
        )
    }

    /// The reason as people say it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Stray => "from another address",
            Self::Long => "longer than the request",
            Self::Short => "shorter than a header",
            Self::Code => "not signed with the request's key",
            Self::Mode => "another mode",
            Self::Version => "another version",
            Self::Refused => "refused by a kiss code",
            Self::Leap => "leap 3, not synchronised",
            Self::Stratum => "stratum 0 or above 15",
            Self::ZeroTime => "zero timestamp",
            Self::Origin => "unknown origin",
            Self::Duplicate => "duplicate",
            Self::Late => "late, given up before",
            Self::ReceivedBeforeSent => "T2 before T1",
            Self::TransmittedBeforeReceived => "T3 before T2",
            Self::ArrivedBeforeTransmitted => "T4 before T3",
            Self::Damaged => "damaged, a wrong checksum or length",
        }
    }
}

/// How often each fault was seen. Serialized as a map from the faults seen to their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "BTreeMap<Fault, u64>", from = "BTreeMap<Fault, u64>")]
pub struct FaultTally([u64; Fault::ALL.len()]);

impl FaultTally {
    /// Counts one.
    #[inline]
    pub fn count(&mut self, fault: Fault) {
        self.count_many(fault, 1);
    }

    /// Counts as many.
    #[inline]
    pub(crate) const fn count_many(&mut self, fault: Fault, count: u64) {
        self.0[fault as usize] += count;
    }

    /// How many of `fault`.
    pub const fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Counts all that `other` has counted.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    /// The faults seen at all.
    pub fn seen(&self) -> impl Iterator<Item = (Fault, u64)> + '_ {
        Fault::ALL.into_iter().map(|fault| (fault, self.of(fault))).filter(|(_, count)| *count > 0)
    }
}

impl From<FaultTally> for BTreeMap<Fault, u64> {
    fn from(tally: FaultTally) -> Self {
        tally.seen().collect()
    }
}

impl From<BTreeMap<Fault, u64>> for FaultTally {
    fn from(counts: BTreeMap<Fault, u64>) -> Self {
        let mut tally = Self::default();
        counts.into_iter().for_each(|(fault, count)| tally.0[fault as usize] = count);
        tally
    }
}

/// Kiss codes that mean the client and not the server (RFC 5905 section 7.4).
const REFUSALS: [[u8; 4]; 3] = [*b"RATE", *b"DENY", *b"RSTR"];

#[cfg(test)]
mod tests {
    use timeball_time::Interval;
    use timeball_wire::{Flags, HEADER_LEN, field};

    use super::*;

    fn valid() -> [u8; HEADER_LEN] {
        let flags = Flags { leap: Leap::None, version: 4, mode: Mode::Server };
        let mut header = Header::new(flags);
        header.stratum = 2;
        header.origin = NtpTimestamp::from_bits(77);
        header.receive = NtpTimestamp::from_bits(5 << 32);
        header.transmit = NtpTimestamp::from_bits(6 << 32);
        header.encode()
    }

    const ASKED: Asked = Asked { version: 4, reply_mode: Mode::Server };

    fn inspect(bytes: &[u8]) -> Result<Reply, Fault> {
        Expectation::Server.inspect(&read(bytes, HEADER_LEN)?, ASKED)
    }

    #[test]
    fn a_valid_reply_passes_with_its_times() {
        assert_eq!(inspect(&valid()).unwrap().receive.to_bits(), 5 << 32);
        assert_eq!(inspect(&valid()).unwrap().transmit.to_bits(), 6 << 32);
    }

    #[test]
    fn a_peer_is_answered_in_its_own_mode() {
        let asked = Asked { version: 4, reply_mode: Mode::SymmetricPassive };
        let header = Header::parse(&valid()).unwrap();
        assert_eq!(Expectation::Server.inspect(&header, asked), Err(Fault::Mode));
        let flags = Flags { mode: Mode::SymmetricPassive, ..header.flags };
        assert!(Expectation::Server.inspect(&Header { flags, ..header }, asked).is_ok());
    }

    #[test]
    fn being_sent_away_is_told_from_not_being_synchronised() {
        let mut bytes = valid();
        bytes[field::FLAGS] = 0xE4;
        bytes[field::STRATUM] = 0;
        bytes[field::REFERENCE_ID..][..4].copy_from_slice(b"RATE");
        assert_eq!(inspect(&bytes), Err(Fault::Refused));
        bytes[field::REFERENCE_ID..][..4].copy_from_slice(b"INIT");
        assert_eq!(inspect(&bytes), Err(Fault::Leap));
        let unset = Expectation::Unsynchronised;
        assert!(unset.inspect(&read(&bytes, HEADER_LEN).unwrap(), ASKED).is_ok());
        bytes[field::TRANSMIT..][..8].fill(0);
        let read = read(&bytes, HEADER_LEN).unwrap();
        assert_eq!(
            unset.inspect(&read, ASKED),
            Err(Fault::ZeroTime),
            "it gives a time all the same"
        );
    }

    #[test]
    fn without_a_shared_clock_only_the_order_is_held_to() {
        let at = |nanos: i64| Timestamp::from_nanos(1_764_000_000_000_000_000 + nanos);
        // The server's clock is a second ahead.
        let ahead = 1_000_000_000;
        let times = Times { t1: at(0), t2: at(ahead + 10), t3: at(ahead + 20), t4: at(30) };
        assert_eq!(times.check_order(), Ok(()));
        assert_eq!(times.check_causality(), Err(Fault::ArrivedBeforeTransmitted));
        let backwards = Times { t3: at(ahead + 9), ..times };
        assert_eq!(backwards.check_order(), Err(Fault::TransmittedBeforeReceived));
        let too_long = Times { t3: at(ahead + 41), ..times };
        assert_eq!(too_long.check_order(), Err(Fault::ArrivedBeforeTransmitted));
    }

    #[test]
    fn each_invalid_reply_is_named_by_its_reason() {
        let with = |at: usize, value: &[u8]| {
            let mut bytes = valid();
            bytes[at..at + value.len()].copy_from_slice(value);
            inspect(&bytes).unwrap_err()
        };
        assert_eq!(inspect(&valid()[..47]), Err(Fault::Short));
        assert_eq!(inspect(&[0x24; 49]), Err(Fault::Long));
        assert_eq!(with(field::FLAGS, &[0x23]), Fault::Mode);
        assert_eq!(with(field::FLAGS, &[0x1C]), Fault::Version);
        assert_eq!(with(field::FLAGS, &[0xE4]), Fault::Leap);
        assert_eq!(with(field::STRATUM, &[0]), Fault::Stratum);
        assert_eq!(with(field::STRATUM, &[16]), Fault::Stratum);
        assert_eq!(with(field::RECEIVE, &[0; 8]), Fault::ZeroTime);
        assert_eq!(with(field::TRANSMIT, &[0; 8]), Fault::ZeroTime);
    }

    #[test]
    fn an_echo_is_held_to_mode_version_and_length_only() {
        let mut bytes = valid();
        bytes[field::STRATUM] = 0;
        bytes[field::RECEIVE..].fill(0);
        let echoed = |bytes: &[u8]| Expectation::Echo.inspect(&read(bytes, HEADER_LEN)?, ASKED);
        assert!(echoed(&bytes).is_ok());
        bytes[field::FLAGS] = 0x23;
        assert_eq!(echoed(&bytes), Err(Fault::Mode));
    }

    #[test]
    fn causality_is_broken_by_one_nanosecond() {
        let base = Timestamp::from_nanos(1_764_000_000_000_000_000);
        let times = Times { t1: base, t2: base, t3: base, t4: base };
        assert_eq!(times.check_causality(), Ok(()));
        let late = base + Interval::from_nanos(1);
        let broken = |times: Times| times.check_causality().unwrap_err();
        assert_eq!(broken(Times { t1: late, ..times }), Fault::ReceivedBeforeSent);
        assert_eq!(broken(Times { t2: late, ..times }), Fault::TransmittedBeforeReceived);
        assert_eq!(broken(Times { t3: late, ..times }), Fault::ArrivedBeforeTransmitted);
    }

    #[test]
    fn wire_timestamps_unfold_to_the_nanosecond_they_were_made_from() {
        let t1 = Timestamp::<Realtime>::from_nanos(1_764_000_000_123_456_789);
        let t2 = t1 + Interval::from_nanos(1);
        let reply = Reply { receive: NtpTimestamp::floor(t2), transmit: NtpTimestamp::floor(t2) };
        assert_eq!(Times::of(&reply, t1, t2).check_causality(), Ok(()));
        assert_eq!(Times::of(&reply, t1, t2).t2, t2);
    }

    #[test]
    fn faults_are_counted_apart() {
        let mut tally = FaultTally::default();
        for (times, fault) in Fault::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| tally.count(fault));
        }
        for (times, (fault, count)) in tally.seen().enumerate() {
            assert_eq!((fault, count), (Fault::ALL[times], times as u64 + 1));
        }
        assert_eq!(FaultTally::default().seen().count(), 0);
    }
}
