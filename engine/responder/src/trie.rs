//! Longest-prefix match in a few loads, however many prefixes there are.
//!
//! A trie compressed both ways (Nilsson and Karlsson, "IP-address lookup using LC-tries", 1999): a path
//! without branches is one comparison, and a node has a few times as many slots as there are prefixes
//! below it, so that most searches end in the second node. A prefix that covers several slots is written
//! into each of them when the trie is built, so that a search never turns back.
//!
//! Must never: allocate in a search, or search without end; each node looks at later bits than the last.

/// The first `length` bits of a 128-bit key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Prefix {
    /// The bits, from the highest down; all others are zero.
    bits: u128,
    /// How many: 0 to 128.
    length: u8,
}

impl Prefix {
    /// The first `length` bits of `key`, 128 at most.
    pub(crate) const fn of(key: u128, length: u8) -> Self {
        Self { bits: key & mask(length), length }
    }

    const fn covers(self, key: u128) -> bool {
        (key ^ self.bits) & mask(self.length) == 0
    }

    /// The longest prefix that covers both.
    fn common(self, other: Self) -> Self {
        let same = (self.bits ^ other.bits).leading_zeros() as u8;
        Self::of(self.bits, same.min(self.length).min(other.length))
    }
}

/// Finds the value of the longest prefix that covers a key.
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    slots: Vec<Slot>,
}

/// The keys that go on with certain bits, told apart by the next few: sixteen octets, so that ten thousand
/// of them stay in a core's own cache.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// What the bits from `from` to `start` must be; 63 of them at most.
    skipped: u64,
    /// The first of its slots; or, if no bits choose among slots, the value itself.
    slots: u32,
    /// Where the bits begin that nobody has looked at yet, from the highest.
    from: u8,
    /// Where the bits begin that choose among the slots.
    start: u8,
    /// How many bits choose among the slots; with 0 of them there are none.
    width: u8,
    /// For keys that do not go on with `skipped`.
    outside: u8,
}

/// A value, or the number of a node with [`Slot::NODE`] set.
#[derive(Clone, Copy, Debug)]
struct Slot(u32);

impl Slot {
    const NODE: u32 = 1 << 31;
}

impl Trie {
    /// The trie of `prefixes`, none of which is there twice; `otherwise` is for keys that none covers.
    ///
    /// There may be 2^24 prefixes at most.
    pub(crate) fn new(prefixes: &[(Prefix, u8)], otherwise: u8) -> Self {
        assert!(prefixes.len() <= PREFIXES_MAX, "slots are numbered in 31 bits");
        let mut sorted = prefixes.to_vec();
        sorted.sort_unstable_by_key(|(prefix, _)| *prefix);
        let mut trie = Self { nodes: Vec::new(), slots: Vec::new() };
        trie.build(&sorted, 0, otherwise);
        trie
    }

    /// The value of the longest prefix that covers `key`.
    #[inline]
    pub(crate) fn find(&self, key: u128) -> u8 {
        let mut node = &self.nodes[0];
        loop {
            let goes_on = bits(key, node.from, node.start - node.from) == node.skipped;
            if node.width == 0 {
                return if goes_on { node.slots as u8 } else { node.outside };
            }
            if !goes_on {
                return node.outside;
            }
            let slot =
                self.slots[node.slots as usize + bits(key, node.start, node.width) as usize].0;
            if slot & Slot::NODE == 0 {
                return slot as u8;
            }
            node = &self.nodes[(slot & !Slot::NODE) as usize];
        }
    }

    /// Adds the trie to `words` for a reader that follows no pointers, two words a node, and returns where it
    /// begins: each node is in its parent's slot, and a slot with a value is a node without slots.
    ///
    /// The first word is what the node skips; from the lowest bit of the second: the place of its first slot
    /// or its value (32 bits), `from`, `start`, `width` and `outside` (8 bits each).
    pub(crate) fn lay_out(&self, words: &mut Vec<[u64; 2]>) -> u32 {
        let root = words.len();
        words.push([0; 2]);
        // Nodes that are still to be laid out, and where.
        let mut open = vec![(0, root)];
        while let Some((number, place)) = open.pop() {
            let node = &self.nodes[number];
            let mut next = node.slots;
            if node.width > 0 {
                next = words.len() as u32;
                let first = node.slots as usize;
                for slot in &self.slots[first..first + (1 << node.width)] {
                    if slot.0 & Slot::NODE != 0 {
                        open.push(((slot.0 & !Slot::NODE) as usize, words.len()));
                    }
                    words.push([0, u64::from(slot.0 & !Slot::NODE)]);
                }
            }
            let places = [node.from, node.start, node.width, node.outside].map(u64::from);
            let [from, start, width, outside] = places;
            let second = u64::from(next) | from << 32 | start << 40 | width << 48 | outside << 56;
            words[place] = [node.skipped, second];
        }
        root as u32
    }

    /// Adds the node for `prefixes`, sorted, which agree in the bits before `from`, and those below it;
    /// `outside` is the value around them.
    fn build(&mut self, prefixes: &[(Prefix, u8)], from: u8, outside: u8) -> u32 {
        let number = self.nodes.len() as u32;
        let common = match prefixes {
            [] => Prefix::of(0, from),
            [first, .., last] => first.0.common(last.0),
            [only] => only.0,
        };
        // What is too far for one comparison takes two.
        let start = common.length.min(from + SKIPPED_MAX);
        let whole = Prefix::of(common.bits, start);
        // Sorted, so the prefix that covers all the others comes first.
        let (inside, below) = match prefixes {
            [(prefix, value), rest @ ..] if *prefix == whole => (*value, rest),
            all => (outside, all),
        };
        let width = if start < common.length { 1 } else { width(below.len(), start) };
        let slots = if width == 0 { u32::from(inside) } else { self.slots.len() as u32 };
        let skipped = bits(whole.bits, from, start - from);
        self.nodes.push(Node { skipped, slots, from, start, width, outside });
        if width > 0 {
            self.slots.extend(std::iter::repeat_n(Slot(u32::from(inside)), 1 << width));
            self.fill(slots as usize, whole, width, below);
        }
        number
    }

    /// Fills the slots of a node for `whole` with what `prefixes` say.
    fn fill(&mut self, slots: usize, whole: Prefix, width: u8, prefixes: &[(Prefix, u8)]) {
        let end = whole.length + width;
        let mut rest = prefixes;
        while let Some(((prefix, value), others)) = rest.split_first() {
            let first = slots + bits(prefix.bits, whole.length, width) as usize;
            if prefix.length <= end {
                // Shorter prefixes sort before the longer ones they cover, which overwrite them here.
                let many = 1 << (end - prefix.length);
                self.slots[first..first + many].fill(Slot(u32::from(*value)));
                rest = others;
                continue;
            }
            let of_slot = Prefix::of(prefix.bits, end);
            let (mine, others) =
                rest.split_at(rest.partition_point(|(p, _)| of_slot.covers(p.bits)));
            let around = self.slots[first].0 as u8;
            self.slots[first] = Slot(Slot::NODE | self.build(mine, end, around));
            rest = others;
        }
    }
}

/// The `width` bits of `key` from `start` on; 63 and 127 at most.
#[inline]
const fn bits(key: u128, start: u8, width: u8) -> u64 {
    // One shift of the whole key, which is two words to a processor, and two of a word, because one by 64
    // would be none at all.
    ((key << start) >> 64) as u64 >> 1 >> (63 - width as u32)
}

/// The highest `length` bits, 128 at most.
pub(crate) const fn mask(length: u8) -> u128 {
    if length == 0 { 0 } else { u128::MAX << (128 - length as u32) }
}

/// One bit more than tells `prefixes` prefixes apart if they are spread evenly, so that fewer share a slot.
fn width(prefixes: usize, start: u8) -> u8 {
    let wanted = prefixes.next_power_of_two().trailing_zeros() as u8 + 1;
    if prefixes == 0 { 0 } else { wanted.min(WIDTH_MAX).min(128 - start) }
}

/// As many bits as a node has room for.
const SKIPPED_MAX: u8 = 63;
const PREFIXES_MAX: usize = 1 << 24;
/// 65 536 slots are 256 KiB, as much as stays in a core's own cache.
const WIDTH_MAX: u8 = 16;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Prefixes that nest and collide: few bits vary, at both ends of the key.
    fn prefix() -> impl Strategy<Value = Prefix> {
        let bits = prop_oneof![any::<u128>(), 0u128..16, (0u128..256).prop_map(|bits| bits << 120)];
        (bits, 0u8..=128).prop_map(|(bits, length)| Prefix::of(bits, length))
    }

    fn naive(prefixes: &[(Prefix, u8)], otherwise: u8, key: u128) -> u8 {
        let covering = prefixes.iter().filter(|(prefix, _)| prefix.covers(key));
        covering.max_by_key(|(prefix, _)| prefix.length).map_or(otherwise, |(_, value)| *value)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn the_longest_prefix_wins_as_in_a_search_through_all(
            prefixes in vec((prefix(), any::<u8>()), 0..80),
            keys in vec(any::<u128>(), 20),
            otherwise in any::<u8>(),
        ) {
            let mut prefixes = prefixes;
            prefixes.sort_unstable_by_key(|(prefix, _)| *prefix);
            prefixes.dedup_by_key(|(prefix, _)| *prefix);
            let trie = Trie::new(&prefixes, otherwise);
            // The first and last key of each prefix, and their neighbours outside it.
            let edges = prefixes.iter().flat_map(|(prefix, _)| {
                let last = prefix.bits | !mask(prefix.length);
                [prefix.bits, last, prefix.bits.wrapping_sub(1), last.wrapping_add(1)]
            });
            for key in keys.iter().copied().chain(edges) {
                prop_assert_eq!(trie.find(key), naive(&prefixes, otherwise, key), "{:032x}", key);
            }
        }
    }

    #[test]
    fn a_search_is_short_whatever_the_shape() {
        let deep = |trie: &Trie| trie.nodes.len();
        let chain: Vec<_> =
            (1..=128).map(|length| (Prefix::of(u128::MAX, length), length)).collect();
        let trie = Trie::new(&chain, 0);
        assert!(deep(&trie) <= 128 && trie.slots.len() <= 128 * 256);
        assert_eq!(trie.find(u128::MAX), 128);
        let crowd: Vec<_> = (0..10_000).map(|n| (Prefix::of(n << 64, 64), 1)).collect();
        let trie = Trie::new(&crowd, 0);
        assert_eq!((trie.find(9_999 << 64), trie.find(10_000 << 64)), (1, 0));
        assert!(trie.nodes.len() == 1 && trie.slots.len() <= 32_768, "one look for a dense range");
    }
}
