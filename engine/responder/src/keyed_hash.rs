//! A keyed hash of a client's name: SipHash-1-3 (Aumasson and Bernstein, 2012) of up to eight octets.
//!
//! Who does not know the key can neither find two clients that share a place in a table nor aim at the place
//! of somebody else, even after having watched whom the tables forget. Cheaper hashes do not promise that:
//! multiplications and tables give two sources that were found to collide as many others that do, by the
//! same difference. Up to seven octets SipHash takes four rounds, because they share its last word with the
//! length; it is the function that hash tables of the standard library and of Linux use, as it stands.
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
    /// The hash of the `LEN` lowest octets of `word`, lowest first; the others must be zero, and `LEN` at
    /// most 8. Words of different lengths are different names.
    #[inline]
    pub(crate) const fn hash<const LEN: u32>(self, word: u64) -> u64 {
        const { assert!(LEN <= 8) };
        debug_assert!(LEN == 8 || word >> (8 * LEN) == 0);
        let [k0, k1] = self.0;
        let mut state = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        let length = (LEN as u64) << 56;
        if LEN == 8 {
            state = compress(state, word);
            state = compress(state, length);
        } else {
            state = compress(state, length | word);
        }
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

    /// SipHash-1-3 with the key zero.
    fn theirs(octets: &[u8]) -> u64 {
        let mut theirs = std::hash::DefaultHasher::new();
        theirs.write(octets);
        theirs.finish()
    }

    fn is_theirs<const LEN: u32>(word: u64) {
        let word = word & (u64::MAX >> (64 - 8 * LEN));
        let octets = &word.to_le_bytes()[..LEN as usize];
        assert_eq!(HashKey::default().hash::<LEN>(word), theirs(octets), "{word:#x}, {LEN} octets");
    }

    #[test]
    fn it_is_the_standard_librarys_siphash() {
        for word in [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            is_theirs::<3>(word);
            is_theirs::<4>(word);
            is_theirs::<6>(word);
            is_theirs::<8>(word);
        }
    }

    #[test]
    fn another_key_gives_other_hashes() {
        let places = |key: HashKey| (0..64).map(move |word| key.hash::<4>(word) % 1024);
        let same = places(HashKey([1, 2])).zip(places(HashKey([1, 3]))).filter(|(a, b)| a == b);
        assert!(same.count() < 4);
    }
}
