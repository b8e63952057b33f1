//! The clients that are played: distinct source addresses taken in turn from a network.
//!
//! A server keeps state by client address, steers by it and limits by it, so a load from one
//! address measures something else than a load from many. On loopback all of 127.0.0.0/8 is there
//! for the taking; elsewhere the network must be routed to this host as local.
//!
//! Must never: hand out an address outside its network, or the network's first or last one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Source addresses, handed out in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Population {
    network: IpAddr,
    prefix_len: u8,
    size: u32,
}

impl Population {
    /// `size` addresses from `network`/`prefix_len`, not counting the first and the last of it.
    ///
    /// A single address (`/32`, `/128`) is a population of itself. Fails if the network is too
    /// small or the prefix too long; the caller is at fault.
    pub fn new(network: IpAddr, prefix_len: u8, size: u32) -> Result<Self, PopulationError> {
        let bits: u8 = if network.is_ipv4() { 32 } else { 128 };
        if prefix_len > bits {
            return Err(PopulationError::Prefix { prefix_len, bits });
        }
        let host_bits = bits - prefix_len;
        let usable = match host_bits {
            0 => 1,
            1 => 0,
            2..=31 => (1u64 << host_bits) - 2,
            _ => u64::from(u32::MAX),
        };
        if size == 0 || u64::from(size) > usable {
            return Err(PopulationError::Size { size, usable });
        }
        Ok(Self { network: masked(network, host_bits), prefix_len, size })
    }

    /// The first `size` clients of this population; the same failures as of [`Population::new`].
    pub fn limited_to(&self, size: u32) -> Result<Self, PopulationError> {
        let fewer = Self::new(self.network, self.prefix_len, size)?;
        if size > self.size {
            return Err(PopulationError::Size { size, usable: self.size.into() });
        }
        Ok(fewer)
    }

    /// The address of client `number`, which is taken modulo the population's size.
    #[inline]
    pub fn address(&self, number: u64) -> IpAddr {
        let host = (number % u64::from(self.size)) as u32;
        match self.network {
            IpAddr::V4(address) if self.prefix_len == 32 => address.into(),
            IpAddr::V6(address) if self.prefix_len == 128 => address.into(),
            IpAddr::V4(network) => Ipv4Addr::from_bits(network.to_bits() + 1 + host).into(),
            IpAddr::V6(network) => {
                Ipv6Addr::from_bits(network.to_bits() + 1 + u128::from(host)).into()
            }
        }
    }

    /// Their network and the length of its prefix.
    pub(crate) const fn network(&self) -> (IpAddr, u8) {
        (self.network, self.prefix_len)
    }

    /// How many clients there are.
    pub const fn size(&self) -> u32 {
        self.size
    }
}

/// A network, with all of it (up to 16 777 214 clients) as the population: `127.0.0.0/8`,
/// `::1/128`.
impl FromStr for Population {
    type Err = PopulationError;

    fn from_str(text: &str) -> Result<Self, PopulationError> {
        let unreadable = || PopulationError::Text { text: text.to_owned() };
        let (network, prefix_len) = text.split_once('/').ok_or_else(unreadable)?;
        let network: IpAddr = network.parse().map_err(|_| unreadable())?;
        let prefix_len: u8 = prefix_len.parse().map_err(|_| unreadable())?;
        let bits: u8 = if network.is_ipv4() { 32 } else { 128 };
        let host_bits = u32::from(bits.saturating_sub(prefix_len)).min(24);
        let size = if host_bits == 0 { 1 } else { (1u32 << host_bits).saturating_sub(2) };
        Self::new(network, prefix_len, size)
    }
}

/// Why there is no such population; whoever asked for it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PopulationError {
    /// Not written as a network.
    #[error("{text:?} is no network; write it as 127.0.0.0/8")]
    Text {
        /// What was written.
        text: String,
    },
    /// The prefix is longer than the address.
    #[error("a prefix of {prefix_len} is longer than the address; at most {bits}")]
    Prefix {
        /// What was asked for.
        prefix_len: u8,
        /// Bits of the address.
        bits: u8,
    },
    /// The network does not hold as many.
    #[error("{size} clients do not fit a network of {usable}; take a shorter prefix or 1 at least")]
    Size {
        /// What was asked for.
        size: u32,
        /// What there is.
        usable: u64,
    },
}

fn masked(network: IpAddr, host_bits: u8) -> IpAddr {
    match network {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(u32::from(host_bits)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(u32::from(host_bits)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_client_has_an_address_of_its_own_inside_the_network() {
        let population = Population::new("198.19.7.7".parse().unwrap(), 16, 65_534).unwrap();
        let addresses: HashSet<_> = (0..65_534).map(|number| population.address(number)).collect();
        assert_eq!(addresses.len(), 65_534);
        assert!(addresses.contains(&"198.19.0.1".parse().unwrap()));
        assert!(addresses.contains(&"198.19.255.254".parse().unwrap()));
        assert!(!addresses.contains(&"198.19.0.0".parse().unwrap()));
        assert!(!addresses.contains(&"198.19.255.255".parse().unwrap()));
        assert_eq!(population.address(65_534), population.address(0));
    }

    #[test]
    fn a_single_address_is_a_population_of_itself() {
        for text in ["127.0.0.1/32", "::1/128"] {
            let population: Population = text.parse().unwrap();
            assert_eq!(population.size(), 1);
            assert_eq!(population.address(5).to_string(), text.split('/').next().unwrap());
        }
    }

    #[test]
    fn ipv6_and_loopback_networks_are_walked() {
        let population: Population = "fd00::/64".parse().unwrap();
        assert_eq!(population.address(0xFFFF).to_string(), "fd00::1:0");
        let population: Population = "127.0.0.0/8".parse().unwrap();
        assert_eq!(population.size(), 16_777_214);
        assert_eq!(population.address(16_777_213).to_string(), "127.255.255.254");
    }

    #[test]
    fn a_network_that_is_too_small_or_misspelt_is_refused() {
        let loopback = Ipv4Addr::LOCALHOST.into();
        assert!(matches!(Population::new(loopback, 30, 3), Err(PopulationError::Size { .. })));
        assert!(matches!(Population::new(loopback, 33, 1), Err(PopulationError::Prefix { .. })));
        assert!(matches!(Population::new(loopback, 8, 0), Err(PopulationError::Size { .. })));
        assert!(matches!("127.0.0.1".parse::<Population>(), Err(PopulationError::Text { .. })));
        assert!(matches!("x/8".parse::<Population>(), Err(PopulationError::Text { .. })));
    }
}
