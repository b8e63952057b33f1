/*
 * What an answer is made of, each part a program of its own, to be timed. For benches.
 *
 * A part that changes the frame, or reads it, has the request written anew first, and `request` says what that
 * costs; `nothing` is what it costs to run a program at all. Parts call what `answer` calls.
 *
 * Must never: be part of the server.
 */
#include "fast_path.c"

/* A plain request over IPv4, which the loader puts here. */
struct frame {
	u64 word[12];
};
const volatile struct frame request_frame = {};

/* The request of this run; null if the frame is of another length. */
INLINE struct ethernet *fresh(struct xdp_md *context)
{
	u64 *word = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;

	if ((void *)(word + 11) + sizeof(u16) > end)
		return 0;
	for (int i = 0; i < 11; i++)
		word[i] = request_frame.word[i];
	*(u16 *)(word + 11) = request_frame.word[11];
	return (void *)word;
}

#define PART(name) SECTION("xdp") int name(struct xdp_md *context)
/* The frame and its headers, as `answer` has them. */
#define REQUEST()                                              \
	struct ethernet *ethernet = fresh(context);            \
	struct ipv4 *ip = (void *)(ethernet + 1);              \
	struct udp *udp = (void *)(ip + 1);                    \
	if (!ethernet)                                         \
		return XDP_PASS

PART(nothing)
{
	return context->data ? XDP_TX : XDP_PASS;
}

PART(request)
{
	return fresh(context) ? XDP_TX : XDP_PASS;
}

PART(clock)
{
	return context->data && boottime() ? XDP_TX : XDP_PASS;
}

PART(ours)
{
	REQUEST();
	struct endpoint endpoint = endpoint_of(ethernet, 0, 0, mapped_ipv4(ip->destination), udp);
	return is_ours(&endpoint) ? XDP_TX : XDP_PASS;
}

/* As if it were not among the usual. */
PART(ours_by_hash)
{
	REQUEST();
	struct endpoint endpoint = endpoint_of(ethernet, 0, 0, mapped_ipv4(ip->destination), udp);
	return map_lookup(&endpoints, &endpoint) ? XDP_TX : XDP_PASS;
}

PART(checksums)
{
	REQUEST();
	u64 sum = envelope(udp, addresses_v4(ip)) + payload((void *)(udp + 1));
	return is_whole_v4(ip) && is_whole_udp(udp, sum, 0) ? XDP_TX : XDP_PASS;
}

PART(access)
{
	REQUEST();
	struct view policy;
	int held;
	return admit(&policy, source_v4(ip->source), udp->source, 4, &held) == ADMITTED ? XDP_TX : XDP_PASS;
}

/* Of the same client again and again. */
PART(limits)
{
	struct view policy;
	if (!take_policy(&policy) || !context->data)
		return XDP_PASS;
	return pace(&policy, source_v4(0x097100CB), LIMITED_RATE, 1) == ADMITTED ? XDP_TX : XDP_PASS;
}

/* Of another of a million each time; drawing it is in the price. */
PART(limits_of_many)
{
	struct view policy;
	u32 client = random() & 0xFFFFF;
	if (!take_policy(&policy) || !context->data)
		return XDP_PASS;
	return pace(&policy, source_v4(client), LIMITED_RATE, 1) == ADMITTED ? XDP_TX : XDP_PASS;
}

PART(snapshot)
{
	struct snapshot view;
	s64 served_ns = context->data && take_snapshot(&view) ? served(&view, view.epoch + NANOS_PER_S) : -1;
	return served_ns >= 0 && !is_leap_near(&view, served_ns) ? XDP_TX : XDP_PASS;
}

/* Beside the snapshot, which it needs. */
PART(reply)
{
	REQUEST();
	struct ntp *ntp = (void *)(udp + 1);
	struct snapshot view;
	if (!take_snapshot(&view))
		return XDP_PASS;
	s64 now = view.epoch + NANOS_PER_S, served_ns = served(&view, now);
	turn_round_ethernet(ethernet);
	turn_round_v4(ip);
	turn_round_udp(udp);
	announce(ntp, &view, 4, now, served_ns);
	stamp(ntp, instant(served_ns));
	seal(udp, payload(ntp));
	return XDP_TX;
}

PART(tally)
{
	count(ANSWERED_V4);
	return context->data ? XDP_TX : XDP_PASS;
}

PART(whole)
{
	void *frame = fresh(context);
	if (!frame)
		return XDP_PASS;
	enum outcome outcome = answer(frame, (void *)(long)context->data_end, SHAPE_V4(sizeof(struct ethernet)), 0);
	count(outcome);
	return outcome == ANSWERED_V4 ? XDP_TX : XDP_PASS;
}
