/*
 * What the load generator's programs share with user space: engine/sys/src/traffic/driver/shared.rs has the same
 * structures in Rust, and a test there compares their sizes.
 *
 * Times are nanoseconds after a base, a whole second of the realtime clock shortly before the run.
 */
#pragma once

#include "kernel.h"

/* What is decided before the programs are loaded: constants to the verifier, which leaves out what they rule out. */
struct plan {
	u64 base_tai_ns;   /* CLOCK_TAI at the base */
	u64 salt;          /* of the proofs in the nonces */
	u64 requests_max;
	u64 window;        /* closed loop: requests in flight; 0 of an open loop */
	u64 quantum;       /* closed loop: room from which on it is filled again */
	u64 rate_hz;       /* open loop */
	u64 burst;         /* open loop: requests of one burst */
	u64 flights_mask;  /* slots for requests in flight, less one */
	u32 flights_bits;  /* the number of bits in that */
	u32 pattern;       /* enum pattern */
	u32 base_ntp_s;    /* the base in seconds of NTP, modulo 2^32 */
	u32 clients;
	u32 first_client;  /* the address of client 0, of IPv6 its last 32 bits; in this processor's order */
	u32 first_port;
	u32 ports;
	u32 target_port;   /* from here on as on the wire */
	u32 is_v6;
	u32 is_echo;       /* replies are held to mode, version and origin only */
	u32 has_one_clock; /* T1 <= T2 <= T3 <= T4 must hold */
	u32 version;
	u32 reply_mode;
	u32 ip_sum;        /* of the IPv4 header without source */
	u32 udp_sum;       /* of what the UDP checksum covers, without source and nonce */
	u32 companions;    /* frames that go along with requests, in turns */
	u32 along_each;    /* so many of them with ... */
	u32 along_with;    /* ... so many requests */
	u32 along_port;    /* where replies to them go, in this processor's order; 0: nowhere */
	u32 along_len;     /* of such a reply's datagram */
	u64 target[2];     /* an IPv4 address is in the first four octets */
	u64 network[2];    /* of the clients */
	u64 mask[2];
	u64 frame[14];     /* a request without source, nonce and checksums */
};

enum pattern { CONSTANT, POISSON, BURSTS, CROWD };

/* The run: what user space sets, what the sending program keeps, what replies change. A cache line or two each. */
struct course {
	s64 start_ns;
	s64 end_ns;
	u64 is_stopped;
	u64 given_up;      /* requests that user space took out of flight */
	u64 padding_1[4];

	u64 next;          /* number of the next request */
	s64 due_ns;        /* when it is due */
	u64 due_fraction;  /* and parts of 2^-16 ns */
	u64 random;
	s64 last_ns;       /* the clock's last reading; 0 before there is one */
	s64 ended_ns;      /* when offering ended; 0 before */
	u64 idle_ns;
	u64 evicted;       /* requests whose slot was needed before they were answered */
	u64 client;
	u64 pending;       /* frames given to the kernel of which it has not said yet what it did with them */
	u64 dropped;       /* frames for which the device had no room */
	u32 core;          /* of the sending program, and one */
	u32 port;
	u32 was_idle;
	u32 is_filling;
	u64 along;         /* companions sent */
	u32 along_owed;    /* companions to be sent before the next request */
	u32 along_turn;    /* whose turn is next */

	u64 landed;        /* closed loop: requests answered */
	u64 padding_3[7];
};

/* A request: its state is intended time << 6 | generation << 2 | stage. */
struct flight {
	u64 state;
	s64 sent_ns;
};

enum stage { NEVER, PENDING, ANSWERED, GIVEN_UP, STAGES };
enum { GENERATIONS = 16, STATE_BITS = 6 };

/* Why a reply is not valid, in the order of `Fault` in loadgen/src/check.rs. */
enum fault {
	STRAY,
	LONG,
	SHORT,
	CODE,
	MODE,
	VERSION,
	REFUSED,
	LEAP,
	STRATUM,
	ZERO_TIME,
	ORIGIN,
	DUPLICATE,
	LATE,
	RECEIVED_BEFORE_SENT,
	TRANSMITTED_BEFORE_RECEIVED,
	ARRIVED_BEFORE_TRANSMITTED,
	DAMAGED,
	FAULTS,
};

/* Buckets as HdrHistogram has them with three digits: one a nanosecond below 2048, then 1024 for each doubling. */
enum { BUCKET_BITS = 10, VALUE_BITS = 36, BUCKETS = (VALUE_BITS - BUCKET_BITS + 1) << BUCKET_BITS };

enum measure { LAG, LATENCY, OFFSET, RECEIVE_ERROR, TRANSMIT_ERROR, RESIDENCE, MEASURES };

/* What one core counts. */
struct tally {
	u64 answered;
	u64 answered_in_time;
	u64 causality_violations;
	u64 along_answered;
	u64 faults[FAULTS];
	s64 sums_ns[MEASURES];
	/* Values from zero on, and magnitudes of those below. They may wrap round between two looks. */
	u32 above[MEASURES][BUCKETS];
	u32 below[MEASURES][BUCKETS];
};

/* A frame that goes along with requests as it is. */
enum { COMPANION_LEN_MAX = 504 };
struct companion {
	u64 len;
	u8 octets[COMPANION_LEN_MAX];
};

/* Exponential gaps at even quantiles, in parts of 2^-16 ns. */
enum { GAPS = 8192 };
struct gaps {
	u64 gap[GAPS];
};
