//! Who asks, by the names under which a worker remembers clients.
//!
//! A client is an IPv4 address or an IPv6 /64, because a host has all of that one; a site is an IPv6 /48.
//! Limiter and census know them by one hash with a secret key, which is made once for each datagram, in a
//! pass over the whole batch: so that whatever lies behind a hash can be fetched for all of them at once.
//!
//! Must never: be made from anything but the source address, or outlive its batch.

use core::net::IpAddr;
use core::num::NonZeroU64;

use crate::HashKey;

/// The hashes of a source.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Caller {
    /// Of the IPv4 address or the IPv6 /64.
    pub(crate) client: u64,
    /// Of the IPv6 /48. (If that is zero, once in 2^64 sites, it is none.)
    pub(crate) site: Option<NonZeroU64>,
}

impl Caller {
    /// Who asks from `source`, hashed with `key`.
    #[inline]
    pub const fn of(source: IpAddr, key: HashKey) -> Self {
        match source {
            IpAddr::V4(v4) => Self { client: key.hash::<4>(v4.to_bits() as u64), site: None },
            IpAddr::V6(v6) => Self::of_network((v6.to_bits() >> 64) as u64, key),
        }
    }

    /// Apart, so that the way of IPv4 is short.
    #[inline(never)]
    const fn of_network(network: u64, key: HashKey) -> Self {
        Self { client: key.hash::<8>(network), site: NonZeroU64::new(key.hash::<6>(network >> 16)) }
    }
}
