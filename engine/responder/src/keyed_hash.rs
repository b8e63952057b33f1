//! A keyed hash of a client's name: SipHash-1-3 (Aumasson and Bernstein, 2012) of nine octets.
//!
//! Who does not know the key can neither find two clients that share a place in a table nor aim at the place
//! of somebody else. One compression round and three at the end are what hash tables need, and take a few
//! nanoseconds.
//!
//! Must never: be used without a key drawn at random, or for anything that has to last.

/// The secret half of the hash.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct HashKey(pub [u64; 2]);

impl core::fmt::Debug for HashKey {
    /// Says nothing: whoever reads logs is not to know.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HashKey(…)")
    }
}

impl HashKey {
    /// The hash of the octets of `word`, lowest first, and then `kind`.
    #[inline]
    pub(crate) const fn hash(self, word: u64, kind: u8) -> u64 {
        let [k0, k1] = self.0;
        let mut state = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        state = compress(state, word);
        state = compress(state, 9 << 56 | kind as u64);
        state[2] ^= 0xff;
        let [a, b, c, d] = round(round(round(state)));
        a ^ b ^ c ^ d
    }
}

#[inline]
const fn compress(mut state: [u64; 4], word: u64) -> [u64; 4] {
    state[3] ^= word;
    state = round(state);
    state[0] ^= word;
    state
}

#[inline]
const fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    #[test]
    fn it_is_the_standard_librarys_siphash() {
        for (word, kind) in [(0, 0), (1, 4), (0x0123_4567_89ab_cdef, 6), (u64::MAX, 255)] {
            // SipHash-1-3 with the key zero.
            let mut theirs = std::hash::DefaultHasher::new();
            theirs.write(&u64::to_le_bytes(word));
            theirs.write(&[kind]);
            assert_eq!(HashKey::default().hash(word, kind), theirs.finish(), "{word:#x} {kind}");
        }
    }

    #[test]
    fn another_key_gives_other_hashes() {
        let places = |key: HashKey| (0..64).map(move |word| key.hash(word, 4) % 1024);
        let same = places(HashKey([1, 2])).zip(places(HashKey([1, 3]))).filter(|(a, b)| a == b);
        assert!(same.count() < 4);
    }
}
