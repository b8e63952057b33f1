//! What may follow the header: extension fields and a message authentication code.
//!
//! Nothing on the wire says where extension fields end and a code begins; it is told by length alone
//! (RFC 7822 section 3). Version 4 has fields, each with its own type and length, then an optional code
//! of 4 (crypto-NAK), 20 or 24 octets. Versions 1 to 3 have no fields, only a code.
//!
//! Must never: look beyond the datagram because a length inside it says so, or loop on a length of zero.

use crate::HEADER_LEN;

/// What follows the header of a well-formed datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trailer {
    /// Octets of extension fields, directly after the header.
    pub fields_len: usize,
    /// Octets of authentication code at the end: key ID and digest, 4 for a crypto-NAK, 0 for none.
    pub code_len: usize,
}

impl Trailer {
    /// Measures what follows the header of `datagram`, a packet of `version` 1 to 4.
    ///
    /// The sender is at fault for every error.
    pub fn parse(version: u8, datagram: &[u8]) -> Result<Self, Malformed> {
        let Some(rest) = datagram.get(HEADER_LEN..) else { return Err(Malformed::Short) };
        if rest.is_empty() {
            return Ok(Self { fields_len: 0, code_len: 0 });
        }
        if rest.len() % 4 != 0 {
            return Err(Malformed::Alignment);
        }
        if version < 4 {
            let known = OLD_CODE_LENS.contains(&rest.len());
            return if known {
                Ok(Self { fields_len: 0, code_len: rest.len() })
            } else {
                Err(Malformed::Code)
            };
        }
        let mut fields_len = 0;
        // Each turn takes at least FIELD_LEN_MIN octets, so the datagram's length bounds the loop.
        loop {
            let remaining = &rest[fields_len..];
            if remaining.is_empty() || CODE_LENS.contains(&remaining.len()) {
                return Ok(Self { fields_len, code_len: remaining.len() });
            }
            fields_len += field_len(remaining)?;
        }
    }
}

/// Length of the extension field that opens `remaining`.
fn field_len(remaining: &[u8]) -> Result<usize, Malformed> {
    let Some(&[_, _, high, low]) = remaining.first_chunk() else { return Err(Malformed::Field) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let last_without_code = len == remaining.len();
    let least = if last_without_code { LAST_FIELD_LEN_MIN } else { FIELD_LEN_MIN };
    if len < least || len % 4 != 0 || len > remaining.len() {
        return Err(Malformed::Field);
    }
    Ok(len)
}

/// Why a datagram is no NTP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Shorter than the header.
    Short,
    /// Not a whole number of 32-bit words.
    Alignment,
    /// An extension field whose length is too small, odd, or beyond the datagram.
    Field,
    /// Octets after the header that no authentication code of this version has.
    Code,
}

/// Octets of a crypto-NAK: a key ID of zero and no digest (RFC 5905 section 7.3).
pub const CRYPTO_NAK_LEN: usize = 4;
/// Shortest extension field (RFC 7822 section 3).
const FIELD_LEN_MIN: usize = 16;
/// Shortest extension field with nothing after it: shorter could be an authentication code.
const LAST_FIELD_LEN_MIN: usize = 28;
/// Version 4: crypto-NAK; MD5 or AES-CMAC; SHA-1 or a digest cut to its length.
const CODE_LENS: [usize; 3] = [CRYPTO_NAK_LEN, 20, 24];
/// Versions 1 to 3: DES; MD5; SHA-1; SHA-224, -256, -384 and -512 as chrony sends them.
const OLD_CODE_LENS: [usize; 7] = [12, 20, 24, 32, 36, 52, 68];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(trailer: &[u8]) -> Vec<u8> {
        [&[0u8; HEADER_LEN][..], trailer].concat()
    }

    fn field(len: u16, really: usize) -> Vec<u8> {
        let mut octets = vec![0u8; really];
        octets[2..4].copy_from_slice(&len.to_be_bytes());
        octets
    }

    fn parse(version: u8, trailer: &[u8]) -> Result<(usize, usize), Malformed> {
        Trailer::parse(version, &packet(trailer)).map(|t| (t.fields_len, t.code_len))
    }

    #[test]
    fn codes_are_told_by_length() {
        for version in 1..=4 {
            assert_eq!(parse(version, &[]), Ok((0, 0)));
            assert_eq!(parse(version, &[0; 20]), Ok((0, 20)));
            assert_eq!(parse(version, &[0; 24]), Ok((0, 24)));
        }
        assert_eq!(parse(4, &[0; 4]), Ok((0, 4)));
        assert_eq!(parse(3, &[0; 4]), Err(Malformed::Code));
        assert_eq!(parse(3, &[0; 68]), Ok((0, 68)));
        assert_eq!(parse(3, &[0; 28]), Err(Malformed::Code));
    }

    #[test]
    fn fields_are_walked_to_the_code() {
        assert_eq!(parse(4, &field(28, 28)), Ok((28, 0)));
        assert_eq!(parse(4, &[field(16, 16), vec![0; 20]].concat()), Ok((16, 20)));
        assert_eq!(parse(4, &[field(16, 16), field(32, 32)].concat()), Ok((48, 0)));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for len in [0, 3, 4, 12, 15, 17, 18, 30, 0xFFFC, 0xFFFF] {
            assert_eq!(parse(4, &field(len, 28)), Err(Malformed::Field), "{len}");
        }
        assert_eq!(parse(4, &field(16, 16)), Err(Malformed::Field), "could be a code");
        assert_eq!(parse(4, &[0; 8]), Err(Malformed::Field));
        assert_eq!(parse(4, &[0; 3]), Err(Malformed::Alignment));
        assert_eq!(Trailer::parse(4, &[0; 47]), Err(Malformed::Short));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_adds_up(
            version in 0u8..8, bytes in prop::collection::vec(any::<u8>(), 0..400)
        ) {
            if let Ok(trailer) = Trailer::parse(version, &bytes) {
                prop_assert_eq!(HEADER_LEN + trailer.fields_len + trailer.code_len, bytes.len());
            }
        }
    }
}
