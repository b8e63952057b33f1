//! The 48 octets that every NTP version from 1 to 4 shares (RFC 5905 section 7.3).
//!
//! [`Header`] is for whoever needs the whole of it: clients, tests, the simulator. The answering path
//! reads three fields and writes the rest in place, through the offsets in [`field`].
//!
//! Must never: fail on a value. Any 48 octets are a header; what may be believed is decided elsewhere.

use timeball_time::{Leap, NtpShort, NtpTimestamp, ReferenceId};

/// Length of the header in octets.
pub const HEADER_LEN: usize = 48;

/// Where each field of the header starts.
pub mod field {
    /// Leap indicator (2 bits), version (3 bits), mode (3 bits).
    pub const FLAGS: usize = 0;
    /// Stratum.
    pub const STRATUM: usize = 1;
    /// Poll exponent.
    pub const POLL: usize = 2;
    /// Precision exponent.
    pub const PRECISION: usize = 3;
    /// Root delay.
    pub const ROOT_DELAY: usize = 4;
    /// Root dispersion.
    pub const ROOT_DISPERSION: usize = 8;
    /// Reference ID.
    pub const REFERENCE_ID: usize = 12;
    /// Reference timestamp.
    pub const REFERENCE: usize = 16;
    /// Origin timestamp, T1 in a reply.
    pub const ORIGIN: usize = 24;
    /// Receive timestamp, T2 in a reply.
    pub const RECEIVE: usize = 32;
    /// Transmit timestamp, T3 in a reply.
    pub const TRANSMIT: usize = 40;
}

/// Association mode (RFC 5905 figure 10).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// 0: reserved; what a version 1 client sends.
    Reserved,
    /// 1: symmetric active.
    SymmetricActive,
    /// 2: symmetric passive.
    SymmetricPassive,
    /// 3: client.
    Client,
    /// 4: server.
    Server,
    /// 5: broadcast.
    Broadcast,
    /// 6: control message.
    Control,
    /// 7: private use.
    Private,
}

impl Mode {
    /// The three bits of the wire.
    pub const fn to_bits(self) -> u8 {
        self as u8
    }

    /// From the wire; only the low three bits are looked at.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Reserved,
            1 => Self::SymmetricActive,
            2 => Self::SymmetricPassive,
            3 => Self::Client,
            4 => Self::Server,
            5 => Self::Broadcast,
            6 => Self::Control,
            _ => Self::Private,
        }
    }
}

/// The first octet: leap indicator, version and mode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flags {
    /// Leap indicator.
    pub leap: Leap,
    /// Version, 0 to 7.
    pub version: u8,
    /// Mode.
    pub mode: Mode,
}

impl Flags {
    /// From the wire.
    #[inline]
    pub const fn from_octet(octet: u8) -> Self {
        Self {
            leap: Leap::from_bits(octet >> 6),
            version: (octet >> 3) & 7,
            mode: Mode::from_bits(octet),
        }
    }

    /// To the wire; only the low three bits of the version are sent.
    #[inline]
    pub const fn to_octet(self) -> u8 {
        self.leap.to_bits() << 6 | (self.version & 7) << 3 | self.mode.to_bits()
    }
}

/// A header with every field read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Leap indicator, version and mode.
    pub flags: Flags,
    /// Stratum as on the wire: 0 is a kiss code or "unsynchronised".
    pub stratum: u8,
    /// log2 of the poll interval in seconds.
    pub poll: i8,
    /// log2 of the clock's resolution in seconds.
    pub precision: i8,
    /// Round-trip delay to the reference.
    pub root_delay: NtpShort,
    /// Error bound to the reference.
    pub root_dispersion: NtpShort,
    /// Where the time comes from.
    pub reference_id: ReferenceId,
    /// When the clock was last corrected.
    pub reference: NtpTimestamp,
    /// In a reply: the request's transmit timestamp.
    pub origin: NtpTimestamp,
    /// In a reply: when the request arrived.
    pub receive: NtpTimestamp,
    /// When this packet left.
    pub transmit: NtpTimestamp,
}

impl Header {
    /// A header with the given flags and everything else zero: a client's request but for its nonce.
    pub const fn new(flags: Flags) -> Self {
        Self {
            flags,
            stratum: 0,
            poll: 0,
            precision: 0,
            root_delay: NtpShort::ZERO,
            root_dispersion: NtpShort::ZERO,
            reference_id: ReferenceId::from_octets([0; 4]),
            reference: NtpTimestamp::ZERO,
            origin: NtpTimestamp::ZERO,
            receive: NtpTimestamp::ZERO,
            transmit: NtpTimestamp::ZERO,
        }
    }

    /// Reads the first 48 octets of `datagram`; `None` if there are fewer.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let octets: &[u8; HEADER_LEN] = datagram.first_chunk()?;
        let short = |at: usize| NtpShort::from_bits(u32::from_be_bytes(take(octets, at)));
        let timestamp = |at: usize| NtpTimestamp::from_bits(u64::from_be_bytes(take(octets, at)));
        Some(Self {
            flags: Flags::from_octet(octets[field::FLAGS]),
            stratum: octets[field::STRATUM],
            poll: octets[field::POLL] as i8,
            precision: octets[field::PRECISION] as i8,
            root_delay: short(field::ROOT_DELAY),
            root_dispersion: short(field::ROOT_DISPERSION),
            reference_id: ReferenceId::from_octets(take(octets, field::REFERENCE_ID)),
            reference: timestamp(field::REFERENCE),
            origin: timestamp(field::ORIGIN),
            receive: timestamp(field::RECEIVE),
            transmit: timestamp(field::TRANSMIT),
        })
    }

    /// The header as octets.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut octets = [0; HEADER_LEN];
        let mut put = |at: usize, value: &[u8]| octets[at..at + value.len()].copy_from_slice(value);
        put(field::FLAGS, &[self.flags.to_octet(), self.stratum]);
        put(field::POLL, &[self.poll as u8, self.precision as u8]);
        put(field::ROOT_DELAY, &self.root_delay.to_bits().to_be_bytes());
        put(field::ROOT_DISPERSION, &self.root_dispersion.to_bits().to_be_bytes());
        put(field::REFERENCE_ID, &self.reference_id.octets());
        put(field::REFERENCE, &self.reference.to_bits().to_be_bytes());
        put(field::ORIGIN, &self.origin.to_bits().to_be_bytes());
        put(field::RECEIVE, &self.receive.to_bits().to_be_bytes());
        put(field::TRANSMIT, &self.transmit.to_bits().to_be_bytes());
        octets
    }
}

/// The `N` octets at `at`; every caller stays within the header by the constants of [`field`].
fn take<const N: usize>(octets: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    core::array::from_fn(|i| octets[at + i])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_48_octets_survive_parse_and_encode(
            low: [u8; 24], high: [u8; 24], more in 0usize..64
        ) {
            let mut octets = [low, high].concat();
            let header = Header::parse(&octets).unwrap();
            prop_assert_eq!(&header.encode()[..], &octets[..]);
            octets.resize(HEADER_LEN + more, 0xA5);
            prop_assert_eq!(Header::parse(&octets), Some(header));
        }
    }

    #[test]
    fn fewer_than_48_octets_are_no_header() {
        assert_eq!(Header::parse(&[0x23; 47]), None);
        assert_eq!(Header::parse(&[]), None);
    }

    #[test]
    fn a_captured_reply_reads_as_its_fields() {
        // The layout of RFC 5905 figure 8, written out by hand.
        let mut octets = [0u8; 48];
        octets[..4].copy_from_slice(&[0x24, 2, 6, 0xE9]);
        octets[4..12].copy_from_slice(&[0, 0, 0x80, 0, 0, 1, 0, 0]);
        octets[12..16].copy_from_slice(&[192, 0, 2, 1]);
        octets[40..48].copy_from_slice(&0xE000_0000_8000_0000u64.to_be_bytes());
        let header = Header::parse(&octets).unwrap();
        assert_eq!(header.flags, Flags { leap: Leap::None, version: 4, mode: Mode::Server });
        assert_eq!((header.stratum, header.poll, header.precision), (2, 6, -23));
        assert_eq!(header.root_delay.interval().as_secs_f64(), 0.5);
        assert_eq!(header.root_dispersion.interval().as_secs_f64(), 1.0);
        assert_eq!(header.reference_id.to_string(), "192.0.2.1");
        assert_eq!(header.transmit.to_bits(), 0xE000_0000_8000_0000);
    }
}
