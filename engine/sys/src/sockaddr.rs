//! Socket addresses as the kernel writes them, to and from [`SocketAddr`].
//!
//! Read byte by byte from the fixed layout of `sockaddr_in` and `sockaddr_in6`, so that an address
//! can be taken from and put into a frame at any alignment without a line of `unsafe`.
//!
//! Must never: trust a length the kernel did not give.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of the longest address handled: a `sockaddr_in6`.
pub(crate) const SOCKADDR_MAX: usize = V6_LEN;

/// The address in `bytes`, or `None` if it is of another family or too short.
#[inline]
pub(crate) fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET if bytes.len() >= V4_LEN => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let address = rest.first_chunk::<4>()?;
            Some(SocketAddr::V4(SocketAddrV4::new(
                Ipv4Addr::from(*address),
                u16::from_be_bytes(*port),
            )))
        }
        libc::AF_INET6 if bytes.len() >= V6_LEN => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let (flow, rest) = rest.split_first_chunk::<4>()?;
            let (address, rest) = rest.split_first_chunk::<16>()?;
            let scope = rest.first_chunk::<4>()?;
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(*address),
                u16::from_be_bytes(*port),
                u32::from_ne_bytes(*flow),
                u32::from_ne_bytes(*scope),
            )))
        }
        _ => None,
    }
}

/// Writes `address` as the kernel wants it; returns how many of the bytes are used.
pub(crate) fn encode(address: SocketAddr, bytes: &mut [u8; SOCKADDR_MAX]) -> usize {
    bytes.fill(0);
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[4..8].copy_from_slice(&address.ip().octets());
            V4_LEN
        }
        SocketAddr::V6(address) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            bytes[4..8].copy_from_slice(&address.flowinfo().to_ne_bytes());
            bytes[8..24].copy_from_slice(&address.ip().octets());
            bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
            V6_LEN
        }
    }
}

/// What stands in a datagram's place when the kernel gave no usable address; answered by nobody.
pub(crate) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

const V4_LEN: usize = size_of::<libc::sockaddr_in>();
const V6_LEN: usize = size_of::<libc::sockaddr_in6>();
const _: () = assert!(V4_LEN == 16 && V6_LEN == 28);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["192.0.2.1:123", "[2001:db8::1]:65535", "[fe80::1%7]:123"] {
            let address: SocketAddr = text.parse().expect("an address");
            let mut bytes = [0xff; SOCKADDR_MAX];
            let len = encode(address, &mut bytes);
            assert_eq!(decode(&bytes[..len]), Some(address), "{text}");
        }
    }

    #[test]
    fn the_layout_is_the_kernels() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let port = socket.local_addr().expect("bound").port();
        let mut bytes = [0; SOCKADDR_MAX];
        encode(socket.local_addr().expect("bound"), &mut bytes);
        assert_eq!(bytes[2..8], [(port >> 8) as u8, port as u8, 127, 0, 0, 1]);
    }

    #[test]
    fn short_and_foreign_addresses_are_refused() {
        let mut bytes = [0; SOCKADDR_MAX];
        let len = encode("192.0.2.1:123".parse().expect("an address"), &mut bytes);
        for short in 0..len {
            assert_eq!(decode(&bytes[..short]), None);
        }
        bytes[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        assert_eq!(decode(&bytes), None);
    }
}
