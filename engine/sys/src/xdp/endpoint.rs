//! Where requests are ours.
//!
//! A frame is answered only if station, VLAN, address and port are those of an endpoint (`bpf/endpoints.h`
//! says why all four). So each interface that the program is attached to has an endpoint for each address
//! it may be asked by.
//!
//! Must never: be laid out otherwise than `struct endpoint` and `struct usual` in bpf/endpoints.h.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use timeball_time::seqlock::SeqLock;

/// One place at which requests are answered in the driver.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Endpoint {
    /// The Ethernet address of the interface.
    pub station: [u8; 6],
    /// The VLAN of the address, 1 to 4094, if it belongs to a VLAN on top of the interface.
    pub vlan: Option<u16>,
    /// Address and port asked; one address, not "all".
    pub address: SocketAddr,
}

/// An endpoint as the program's tables have it.
pub(super) type Key = [u8; 32];

/// How many endpoints the program compares with before it asks the table, as in bpf/endpoints.h.
const USUAL: usize = 4;

/// The first few endpoints once more, where the program has them at hand.
pub(super) type Usual = SeqLock<{ USUAL * 4 }>;

/// The first few of `endpoints` as [`Usual`] has them.
pub(super) fn usual(endpoints: &BTreeSet<Endpoint>) -> [u64; USUAL * 4] {
    let mut words = [NOBODYS; USUAL * 4];
    let octets: Vec<u8> = endpoints.iter().take(USUAL).flat_map(Endpoint::key).collect();
    for (word, octets) in words.iter_mut().zip(octets.as_chunks().0) {
        *word = u64::from_ne_bytes(*octets);
    }
    words
}

impl Endpoint {
    pub(super) fn key(&self) -> Key {
        let address = match self.address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let mut key = [0; 32];
        key[..6].copy_from_slice(&self.station);
        key[6..8].copy_from_slice(&self.vlan.unwrap_or(0).to_ne_bytes());
        key[8..24].copy_from_slice(&address);
        key[24..26].copy_from_slice(&self.address.port().to_be_bytes());
        key
    }
}

/// In the place of a port, what no frame has.
const NOBODYS: u64 = u64::MAX;
/// Endpoints that the program's table holds, as in bpf/endpoints.h.
pub(super) const ENDPOINTS_MAX: usize = 4096;
