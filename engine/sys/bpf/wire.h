/*
 * Frames as bytes: Ethernet, VLAN tag, IPv4, IPv6, UDP, NTP; and sums over them.
 *
 * Everything is in network byte order unless it says otherwise. A sum of 16-bit words is the same in either
 * order but for its own bytes (RFC 1071), so checksums are made and compared without turning a word round.
 *
 * Must never: hold a pointer to a frame whose length has not been looked at.
 */
#pragma once

#include "kernel.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the constants below are turned round");
#define NET16(value) ((u16)__builtin_bswap16(value))
#define NET64(value) __builtin_bswap64(value)

struct ethernet {
	u16 destination[3];
	u16 source[3];
	u16 type;
};

struct vlan_tag {
	u16 control; /* priority, and in the low 12 bits which VLAN */
	u16 type;
};

struct ipv4 {
	u8 version_and_words;
	u8 service;
	u16 len;
	u16 id;
	u16 fragment;
	u8 hops;
	u8 protocol;
	u16 checksum;
	u32 source;
	u32 destination;
};

struct ipv6 {
	u32 version_and_flow;
	u16 len;
	u8 next;
	u8 hops;
	u64 source[2];
	u64 destination[2];
};

struct udp {
	u16 source;
	u16 destination;
	u16 len;
	u16 checksum;
};

/* RFC 5905 figure 8 in words of 64 bits. */
struct ntp {
	union {
		struct {
			u8 flags;
			u8 stratum;
			u8 poll;
			u8 precision;
			u32 root_delay;
		};
		u64 first;
	};
	union {
		struct {
			u32 root_dispersion;
			u32 reference_id;
		};
		u64 second;
	};
	u64 reference;
	u64 origin;
	u64 receive;
	u64 transmit;
};
_Static_assert(sizeof(struct ntp) == 48, "RFC 5905 section 7.3");

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86DD,
	TYPE_VLAN = 0x8100,
	VLAN_MASK = 0x0FFF,
	PROTOCOL_UDP = 17,
	/* IPv4 with a header of five words, or IPv6. */
	IPV4_PLAIN = 0x45,
	IPV6_VERSION = 6,
	DONT_FRAGMENT = 0x4000,
	/* As far as a datagram of this kernel's would go. */
	HOPS = 64,
	UDP_LEN = sizeof(struct udp) + sizeof(struct ntp),
	/* Where servers live. */
	NTP_PORT = 123,
};

/* Adds four 16-bit words to a sum that is folded later. */
INLINE u64 add64(u64 sum, u64 words)
{
	return sum + (u32)words + (words >> 32);
}

/* The sum of at most 2^32 words in 16 bits, carries added back in. */
INLINE u16 folded(u64 sum)
{
	sum = (u32)sum + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return (u16)sum;
}

/* The sum of what a UDP checksum covers beside the payload: the ports and lengths, protocol and addresses. The same
 * for a request and for its reply, in which ends are exchanged. */
INLINE u64 envelope(const struct udp *udp, u64 addresses)
{
	return addresses + NET16(PROTOCOL_UDP) + NET16(UDP_LEN) + udp->source + udp->destination + udp->len;
}

INLINE u64 payload(const struct ntp *ntp)
{
	u64 sum = add64(0, ntp->first);
	sum = add64(sum, ntp->second);
	sum = add64(sum, ntp->reference);
	sum = add64(sum, ntp->origin);
	sum = add64(sum, ntp->receive);
	return add64(sum, ntp->transmit);
}
