/*
 * Where requests are ours: station, VLAN, address and port they must be addressed to.
 *
 * All four together, because a program at a device sees what passes by as well: frames for other stations,
 * datagrams that a router forwards, and untagged frames from whose VLAN the card has taken the tag. What is
 * not in the table goes on to the kernel, which knows better; so a table that is behind the times costs
 * speed and never an answer.
 *
 * Must never: be laid out otherwise than `Key` and `Usual` in xdp/endpoint.rs.
 */
#pragma once

#include "wire.h"

struct endpoint {
	u64 place; /* the station, and in the last 16 bits the VLAN, 0: untagged */
	u64 address[2]; /* an IPv4 address as ::ffff:a.b.c.d */
	u64 port;
};

struct {
	MAP_NUMBER(type, MAP_HASH);
	MAP_NUMBER(max_entries, 4096);
	MAP_TYPE(key, struct endpoint);
	MAP_TYPE(value, u8);
} endpoints SECTION(".maps");

/*
 * The first few once more, under a sequence like the snapshot's: a handful of comparisons costs a seventh of a
 * hash. While they are written, and for whoever is not among them, there is the table.
 */
enum { USUAL = 4 };
struct usual {
	u64 sequence;
	struct endpoint endpoint[USUAL];
};

struct {
	MAP_NUMBER(type, MAP_ARRAY);
	MAP_NUMBER(map_flags, MAP_MMAPABLE);
	MAP_NUMBER(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct usual);
} usual_endpoints SECTION(".maps");

INLINE int is_same(const volatile struct endpoint *one, const struct endpoint *other)
{
	return one->address[1] == other->address[1] && one->address[0] == other->address[0] &&
	       one->place == other->place && one->port == other->port;
}

INLINE int is_usual(const struct endpoint *endpoint)
{
	u32 only = 0, found = 0;
	const volatile struct usual *shared = map_lookup(&usual_endpoints, &only);

	if (!shared)
		return 0;
	u64 before = shared->sequence;
	IN_ORDER();
	for (int i = 0; i < USUAL && !found; i++)
		found = is_same(&shared->endpoint[i], endpoint);
	IN_ORDER();
	/* Before anything was written there are zeros, which are no endpoint. */
	return found && before && !(before & 1) && shared->sequence == before;
}

INLINE int is_ours(const struct endpoint *endpoint)
{
	return is_usual(endpoint) || map_lookup(&endpoints, endpoint) != 0;
}

INLINE u64 mapped_ipv4(u32 address)
{
	return 0xFFFF0000 | ((u64)address << 32);
}

/* Where a frame is addressed to; `vlan` is in the machine's order. */
INLINE struct endpoint endpoint_of(const struct ethernet *ethernet, u16 vlan, u64 high, u64 low,
				   const struct udp *udp)
{
	const u16 *station = ethernet->destination;
	u64 place = station[0] | (u64)station[1] << 16 | (u64)station[2] << 32 | (u64)vlan << 48;

	return (struct endpoint){ place, { high, low }, udp->destination };
}
