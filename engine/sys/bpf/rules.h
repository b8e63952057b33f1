/*
 * Which rule is for whom: the longest prefix that covers an address.
 *
 * The responder's own trie (engine/responder/src/trie.rs), with each node in its parent's slot, so that a
 * step of the search is one load. The kernel has tries, too; they take a node for each bit that tells two
 * prefixes apart, and changing one takes a system call and is seen rule by rule.
 *
 * Must never: be laid out otherwise than `Trie::lay_out` of the responder does it.
 */
#pragma once

#include "policy.h"

struct rule {
	/* What the bits from `from` to `start` must be. */
	u64 skipped;
	/* The first of the slots below, or, if there are none, what is withheld. */
	u32 next;
	u8 from;
	u8 start;
	/* How many bits choose among the slots; 0: there are none. */
	u8 width;
	/* What is withheld from addresses that do not go on with `skipped`. */
	u8 outside;
};
_Static_assert(sizeof(struct rule) == 16, "two words");

/* Rules of one policy, as in xdp/guard.rs; and how deep they may lie. */
enum { RULES_MAX = 1 << 17, STEPS_MAX = 24 };

struct {
	MAP_NUMBER(type, MAP_ARRAY);
	MAP_NUMBER(map_flags, MAP_MMAPABLE);
	MAP_NUMBER(max_entries, 2 * RULES_MAX);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct rule);
} rules SECTION(".maps");

/* The `width` bits of an address from `from` on; 63 at most. One of IPv4 is all in the high word. */
INLINE u64 bits(u64 high, u64 low, int is_v6, u32 from, u32 width)
{
	u64 word = high << from;
	/* Two shifts of a word, because one by 64 would be none at all. */
	if (is_v6)
		word = from < 64 ? word | low >> 1 >> (63 - from) : low << (from - 64);
	return word >> 1 >> (63 - width);
}

/* What is withheld from an address, or a negative number if that is too far to be found here. */
INLINE int search(u64 high, u64 low, int is_v6, u32 at, u32 place)
{
#pragma clang loop unroll(disable)
	for (int step = 0; step < STEPS_MAX; step++) {
		at += place;
		const volatile struct rule *rule = map_lookup(&rules, &at);
		if (!rule)
			break;
		u32 from = rule->from, start = rule->start, width = rule->width;
		if (bits(high, low, is_v6, from, start - from) != rule->skipped)
			return rule->outside;
		at = rule->next;
		if (width == 0)
			return (u8)at;
		at += (u32)bits(high, low, is_v6, start, width);
	}
	return -1;
}

/* The same from the root `at` on, among the rules from `place` on. Functions of their own, so that the verifier looks
 * at each once, and not at all the rest again wherever a search may have ended. */
APART int withheld_v4(u64 high, u32 at, u32 place)
{
	return search(high, 0, 0, at, place);
}

APART int withheld_v6(u64 high, u64 low, u32 at, u32 place)
{
	return search(high, low, 1, at, place);
}
