/*
 * Who is refused before a reply is thought of.
 *
 * Between parsing and replying, so that nothing has been written yet. The rules are those of the responder's
 * gate, of a kernel that takes nothing from 127/8 or the first 2^64 addresses of IPv6 off a wire, and of the
 * policy that the workers go by. What no client can have sent goes to the workers as it came, as does
 * whatever cannot be decided here; what the workers would only count and forget is counted and dropped.
 *
 * Must never: let through a reflector (ports 7, 13, 17, 19), or anything that is no address of one host; or
 * treat a client worse than a worker would.
 */
#pragma once

#include "counts.h"
#include "ledger.h"
#include "rules.h"
#include "wire.h"

INLINE int is_reflector(u16 port)
{
	return port == NET16(0) || port == NET16(7) || port == NET16(13) || port == NET16(17) || port == NET16(19);
}

/* An address of one host: not 0/8, not 127/8, nor multicast or class E, which has the broadcast address. */
INLINE int is_host_v4(u32 address)
{
	u8 first = (u8)address;
	return first != 0 && first != 127 && first < 224;
}

/* Not multicast, unspecified, loopback, or an IPv4 address in disguise. */
INLINE int is_host_v6(const u64 address[2])
{
	return (u8)address[0] != 0xFF && address[0] != 0;
}

/* A station's address, not one of a group. */
INLINE int is_station(const u16 address[3])
{
	return !(address[0] & 1);
}

/* What a judgement is if nothing speaks against an answer. */
enum { ADMITTED = OUTCOMES };

/* Who asks: an address from its highest bit down. One of IPv4 is all in the first word. */
struct source {
	u64 high;
	u64 low;
	int is_v6;
};

INLINE struct source source_v4(u32 address)
{
	return (struct source){ (u64)__builtin_bswap32(address) << 32, 0, 0 };
}

INLINE struct source source_v6(const u64 address[2])
{
	return (struct source){ NET64(address[0]), NET64(address[1]), 1 };
}

INLINE int withheld(const struct view *view, struct source source, u16 port)
{
	const volatile u32 *roots = policy_of(view)->roots + (port == NET16(NTP_PORT) ? 2 : 0);
	u32 place = (view->generation & 1) * RULES_MAX;
	if (source.is_v6)
		return withheld_v6(source.high, source.low, roots[1], place);
	return withheld_v4(source.high, roots[0], place);
}

/* Whether the rules let a plain request have an answer; what they say otherwise of its source is in `held`. */
INLINE u32 admit(struct view *view, struct source source, u16 port, u8 version, int *held)
{
	if (!take_policy(view))
		return RULES;
	*held = withheld(view, source, port);
	if (*held < 0 || !is_whole(view))
		return RULES;
	if (*held & DENIED)
		return ACCESS;
	if (*held & CURRENT_VERSION_ONLY && version != 4)
		return VERSION;
	return *held & KEYED_ONLY ? ACCESS : ADMITTED;
}

/* What somebody gets who is over the limit. */
INLINE u32 over(u64 mode, u64 leak, u32 held)
{
	if (mode == LIMITS_OBSERVED) {
		count(OBSERVED);
		return ADMITTED;
	}
	/* A kiss is the workers' to give; they have an allowance of their own for it. */
	if (held & KISSED)
		return KISSABLE;
	/* The highest bits of the product are uniform below `leak`. */
	if ((u64)random() * leak >> 32)
		return LIMITED;
	count(LEAKED);
	return ADMITTED;
}

/* Whether the limits let a request have an answer that came in tick `now`; it is charged for it. `network` is an IPv4
 * address or the first half of one of IPv6. */
INLINE u32 judge(u64 network, int is_v6, u32 held, u64 now, u64 generation)
{
	struct view view;
	struct account client, site;

	if (!take_policy(&view))
		return RULES;
	const volatile struct policy *policy = policy_of(&view);
	u64 mode = policy->mode, leak = policy->leak, key[2] = { policy->key[0], policy->key[1] };
	struct budget client_budget = { policy->client.interval, policy->client.tolerance };
	struct budget site_budget = { policy->site.interval, policy->site.tolerance };
	u64 sets = view.all->sets, first = processor() * sets;
	if (view.generation != generation || !is_whole(&view))
		return RULES;
	if (mode == LIMITS_OFF)
		return ADMITTED;

	client = account(keyed_hash(key, network, is_v6 ? 8 : 4), client_budget, first, sets, now);
	if (!allows(&client))
		return over(mode, leak, held);
	if (is_v6) {
		/* What is over one of the two allowances is charged to neither. */
		site = account(keyed_hash(key, network >> 16, 6), site_budget, first, sets, now);
		if (!allows(&site))
			return over(mode, leak, held);
	}
	charge(&client, now);
	if (is_v6)
		charge(&site, now);
	return ADMITTED;
}

APART u32 judge_v4(u64 network, u32 held, u64 now, u64 generation)
{
	return judge(network, 0, held, now, generation);
}

APART u32 judge_v6(u64 network, u32 held, u64 now, u64 generation)
{
	return judge(network, 1, held, now, generation);
}

/* The same of a request that came at the kernel time `at`. */
INLINE u32 pace(const struct view *view, struct source source, u32 held, s64 at)
{
	u64 now = (u64)at >> TICK_SHIFT & TICKS;

	if (!(held & LIMITED_RATE))
		return ADMITTED;
	return source.is_v6 ? judge_v6(source.high, held, now, view->generation)
			    : judge_v4(source.high >> 32, held, now, view->generation);
}
