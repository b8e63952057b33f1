//! Networks: addresses that share their first bits.
//!
//! Must never: have bits set behind its prefix.

use core::fmt;
use core::net::IpAddr;

/// A network: an address and how many of its bits count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// The network of `address` with a prefix of `length` bits: 0 to 32 for IPv4, 0 to 128 for IPv6. The
    /// bits after the prefix are cleared.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let whole = Self::host(address);
        if length > whole.length {
            return None;
        }
        let cleared = u32::from(whole.length - length);
        let address = match address {
            IpAddr::V4(v4) => {
                IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(cleared).unwrap_or(0)).into())
            }
            IpAddr::V6(v6) => {
                IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(cleared).unwrap_or(0)).into())
            }
        };
        Some(Self { address, length })
    }

    /// This one address.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The first address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits of it count.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// True if `address` is one of them; IPv4 and IPv6 have nothing in common.
    #[inline]
    pub fn contains(self, address: IpAddr) -> bool {
        let shared = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        shared >= u32::from(self.length)
    }
}

impl fmt::Display for Network {
    /// `ADDRESS/LENGTH`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn networks_have_sharp_edges() {
        for (first, length, inside, outside) in [
            ("10.0.0.0", 8, "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3", 32, "10.1.2.3", "10.1.2.2"),
            ("2001:db8::", 33, "2001:db8:7fff::1", "2001:db8:8000::"),
            ("0.0.0.0", 0, "255.1.1.1", "::"),
            ("::", 0, "ff00::1", "0.0.0.0"),
        ] {
            let net = Network::new(address(first), length).expect("prefix");
            assert!(net.contains(address(inside)), "{net} {inside}");
            assert!(!net.contains(address(outside)), "{net} {outside}");
            assert_eq!(Network::new(address(inside), length), Some(net), "host bits do not count");
        }
        assert_eq!(Network::new(address("10.0.0.0"), 33), None);
        assert_eq!(Network::new(address("::"), 129), None);
    }
}
