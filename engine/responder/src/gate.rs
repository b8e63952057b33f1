//! The gate: what is a request that may be answered at all.
//!
//! Ordered from the cheapest test to the dearest, and so that the reason counted is the first thing
//! wrong. Everything a stranger can send is judged here before one octet is written.
//!
//! Must never: let through anything that could itself be a reply (modes 2, 4, 5 and version-1 packets
//! from port 123): two servers would then answer each other for ever (CVE-2009-3563). Nor a source that
//! cannot be a client: a victim's chargen port, or a whole network by its broadcast address.

use core::net::{IpAddr, SocketAddr};

use timeball_wire::{
    CRYPTO_NAK_LEN, Datagram, Flags, HEADER_LEN, KeyId, Keys, Malformed, Mode, Trailer,
};

use crate::{Policy, Restrictions};

/// Why a datagram got no reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum DropReason {
    /// Shorter than 48 octets.
    Short,
    /// Longer than the receive frame.
    Long,
    /// Version 0, 5, 6 or 7, or one that an access rule excludes.
    Version,
    /// A mode that is no request: 0 (but for version 1), 2, 4, 5, 6, 7.
    Mode,
    /// Source port 0, 7, 13, 17 or 19, or a version-1 packet from port 123: a reflector, not a client.
    SourcePort,
    /// Source address that is multicast, broadcast or unspecified.
    SourceAddress,
    /// Length that is no whole number of 32-bit words.
    Alignment,
    /// Extension field with an impossible length.
    ExtensionField,
    /// Trailing octets that are no authentication code of this version.
    Code,
    /// A crypto-NAK, which is an answer and asks for nothing.
    CryptoNak,
    /// A source that an access rule gives no time.
    Access,
    /// A client that is over its limit.
    Limited,
    /// A stranger, while there was too much to do.
    Stranger,
}

impl DropReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 13] = [
        Self::Short,
        Self::Long,
        Self::Version,
        Self::Mode,
        Self::SourcePort,
        Self::SourceAddress,
        Self::Alignment,
        Self::ExtensionField,
        Self::Code,
        Self::CryptoNak,
        Self::Access,
        Self::Limited,
        Self::Stranger,
    ];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::Version => "version",
            Self::Mode => "mode",
            Self::SourcePort => "source_port",
            Self::SourceAddress => "source_address",
            Self::Alignment => "alignment",
            Self::ExtensionField => "extension_field",
            Self::Code => "code",
            Self::CryptoNak => "crypto_nak",
            Self::Access => "access",
            Self::Limited => "limited",
            Self::Stranger => "stranger",
        }
    }
}

/// A datagram that deserves an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) version: u8,
    pub(crate) reply_mode: Mode,
    pub(crate) signature: Signature,
    /// What is withheld from its source.
    pub(crate) restrictions: Restrictions,
}

/// What the authentication code of a request is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signature {
    /// There is none.
    Absent,
    /// Verified; it and its key ID take this many octets.
    Good { code_len: usize },
    /// Of a key that is unknown, not trusted or not for this peer; or simply wrong.
    Bad,
}

/// Judges `datagram` by what it is, and by what `policy` says of its source.
#[inline]
pub(crate) fn admit(datagram: &Datagram<'_>, policy: &Policy) -> Result<Request, DropReason> {
    if datagram.truncated {
        return Err(DropReason::Long);
    }
    if datagram.bytes.len() < HEADER_LEN {
        return Err(DropReason::Short);
    }
    let flags = Flags::from_octet(datagram.bytes[0]);
    if !(1..=4).contains(&flags.version) {
        return Err(DropReason::Version);
    }
    let reply_mode = reply_mode(flags, datagram.source.port())?;
    check_source(datagram.source)?;
    let restrictions = policy.access.restrictions(&datagram.source);
    check_access(restrictions, flags.version)?;
    // The common request is a bare header: nothing to walk.
    let signature = match datagram.bytes.len() {
        HEADER_LEN => Signature::Absent,
        _ => check_code(flags.version, datagram, &policy.keys)?,
    };
    if restrictions.contains(Restrictions::KEYED_ONLY) && signature == Signature::Absent {
        return Err(DropReason::Access);
    }
    Ok(Request { version: flags.version, reply_mode, signature, restrictions })
}

/// Finds the authentication code and verifies it.
fn check_code(version: u8, datagram: &Datagram<'_>, keys: &Keys) -> Result<Signature, DropReason> {
    let code_len = Trailer::parse(version, datagram.bytes).map_err(malformed)?.code_len;
    if code_len == CRYPTO_NAK_LEN {
        return Err(DropReason::CryptoNak);
    }
    let (message, code) = datagram.bytes.split_at(datagram.bytes.len() - code_len);
    let Some(id) = KeyId::of_code(code) else { return Ok(Signature::Absent) };
    let key = keys.get(id, datagram.source.ip());
    let good = key.is_some_and(|key| key.verifies(version, message, code));
    Ok(if good { Signature::Good { code_len } } else { Signature::Bad })
}

/// The mode to answer in: 3 → 4, 1 → 2, and what version 1 sent before there were modes → 4.
fn reply_mode(flags: Flags, source_port: u16) -> Result<Mode, DropReason> {
    match flags.mode {
        Mode::Client => Ok(Mode::Server),
        Mode::SymmetricActive => Ok(Mode::SymmetricPassive),
        Mode::Reserved if flags.version == 1 && source_port == NTP_PORT => {
            Err(DropReason::SourcePort)
        }
        Mode::Reserved if flags.version == 1 => Ok(Mode::Server),
        _ => Err(DropReason::Mode),
    }
}

fn check_source(source: SocketAddr) -> Result<(), DropReason> {
    if REFLECTOR_PORTS.contains(&source.port()) {
        return Err(DropReason::SourcePort);
    }
    let impossible = match source.ip() {
        // Class E (240/4) holds the limited broadcast address and no host.
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.octets()[0] >= 224,
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified(),
    };
    if impossible { Err(DropReason::SourceAddress) } else { Ok(()) }
}

fn check_access(restrictions: Restrictions, version: u8) -> Result<(), DropReason> {
    if restrictions.contains(Restrictions::NO_TIME) {
        return Err(DropReason::Access);
    }
    if restrictions.contains(Restrictions::CURRENT_VERSION_ONLY) && version != CURRENT_VERSION {
        return Err(DropReason::Version);
    }
    Ok(())
}

const fn malformed(malformed: Malformed) -> DropReason {
    match malformed {
        Malformed::Short => DropReason::Short,
        Malformed::Alignment => DropReason::Alignment,
        Malformed::Field => DropReason::ExtensionField,
        Malformed::Code => DropReason::Code,
    }
}

/// RFC 5905.
const CURRENT_VERSION: u8 = 4;
/// Where servers live.
pub(crate) const NTP_PORT: u16 = 123;
/// None, echo, daytime, quote of the day, character generator: each would answer our answer.
const REFLECTOR_PORTS: [u16; 5] = [0, 7, 13, 17, 19];
