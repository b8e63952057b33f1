/*
 * From the kernel's clock to served time, to the wire.
 *
 * The same integer arithmetic as `Snapshot`, `Rate`, `NtpTimestamp` and `NtpShort` in engine/time, so that
 * a worker and this program give the same nanosecond for the same reading; a test compares them.
 *
 * Must never: round an arrival down, a departure up, or an error bound down.
 */
#pragma once

#include "snapshot.h"

#define NANOS_PER_S 1000000000LL
/* Seconds from 1900 to 1970. */
#define UNIX_EPOCH_S 2208988800ULL

/* What a clock of `rate` (units of 2^-48) gains in `elapsed` ns, rounded towards minus infinity. */
INLINE s64 gained(s64 rate, s64 elapsed)
{
	int negative = (rate < 0) != (elapsed < 0);
	u64 a = rate < 0 ? -(u64)rate : (u64)rate;
	u64 b = elapsed < 0 ? -(u64)elapsed : (u64)elapsed;
	/* 64 x 64 bits by hand: BPF has no wide product. */
	u64 low = (u64)(u32)a * (u32)b;
	u64 cross = (a >> 32) * (u32)b + (low >> 32);
	u64 other = (u64)(u32)a * (b >> 32) + (u32)cross;
	u64 high = (a >> 32) * (b >> 32) + (cross >> 32) + (other >> 32);
	low = (other << 32) | (u32)low;
	if (negative) {
		high = ~high + (low == 0);
		low = -low;
	}
	return (s64)((high << 16) | (low >> 48));
}

/* CLOCK_REALTIME now. */
INLINE s64 realtime(const struct snapshot *snapshot)
{
	return (s64)boottime() + snapshot->realtime_ahead;
}

INLINE s64 served(const struct snapshot *snapshot, s64 at)
{
	return at + snapshot->offset + gained(snapshot->rate, at - snapshot->epoch);
}

/* A time that is not before 1970, in seconds and what is over. */
struct instant {
	u64 seconds;
	u64 nanos;
};

INLINE struct instant instant(s64 nanos)
{
	u64 seconds = (u64)nanos / NANOS_PER_S;
	return (struct instant){ seconds, (u64)nanos - seconds * NANOS_PER_S };
}

/* The timestamp at or just before an instant. */
INLINE u64 ntp_floor(struct instant at)
{
	/* nanos / 10^9 in units of 2^-32, by the reciprocal: nanos is below 2^30 and the factor below 2^34, so the product
	 * fits; it lacks less than half a unit, so the quotient is right or one too small. */
	u64 fraction = at.nanos * ((1ULL << 63) / NANOS_PER_S) >> 31;
	if ((fraction + 1) * NANOS_PER_S <= at.nanos << 32)
		fraction++;
	return ((at.seconds + UNIX_EPOCH_S) << 32) | fraction;
}

/* The error bound in seconds of 16.16 bits, rounded up and within what clients read as positive. */
INLINE u32 ntp_short(s64 nanos)
{
	if (nanos <= 0)
		return 0;
	if (nanos >= 32767 * NANOS_PER_S)
		return 0x7FFFFFFF;
	return (u32)((((u64)nanos << 16) + NANOS_PER_S - 1) / NANOS_PER_S);
}

INLINE s64 root_dispersion(const struct snapshot *snapshot, s64 at)
{
	s64 age = at - snapshot->epoch;
	return snapshot->root_dispersion + gained(snapshot->dispersion_rate, age > 0 ? age : 0);
}

enum { LEAP_NONE, LEAP_INSERT, LEAP_DELETE };
/* Made by the mapping, by the kernel, or over. */
enum { OVER = 2 };

INLINE u32 leap_kind(const struct snapshot *snapshot)
{
	u32 kind = snapshot->leap_kind & 0xFF;
	return kind == LEAP_INSERT || kind == LEAP_DELETE ? kind : LEAP_NONE;
}

INLINE u64 leap_maker(const struct snapshot *snapshot)
{
	return snapshot->leap_kind >> 8;
}

/* Whether the snapshot may be used at the kernel time `at`; half a second is `BACKWARD_TOLERANCE`. */
INLINE int is_valid(const struct snapshot *snapshot, s64 at)
{
	return at <= snapshot->valid_until && at >= snapshot->epoch - NANOS_PER_S / 2;
}

/* From two seconds before a leap second until the snapshot no longer speaks of it: who answers decides for a whole
 * batch on which side of the leap it is, and that is the workers' art. */
INLINE int is_leap_near(const struct snapshot *snapshot, s64 served_ns)
{
	return leap_kind(snapshot) != LEAP_NONE && leap_maker(snapshot) < OVER &&
	       served_ns >= snapshot->leap_midnight - 2 * NANOS_PER_S;
}

/* The warning of a leap second that is over. */
INLINE int is_leap_past(const struct snapshot *snapshot, s64 served_ns)
{
	return leap_kind(snapshot) != LEAP_NONE && served_ns >= snapshot->leap_midnight;
}
