//! Ethernet, IP and UDP headers, written and read here and not by the kernel.
//!
//! A load from addresses that nobody owns cannot go through the kernel's IP layer, which would refuse
//! its sources; and replies that pass it by cost a fifth to a third less. The headers are bytes.
//! Checksums are computed in full: a host whose card checks them would drop what merely claims to be
//! right.
//!
//! Must never: read beyond the bytes of a frame, or believe a length inside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::mac_address::MacAddress;

/// What goes before a payload: one datagram's way over one link.
///
/// Never a fragment, and not to be made into any: the don't-fragment bit is set, and so no
/// identification is needed (RFC 6864).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers {
    /// The card it leaves by.
    pub(crate) local: MacAddress,
    /// The card it is for: the target's, or that of the gateway before it.
    pub(crate) next_hop: MacAddress,
    /// Time to live, or hop limit.
    pub(crate) hops: u8,
    pub(crate) source: SocketAddr,
    /// Of the source's family.
    pub(crate) target: SocketAddr,
}

impl Headers {
    /// Writes the headers in front of the payload that `frame` already holds; `frame` begins
    /// [`headers_len`] octets before it.
    ///
    /// Checksums cover the payload, so that it must be final. If the kernel finishes the checksum, it is
    /// given the pseudo-header's sum.
    #[inline]
    pub(crate) fn write(&self, kernel_finishes: bool, frame: &mut [u8]) {
        let len = headers_len(self.target.is_ipv6());
        let udp_len = (frame.len() - len + UDP_LEN) as u16;
        let (headers, payload) = frame.split_at_mut(len);
        let (ethernet, rest) = headers.split_at_mut(ETHERNET_LEN);
        let (ip, udp) = rest.split_at_mut(len - ETHERNET_LEN - UDP_LEN);
        ethernet[..6].copy_from_slice(&self.next_hop.octets());
        ethernet[6..12].copy_from_slice(&self.local.octets());
        udp[..2].copy_from_slice(&self.source.port().to_be_bytes());
        udp[2..4].copy_from_slice(&self.target.port().to_be_bytes());
        udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
        udp[6..8].fill(0);
        let addresses = match (self.source.ip(), self.target.ip()) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                ethernet[12..14].copy_from_slice(&ETHERTYPE_V4.to_be_bytes());
                self.write_v4(source, target, udp_len, ip)
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                ethernet[12..14].copy_from_slice(&ETHERTYPE_V6.to_be_bytes());
                self.write_v6(source, target, udp_len, ip)
            }
            _ => unreachable!("source and target are of one family"),
        };
        // The pseudo-header (RFC 768, RFC 8200 section 8.1), then the datagram.
        let pseudo = addresses + u64::from(UDP) + u64::from(udp_len);
        let checksum = if kernel_finishes {
            !folded(pseudo)
        } else {
            // Zero would say that there is none.
            match folded(pseudo + sum(udp) + sum(payload)) {
                0 => u16::MAX,
                checksum => checksum,
            }
        };
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    }

    /// Returns the sum of the addresses, as [`Headers::write_v6`] does.
    #[inline]
    fn write_v4(&self, source: Ipv4Addr, target: Ipv4Addr, udp_len: u16, ip: &mut [u8]) -> u64 {
        // Version 4, five words; no service class; DF.
        ip[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, self.hops, UDP, 0, 0]);
        ip[2..4].copy_from_slice(&(V4_LEN_IP as u16 + udp_len).to_be_bytes());
        ip[12..16].copy_from_slice(&source.octets());
        ip[16..20].copy_from_slice(&target.octets());
        let checksum = folded(sum(ip));
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        sum(&ip[12..20])
    }

    #[inline]
    fn write_v6(&self, source: Ipv6Addr, target: Ipv6Addr, udp_len: u16, ip: &mut [u8]) -> u64 {
        // Version 6; no class, no flow.
        ip[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, UDP, self.hops]);
        ip[4..6].copy_from_slice(&udp_len.to_be_bytes());
        ip[8..24].copy_from_slice(&source.octets());
        ip[24..40].copy_from_slice(&target.octets());
        sum(&ip[8..40])
    }
}

/// What tells the kernel (`struct virtio_net_hdr`) to cut a frame up into datagrams of `segment_len`
/// octets and to finish each one's checksums; `None` for a frame that is to go as it is.
#[inline]
pub(crate) fn offload(is_ipv6: bool, segment_len: Option<usize>) -> [u8; OFFLOAD_LEN] {
    let mut octets = [0; OFFLOAD_LEN];
    let Some(segment_len) = segment_len else { return octets };
    let len = headers_len(is_ipv6);
    octets[0] = VIRTIO_NEEDS_CHECKSUM;
    octets[1] = VIRTIO_SEGMENT_UDP;
    let words = [len, segment_len, len - UDP_LEN, UDP_CHECKSUM];
    for (at, word) in octets[2..].chunks_exact_mut(2).zip(words) {
        at.copy_from_slice(&(word as u16).to_ne_bytes());
    }
    octets
}

/// Who sent a received frame, and the length of what comes before its payload; `None` if it is no
/// whole UDP datagram.
#[inline]
pub(crate) fn parse(frame: &[u8]) -> Option<(SocketAddr, usize, usize)> {
    let ethertype = u16::from_be_bytes(*frame.get(12..14)?.first_chunk()?);
    let ip = frame.get(ETHERNET_LEN..)?;
    let (source, ip_len): (IpAddr, usize) = match ethertype {
        ETHERTYPE_V4 => {
            let octets: [u8; 4] = *ip.get(12..16)?.first_chunk()?;
            (Ipv4Addr::from(octets).into(), usize::from(ip[0] & 0xF) * 4)
        }
        ETHERTYPE_V6 => {
            let octets: [u8; 16] = *ip.get(8..24)?.first_chunk()?;
            (Ipv6Addr::from(octets).into(), V6_LEN_IP)
        }
        _ => return None,
    };
    let udp: &[u8; UDP_LEN] = ip.get(ip_len..)?.first_chunk()?;
    let port = u16::from_be_bytes([udp[0], udp[1]]);
    let udp_len = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
    let start = ETHERNET_LEN + ip_len + UDP_LEN;
    Some((SocketAddr::new(source, port), start, start + udp_len.checked_sub(UDP_LEN)?))
}

/// Octets before the payload of a frame without IP options.
pub(crate) const fn headers_len(is_ipv6: bool) -> usize {
    if is_ipv6 { V6_LEN } else { V4_LEN }
}

/// The one's complement sum of big-endian 16-bit words, not yet folded; an odd octet at the end is
/// padded (RFC 1071). 2³² words cannot overflow it.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    sum
}

#[inline]
const fn folded(mut sum: u64) -> u16 {
    // 64 to 33, 17 and 16 bits, and the last carry.
    sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
    sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    !(sum as u16)
}

pub(crate) const ETHERNET_LEN: usize = 14;
pub(crate) const V4_LEN_IP: usize = 20;
pub(crate) const V6_LEN_IP: usize = 40;
pub(crate) const UDP_LEN: usize = 8;
/// Where the checksum is in a UDP header.
const UDP_CHECKSUM: usize = 6;
/// `struct virtio_net_hdr` (uapi/linux/virtio_net.h), in the machine's own byte order: flags, kind,
/// length of the headers, of a segment, where the checksum begins and where it goes.
pub(crate) const OFFLOAD_LEN: usize = 10;
const VIRTIO_NEEDS_CHECKSUM: u8 = 1;
const VIRTIO_SEGMENT_UDP: u8 = 5;
const V4_LEN: usize = ETHERNET_LEN + V4_LEN_IP + UDP_LEN;
const V6_LEN: usize = ETHERNET_LEN + V6_LEN_IP + UDP_LEN;
const ETHERTYPE_V4: u16 = libc::ETH_P_IP as u16;
const ETHERTYPE_V6: u16 = libc::ETH_P_IPV6 as u16;
/// The protocol number of UDP.
pub(crate) const UDP: u8 = libc::IPPROTO_UDP as u8;
/// As far as a datagram of this kernel's would go.
pub(crate) const HOPS: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(target: &str, source: &str, payload: &[u8]) -> Vec<u8> {
        let mac = |text: &str| text.parse::<MacAddress>().expect("a MAC address");
        let target: SocketAddr = target.parse().expect("an address");
        let headers = Headers {
            local: mac("02:00:00:00:00:01"),
            next_hop: mac("02:00:00:00:00:02"),
            hops: HOPS,
            source: SocketAddr::new(source.parse().expect("an address"), 4_660),
            target,
        };
        let mut frame = vec![0xEE; headers_len(target.is_ipv6())];
        frame.extend(payload);
        headers.write(false, &mut frame);
        frame
    }

    /// A receiver's check: summed with its checksum, everything gives all ones.
    fn holds(bytes: u64) -> bool {
        folded(bytes) == 0
    }

    #[test]
    fn checksums_hold_for_both_families_and_for_odd_payloads() {
        for len in [0, 1, 3, 47, 48, 49, 468] {
            let payload: Vec<u8> = (0..len).map(|k| (k * 7 + 13) as u8).collect();
            let v4 = frame("198.18.0.1:123", "203.0.113.9", &payload);
            assert!(holds(sum(&v4[14..34])), "{len}");
            let udp_len = (8 + len) as u64;
            assert!(holds(sum(&v4[26..34]) + 17 + udp_len + sum(&v4[34..])), "{len}");
            let v6 = frame("[2001:2::1]:123", "[2001:db8::9]".trim_matches(['[', ']']), &payload);
            assert!(holds(sum(&v6[22..54]) + 17 + udp_len + sum(&v6[54..])), "{len}");
        }
    }

    #[test]
    fn a_known_header_has_the_checksum_worked_out_by_hand() {
        // 4500 001c 0000 4000 4011 .... c612 0001 c612 0002, summed by hand.
        let frame = frame("198.18.0.2:123", "198.18.0.1", &[]);
        assert_eq!(frame[14..18], [0x45, 0, 0, 28]);
        let by_hand = [0x4500, 0x001C, 0, 0x4000, 0x4011, 0xC612, 0x0001, 0xC612, 0x0002];
        let total: u32 = by_hand.iter().sum();
        let expected = !(((total & 0xFFFF) + (total >> 16)) as u16);
        assert_eq!(frame[24..26], expected.to_be_bytes());
    }

    #[test]
    fn a_written_frame_reads_back_as_its_sender_and_payload() {
        for (target, source) in [("192.0.2.1:123", "10.1.2.3"), ("[fd00::1]:123", "fd00::2")] {
            let frame = frame(target, source, b"payload");
            let (from, start, end) = parse(&frame).expect("a datagram");
            assert_eq!(from, SocketAddr::new(source.parse().expect("an address"), 4_660));
            assert_eq!(&frame[start..end], b"payload");
        }
    }

    #[test]
    fn cut_or_foreign_frames_are_no_datagrams() {
        let whole = frame("192.0.2.1:123", "10.1.2.3", b"payload");
        for len in 0..42 {
            assert_eq!(parse(&whole[..len]), None, "{len}");
        }
        let mut arp = whole.clone();
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        assert_eq!(parse(&arp), None);
        let mut lying = whole;
        lying[38..40].copy_from_slice(&[0, 7]);
        assert_eq!(parse(&lying), None, "a UDP length below its header");
    }
}
