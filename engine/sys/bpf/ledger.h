/*
 * Who asked how often: the workers' ledger and limiter, once more for each processor.
 *
 * What engine/responder/src/{caller,keyed_hash,ledger,limiter,limits}.rs say, word by word: the same keyed
 * hash, sets of one cache line, tags, ticks and allowances, so that the same requests have the same fate; a
 * test compares them. A client whose requests come to several processors has an allowance at each.
 *
 * There are no branches in what looks through a set: the verifier would follow each of them to the end of
 * the function, and a processor would guess them wrong.
 *
 * Must never: silence anybody altogether; the share that is answered by chance is.
 */
#pragma once

#include "counts.h"
#include "policy.h"

enum {
	WAYS = 8,
	TICK_SHIFT = 16,
	TICKS_BITS = 40,
	TAG_BITS = 64 - TICKS_BITS - 1,
};
#define TICKS ((1ULL << TICKS_BITS) - 1)
#define TAG ((1ULL << TAG_BITS) - 1)
#define RETURNED (1ULL << TAG_BITS)
/* How much longer one that has come back is kept: 2048 s in ticks. */
#define KEPT (2048ULL * 1000000000 >> TICK_SHIFT)

struct set {
	u64 of[WAYS];
};

struct {
	MAP_NUMBER(type, MAP_ARRAY);
	MAP_NUMBER(max_entries, 1); /* the loader makes it as many for each processor as the policy says */
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct set);
} ledger SECTION(".maps");

INLINE u64 rotated(u64 word, int by)
{
	return word << by | word >> (64 - by);
}

INLINE void sip_round(u64 v[4])
{
	v[0] += v[1];
	v[1] = rotated(v[1], 13) ^ v[0];
	v[0] = rotated(v[0], 32);
	v[2] += v[3];
	v[3] = rotated(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotated(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotated(v[1], 17) ^ v[2];
	v[2] = rotated(v[2], 32);
}

INLINE void sip_compress(u64 v[4], u64 word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

/* SipHash-1-3 of the lowest `len` octets of `word`, 8 at most. */
INLINE u64 keyed_hash(const u64 key[2], u64 word, u64 len)
{
	u64 v[4] = { key[0] ^ 0x736F6D6570736575, key[1] ^ 0x646F72616E646F6D, key[0] ^ 0x6C7967656E657261,
		     key[1] ^ 0x7465646279746573 };

	if (len == 8) {
		sip_compress(v, word);
		word = 0;
	}
	sip_compress(v, len << 56 | word);
	v[2] ^= 0xFF;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* 1 if the highest bit of `x` is set, else 0: to multiply with. For masks the verifier makes two states of one. */
INLINE u64 highest(u64 x)
{
	x >>= 63;
	/* The compiler would make a branch of it. */
	OPAQUE(x);
	return x;
}

INLINE u64 is_zero(u64 x)
{
	return highest(~x & (x - 1));
}

/* `x`, or 0 if that is negative. */
INLINE u64 positive(u64 x)
{
	return x * highest(~x);
}

/* The debt of the client with this tag at the moment `now`, and above it the client's place in its set, counted
 * from 1; nothing of somebody who is not there. A function of its own, as those below, so that the verifier looks at
 * it once. */
enum { WAY_SHIFT = 48 };
APART u64 find(u32 index, u64 tag, u64 now, u64 horizon)
{
	struct set *set = map_lookup(&ledger, &index);
	u64 way = 0, entry = 0;

	if (!set)
		return 0;
#pragma unroll
	for (int i = 0; i < WAYS; i++) {
		u64 is_its = is_zero((set->of[i] ^ tag) & TAG);
		way |= is_its * (i + 1);
		entry |= is_its * set->of[i];
	}
	u64 debt = ((entry >> (64 - TICKS_BITS)) - now) & TICKS;
	/* Beyond the horizon is a moment of the past, or of a clock that was set back since. */
	return way << WAY_SHIFT | (way == 0 || debt > horizon ? 0 : debt);
}

/* The place of the set that is best given to another client, counted from 1. */
INLINE u64 stalest(const struct set *set, u64 horizon)
{
	u64 best = 0;

#pragma unroll
	for (int i = 0; i < WAYS; i++) {
		u64 entry = set->of[i];
		u64 age = (horizon - (entry >> (64 - TICKS_BITS))) & TICKS;
		u64 kept = KEPT * (entry >> TAG_BITS & 1);
		/* A free place is the best; of equals the first. */
		u64 score = (positive(age - kept) | is_zero(entry) << TICKS_BITS) << 3 | (WAYS - 1 - i);
		best += positive(score - best);
	}
	return WAYS - (best & (WAYS - 1));
}

/* Writes down for the client with this tag, which is at `way` (0: new), when its allowance will be whole again; true
 * if another client was forgotten for it. `latest` is the latest moment there can be. */
APART u32 note(u32 index, u64 tag, u64 way, u64 whole_at, u64 latest)
{
	struct set *set = map_lookup(&ledger, &index);
	u64 returned = RETURNED;
	u32 forgets = 0;

	if (!set)
		return 0;
	if (way == 0) {
		way = stalest(set, latest);
		forgets = set->of[(way - 1) & (WAYS - 1)] != 0;
		returned = 0;
	}
	set->of[(way - 1) & (WAYS - 1)] = whole_at << (64 - TICKS_BITS) | returned | tag;
	return forgets;
}

/* An allowance as it is found, before it is charged. */
struct account {
	u32 index;
	u64 tag;
	u64 way;
	u64 debt;
	struct budget budget;
};

/* The allowance of the client or site of this hash, in the `sets` sets from the `first` on. */
INLINE struct account account(u64 hash, struct budget budget, u64 first, u64 sets, u64 now)
{
	u32 index = first + (hash & (sets - 1));
	u64 tag = hash >> (64 - TAG_BITS) | 1;
	u64 found = find(index, tag, now, budget.tolerance + budget.interval);
	return (struct account){ index, tag, found >> WAY_SHIFT, found & TICKS, budget };
}

INLINE int allows(const struct account *account)
{
	return account->debt <= account->budget.tolerance;
}

INLINE void charge(const struct account *account, u64 now)
{
	struct budget budget = account->budget;
	u64 latest = now + budget.tolerance + budget.interval;

	if (note(account->index, account->tag, account->way, now + account->debt + budget.interval, latest))
		count(FORGOTTEN);
}
