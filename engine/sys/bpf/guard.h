/*
 * Who is refused before a reply is thought of.
 *
 * Between parsing and replying, so that nothing has been written yet: what is refused here goes to the
 * workers as it came, and they count the reason. The rules are those of the responder's gate, and of a
 * kernel that takes nothing from 127/8 or the first 2^64 addresses of IPv6 off a wire.
 *
 * Must never: let through a reflector (ports 7, 13, 17, 19), or anything that is no address of one host.
 */
#pragma once

#include "wire.h"

INLINE int is_reflector(u16 port)
{
	return port == NET16(0) || port == NET16(7) || port == NET16(13) || port == NET16(17) || port == NET16(19);
}

/* An address of one host: not 0/8, not 127/8, nor multicast or class E, which has the broadcast address. */
INLINE int is_host_v4(u32 address)
{
	u8 first = (u8)address;
	return first != 0 && first != 127 && first < 224;
}

/* Not multicast, unspecified, loopback, or an IPv4 address in disguise. */
INLINE int is_host_v6(const u64 address[2])
{
	return (u8)address[0] != 0xFF && address[0] != 0;
}

/* A station's address, not one of a group. */
INLINE int is_station(const u16 address[3])
{
	return !(address[0] & 1);
}
