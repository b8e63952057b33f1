/*
 * Plain client requests are answered where the frame arrives; everything else goes on as it came.
 *
 *   shape -> endpoint -> source -> kind -> rules -> checksums -> snapshot -> clock -> limits -> reply
 *
 * Four shapes of frame can hold such a request: IPv4 or IPv6, with a VLAN tag or without. Each is a copy of
 * one function with constant offsets, which is what a verifier understands best and a processor runs
 * fastest. A frame is of a shape only if it is exactly as long: no options, no fragments, no extension
 * fields, no padding.
 *
 * Must never: write to a frame that is not answered, answer in another length, or answer what the workers
 * would not.
 */
#include "clock.h"
#include "counts.h"
#include "endpoints.h"
#include "guard.h"
#include "reply.h"
#include "snapshot.h"
#include "wire.h"

/* Where things are in a frame of one shape. */
struct shape {
	u32 ip;
	u32 udp;
	int is_v6;
};
#define SHAPE_V4(ethernet) ((struct shape){ (ethernet), (ethernet) + sizeof(struct ipv4), 0 })
#define SHAPE_V6(ethernet) ((struct shape){ (ethernet), (ethernet) + sizeof(struct ipv6), 1 })

INLINE int is_plain_v4(const struct ipv4 *ip)
{
	return ip->version_and_words == IPV4_PLAIN && ip->protocol == PROTOCOL_UDP &&
	       ip->len == NET16(sizeof *ip + UDP_LEN) && !(ip->fragment & ~NET16(DONT_FRAGMENT));
}

INLINE int is_plain_v6(const struct ipv6 *ip)
{
	return (u8)ip->version_and_flow >> 4 == IPV6_VERSION && ip->next == PROTOCOL_UDP &&
	       ip->len == NET16(UDP_LEN);
}

INLINE u64 addresses_v4(const struct ipv4 *ip)
{
	return (u64)ip->source + ip->destination;
}

INLINE u64 addresses_v6(const struct ipv6 *ip)
{
	u64 sum = add64(add64(0, ip->source[0]), ip->source[1]);
	return add64(add64(sum, ip->destination[0]), ip->destination[1]);
}

INLINE int is_whole_v4(const struct ipv4 *ip)
{
	const u32 *word = (const u32 *)ip;
	return folded((u64)word[0] + word[1] + word[2] + word[3] + word[4]) == 0xFFFF;
}

/* A datagram over IPv4 may come without a checksum, one over IPv6 may not (RFC 8200 section 8.1). */
INLINE int is_whole_udp(const struct udp *udp, u64 sum, int is_v6)
{
	return (!is_v6 && udp->checksum == 0) || (udp->checksum != 0 && folded(sum + udp->checksum) == 0xFFFF);
}

/* Answers the frame or says why not. The offsets in `shape` are constants. */
INLINE enum outcome answer(void *frame, void *end, struct shape shape, u16 vlan)
{
	struct ethernet *ethernet = frame;
	struct ipv4 *v4 = frame + shape.ip;
	struct ipv6 *v6 = frame + shape.ip;
	struct udp *udp = frame + shape.udp;
	struct ntp *ntp = (void *)(udp + 1);
	struct snapshot view;
	struct view policy;
	int held;

	if ((void *)(ntp + 1) > end)
		return OTHER;
	/* One comparison for "not equal" would do, but the verifier learns nothing from it. */
	OPAQUE(end);
	if ((void *)(ntp + 1) < end)
		return OTHER;
	if (shape.is_v6 ? !is_plain_v6(v6) : !is_plain_v4(v4))
		return OTHER;
	if (udp->len != NET16(UDP_LEN))
		return OTHER;

	u64 high = shape.is_v6 ? v6->destination[0] : 0;
	u64 low = shape.is_v6 ? v6->destination[1] : mapped_ipv4(v4->destination);
	struct endpoint endpoint = endpoint_of(ethernet, vlan, high, low, udp);
	if (!is_ours(&endpoint))
		return OTHER;

	if (!is_station(ethernet->source) || is_reflector(udp->source))
		return SOURCE;
	if (shape.is_v6 ? !is_host_v6(v6->source) : !is_host_v4(v4->source))
		return SOURCE;

	u8 version = (ntp->flags >> 3) & 7;
	if ((ntp->flags & 7) != MODE_CLIENT || (version != 3 && version != 4))
		return KIND;

	struct source source = shape.is_v6 ? source_v6(v6->source) : source_v4(v4->source);
	u32 judged = admit(&policy, source, udp->source, version, &held);
	if (judged != ADMITTED)
		return judged;

	u64 sum = envelope(udp, shape.is_v6 ? addresses_v6(v6) : addresses_v4(v4));
	if ((!shape.is_v6 && !is_whole_v4(v4)) || !is_whole_udp(udp, sum + payload(ntp), shape.is_v6))
		return CHECKSUM;

	if (!take_snapshot(&view))
		return NO_TIME;
	/* The one look at the clock: it costs as much as all the rest, and the reply leaves next. */
	s64 now = realtime(&view), served_ns = served(&view, now);
	if (served_ns < 0)
		return NO_TIME;
	if (is_leap_near(&view, served_ns))
		return LEAP;
	judged = pace(&policy, source, held, now);
	if (judged != ADMITTED)
		return judged;

	turn_round_ethernet(ethernet);
	if (shape.is_v6)
		turn_round_v6(v6);
	else
		turn_round_v4(v4);
	turn_round_udp(udp);
	u8 leap = announce(ntp, &view, version, now, served_ns);
	stamp(ntp, instant(served_ns));
	seal(udp, sum + payload(ntp));
	if (leap == LEAP_UNSYNCHRONISED)
		count(UNSYNCHRONISED);
	return version == 3 ? ANSWERED_V3 : ANSWERED_V4;
}

INLINE enum outcome look(void *frame, void *end)
{
	struct ethernet *ethernet = frame;
	struct vlan_tag *tag = (void *)(ethernet + 1);

	if ((void *)(tag + 1) > end)
		return OTHER;
	if (ethernet->type == NET16(TYPE_IPV4))
		return answer(frame, end, SHAPE_V4(sizeof *ethernet), 0);
	if (ethernet->type == NET16(TYPE_IPV6))
		return answer(frame, end, SHAPE_V6(sizeof *ethernet), 0);
	u16 vlan = NET16(tag->control) & VLAN_MASK;
	/* VLAN 0 is no VLAN but a priority. */
	if (ethernet->type != NET16(TYPE_VLAN) || vlan == 0)
		return OTHER;
	if (tag->type == NET16(TYPE_IPV4))
		return answer(frame, end, SHAPE_V4(sizeof *ethernet + sizeof *tag), vlan);
	if (tag->type == NET16(TYPE_IPV6))
		return answer(frame, end, SHAPE_V6(sizeof *ethernet + sizeof *tag), vlan);
	return OTHER;
}

SECTION("xdp") int fast_path(struct xdp_md *context)
{
	enum outcome outcome = look((void *)(long)context->data, (void *)(long)context->data_end);

	count(outcome);
	if (outcome == ANSWERED_V3 || outcome == ANSWERED_V4)
		return XDP_TX;
	return outcome == ACCESS || outcome == VERSION || outcome == LIMITED ? XDP_DROP : XDP_PASS;
}

/* True, and enough: nothing called here asks for the GPL. */
char terms[] SECTION("license") = "Apache-2.0 OR MIT";
