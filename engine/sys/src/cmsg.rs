//! Control messages: what the kernel says about a datagram beside its bytes.
//!
//! A received datagram brings its arrival stamp and the local address it was sent to; a reply takes
//! the latter back, so that it leaves from the address that was asked (anycast, several addresses).
//! The walk is over plain bytes with every length checked, so damaged control bytes yield less,
//! never harm.
//!
//! Must never: read beyond the bytes given, loop on a length of zero, or give a stamp out of range.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use timeball_time::{Realtime, Timestamp};

/// What control messages said about one datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Control {
    /// The kernel's software stamp: of arrival, or, from an error queue, of departure.
    pub stamp: Option<Timestamp<Realtime>>,
    /// Where the datagram was sent to.
    pub local: Option<PacketInfo>,
}

/// A local address and the interface a datagram came in by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketInfo {
    /// The local address; for an IPv4 broadcast or multicast the address to answer it from.
    pub address: IpAddr,
    /// The interface's index.
    pub interface: u32,
}

impl Control {
    /// Walks received control bytes; the first message of each kind counts.
    #[inline]
    pub fn decode(mut bytes: &[u8]) -> Self {
        let mut control = Self::default();
        while let Some((message, rest)) = next(bytes) {
            bytes = rest;
            match (message.level, message.kind) {
                (libc::SOL_SOCKET, TIMESTAMPNS_NEW | TIMESTAMPING_NEW | TIMESTAMPING_OLD) => {
                    control.stamp = control.stamp.or_else(|| stamp(message.data));
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    control.local = control.local.or_else(|| packet_info_v4(message.data));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    control.local = control.local.or_else(|| packet_info_v6(message.data));
                }
                _ => {}
            }
        }
        control
    }
}

impl PacketInfo {
    /// Writes the one control message that makes a datagram leave from this address.
    ///
    /// Returns its length, or 0 when none is needed or possible: the address is unspecified or an
    /// IPv6 multicast group, or `bytes` is too short. The interface is fixed for link-local
    /// addresses only; elsewhere the routing table decides, which may rightly differ from the way
    /// in.
    #[inline]
    pub fn encode(&self, bytes: &mut [u8]) -> usize {
        match self.address {
            IpAddr::V4(address) => {
                if address.is_unspecified() || bytes.len() < PKTINFO_V4_SPACE {
                    return 0;
                }
                let mut data = [0; 12]; // struct in_pktinfo: interface, source, address seen
                data[4..8].copy_from_slice(&address.octets());
                write(bytes, libc::IPPROTO_IP, libc::IP_PKTINFO, &data)
            }
            IpAddr::V6(address) => {
                let none = address.is_unspecified() || address.is_multicast();
                if none || bytes.len() < PKTINFO_V6_SPACE {
                    return 0;
                }
                let mut data = [0; 20]; // struct in6_pktinfo: address, interface
                data[..16].copy_from_slice(&address.octets());
                if address.is_unicast_link_local() {
                    data[16..].copy_from_slice(&self.interface.to_ne_bytes());
                }
                write(bytes, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data)
            }
        }
    }
}

/// Adds to control bytes of which `used` are in use the wish that the kernel stamp this datagram's
/// departure; returns how many are in use then, which is as before if there is no room.
pub(crate) fn ask_for_departure(bytes: &mut [u8], used: usize) -> usize {
    let start = aligned(used);
    match bytes.get_mut(start..) {
        Some(rest) if rest.len() >= DEPARTURE_SPACE => {
            let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE.to_ne_bytes();
            start + write(rest, libc::SOL_SOCKET, TIMESTAMPING_NEW, &flags)
        }
        _ => used,
    }
}

struct Message<'a> {
    level: i32,
    kind: i32,
    data: &'a [u8],
}

/// The first message of `bytes` and what follows it; `None` at the end or at the first damage.
#[inline]
fn next(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let (len, after) = bytes.split_first_chunk::<{ size_of::<usize>() }>()?;
    let (level, after) = after.split_first_chunk::<4>()?;
    let kind = after.first_chunk::<4>()?;
    let len = usize::from_ne_bytes(*len);
    let data = bytes.get(HEADER..len)?;
    let rest = bytes.get(aligned(len)..).unwrap_or(&[]);
    let (level, kind) = (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind));
    Some((Message { level, kind, data }, rest))
}

/// The first `__kernel_timespec` (two 64-bit words) of `data`: of `SCM_TIMESTAMPING` that is the
/// software stamp, and all zero when there is none.
#[inline]
fn stamp(data: &[u8]) -> Option<Timestamp<Realtime>> {
    let (seconds, rest) = data.split_first_chunk::<8>()?;
    let nanos = rest.first_chunk::<8>()?;
    let (seconds, nanos) = (i64::from_ne_bytes(*seconds), i64::from_ne_bytes(*nanos));
    if (seconds == 0 && nanos == 0) || !(0..NANOS_PER_S).contains(&nanos) {
        return None;
    }
    seconds.checked_mul(NANOS_PER_S)?.checked_add(nanos).map(Timestamp::from_nanos)
}

#[inline]
fn packet_info_v4(data: &[u8]) -> Option<PacketInfo> {
    let (interface, rest) = data.split_first_chunk::<4>()?;
    let address = rest.first_chunk::<4>()?;
    let address = IpAddr::V4(Ipv4Addr::from(*address));
    Some(PacketInfo { address, interface: u32::from_ne_bytes(*interface) })
}

#[inline]
fn packet_info_v6(data: &[u8]) -> Option<PacketInfo> {
    let (address, rest) = data.split_first_chunk::<16>()?;
    let interface = rest.first_chunk::<4>()?;
    let address = IpAddr::V6(Ipv6Addr::from(*address));
    Some(PacketInfo { address, interface: u32::from_ne_bytes(*interface) })
}

/// Writes one message; the caller has checked that it fits.
///
/// Returns its length without the padding, which the kernel does not miss in the last message, and
/// which for IPv6 would make it take memory for the control bytes instead of its stack.
#[inline]
fn write(bytes: &mut [u8], level: i32, kind: i32, data: &[u8]) -> usize {
    let len = HEADER + data.len();
    bytes[..HEADER - 8].copy_from_slice(&len.to_ne_bytes());
    bytes[HEADER - 8..HEADER - 4].copy_from_slice(&level.to_ne_bytes());
    bytes[HEADER - 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
    bytes[HEADER..len].copy_from_slice(data);
    len
}

#[inline]
const fn aligned(len: usize) -> usize {
    len.saturating_add(ALIGNMENT - 1) & !(ALIGNMENT - 1)
}

/// `SO_TIMESTAMPNS_NEW` (uapi/asm-generic/socket.h): one software arrival stamp, 64 bit on every
/// machine.
pub(crate) const TIMESTAMPNS_NEW: i32 = 64;
/// `SO_TIMESTAMPING_NEW`: software and hardware stamps, of arrival and departure.
pub(crate) const TIMESTAMPING_NEW: i32 = 65;
/// The older `SCM_TIMESTAMPING`; the same bytes where `long` has 64 bits.
const TIMESTAMPING_OLD: i32 = 37;

const ALIGNMENT: usize = size_of::<usize>();
const HEADER: usize = size_of::<libc::cmsghdr>();
const _: () = assert!(HEADER == size_of::<usize>() + 8 && HEADER.is_multiple_of(ALIGNMENT));

const PKTINFO_V4_SPACE: usize = HEADER + aligned(12);
const PKTINFO_V6_SPACE: usize = HEADER + aligned(20);
const STAMP_SPACE: usize = HEADER + 16;
const DEPARTURE_SPACE: usize = HEADER + aligned(4);

/// Control bytes a server's datagram can bring: one stamp and one local address.
pub(crate) const SERVER_CONTROL: usize = STAMP_SPACE + PKTINFO_V6_SPACE;

/// What a reply takes along at most fits where the request's came: a local address and a wish.
const _: () = assert!(PKTINFO_V6_SPACE + DEPARTURE_SPACE <= SERVER_CONTROL);

const NANOS_PER_S: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(seconds: i64, nanos: i64) -> Vec<u8> {
        let mut bytes = vec![0; STAMP_SPACE];
        let mut data = [0; 16];
        data[..8].copy_from_slice(&seconds.to_ne_bytes());
        data[8..].copy_from_slice(&nanos.to_ne_bytes());
        write(&mut bytes, libc::SOL_SOCKET, TIMESTAMPNS_NEW, &data);
        bytes
    }

    fn whole() -> Vec<u8> {
        let mut bytes = stamped(1_800_000_000, 7);
        bytes.resize(SERVER_CONTROL, 0);
        let info = PacketInfo { address: "2001:db8::1".parse().expect("address"), interface: 3 };
        assert_eq!(info.encode(&mut bytes[STAMP_SPACE..]), PKTINFO_V6_SPACE - 4);
        bytes
    }

    #[test]
    fn a_stamp_and_an_address_are_found() {
        let control = Control::decode(&whole());
        assert_eq!(control.stamp, Some(Timestamp::from_nanos(1_800_000_000_000_000_007)));
        let local = control.local.expect("an address");
        assert_eq!(local.address, "2001:db8::1".parse::<IpAddr>().expect("address"));
    }

    #[test]
    fn an_encoded_address_is_decoded_again_and_only_link_local_keeps_its_interface() {
        for (text, interface) in [("192.0.2.9", 0), ("2001:db8::2", 0), ("fe80::2", 5)] {
            let info = PacketInfo { address: text.parse().expect("address"), interface: 5 };
            let mut bytes = [0xff; SERVER_CONTROL];
            let len = info.encode(&mut bytes);
            let expected = PacketInfo { interface, ..info };
            assert_eq!(Control::decode(&bytes[..len]).local, Some(expected), "{text}");
        }
    }

    #[test]
    fn an_address_nobody_can_send_from_yields_no_message() {
        for text in ["0.0.0.0", "::", "ff02::101"] {
            let info = PacketInfo { address: text.parse().expect("address"), interface: 1 };
            assert_eq!(info.encode(&mut [0; SERVER_CONTROL]), 0, "{text}");
        }
        let info = PacketInfo { address: "192.0.2.1".parse().expect("address"), interface: 1 };
        assert_eq!(info.encode(&mut [0; PKTINFO_V4_SPACE - 1]), 0);
    }

    #[test]
    fn stamps_out_of_range_are_no_stamps() {
        let cases = [(0, 0), (1, -1), (1, 1_000_000_000), (i64::MAX, 0), (i64::MIN, 0)];
        for (seconds, nanos) in cases {
            assert_eq!(Control::decode(&stamped(seconds, nanos)).stamp, None, "{seconds} {nanos}");
        }
    }

    #[test]
    fn cut_anywhere_the_bytes_yield_less_but_never_harm() {
        let bytes = whole();
        for end in 0..bytes.len() {
            let control = Control::decode(&bytes[..end]);
            assert_eq!(control.stamp.is_some(), end >= STAMP_SPACE);
            // The last message needs its data, not its padding.
            assert_eq!(control.local.is_some(), end >= SERVER_CONTROL - 4);
        }
    }

    #[test]
    fn any_damaged_byte_ends_the_walk_or_is_skipped() {
        let whole = whole();
        for index in 0..whole.len() {
            for value in [0, 1, 15, 16, 17, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[index] = value;
                let _ = Control::decode(&bytes); // must return
            }
        }
        assert_eq!(Control::decode(&[0; 128]), Control::default());
        assert_eq!(Control::decode(&[0xff; 128]), Control::default());
    }
}
