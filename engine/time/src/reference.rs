//! What a server says about where its time comes from: leap indicator, stratum, precision, reference ID.
//!
//! (RFC 5905 section 7.3.) These live with the clock rather than with the packet because the snapshot
//! publishes them together with the time they qualify.

use core::fmt;
use core::net::Ipv4Addr;

/// Leap indicator: warning of a leap second, or that the clock is not synchronised.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Leap {
    /// The last minute of the day has 60 seconds.
    None,
    /// The last minute of the day has 61 seconds.
    Insert,
    /// The last minute of the day has 59 seconds.
    Delete,
    /// Not synchronised: the time beside it must not be believed.
    #[default]
    Unsynchronised,
}

impl Leap {
    /// The two bits of the wire.
    pub const fn to_bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Insert => 1,
            Self::Delete => 2,
            Self::Unsynchronised => 3,
        }
    }

    /// From the wire; only the low two bits are looked at.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::None,
            1 => Self::Insert,
            2 => Self::Delete,
            _ => Self::Unsynchronised,
        }
    }
}

/// Distance from a reference clock in servers: 1 to 15; 0 on the wire and 16 inside mean "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stratum(u8);

impl Stratum {
    /// Not synchronised (RFC 5905: MAXSTRAT).
    pub const UNSYNCHRONISED: Self = Self(16);

    /// A stratum; 0 and everything above 15 become [`Stratum::UNSYNCHRONISED`].
    pub const fn new(stratum: u8) -> Self {
        if stratum == 0 || stratum > 15 { Self::UNSYNCHRONISED } else { Self(stratum) }
    }

    /// 1 to 16.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The byte on the wire: 16 is sent as 0.
    pub const fn to_wire(self) -> u8 {
        if self.0 == 16 { 0 } else { self.0 }
    }

    /// One server further from the reference.
    pub const fn next(self) -> Self {
        Self::new(self.0 + 1)
    }

    /// True for 1 to 15.
    pub const fn is_synchronised(self) -> bool {
        self.0 < 16
    }
}

/// Four octets naming the reference: a code, an IPv4 address, or a digest of an IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ReferenceId([u8; 4]);

impl ReferenceId {
    /// Kiss code: never synchronised since the start (RFC 5905 section 7.4).
    pub const INIT: Self = Self(*b"INIT");
    /// Kiss code: the clock was stepped and is not synchronised again yet (RFC 5905 section 7.4).
    pub const STEP: Self = Self(*b"STEP");
    /// Kiss code: the client asks too often (RFC 5905 section 7.4).
    pub const RATE: Self = Self(*b"RATE");
    /// Private kiss code (the `X` range): the snapshot is older than it may be.
    pub const STALE: Self = Self(*b"XSTL");
    /// Private kiss code (the `X` range): every source is lost and the error bound has grown too large.
    pub const LOST: Self = Self(*b"XLST");
    /// The local clock driver's address, 127.127.1.0, by which operators know an undisciplined clock.
    pub const LOCAL: Self = Self([127, 127, 1, 0]);

    /// From the field's octets.
    pub const fn from_octets(octets: [u8; 4]) -> Self {
        Self(octets)
    }

    /// The field's octets.
    pub const fn octets(self) -> [u8; 4] {
        self.0
    }

    /// Whether it marks smeared time ([`crate::Smear`]), at most half a second off UTC: no server has
    /// an address of class E, and one digest of an IPv6 address in a thousand looks like this.
    pub const fn is_smeared(&self) -> bool {
        self.0[0] == crate::smear::SMEAR_MARK && (self.0[1] as i8).unsigned_abs() <= 0x20
    }

    /// The code, if all octets are printable ASCII with trailing NULs allowed, as for stratum 0 and 1.
    pub fn code(&self) -> Option<&str> {
        let end = self.0.iter().position(|&octet| octet == 0).unwrap_or(4);
        let (code, padding) = self.0.split_at(end);
        let printable = !code.is_empty() && code.iter().all(|octet| octet.is_ascii_graphic());
        let padded = padding.iter().all(|&octet| octet == 0);
        if printable && padded { core::str::from_utf8(code).ok() } else { None }
    }
}

impl fmt::Display for ReferenceId {
    /// An address, as for stratum 2 and above.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv4Addr::from(self.0).fmt(f)
    }
}

impl fmt::Debug for ReferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => f.write_str(code),
            None => fmt::Display::fmt(self, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leap_value_survives_the_wire() {
        for bits in 0..4 {
            assert_eq!(Leap::from_bits(bits).to_bits(), bits);
        }
    }

    #[test]
    fn stratum_zero_and_sixteen_are_one_state() {
        assert_eq!(Stratum::new(0), Stratum::UNSYNCHRONISED);
        assert_eq!(Stratum::new(255), Stratum::UNSYNCHRONISED);
        assert_eq!(Stratum::UNSYNCHRONISED.to_wire(), 0);
        assert_eq!(Stratum::new(15).next(), Stratum::UNSYNCHRONISED);
        assert_eq!(Stratum::new(1).next().to_wire(), 2);
    }

    #[test]
    fn reference_ids_read_as_code_or_address() {
        assert_eq!(ReferenceId::INIT.code(), Some("INIT"));
        assert_eq!(ReferenceId::from_octets(*b"PPS\0").code(), Some("PPS"));
        assert_eq!(ReferenceId::from_octets([0; 4]).code(), None);
        assert_eq!(ReferenceId::from_octets(*b"A\0B\0").code(), None);
        assert_eq!(format!("{:?}", ReferenceId::LOCAL), "127.127.1.0");
        let smeared = |octets| ReferenceId::from_octets(octets).is_smeared();
        assert!(
            smeared([254, 0xE0, 0, 0]) && smeared([254, 0x1F, 255, 0]) && smeared([254, 0, 0, 0])
        );
        assert!(!smeared([254, 0x40, 0, 0]) && !smeared([192, 0, 2, 1]));
    }
}
