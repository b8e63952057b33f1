/*
 * What is held against whom: the policy that the workers go by, as words.
 *
 * There is room for two, and one word says which of them counts: the generation, whose lowest bit is the
 * place. Who publishes fills the place that does not count, and then writes the next generation. So a run
 * that finds the generation unchanged after it has read has read one policy whole, and one that does not
 * leaves its request to the workers.
 *
 * Generation 0 is no policy: nothing is answered then.
 *
 * Must never: be laid out otherwise than `Policies` in xdp/guard.rs and `PolicyWords` of the responder.
 */
#pragma once

#include "kernel.h"

/* `Restrictions` of the responder; queries are none of ours. */
enum restriction {
	DENIED = 1,
	KEYED_ONLY = 1 << 2,
	CURRENT_VERSION_ONLY = 1 << 3,
	LIMITED_RATE = 1 << 4,
	KISSED = 1 << 5,
};

enum limit_mode { LIMITS_OFF, LIMITS_OBSERVED, LIMITS_ON };

/* A rate and a burst, in ticks: `Budget` of the responder. */
struct budget {
	u64 interval;
	u64 tolerance;
};

struct policy {
	/* Where the search among rules begins: for IPv4 and IPv6, and the same for requests from port 123. */
	u32 roots[4];
	u64 mode;
	u64 leak;
	/* An IPv4 address or an IPv6 /64, and an IPv6 /48. */
	struct budget client;
	struct budget site;
	/* By which clients are known. */
	u64 key[2];
};
_Static_assert(sizeof(struct policy) == 80, "ten words");

struct policies {
	u64 generation;
	/* Sets of the ledger for each processor: a power of two. */
	u64 sets;
	struct policy of[2];
};

struct {
	MAP_NUMBER(type, MAP_ARRAY);
	MAP_NUMBER(map_flags, MAP_MMAPABLE);
	MAP_NUMBER(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct policies);
} policies SECTION(".maps");

/* The policy that counts, as one run of the program finds it. */
struct view {
	const volatile struct policies *all;
	u64 generation;
};

/* False if there is none. */
INLINE int take_policy(struct view *view)
{
	u32 only = 0;
	view->all = map_lookup(&policies, &only);
	if (!view->all)
		return 0;
	view->generation = view->all->generation;
	IN_ORDER();
	return view->generation != 0;
}

INLINE const volatile struct policy *policy_of(const struct view *view)
{
	return &view->all->of[view->generation & 1];
}

/* Whether what has been read of it was one policy. Loads of x86-64 stay in order. */
INLINE int is_whole(const struct view *view)
{
	IN_ORDER();
	return view->all->generation == view->generation;
}
