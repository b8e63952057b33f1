//! Frames as a client's card would send them, and as a server's should look.
//!
//! Written field by field from the RFCs, and not with the product's own code: it is what that is compared
//! with.

use std::net::{IpAddr, SocketAddr};

use timeball_sys::xdp::Endpoint;

pub(crate) const CLIENT: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0C];

/// One datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) destination: [u8; 6],
    pub(crate) source: [u8; 6],
    /// Priority and VLAN, if there is a tag.
    pub(crate) tag: Option<u16>,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) service: u8,
    pub(crate) id: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) hops: u8,
    pub(crate) flow: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// A request from `from` to `endpoint`.
    pub(crate) fn to(endpoint: &Endpoint, from: SocketAddr, payload: &[u8]) -> Self {
        Self {
            destination: endpoint.station,
            source: CLIENT,
            tag: endpoint.vlan.map(|vlan| 0x6000 | vlan),
            from,
            to: endpoint.address,
            service: 0xB8,
            id: 0x1234,
            dont_fragment: false,
            hops: 57,
            flow: 0x12345,
            payload: payload.to_vec(),
        }
    }

    /// The request in a frame, if there is one as plain as can be: right in every length and checksum.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (ethernet, ip) = bytes.split_at_checked(ethernet_len(bytes))?;
        let tag = ethernet.get(14..16).map(|tag| u16::from_be_bytes([tag[0], tag[1]]));
        let word = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let is_v6 = match &ethernet[ethernet.len() - 2..] {
            _ if tag.is_some() && ethernet[12..14] != [0x81, 0x00] => return None,
            [0x08, 0x00] => false,
            [0x86, 0xDD] => true,
            _ => return None,
        };
        let (header, udp) = ip.split_at_checked(if is_v6 { 40 } else { 20 })?;
        let (udp_header, payload) = udp.split_at_checked(8)?;
        let at_ports = |from: IpAddr, to: IpAddr| {
            let port = |at| word(udp_header, at);
            (SocketAddr::new(from, port(0)), SocketAddr::new(to, port(2)))
        };
        let (from, to) = if is_v6 {
            let address =
                |at: usize| <[u8; 16]>::try_from(&header[at..at + 16]).expect("16 octets");
            at_ports(address(8).into(), address(24).into())
        } else {
            let address = |at: usize| <[u8; 4]>::try_from(&header[at..at + 4]).expect("4 octets");
            at_ports(address(12).into(), address(16).into())
        };
        let mut frame = Self {
            destination: ethernet[..6].try_into().expect("6 octets"),
            source: ethernet[6..12].try_into().expect("6 octets"),
            tag,
            from,
            to,
            service: header[1],
            id: word(header, 4),
            dont_fragment: header[6] & 0x40 != 0,
            hops: header[if is_v6 { 7 } else { 8 }],
            flow: 0,
            payload: payload.to_vec(),
        };
        if is_v6 {
            let first = u32::from_be_bytes(header[..4].try_into().expect("4 octets"));
            frame.service = (first >> 20) as u8;
            frame.flow = first & 0xF_FFFF;
        }
        // Whatever is not one of these fields must be as it is written; a zero has two signs in a checksum.
        let mut written = frame.bytes();
        let checksum_at = ethernet.len() + header.len() + 6;
        if !is_v6 && udp_header[6..] == [0, 0] {
            written[checksum_at..checksum_at + 2].fill(0);
        }
        if !is_v6 && header[10..12] == [0xFF, 0xFF] && checksum(header) == 0 {
            written[ethernet.len() + 10..ethernet.len() + 12].fill(0xFF);
        }
        (written == bytes).then_some(frame)
    }

    /// The frame in which `payload` goes back.
    pub(crate) fn reply(&self, payload: &[u8]) -> Self {
        Self {
            destination: self.source,
            source: self.destination,
            from: self.to,
            to: self.from,
            service: 0,
            id: 0,
            dont_fragment: true,
            hops: 64,
            flow: 0,
            payload: payload.to_vec(),
            ..*self
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.destination, self.source].concat();
        if let Some(tag) = self.tag {
            bytes.extend([0x81, 0x00]);
            bytes.extend(tag.to_be_bytes());
        }
        let udp_len = (8 + self.payload.len()) as u16;
        let mut udp = [self.from.port(), self.to.port(), udp_len, 0].map(u16::to_be_bytes).concat();
        udp.extend(&self.payload);
        let mut pseudo = self.addresses();
        pseudo.extend([0, 17]);
        pseudo.extend(udp_len.to_be_bytes());
        pseudo.extend(&udp);
        let checksum = match checksum(&pseudo) {
            0 => 0xFFFF,
            other => other,
        };
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
        bytes.extend(self.ip(udp_len));
        bytes.extend(udp);
        bytes
    }

    fn addresses(&self) -> Vec<u8> {
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
            _ => panic!("one family"),
        }
    }

    /// Type and IP header.
    fn ip(&self, udp_len: u16) -> Vec<u8> {
        if self.from.is_ipv6() {
            let mut ip = vec![0x86, 0xDD];
            let flow = 6 << 28 | u32::from(self.service) << 20 | self.flow;
            ip.extend(flow.to_be_bytes());
            ip.extend(udp_len.to_be_bytes());
            ip.extend([17, self.hops]);
            ip.extend(self.addresses());
            return ip;
        }
        let mut ip = vec![0x45, self.service];
        ip.extend((20 + udp_len).to_be_bytes());
        ip.extend(self.id.to_be_bytes());
        ip.extend(if self.dont_fragment { [0x40, 0] } else { [0, 0] });
        ip.extend([self.hops, 17, 0, 0]);
        ip.extend(self.addresses());
        let checksum = checksum(&ip);
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        [vec![0x08, 0x00], ip].concat()
    }
}

/// RFC 1071, word by word.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for word in bytes.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

/// Octets before the IP header: with the first tag, if there is one.
pub(crate) fn ethernet_len(bytes: &[u8]) -> usize {
    if matches!(bytes.get(12..14), Some([0x81, 0x00] | [0x88, 0xA8])) { 18 } else { 14 }
}

/// Makes the checksums right, as far as there are any.
pub(crate) fn mend(bytes: &mut [u8]) {
    let start = ethernet_len(bytes);
    let Some(ip) = bytes.get_mut(start..) else { return };
    let is_v6 = ip.first().is_some_and(|first| first >> 4 == 6);
    let (addresses, len) = if is_v6 { (8..40, 40) } else { (12..20, 20) };
    let Some((header, udp)) = ip.split_at_mut_checked(len) else { return };
    if !is_v6 {
        header[10..12].fill(0);
        let sum = checksum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    if udp.len() < 8 {
        return;
    }
    udp[6..8].fill(0);
    let pseudo = [&header[addresses], &[0, 17], &udp[4..6], udp].concat();
    let sum = match checksum(&pseudo) {
        0 => 0xFFFF,
        other => other,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
}
