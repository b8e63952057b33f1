/*
 * The reply, over the request.
 *
 * What is said about the server is what `Announcement` says: past its validity a snapshot gives leap 3,
 * stratum 0, `XSTL`. Both timestamps are of one look at the clock. A second one would cost as much as all else
 * that is said, and come nearer to the departure by a tenth of a microsecond, which drivers add to many times
 * over by sending replies together.
 *
 * Must never: change the length, or give a transmit timestamp before the receive timestamp.
 */
#pragma once

#include "clock.h"
#include "wire.h"

enum {
	LEAP_UNSYNCHRONISED = 3,
	MODE_CLIENT = 3,
	MODE_SERVER = 4,
	STRATUM_MAX = 15,
	POLL_MAX = 17,
};
/* "XSTL". */
#define STALE 0x4C545358

/* What is said of the server at the kernel time `at`; returns the leap indicator. */
INLINE u8 announce(struct ntp *ntp, const struct snapshot *snapshot, u8 version, s64 at, s64 served_ns)
{
	int fresh = is_valid(snapshot, at);
	u8 leap = fresh ? (u8)(snapshot->first & 0xFF) >> 6 : LEAP_UNSYNCHRONISED;
	u8 stratum = (u8)(snapshot->first >> 8);
	u8 poll = ntp->poll;

	if (leap == LEAP_UNSYNCHRONISED || stratum > STRATUM_MAX)
		stratum = 0;
	if (leap != LEAP_UNSYNCHRONISED && is_leap_past(snapshot, served_ns))
		leap = 0;
	/* Signed, as far as RFC 5905 section 7.3 lets it go. */
	poll = poll >= 128 ? 0 : poll > POLL_MAX ? POLL_MAX : poll;
	ntp->first = (snapshot->first & 0xFFFFFFFFFF000000) | (u64)poll << 16 | (u64)stratum << 8 |
		     (u8)(leap << 6 | version << 3 | MODE_SERVER);
	u64 id = fresh ? (u32)snapshot->reference_id : STALE;
	ntp->second = __builtin_bswap32(ntp_short(root_dispersion(snapshot, at))) | id << 32;
	ntp->reference = fresh ? NET64(snapshot->reference) : 0;
	return leap;
}

/* Origin, receive and transmit timestamps of a reply that is made at the instant `now`. The lowest bit tells
 * receive from transmit stamps, so that the latter is a quarter of a nanosecond after the former. */
INLINE void stamp(struct ntp *ntp, struct instant now)
{
	u64 received = (ntp_floor(now) + 1) | 1;
	ntp->origin = ntp->transmit;
	ntp->receive = NET64(received);
	ntp->transmit = NET64(received + 1);
}

INLINE void turn_round_v4(struct ipv4 *ip)
{
	u32 source = ip->source;
	ip->service = 0;
	ip->id = 0;
	ip->fragment = NET16(DONT_FRAGMENT);
	ip->hops = HOPS;
	ip->source = ip->destination;
	ip->destination = source;
	/* The constant words, and the addresses. */
	u64 sum = NET16(IPV4_PLAIN << 8) + ip->len + NET16(DONT_FRAGMENT) + NET16(HOPS << 8 | PROTOCOL_UDP);
	ip->checksum = ~folded(sum + ip->source + ip->destination);
}

INLINE void turn_round_v6(struct ipv6 *ip)
{
	u64 source[2] = { ip->source[0], ip->source[1] };
	ip->version_and_flow = IPV6_VERSION << 4;
	ip->hops = HOPS;
	ip->source[0] = ip->destination[0];
	ip->source[1] = ip->destination[1];
	ip->destination[0] = source[0];
	ip->destination[1] = source[1];
}

INLINE void turn_round_udp(struct udp *udp)
{
	u16 source = udp->source;
	udp->source = udp->destination;
	udp->destination = source;
}

INLINE void turn_round_ethernet(struct ethernet *ethernet)
{
	for (int i = 0; i < 3; i++) {
		u16 source = ethernet->source[i];
		ethernet->source[i] = ethernet->destination[i];
		ethernet->destination[i] = source;
	}
}

/* The UDP checksum of what adds up to `sum`. */
INLINE void seal(struct udp *udp, u64 sum)
{
	u16 checksum = ~folded(sum);
	/* Zero would say that there is none. */
	udp->checksum = checksum ? checksum : 0xFFFF;
}
