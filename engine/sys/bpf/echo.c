/*
 * A plain echo in the driver: what answering there costs before anything is said. For benches.
 *
 * Ends are exchanged, the mode becomes a server's, and the nonce goes where a reply has it. Nothing is
 * asked of tables or of checksums, which stay right by arithmetic; nor of the time, or of that alone.
 *
 * Must never: be part of the server.
 */
#include "reply.h"

INLINE int turn_round(struct xdp_md *context)
{
	void *end = (void *)(long)context->data_end;
	struct ethernet *ethernet = (void *)(long)context->data;
	struct ipv4 *ip = (void *)(ethernet + 1);
	struct udp *udp = (void *)(ip + 1);
	struct ntp *ntp = (void *)(udp + 1);

	if ((void *)(ntp + 1) > end || ethernet->type != NET16(TYPE_IPV4))
		return XDP_PASS;
	if (ip->version_and_words != IPV4_PLAIN || ip->protocol != PROTOCOL_UDP || (ntp->flags & 7) != MODE_CLIENT)
		return XDP_PASS;
	u32 source = ip->source;
	ip->source = ip->destination;
	ip->destination = source;
	turn_round_ethernet(ethernet);
	turn_round_udp(udp);
	ntp->flags += MODE_SERVER - MODE_CLIENT;
	/* The first octet of a word is one more, so the checksum's is one less. */
	udp->checksum = ~folded((u16)~udp->checksum + 1);
	u64 nonce = ntp->transmit;
	ntp->transmit = ntp->origin;
	ntp->origin = nonce;
	return XDP_TX;
}

SECTION("xdp") int echo(struct xdp_md *context)
{
	return turn_round(context);
}

/* Looks at the clock once and says nothing of it: no answer with the time in it can cost less. */
SECTION("xdp") int clock_echo(struct xdp_md *context)
{
	boottime();
	return turn_round(context);
}

char terms[] SECTION("license") = "Apache-2.0 OR MIT";
