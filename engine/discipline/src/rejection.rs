//! Why an answer was not believed: one reason per test, each counted per source.
//!
//! Reasons are values, not errors: they are counted for the status page and never logged per
//! packet.
//!
//! Must never: carry anything taken from the packet but the kind of kiss.

use core::fmt;

use timeball_time::ReferenceId;

/// The test of RFC 5905 (figures 27 and 28), or of ours, that a datagram failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rejection {
    /// No request is open to this source.
    NoRequest,
    /// Not an NTP packet: its length or what follows the header makes no sense.
    Malformed,
    /// A version other than 3 or 4.
    Version,
    /// Not a server's reply (mode 4).
    Mode,
    /// TEST3: the origin is zero, which matches nothing.
    OriginZero,
    /// TEST2: the origin is not the nonce of the open request: forged, or an answer come too late.
    Origin,
    /// TEST1: a second answer to the same request.
    Duplicate,
    /// TEST5: the server does not accept our key (crypto-NAK), or so somebody says: it is not signed.
    CryptoNak,
    /// TEST5: no authentication code, and the source has a key.
    Unsigned,
    /// TEST5: the authentication code is not that of our key.
    Code,
    /// TEST4: the server declines to serve us, in answer to our request.
    KissOfDeath(Kiss),
    /// TEST6: leap 3, or a stratum of 0 or above 15: the server says not to believe it.
    Unsynchronised,
    /// TEST7: the server's own error bound is 16 s or more.
    RootDistance,
    /// TEST7: the server's reference time is later than its reply.
    ReferenceTime,
    /// TEST3: receive or transmit time zero.
    TimeMissing,
    /// The server sent before it received.
    TimeOrder,
    /// The server held the request for more than 4 s.
    Turnaround,
    /// Delay below −1 ms: the reply claims to have left after it arrived.
    DelayNegative,
    /// Delay above 3 s: the offset could be wrong by half of it.
    DelayLong,
    /// The server has its time from us.
    Loop,
    /// A broadcast no newer than one before: recorded, and sent again.
    Replayed,
    /// A broadcast that disagrees with what is known of its server: delayed, or its clock was set.
    Implausible,
}

impl Rejection {
    /// How many counters [`Rejection::index`] needs.
    pub const COUNT: usize = 22;

    /// The position of this reason among counters; every kiss shares one.
    pub const fn index(self) -> usize {
        match self {
            Self::NoRequest => 0,
            Self::Malformed => 1,
            Self::Version => 2,
            Self::Mode => 3,
            Self::OriginZero => 4,
            Self::Origin => 5,
            Self::Duplicate => 6,
            Self::CryptoNak => 7,
            Self::Unsigned => 8,
            Self::Code => 9,
            Self::KissOfDeath(_) => 10,
            Self::Unsynchronised => 11,
            Self::RootDistance => 12,
            Self::ReferenceTime => 13,
            Self::TimeMissing => 14,
            Self::TimeOrder => 15,
            Self::Turnaround => 16,
            Self::DelayNegative => 17,
            Self::DelayLong => 18,
            Self::Loop => 19,
            Self::Replayed => 20,
            Self::Implausible => 21,
        }
    }

    /// One reason for each counter, in the order of [`Rejection::index`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::NoRequest,
        Self::Malformed,
        Self::Version,
        Self::Mode,
        Self::OriginZero,
        Self::Origin,
        Self::Duplicate,
        Self::CryptoNak,
        Self::Unsigned,
        Self::Code,
        Self::KissOfDeath(Kiss::Rate),
        Self::Unsynchronised,
        Self::RootDistance,
        Self::ReferenceTime,
        Self::TimeMissing,
        Self::TimeOrder,
        Self::Turnaround,
        Self::DelayNegative,
        Self::DelayLong,
        Self::Loop,
        Self::Replayed,
        Self::Implausible,
    ];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRequest => "no_request",
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Mode => "mode",
            Self::OriginZero => "origin_zero",
            Self::Origin => "origin",
            Self::Duplicate => "duplicate",
            Self::CryptoNak => "crypto_nak",
            Self::Unsigned => "unsigned",
            Self::Code => "code",
            Self::KissOfDeath(_) => "kiss_of_death",
            Self::Unsynchronised => "unsynchronised",
            Self::RootDistance => "root_distance",
            Self::ReferenceTime => "reference_time",
            Self::TimeMissing => "time_missing",
            Self::TimeOrder => "time_order",
            Self::Turnaround => "turnaround",
            Self::DelayNegative => "delay_negative",
            Self::DelayLong => "delay_long",
            Self::Loop => "loop",
            Self::Replayed => "replayed",
            Self::Implausible => "implausible",
        }
    }

    /// True if it is the authentication code that is wrong.
    pub(crate) const fn is_of_key(self) -> bool {
        matches!(self, Self::CryptoNak | Self::Unsigned | Self::Code)
    }

    /// True if the reply did come from the server asked: its origin matched, and its code if we have
    /// a key.
    ///
    /// Only such a reply says anything about the server.
    pub const fn is_authentic(self) -> bool {
        self.index() >= Self::KissOfDeath(Kiss::Rate).index()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NoRequest => "a reply when no request was open",
            Self::Malformed => "not an NTP packet",
            Self::Version => "an NTP version other than 3 or 4",
            Self::Mode => "not a server's reply",
            Self::OriginZero => "the origin is zero (forged)",
            Self::Origin => "the origin is not our request's (forged, or too late)",
            Self::Duplicate => "a second reply to the same request",
            Self::CryptoNak => "the server does not accept our key (crypto-NAK)",
            Self::Unsigned => "the reply is not signed",
            Self::Code => "the reply is not signed with our key (another key, or forged)",
            Self::KissOfDeath(kiss) => return fmt::Display::fmt(kiss, f),
            Self::Unsynchronised => "the server says it is not synchronised",
            Self::RootDistance => "the server's own error bound is 16 s or more",
            Self::ReferenceTime => "the server was corrected after it replied",
            Self::TimeMissing => "the receive or transmit time is zero",
            Self::TimeOrder => "the server sent before it received",
            Self::Turnaround => "the server took more than 4 s to reply",
            Self::DelayNegative => "the reply claims to have left after it arrived",
            Self::DelayLong => "the exchange took more than 3 s",
            Self::Loop => "the server has its time from us",
            Self::Replayed => "a broadcast no newer than one before (recorded, and sent again)",
            Self::Implausible => "a broadcast that disagrees with what its server said when asked",
        };
        f.write_str(text)
    }
}

/// Kiss codes that ask something of the client (RFC 5905 section 7.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kiss {
    /// RATE: ask less often.
    Rate,
    /// DENY: access denied, go away.
    Deny,
    /// RSTR: access denied by policy, go away.
    Restrict,
}

impl Kiss {
    /// The kiss a reference ID of a stratum 0 packet stands for, if it asks anything.
    pub const fn from_code(code: ReferenceId) -> Option<Self> {
        match &code.octets() {
            b"RATE" => Some(Self::Rate),
            b"DENY" => Some(Self::Deny),
            b"RSTR" => Some(Self::Restrict),
            _ => None,
        }
    }
}

impl fmt::Display for Kiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rate => "the server asks us to poll less often (RATE)",
            Self::Deny => "the server denies us access (DENY)",
            Self::Restrict => "the server restricts access (RSTR)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_text() {
        for (index, reason) in Rejection::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            let alike =
                |r: &&Rejection| r.to_string() == reason.to_string() || r.name() == reason.name();
            assert_eq!(Rejection::ALL.iter().filter(alike).count(), 1, "{reason}");
        }
    }
}
