//! The Ethernet link that forged requests leave by, and how it is found.
//!
//! The routing table says the device and the next hop, the neighbour table the next hop's address. Where
//! the neighbour is not known yet, one datagram through an ordinary socket makes the kernel look for it.
//!
//! Must never: guess an address, or change a table.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::mac_address::MacAddress;
use crate::netlink::Netlink;

/// The link that frames leave by, and the ports of ours that replies come back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index of the device.
    pub interface: u32,
    /// The device's own address.
    pub local: MacAddress,
    /// Where frames are sent to: the target, or the gateway before it.
    pub next_hop: MacAddress,
    /// First of the UDP ports.
    pub first_port: u16,
    /// How many there are, at least 1.
    pub ports: u16,
}

impl Link {
    /// The link towards `target` from this thread's network namespace; its ports are for the caller to
    /// set. `next_hop` spares looking for the neighbour.
    ///
    /// # Errors
    /// [`LinkError`]: there is no route, no Ethernet, or nobody answers for the next hop.
    pub fn towards(target: SocketAddr, next_hop: Option<MacAddress>) -> Result<Self, LinkError> {
        let address = target.ip();
        let mut netlink = Netlink::open().map_err(LinkError::Tables)?;
        let route =
            netlink.route(address).map_err(|cause| LinkError::NoRoute { address, cause })?;
        let device = netlink.device(route.interface).map_err(LinkError::Tables)?;
        let local = match device.address {
            Some(local) if !route.is_local => local,
            _ => return Err(LinkError::NoEthernet { address, device: device.name }),
        };
        let hop = route.gateway.unwrap_or(address);
        let next_hop = match next_hop {
            Some(next_hop) => next_hop,
            None => look(&mut netlink, route.interface, hop, target)
                .ok_or(LinkError::NoNeighbour { hop, device: device.name })?,
        };
        Ok(Self { interface: route.interface, local, next_hop, first_port: 0, ports: 1 })
    }
}

/// Asks for the neighbour until it is known; wakes the kernel's own search by a datagram to `target`.
fn look(
    netlink: &mut Netlink,
    interface: u32,
    hop: IpAddr,
    target: SocketAddr,
) -> Option<MacAddress> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let begun = Instant::now();
    loop {
        if let Some(found) = netlink.neighbour(interface, hop) {
            return Some(found);
        }
        if begun.elapsed() > PATIENCE {
            return None;
        }
        // Too short to be a request: nobody answers it. An error shows in the neighbour's absence.
        let _ = UdpSocket::bind((any, 0)).and_then(|socket| socket.send_to(&[0], target));
        thread::sleep(PAUSE);
    }
}

/// Why there is no link; the remedy is in the text.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The routing tables could not be read.
    #[error("the kernel's routing tables cannot be read: {0}")]
    Tables(#[source] io::Error),
    /// No way to the target.
    #[error("there is no route to {address} ({cause}); see `ip route get {address}`")]
    NoRoute {
        /// The target.
        address: IpAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The way is not by Ethernet, or the target is this machine.
    #[error(
        "{address} is reached by {device}, which carries no Ethernet frames from one host to another; \
         leave out --raw here, or put the server into a network namespace behind a veth"
    )]
    NoEthernet {
        /// The target.
        address: IpAddr,
        /// The device.
        device: String,
    },
    /// Nobody answers for the next hop.
    #[error(
        "nobody at {hop} answers on {device}: is the server's host up? --next-hop gives its MAC"
    )]
    NoNeighbour {
        /// The neighbour asked for.
        hop: IpAddr,
        /// The device.
        device: String,
    },
}

/// Three tries of the kernel, a second apart.
const PATIENCE: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_not_reached_by_ethernet() {
        let target = "127.0.0.1:123".parse().expect("an address");
        let error = Link::towards(target, None).expect_err("loopback");
        assert!(
            matches!(&error, LinkError::NoEthernet { device, .. } if device == "lo"),
            "{error}"
        );
    }
}
