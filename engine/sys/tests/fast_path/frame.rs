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
