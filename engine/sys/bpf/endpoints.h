/*
 * Where requests are ours: station, VLAN, address and port they must be addressed to.
 *
 * All four together, because a program at a device sees what passes by as well: frames for other stations,
 * datagrams that a router forwards, and untagged frames from whose VLAN the card has taken the tag. What is
 * not in the table goes on to the kernel, which knows better; so a table that is behind the times costs
 * speed and never an answer.
 *
 * Must never: be laid out otherwise than `Key` in xdp/endpoint.rs.
 */
#pragma once

#include "wire.h"

struct endpoint {
	u16 station[3];
	u16 vlan; /* in the machine's order; 0: untagged */
	u64 address[2]; /* an IPv4 address as ::ffff:a.b.c.d */
	u16 port;
	u16 zero[3];
};

struct {
	MAP_NUMBER(type, MAP_HASH);
	MAP_NUMBER(max_entries, 4096);
	MAP_TYPE(key, struct endpoint);
	MAP_TYPE(value, u8);
} endpoints SECTION(".maps");

INLINE int is_ours(struct endpoint *endpoint)
{
	return map_lookup(&endpoints, endpoint) != 0;
}

INLINE u64 mapped_ipv4(u32 address)
{
	return 0xFFFF0000 | ((u64)address << 32);
}
