/*
 * The load generator in the kernel: one program makes requests, another checks their replies.
 *
 * `offer` is run over and over by the kernel (BPF_PROG_TEST_RUN with live frames), each time with a frame of its own:
 * if a request is due it is written and leaves by the device, if not the frame is dropped and the next run looks at the
 * clock again. `check` sees what arrives at the same device: replies are held to their requests, timed, counted and
 * dropped; all else passes. `left` hears from the kernel how many frames the device took.
 *
 * Along with requests may go other frames, which user space has prepared: replies to them are counted and no more.
 *
 * The nonce in the transmit timestamp is the request's number and a keyed proof of number, client's address and port.
 * Whichever of these a reply has wrong, it answers no request of ours.
 *
 * Must never: send to anybody but the target, or take a packet that is not for one of the clients.
 */
#include "generator.h"
#include "wire.h"

const volatile struct plan plan = {};

#define SHARED_ARRAY(kind, name)                     \
	struct {                                     \
		MAP_NUMBER(type, MAP_ARRAY);         \
		MAP_NUMBER(map_flags, MAP_MMAPABLE); \
		MAP_NUMBER(max_entries, 1);          \
		MAP_TYPE(key, u32);                  \
		MAP_TYPE(value, struct kind);        \
	} name SECTION(".maps")
SHARED_ARRAY(course, the_course);
SHARED_ARRAY(gaps, the_gaps);
SHARED_ARRAY(flight, flights); /* the loader makes it as many as the plan says */
SHARED_ARRAY(companion, companions); /* the loader makes it as many as there are */
SHARED_ARRAY(tally, tallies);  /* the loader makes it one for each core */

/* CLOCK_TAI in nanoseconds. */
static u64 (*const tai)(void) = (void *)208;
/* Moves the end of a frame. */
static long (*const adjust_tail)(struct xdp_md *context, int by) = (void *)65;
/* Writes into a frame. */
static long (*const store)(struct xdp_md *context, u32 at, const void *from, u32 len) = (void *)190;

enum {
	/* More fragments to come, or not the first one. */
	FRAGMENT = 0x3FFF,
	NANOS_PER_S = 1000000000,
	LEAP_UNKNOWN = 3,
	STRATUM_MAX = 15,
};

INLINE s64 now_ns(void)
{
	return tai() - plan.base_tai_ns;
}

/* The finalizer of MurmurHash3: every bit of the result depends on every bit of `x`. */
INLINE u64 stirred(u64 x)
{
	x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCD;
	x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53;
	return x ^ (x >> 33);
}

/* The nonce of request `number` from a client, as it is on the wire. */
INLINE u64 nonce(u64 number, u32 address, u16 port)
{
	u64 proof = stirred(stirred(plan.salt ^ number) + ((u64)address << 16 | port));
	return (proof & ~0xFFFFFFFFULL) | number;
}

/* Counts a value where HdrHistogram has it; what is beyond its range counts at the edge. */
INLINE void record(struct tally *tally, enum measure measure, s64 value)
{
	u64 size = value < 0 ? -value : value;
	u32 doublings = 0;

	if (size >> VALUE_BITS)
		size = (1ULL << VALUE_BITS) - 1;
#pragma unroll
	for (u32 step = 16; step; step >>= 1)
		if (size >> (doublings + BUCKET_BITS + step))
			doublings += step;
	u32 bucket = (doublings << BUCKET_BITS) + (u32)(size >> doublings);
	if (bucket >= BUCKETS)
		return;
	tally->sums_ns[measure] += value;
	if (value < 0)
		tally->below[measure][bucket]++;
	else
		tally->above[measure][bucket]++;
}

/* Moves on to the moment of the next request. */
INLINE void schedule(struct course *course)
{
	u32 zero = 0;
	u64 number = course->next, after_ns;

	if (plan.pattern == POISSON) {
		struct gaps *gaps = map_lookup(&the_gaps, &zero);
		u64 x = course->random;
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		course->random = x;
		if (gaps) {
			u64 sum = course->due_fraction + gaps->gap[(x >> 32) % GAPS];
			course->due_ns += sum >> 16;
			course->due_fraction = sum & 0xFFFF;
		}
		return;
	}
	if (plan.pattern == CONSTANT)
		after_ns = number * NANOS_PER_S / plan.rate_hz;
	else if (plan.pattern == BURSTS)
		after_ns = number / plan.burst * plan.burst * NANOS_PER_S / plan.rate_hz;
	else
		after_ns = number / plan.rate_hz * NANOS_PER_S;
	course->due_ns = course->start_ns + after_ns;
}

INLINE int is_due(struct course *course, s64 now)
{
	if (!plan.window)
		return course->due_ns <= now;
	u64 in_flight = course->next - course->landed - course->given_up - course->evicted;
	if (in_flight >= plan.window)
		course->is_filling = 0;
	else if (plan.window - in_flight >= plan.quantum)
		course->is_filling = 1;
	return course->is_filling;
}

/* Enters the next request into the table of those in flight. */
INLINE int launch(struct course *course, s64 intended, s64 now)
{
	u64 number = course->next;
	u32 slot = number & plan.flights_mask;
	u64 generation = (number >> plan.flights_bits) % GENERATIONS;
	struct flight *flight = map_lookup(&flights, &slot);

	if (!flight)
		return 0;
	flight->sent_ns = now;
	u64 state = (u64)intended << STATE_BITS | generation * STAGES | PENDING;
	u64 before = __sync_lock_test_and_set(&flight->state, state);
	if (before % STAGES == PENDING)
		course->evicted++;
	course->next = number + 1;
	return 1;
}

/* The address and port of the client whose turn it is, as on the wire. */
INLINE void take_turn(struct course *course, u32 *address, u16 *port)
{
	u64 client = course->client;

	*address = __builtin_bswap32(plan.first_client + (u32)client);
	*port = NET16(plan.first_port + course->port);
	if (client + 1 < plan.clients) {
		course->client = client + 1;
		course->port = course->port + 1 < plan.ports ? course->port + 1 : 0;
	} else {
		course->client = 0;
		course->port = 0;
	}
}

INLINE void write(struct udp *udp, u64 number, u32 address, u16 port)
{
	struct ntp *ntp = (void *)(udp + 1);

	udp->source = port;
	ntp->transmit = nonce(number, address, port);
	u16 checksum = ~folded(add64(plan.udp_sum + (u64)address + port, ntp->transmit));
	/* Zero would say that there is none. */
	udp->checksum = checksum ? checksum : 0xFFFF;
}

INLINE int write_v4(void *frame, void *end, u64 number, u32 address, u16 port)
{
	u64 *word = frame;
	struct ipv4 *ip = frame + sizeof(struct ethernet);
	struct udp *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) + sizeof(struct ntp) > end)
		return 0;
#pragma unroll
	for (int i = 0; i < 11; i++)
		word[i] = plan.frame[i];
	*(u16 *)(word + 11) = plan.frame[11];
	ip->source = address;
	ip->checksum = ~folded(plan.ip_sum + (u64)address);
	write(udp, number, address, port);
	return 1;
}

INLINE int write_v6(void *frame, void *end, u64 number, u32 address, u16 port)
{
	u64 *word = frame;
	struct ipv6 *ip = frame + sizeof(struct ethernet);
	struct udp *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) + sizeof(struct ntp) > end)
		return 0;
#pragma unroll
	for (int i = 0; i < 13; i++)
		word[i] = plan.frame[i];
	*(u32 *)(word + 13) = plan.frame[13];
	*((u16 *)(word + 13) + 2) = plan.frame[13] >> 32;
	*((u32 *)&ip->source[1] + 1) = address;
	write(udp, number, address, port);
	return 1;
}

/* Sends the companion whose turn it is. */
INLINE int send_along(struct xdp_md *context, struct course *course)
{
	u32 turn = course->along_turn;
	struct companion *companion = map_lookup(&companions, &turn);

	course->along_owed--;
	course->along_turn = turn + 1 < plan.companions ? turn + 1 : 0;
	if (!companion)
		return XDP_DROP;
	u64 len = companion->len;
	if (len == 0 || len > COMPANION_LEN_MAX)
		return XDP_DROP;
	/* Every run begins with a frame as long as a request. */
	u32 request_len = sizeof(struct ethernet) + (plan.is_v6 ? sizeof(struct ipv6) : sizeof(struct ipv4)) +
			  sizeof(struct udp) + sizeof(struct ntp);
	if (adjust_tail(context, (int)len - (int)request_len) ||
	    store(context, 0, companion->octets, len))
		return XDP_DROP;
	course->along++;
	course->pending++;
	return XDP_TX;
}

/* Makes a request if one is due. */
SECTION("xdp") int offer(struct xdp_md *context)
{
	void *frame = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	u32 zero = 0, core = processor();
	struct course *course = map_lookup(&the_course, &zero);
	struct tally *tally = map_lookup(&tallies, &core);
	u32 address;
	u16 port;

	if (!course || !tally)
		return XDP_DROP;
	s64 now = now_ns(), last = course->last_ns;
	course->last_ns = now;
	if ((now < course->start_ns && !course->is_stopped) || course->ended_ns)
		return XDP_DROP;
	if (course->was_idle)
		course->idle_ns += now - last;
	u64 number = course->next;
	if (now >= course->end_ns || course->is_stopped || number >= plan.requests_max) {
		course->ended_ns = now;
		return XDP_DROP;
	}
	if (course->along_owed) {
		course->was_idle = 0;
		course->core = core + 1;
		return send_along(context, course);
	}
	course->was_idle = !is_due(course, now);
	if (course->was_idle)
		return XDP_DROP;
	s64 intended = plan.window ? now : course->due_ns;
	take_turn(course, &address, &port);
	if (plan.is_v6 ? !write_v6(frame, end, number, address, port) : !write_v4(frame, end, number, address, port))
		return XDP_DROP;
	if (!launch(course, intended, now))
		return XDP_DROP;
	if (!plan.window) {
		record(tally, LAG, now - intended);
		schedule(course);
	}
	if (plan.along_with && course->next % plan.along_with == 0)
		course->along_owed = plan.along_each;
	course->core = core + 1;
	course->pending++;
	return XDP_TX;
}

/*
 * The kernel hands frames to a device in bulk and says here what became of them. Between runs of `offer` and their bulk
 * nothing else uses their core.
 */
SECTION("raw_tracepoint/xdp_devmap_xmit") int left(u64 *arguments)
{
	u32 zero = 0;
	struct course *course = map_lookup(&the_course, &zero);
	u32 sent = arguments[2], dropped = arguments[3];

	if (!course || course->core != processor() + 1 || (u64)sent + dropped > course->pending)
		return 0;
	course->pending -= (u64)sent + dropped;
	course->dropped += dropped;
	return 0;
}

/* A datagram for one of the clients. */
struct arrival {
	struct udp *udp;
	u64 addresses;  /* their sum */
	u32 room;       /* octets that the IP header leaves for it */
	u32 client;     /* the client's address, of IPv6 its last 32 bits; as on the wire */
	int is_targets; /* it comes from the target's address */
	int is_damaged; /* its IP header is */
};

INLINE int find_v4(void *frame, void *end, struct arrival *arrival)
{
	struct ipv4 *ip = frame + sizeof(struct ethernet);
	const u32 *word = (const u32 *)ip;

	if ((void *)(ip + 1) > end || ip->version_and_words != IPV4_PLAIN || ip->protocol != PROTOCOL_UDP ||
	    ip->fragment & NET16(FRAGMENT) || (ip->destination & (u32)plan.mask[0]) != (u32)plan.network[0])
		return 0;
	u32 len = NET16(ip->len);
	arrival->is_damaged = folded((u64)word[0] + word[1] + word[2] + word[3] + word[4]) != 0xFFFF || len < sizeof *ip;
	arrival->room = len - sizeof *ip;
	arrival->udp = (void *)(ip + 1);
	arrival->addresses = (u64)ip->source + ip->destination;
	arrival->client = ip->destination;
	arrival->is_targets = ip->source == (u32)plan.target[0];
	return 1;
}

INLINE int find_v6(void *frame, void *end, struct arrival *arrival)
{
	struct ipv6 *ip = frame + sizeof(struct ethernet);

	if ((void *)(ip + 1) > end || ip->next != PROTOCOL_UDP ||
	    (ip->destination[0] & plan.mask[0]) != plan.network[0] ||
	    (ip->destination[1] & plan.mask[1]) != plan.network[1])
		return 0;
	arrival->is_damaged = 0;
	arrival->room = NET16(ip->len);
	arrival->udp = (void *)(ip + 1);
	u64 sum = add64(add64(0, ip->source[0]), ip->source[1]);
	arrival->addresses = add64(add64(sum, ip->destination[0]), ip->destination[1]);
	arrival->client = ip->destination[1] >> 32;
	arrival->is_targets = ip->source[0] == plan.target[0] && ip->source[1] == plan.target[1];
	return 1;
}

/* A checksum is right, or left to a card that the frame never comes to: then it is the sum of the envelope's half. */
INLINE int is_whole(struct arrival *arrival, struct udp *udp)
{
	struct ntp *ntp = (void *)(udp + 1);

	if (!udp->checksum)
		return !plan.is_v6;
	u64 sum = envelope(udp, arrival->addresses) + udp->checksum + payload(ntp);
	u64 half = arrival->addresses + NET16(PROTOCOL_UDP) + udp->len;
	return folded(sum) == 0xFFFF || udp->checksum == folded(half);
}

/* What is wrong with the header alone, of `FAULTS` nothing. */
INLINE enum fault inspect(const struct ntp *ntp)
{
	u32 id = ntp->reference_id;

	if ((ntp->flags & 7) != plan.reply_mode)
		return MODE;
	if (((ntp->flags >> 3) & 7) != plan.version)
		return VERSION;
	if (plan.is_echo)
		return FAULTS;
	if (!ntp->stratum && (id == *(u32 *)"RATE" || id == *(u32 *)"DENY" || id == *(u32 *)"RSTR"))
		return REFUSED;
	if (ntp->flags >> 6 == LEAP_UNKNOWN)
		return LEAP;
	if (!ntp->stratum || ntp->stratum > STRATUM_MAX)
		return STRATUM;
	return ntp->receive && ntp->transmit ? FAULTS : ZERO_TIME;
}

/* A time on the wire to the nearest nanosecond; right within 68 years. */
INLINE s64 nanos(u64 time)
{
	u64 bits = NET64(time);
	s64 since = (int)((u32)(bits >> 32) - plan.base_ntp_s);
	u64 part = (u64)(u32)bits * NANOS_PER_S + (1ULL << 31);
	return since * NANOS_PER_S + (s64)(part >> 32);
}

/* Measures the four times of an exchange, and says what makes them impossible. */
INLINE enum fault compare(struct tally *tally, const struct ntp *ntp, s64 t1, s64 t4)
{
	s64 t2 = nanos(ntp->receive), t3 = nanos(ntp->transmit);

	record(tally, RESIDENCE, t3 - t2);
	if (!plan.has_one_clock) {
		if (t3 < t2)
			return TRANSMITTED_BEFORE_RECEIVED;
		return t4 - t1 < t3 - t2 ? ARRIVED_BEFORE_TRANSMITTED : FAULTS;
	}
	record(tally, RECEIVE_ERROR, t2 - t1);
	record(tally, TRANSMIT_ERROR, t4 - t3);
	record(tally, OFFSET, ((t2 - t1) - (t4 - t3)) >> 1);
	if (t2 < t1)
		return RECEIVED_BEFORE_SENT;
	if (t3 < t2)
		return TRANSMITTED_BEFORE_RECEIVED;
	return t4 < t3 ? ARRIVED_BEFORE_TRANSMITTED : FAULTS;
}

/* Holds a reply to its request. */
INLINE enum fault judge(struct course *course, struct tally *tally, u32 client, u16 port, const struct ntp *ntp)
{
	s64 now = now_ns();
	u64 number = (u32)ntp->origin;
	u32 slot = number & plan.flights_mask;
	u64 generation = (number >> plan.flights_bits) % GENERATIONS;
	struct flight *flight = map_lookup(&flights, &slot);

	if (!flight || ntp->origin != nonce(number, client, port) || number >= course->next)
		return ORIGIN;
	u64 state = flight->state;
	s64 sent_ns = flight->sent_ns;
	if (state / STAGES % GENERATIONS != generation || state % STAGES == GIVEN_UP)
		return LATE;
	if (state % STAGES != PENDING)
		return DUPLICATE;
	enum fault fault = inspect(ntp);
	if (fault != FAULTS)
		return fault;
	/* Whoever takes it out of flight counts it. */
	if (__sync_val_compare_and_swap(&flight->state, state, state - PENDING + ANSWERED) != state)
		return LATE;
	if (plan.window)
		__sync_fetch_and_add(&course->landed, 1);
	if (!plan.is_echo)
		fault = compare(tally, ntp, sent_ns, now);
	if (fault != FAULTS) {
		tally->causality_violations++;
		return fault;
	}
	tally->answered++;
	tally->answered_in_time += !course->ended_ns || now <= course->ended_ns;
	record(tally, LATENCY, now - (s64)(state >> STATE_BITS));
	return FAULTS;
}

/* Whether it is a reply to a companion. */
INLINE int answers_companion(const struct arrival *arrival, const struct udp *udp, const void *end)
{
	const struct ntp *ntp = (const void *)(udp + 1);

	return arrival->is_targets && udp->source == plan.target_port && !arrival->is_damaged &&
	       NET16(udp->len) == plan.along_len && plan.along_len <= arrival->room && (const void *)(ntp + 1) <= end &&
	       (ntp->flags & 7) == plan.reply_mode;
}

/* Takes what answers us. */
SECTION("xdp") int check(struct xdp_md *context)
{
	void *frame = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethernet *ethernet = frame;
	struct arrival arrival = {};
	u32 zero = 0, core = processor();
	struct course *course = map_lookup(&the_course, &zero);
	struct tally *tally = map_lookup(&tallies, &core);

	if (!course || !tally || (void *)(ethernet + 1) > end)
		return XDP_PASS;
	if (ethernet->type != (plan.is_v6 ? NET16(TYPE_IPV6) : NET16(TYPE_IPV4)))
		return XDP_PASS;
	if (plan.is_v6 ? !find_v6(frame, end, &arrival) : !find_v4(frame, end, &arrival))
		return XDP_PASS;
	struct udp *udp = arrival.udp;
	struct ntp *ntp = (void *)(udp + 1);
	if ((void *)(udp + 1) > end)
		return XDP_PASS;
	if (plan.along_port && NET16(udp->destination) == plan.along_port) {
		tally->along_answered += answers_companion(&arrival, udp, end);
		return XDP_DROP;
	}
	if ((u32)NET16(udp->destination) - plan.first_port >= plan.ports)
		return XDP_PASS;
	u32 len = NET16(udp->len);
	enum fault fault = FAULTS;
	if (!arrival.is_targets || udp->source != plan.target_port)
		fault = STRAY;
	else if (arrival.is_damaged || len < sizeof *udp || len > arrival.room)
		fault = DAMAGED;
	else if (len > UDP_LEN)
		fault = LONG;
	else if (len < UDP_LEN)
		fault = SHORT;
	else if ((void *)(ntp + 1) > end || !is_whole(&arrival, udp))
		fault = DAMAGED;
	else
		fault = judge(course, tally, arrival.client, udp->destination, ntp);
	if (fault < FAULTS)
		tally->faults[fault]++;
	return XDP_DROP;
}

/* True, and enough: nothing called here asks for the GPL. */
char terms[] SECTION("license") = "Apache-2.0 OR MIT";
