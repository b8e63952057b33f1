/*
 * The snapshot: what the discipline thread publishes to workers, as a reader of another kind finds it.
 *
 * The words are those of engine/time/src/snapshot.rs, in that order, behind a sequence that is odd while
 * they are written. One word is added by who writes this copy: how far CLOCK_REALTIME, on which all the
 * others are, is ahead of CLOCK_BOOTTIME, which is the clock a BPF program can read. That difference
 * changes by nothing but a step. CLOCK_TAI could be read as well, but its distance is a number of seconds
 * that any program may set from 0 to 37 at any moment.
 *
 * Loads of x86-64 are not exchanged with loads, so the compiler alone must be kept in order; the loader
 * refuses other machines.
 *
 * Must never: use words of two snapshots.
 */
#pragma once

#include "kernel.h"

struct snapshot {
	u64 sequence;
	/* Octets 0 to 7 of a reply: leap, stratum (16: none), zero, precision, root delay. */
	u64 first;
	u64 reference_id;
	u64 reference;
	s64 root_dispersion;
	s64 dispersion_rate;
	s64 epoch;
	s64 offset;
	s64 rate;
	s64 valid_until;
	s64 leap_midnight;
	u64 leap_kind;
	/* CLOCK_REALTIME - CLOCK_BOOTTIME. */
	s64 realtime_ahead;
	u64 unused[3];
};
_Static_assert(sizeof(struct snapshot) == 128, "sequence and fifteen words");

struct {
	MAP_NUMBER(type, MAP_ARRAY);
	MAP_NUMBER(map_flags, MAP_MMAPABLE);
	MAP_NUMBER(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct snapshot);
} published SECTION(".maps");

/* A writer needs a fraction of a microsecond; one that is interrupted half way does not come back while we wait. */
enum { TRIES = 4 };

/* Takes the published snapshot whole; false if there is none yet or it is being written. */
INLINE int take_snapshot(struct snapshot *view)
{
	u32 only = 0;
	volatile struct snapshot *shared = map_lookup(&published, &only);
	if (!shared)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < TRIES; i++) {
		u64 before = shared->sequence;
		IN_ORDER();
		view->first = shared->first;
		view->reference_id = shared->reference_id;
		view->reference = shared->reference;
		view->root_dispersion = shared->root_dispersion;
		view->dispersion_rate = shared->dispersion_rate;
		view->epoch = shared->epoch;
		view->offset = shared->offset;
		view->rate = shared->rate;
		view->valid_until = shared->valid_until;
		view->leap_midnight = shared->leap_midnight;
		view->leap_kind = shared->leap_kind;
		view->realtime_ahead = shared->realtime_ahead;
		IN_ORDER();
		if (!(before & 1) && shared->sequence == before)
			return before != 0;
	}
	return 0;
}
