/*
 * What became of frames, counted by each processor for itself.
 *
 * A plain array with a row per processor instead of a per-CPU map: user space has its memory before its
 * eyes and reads it without a system call, also where a sandbox forbids that one. A program is not
 * interrupted by itself on one processor, so adding needs no lock.
 *
 * Must never: be in another order than `Outcome` in xdp/counts.rs.
 */
#pragma once

#include "kernel.h"

enum outcome {
	/* Not a frame of the shape of a plain request to us: the kernel's. */
	OTHER,
	/* Answered, by version. */
	ANSWERED_V3,
	ANSWERED_V4,
	/* Among those: with leap 3. */
	UNSYNCHRONISED,
	/* Given to the workers: no client can have sent it from there. */
	SOURCE,
	/* Given to the workers: another version or mode. */
	KIND,
	/* Given to the kernel, which drops it: a checksum is wrong. */
	CHECKSUM,
	/* Given to the workers: a leap second is near. */
	LEAP,
	/* Given to the workers: no snapshot was published yet, or one is being written all the time. */
	NO_TIME,
	/* Given to the workers: there is no policy, or another one by now, or rules lie too deep. */
	RULES,
	/* Given to the workers: over its limit, of which it may be told. */
	KISSABLE,
	/* Dropped from here on: the workers would not answer either. A rule gives it no time, or only with a key. */
	ACCESS,
	/* A rule gives it no time in this version. */
	VERSION,
	/* It is over its limit. */
	LIMITED,
	/* Beside an outcome from here on. Over its limit, and answered by chance. */
	LEAKED,
	/* Would have been over its limit, were limits on. */
	OBSERVED,
	/* A client's place in the ledger was needed for another. */
	FORGOTTEN,
	OUTCOMES,
};

/* Three cache lines, so that no two processors write to one. */
struct row {
	u64 of[24];
};
_Static_assert(OUTCOMES <= 24, "they fit a row");

struct {
	MAP_NUMBER(type, MAP_ARRAY);
	MAP_NUMBER(map_flags, MAP_MMAPABLE);
	MAP_NUMBER(max_entries, 1); /* the loader makes it one per processor */
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct row);
} counts SECTION(".maps");

INLINE void count(enum outcome outcome)
{
	u32 self = processor();
	struct row *row = map_lookup(&counts, &self);
	if (row && outcome < OUTCOMES)
		row->of[outcome]++;
}
