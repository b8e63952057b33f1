//! Which requests are ours, frame by frame: at which station, in which VLAN, by which address and port.
//!
//! An interface answers by its own addresses, by those of VLANs on top of it under their tags, and by those
//! that belong to the machine as a whole (on loopback or a dummy: anycast). An address of another interface
//! is this machine's too, but whether a request for it may come in here is for the kernel to say: such
//! requests go on to the workers.
//!
//! Must never: name an address that is not listened on in UTC, or one that is not yet, or never will be,
//! this machine's.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use timeball_sys::xdp::Endpoint;
use timeball_sys::{Interface, InterfaceAddress};

/// The endpoints at the interfaces called `names`, of `all` with their `addresses`, for a server that listens
/// on `listening`.
pub(super) fn endpoints(
    names: &[String],
    all: &[Interface],
    addresses: &[InterfaceAddress],
    listening: &[SocketAddr],
) -> BTreeSet<Endpoint> {
    let is_common = |index: u32| {
        let of_all = |one: &Interface| one.is_loopback || one.kind.as_deref() == Some("dummy");
        all.iter().any(|one| one.index == index && of_all(one))
    };
    let reached = |carrier: &Interface| -> Vec<IpAddr> {
        let own = |index: u32| index == carrier.index || is_common(index);
        let found = addresses.iter().filter(|one| one.is_assigned && own(one.interface));
        found.map(|one| one.address).filter(|address| is_of_hosts(*address)).collect()
    };
    let mut endpoints = BTreeSet::new();
    for below in all.iter().filter(|one| names.contains(&one.name)) {
        let on_top = all.iter().filter(|one| one.below == Some(below.index) && one.vlan.is_some());
        for carrier in std::iter::once(below).chain(on_top) {
            let Some(station) = carrier.station else { continue };
            for address in reached(carrier) {
                let ports = listening.iter().filter(|on| is_for(**on, address));
                endpoints.extend(ports.map(|on| Endpoint {
                    station: station.octets(),
                    vlan: carrier.vlan,
                    address: SocketAddr::new(address, on.port()),
                }));
            }
        }
    }
    endpoints
}

/// Whether a socket at `on` has what is sent to `address`.
fn is_for(on: SocketAddr, address: IpAddr) -> bool {
    on.ip() == address || (on.ip().is_unspecified() && on.is_ipv4() == address.is_ipv4())
}

fn is_of_hosts(address: IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use timeball_sys::MacAddress;

    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        Interface {
            index,
            name: name.to_owned(),
            kind: None,
            port_of: None,
            below: None,
            vlan: None,
            station: Some(MacAddress::new([index as u8; 6])),
            is_loopback: false,
            program: None,
        }
    }

    fn machine() -> (Vec<Interface>, Vec<InterfaceAddress>) {
        let lo = Interface { is_loopback: true, station: None, ..interface(1, "lo") };
        let vlan = Some("vlan".to_owned());
        let tagged =
            Interface { kind: vlan, below: Some(2), vlan: Some(42), ..interface(4, "eth0.42") };
        let all = vec![lo, interface(2, "eth0"), interface(3, "eth1"), tagged];
        let addresses = [
            (1, "127.0.0.1"),
            (1, "::1"),
            (1, "192.0.2.123"),
            (2, "198.51.100.1"),
            (2, "2001:db8::1"),
            (2, NOT_YET),
            (3, "203.0.113.1"),
            (4, "198.51.100.129"),
        ];
        let parsed = addresses.map(|(interface, address)| InterfaceAddress {
            interface,
            address: address.parse().unwrap(),
            is_assigned: address != NOT_YET,
        });
        (all, parsed.to_vec())
    }

    /// Looked for at the neighbours.
    const NOT_YET: &str = "2001:db8::9";

    /// Station, VLAN and address of each, for a server that listens on `listening`.
    fn table(names: &[&str], listening: &[&str]) -> Vec<String> {
        let (all, addresses) = machine();
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let listening: Vec<_> = listening.iter().map(|on| on.parse().unwrap()).collect();
        let table = endpoints(&names, &all, &addresses, &listening);
        let shown = |one: &Endpoint| {
            format!("{} {} {}", one.station[0], one.vlan.unwrap_or(0), one.address)
        };
        table.iter().map(shown).collect()
    }

    #[test]
    fn everywhere_is_each_address_of_the_interface_its_vlans_and_the_machine() {
        assert_eq!(
            table(&["eth0"], &["0.0.0.0:123"]),
            [
                "2 0 192.0.2.123:123",
                "2 0 198.51.100.1:123",
                "4 42 192.0.2.123:123",
                "4 42 198.51.100.129:123"
            ]
        );
        assert_eq!(table(&["eth0"], &["[::]:11123"]), ["2 0 [2001:db8::1]:11123"]);
        assert_eq!(
            table(&["eth1"], &["0.0.0.0:123"]),
            ["3 0 192.0.2.123:123", "3 0 203.0.113.1:123"]
        );
    }

    #[test]
    fn what_is_not_listened_on_or_not_there_has_no_place_in_it() {
        let one = ["198.51.100.1:123", "198.51.100.7:123", "127.0.0.1:123"];
        assert_eq!(table(&["eth0", "eth1"], &one), ["2 0 198.51.100.1:123"]);
        assert_eq!(table(&["eth0"], &[&format!("[{NOT_YET}]:123")]), [""; 0]);
        assert_eq!(table(&["eth9"], &["0.0.0.0:123"]), [""; 0]);
        assert_eq!(table(&["eth0"], &[]), [""; 0]);
        assert_eq!(table(&["lo"], &["0.0.0.0:123"]), [""; 0], "no station");
    }
}
