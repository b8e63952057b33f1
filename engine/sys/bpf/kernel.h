/*
 * What the kernel gives a BPF program: integer types, calls, and how maps are declared.
 *
 * Written out here (linux/bpf.h has it all) so that the object depends on the compiler alone and not on the
 * headers of the machine that builds it: what is shipped can then be compared with what is built.
 *
 * Must never: name a call that needs a program under the GPL, or one that Linux 6.1 does not have.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define INLINE static inline __attribute__((always_inline))
/* A function that the verifier looks at by itself, for any arguments. */
#define APART __attribute__((noinline))
#define SECTION(name) __attribute__((section(name), used))
/* Nothing is read or written on the other side of this line than where it stands. */
#define IN_ORDER() __asm__ volatile("" ::: "memory")
/* The compiler knows nothing more of the value. */
#define OPAQUE(value) __asm__ volatile("" : "+r"(value))

/* What an XDP program is given, as the program sees it. */
struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

enum verdict { XDP_DROP = 1, XDP_PASS = 2, XDP_TX = 3 };

/* A map is declared as a structure of pointers whose types the loader reads from BTF. */
#define MAP_NUMBER(name, value) int(*name)[value]
#define MAP_TYPE(name, type) type *name
enum { MAP_HASH = 1, MAP_ARRAY = 2 };
/* User space may have the map's memory in its own address space. */
enum { MAP_MMAPABLE = 1 << 10 };

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static u32 (*const random)(void) = (void *)7;
static u32 (*const processor)(void) = (void *)8;
/* CLOCK_BOOTTIME in nanoseconds. */
static u64 (*const boottime)(void) = (void *)125;
