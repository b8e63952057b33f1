//! Message authentication codes of symmetric keys: key ID and digest after the packet (RFC 5905 section
//! 7.3, RFC 8573).
//!
//! Two constructions are in use. AES-CMAC (RFC 8573) is sound. The older digest, a hash over key and
//! packet, is kept because the installed base has it. Whatever a key costs only once is done when it is
//! made: the AES key schedule, the hash state with the key absorbed. A packet then costs a copy of that
//! state and the blocks of the packet itself.
//!
//! How long the digest is on the wire depends on the version. Version 4 holds at most 20 octets, or a
//! code could be taken for an extension field (RFC 7822): longer digests are cut, as ntpd and chronyd
//! cut them. Before version 4 there were no fields: chronyd sends such digests whole, ntpd cuts them
//! all the same, and both are understood.
//!
//! Must never: compare digests in a time that depends on where they differ, or show a secret.

use core::fmt;

use aes::{Aes128Enc, Aes256Enc};
use cmac::{Cmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// Number by which both sides know a key, from 1; 0 is that of a crypto-NAK.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyId(pub u32);

impl KeyId {
    /// The key ID that opens `code`; `None` if there is no code.
    #[inline]
    pub fn of_code(code: &[u8]) -> Option<Self> {
        code.first_chunk().map(|id| Self(u32::from_be_bytes(*id)))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a digest is made of key and packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// MD5 over key and packet: forgeable by whoever can make collisions; for old peers only.
    Md5,
    /// SHA-1 over key and packet; for old peers only.
    Sha1,
    /// SHA-224 over key and packet.
    Sha224,
    /// SHA-256 over key and packet.
    Sha256,
    /// SHA-384 over key and packet.
    Sha384,
    /// SHA-512 over key and packet.
    Sha512,
    /// AES-128-CMAC (RFC 4493, RFC 8573): the one to use.
    Aes128Cmac,
    /// AES-256-CMAC.
    Aes256Cmac,
}

impl Algorithm {
    /// Every algorithm with its name.
    pub const NAMES: [(&'static str, Self); 8] = [
        ("MD5", Self::Md5),
        ("SHA1", Self::Sha1),
        ("SHA224", Self::Sha224),
        ("SHA256", Self::Sha256),
        ("SHA384", Self::Sha384),
        ("SHA512", Self::Sha512),
        ("AES128", Self::Aes128Cmac),
        ("AES256", Self::Aes256Cmac),
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }

    /// Octets of its key, if only one number will do.
    pub const fn secret_len(self) -> Option<usize> {
        match self {
            Self::Aes128Cmac => Some(16),
            Self::Aes256Cmac => Some(32),
            _ => None,
        }
    }

    /// Octets of its whole digest.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Md5 | Self::Aes128Cmac | Self::Aes256Cmac => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A secret with all that can be computed from it beforehand.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    algorithm: Algorithm,
    state: State,
}

/// A digest under way in which the key is already.
#[derive(Clone)]
enum State {
    Md5(Md5),
    Sha1(Sha1),
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
    Aes128(Cmac<Aes128Enc>),
    Aes256(Cmac<Aes256Enc>),
}

impl Key {
    /// The key `id` of `secret`; `None` if the algorithm takes only secrets of another length.
    pub fn new(id: KeyId, algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        let state = match algorithm {
            Algorithm::Md5 => State::Md5(Md5::new().chain_update(secret)),
            Algorithm::Sha1 => State::Sha1(Sha1::new().chain_update(secret)),
            Algorithm::Sha224 => State::Sha224(Sha224::new().chain_update(secret)),
            Algorithm::Sha256 => State::Sha256(Sha256::new().chain_update(secret)),
            Algorithm::Sha384 => State::Sha384(Sha384::new().chain_update(secret)),
            Algorithm::Sha512 => State::Sha512(Sha512::new().chain_update(secret)),
            Algorithm::Aes128Cmac => {
                State::Aes128(<Cmac<Aes128Enc> as KeyInit>::new_from_slice(secret).ok()?)
            }
            Algorithm::Aes256Cmac => {
                State::Aes256(<Cmac<Aes256Enc> as KeyInit>::new_from_slice(secret).ok()?)
            }
        };
        Some(Self { id, algorithm, state })
    }

    /// Its number.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Its algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Octets of the code it puts after a packet of version 4: key ID and digest.
    pub const fn code_len(&self) -> usize {
        let digest = self.algorithm.digest_len();
        KEY_ID_LEN + if digest < DIGEST_LEN_V4_MAX { digest } else { DIGEST_LEN_V4_MAX }
    }

    /// True if `code`, key ID included, is this key's for `message`, a packet of `version`.
    ///
    /// Takes as long for a wrong digest as for the right one.
    #[inline]
    pub fn verifies(&self, version: u8, message: &[u8], code: &[u8]) -> bool {
        let whole = version < 4 && code.len() == KEY_ID_LEN + self.algorithm.digest_len();
        if KeyId::of_code(code) != Some(self.id) || !(whole || code.len() == self.code_len()) {
            return false;
        }
        let digest = &code[KEY_ID_LEN..];
        self.digest(message, |expected| expected[..digest.len()].ct_eq(digest).into())
    }

    /// Writes the code for the octets of `packet` before its last `code_len` over those last ones.
    ///
    /// `code_len` is what [`Key::code_len`] says, or that of a code this key has verified.
    #[inline]
    pub fn sign(&self, packet: &mut [u8], code_len: usize) {
        let Some(end) = packet.len().checked_sub(code_len) else { return };
        let (message, code) = packet.split_at_mut(end);
        let Some((id, digest)) = code.split_first_chunk_mut() else { return };
        *id = self.id.0.to_be_bytes();
        self.digest(message, |computed| {
            let len = digest.len().min(computed.len());
            digest[..len].copy_from_slice(&computed[..len]);
        });
    }

    /// Gives `take` the whole digest over the key and `message`.
    #[inline]
    fn digest<T>(&self, message: &[u8], take: impl FnOnce(&[u8]) -> T) -> T {
        match self.state.clone() {
            State::Md5(state) => take(&state.chain_update(message).finalize()),
            State::Sha1(state) => take(&state.chain_update(message).finalize()),
            State::Sha224(state) => take(&state.chain_update(message).finalize()),
            State::Sha256(state) => take(&state.chain_update(message).finalize()),
            State::Sha384(state) => take(&state.chain_update(message).finalize()),
            State::Sha512(state) => take(&state.chain_update(message).finalize()),
            State::Aes128(state) => take(&state.chain_update(message).finalize().into_bytes()),
            State::Aes256(state) => take(&state.chain_update(message).finalize().into_bytes()),
        }
    }
}

impl PartialEq for Key {
    /// The same number, algorithm and secret: two that make the same code of one message.
    fn eq(&self, other: &Self) -> bool {
        let is_same = |own: &[u8]| other.digest(&[], |theirs| own.ct_eq(theirs).into());
        self.id == other.id && self.algorithm == other.algorithm && self.digest(&[], is_same)
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {})", self.id, self.algorithm.name())
    }
}

/// Octets of the key ID that opens a code.
pub const KEY_ID_LEN: usize = 4;
/// The longest digest a version 4 packet may carry.
const DIGEST_LEN_V4_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(algorithm: Algorithm, secret: &[u8]) -> Key {
        Key::new(KeyId(7), algorithm, secret).expect("the right length")
    }

    fn digest(algorithm: Algorithm, secret: &[u8], message: &[u8]) -> String {
        key(algorithm, secret)
            .digest(message, |digest| digest.iter().map(|octet| format!("{octet:02x}")).collect())
    }

    fn any_key(algorithm: Algorithm) -> Key {
        key(algorithm, &[0x5C; 32][..algorithm.secret_len().unwrap_or(13)])
    }

    #[test]
    fn aes_cmac_is_that_of_rfc_4493_and_nist() {
        let k128 = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3cu128.to_be_bytes();
        let message: Vec<u8> = [
            0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172au128,
            0xae2d_8a57_1e03_ac9c_9eb7_6fac_45af_8e51,
            0x30c8_1c46_a35c_e411_e5fb_c119_1a0a_52ef,
            0xf69f_2445_df4f_9b17_ad2b_417b_e66c_3710,
        ]
        .iter()
        .flat_map(|block| block.to_be_bytes())
        .collect();
        for (len, expected) in [
            (0, "bb1d6929e95937287fa37d129b756746"),
            (16, "070a16b46b4d4144f79bdd9dd04a287c"),
            (40, "dfa66747de9ae63030ca32611497c827"),
            (64, "51f0bebf7e3b9d92fc49741779363cfe"),
        ] {
            assert_eq!(digest(Algorithm::Aes128Cmac, &k128, &message[..len]), expected);
        }
        let k256: Vec<u8> = [
            0x603d_eb10_15ca_71be_2b73_aef0_857d_7781u128,
            0x1f35_2c07_3b61_08d7_2d98_10a3_0914_dff4,
        ]
        .iter()
        .flat_map(|half| half.to_be_bytes())
        .collect();
        let expected = "e1992190549f6ed5696a2c056c315410";
        assert_eq!(digest(Algorithm::Aes256Cmac, &k256, &message), expected);
    }

    #[test]
    fn digests_are_hashes_over_key_and_packet() {
        // printf 'secretpacket' | md5sum, and so on.
        for (algorithm, expected) in [
            (Algorithm::Md5, "2b45f1acb7426b808208b37cbb08ec34"),
            (Algorithm::Sha1, "68f7c8ffbbdfc1d91bb299a6b0973ef7b19c7b4f"),
            (Algorithm::Sha256, "c1ce55aae1ebc69174a9773d6f21a0958f220ab6f9223945270360697621dc30"),
        ] {
            assert_eq!(digest(algorithm, b"secret", b"packet"), expected);
        }
    }

    #[test]
    fn aes_takes_keys_of_its_own_length_only() {
        for (algorithm, len) in [(Algorithm::Aes128Cmac, 16), (Algorithm::Aes256Cmac, 32)] {
            for other in [0, 15, 17, 24, 31, 33] {
                assert!(Key::new(KeyId(1), algorithm, &[1; 40][..other]).is_none());
            }
            assert!(Key::new(KeyId(1), algorithm, &[1; 40][..len]).is_some());
        }
    }

    #[test]
    fn what_is_signed_verifies_at_the_lengths_of_its_version() {
        for (_, algorithm) in Algorithm::NAMES {
            let key = any_key(algorithm);
            let whole = KEY_ID_LEN + algorithm.digest_len();
            for (version, code_len, good) in [
                (4, key.code_len(), true),
                (3, key.code_len(), true),
                (3, whole, true),
                (4, whole, whole <= 24),
                (4, 4, false),
                (4, 16, false),
            ] {
                let mut packet = vec![0xA5; 48 + code_len];
                key.sign(&mut packet, code_len);
                let (message, code) = packet.split_at(48);
                assert_eq!(key.verifies(version, message, code), good, "{key:?} {code_len}");
            }
        }
    }

    #[test]
    fn a_key_does_not_show_its_secret() {
        assert_eq!(format!("{:?}", key(Algorithm::Sha1, b"tulip")), "Key(7, SHA1)");
    }

    proptest! {
        #[test]
        fn one_bit_of_difference_anywhere_is_refused(bit in 0usize..(48 + 20) * 8, other: u128) {
            let key = any_key(Algorithm::Aes128Cmac);
            let mut packet = [0x3C; 68];
            key.sign(&mut packet, 20);
            prop_assert!(key.verifies(4, &packet[..48], &packet[48..]));
            let stranger = Key::new(KeyId(7), Algorithm::Aes128Cmac, &other.to_be_bytes());
            prop_assert!(!stranger.unwrap().verifies(4, &packet[..48], &packet[48..]));
            packet[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!key.verifies(4, &packet[..48], &packet[48..]));
        }
    }
}
