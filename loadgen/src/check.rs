//! What makes a reply valid, and the name of everything that does not.
//!
//! Every reply is checked, in this order: where it came from, its length, its header, whether it
//! belongs to a request in flight, and whether its four timestamps can be true. Client and server
//! share one clock here, so that T1 ≤ T2 ≤ T3 ≤ T4 must hold to the nanosecond: there is no offset
//! to hide behind.
//!
//! Must never: accept a reply silently that breaks a rule, or count one reply under two reasons.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use timeball_time::{Leap, NtpTimestamp, Realtime, Timestamp};
use timeball_wire::{HEADER_LEN, Header, Mode};

/// How much of the protocol the server is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// Everything a synchronised server owes, and honest timestamps.
    Server,
    /// A reply of mode 4 with the right origin, whatever it says about its clock and the time.
    Echo,
}

impl Expectation {
    /// Checks what can be known from the reply alone.
    #[inline]
    pub fn inspect(
        self,
        bytes: &[u8],
        request_len: usize,
        request_version: u8,
    ) -> Result<Reply, Fault> {
        if bytes.len() > request_len {
            return Err(Fault::Long);
        }
        let Some(header) = Header::parse(bytes) else { return Err(Fault::Short) };
        if header.flags.mode != Mode::Server {
            return Err(Fault::Mode);
        }
        if header.flags.version != request_version {
            return Err(Fault::Version);
        }
        let reply =
            Reply { origin: header.origin, receive: header.receive, transmit: header.transmit };
        if self == Self::Echo {
            return Ok(reply);
        }
        if header.flags.leap == Leap::Unsynchronised {
            return Err(Fault::Leap);
        }
        if header.stratum == 0 || header.stratum > 15 {
            return Err(Fault::Stratum);
        }
        if header.receive.is_zero() || header.transmit.is_zero() {
            return Err(Fault::ZeroTime);
        }
        Ok(reply)
    }
}

/// What the generator needs of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's nonce, if the reply is one of ours.
    pub origin: NtpTimestamp,
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

    /// Checks T1 ≤ T2 ≤ T3 ≤ T4.
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
    /// Not mode 4.
    Mode,
    /// Not the request's version.
    Version,
    /// Leap 3: the server says it is not synchronised.
    Leap,
    /// Stratum 0 (a kiss code) or above 15.
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
}

impl Fault {
    /// Every reason, in the order in which they are checked.
    pub const ALL: [Self; 14] = [
        Self::Stray,
        Self::Long,
        Self::Short,
        Self::Mode,
        Self::Version,
        Self::Leap,
        Self::Stratum,
        Self::ZeroTime,
        Self::Origin,
        Self::Duplicate,
        Self::Late,
        Self::ReceivedBeforeSent,
        Self::TransmittedBeforeReceived,
        Self::ArrivedBeforeTransmitted,
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
            Self::Mode => "not mode 4",
            Self::Version => "another version",
            Self::Leap => "leap 3, not synchronised",
            Self::Stratum => "stratum 0 or above 15",
            Self::ZeroTime => "zero timestamp",
            Self::Origin => "unknown origin",
            Self::Duplicate => "duplicate",
            Self::Late => "late, given up before",
            Self::ReceivedBeforeSent => "T2 before T1",
            Self::TransmittedBeforeReceived => "T3 before T2",
            Self::ArrivedBeforeTransmitted => "T4 before T3",
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
        self.0[fault as usize] += 1;
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

const _: () = assert!(HEADER_LEN == 48);

#[cfg(test)]
mod tests {
    use timeball_time::Interval;
    use timeball_wire::{Flags, field};

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

    fn inspect(bytes: &[u8]) -> Result<Reply, Fault> {
        Expectation::Server.inspect(bytes, HEADER_LEN, 4)
    }

    #[test]
    fn a_valid_reply_passes_with_its_origin() {
        assert_eq!(inspect(&valid()).unwrap().origin.to_bits(), 77);
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
        assert!(Expectation::Echo.inspect(&bytes, HEADER_LEN, 4).is_ok());
        bytes[field::FLAGS] = 0x23;
        assert_eq!(Expectation::Echo.inspect(&bytes, HEADER_LEN, 4), Err(Fault::Mode));
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
        let reply = Reply {
            origin: NtpTimestamp::ZERO,
            receive: NtpTimestamp::floor(t2),
            transmit: NtpTimestamp::floor(t2),
        };
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
