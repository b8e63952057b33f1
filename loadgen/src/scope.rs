//! Where load may go, and in whose name: to this machine, and in nobody's.
//!
//! A generator that can offer a million packets a second from forged addresses is a weapon if it
//! can be pointed at somebody. Loopback and this machine's own addresses are always allowed. So are the
//! ranges reserved for benchmarking (RFC 2544: 198.18.0.0/15; RFC 5180: 2001:2::/48), from inside
//! a network namespace that leads nowhere: no default route, no gateway, just what is directly
//! attached, such as a `veth`. Everything else takes the caller's word that the target is theirs.
//!
//! Replies go where requests claim to come from. So forged sources are taken only from ranges that
//! nobody on the Internet has, unless the namespace leads nowhere; no word of the caller's changes that.
//!
//! Must never: resolve names.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::Population;

/// Fails unless load may go to `target`; `owned` is the caller's word that it is theirs.
pub fn refuse_foreign(target: SocketAddr, owned: bool) -> Result<(), OutOfScope> {
    let allowed = owned
        || target.ip().is_loopback()
        || is_own(target.ip())
        || (is_for_benchmarks(target.ip()) && leads_nowhere());
    if allowed { Ok(()) } else { Err(OutOfScope::Target { target }) }
}

/// Fails unless replies to `population` can go to nobody.
pub(crate) fn refuse_foreign_sources(population: &Population) -> Result<(), OutOfScope> {
    let (first, last) =
        (population.address(0), population.address(u64::from(population.size()) - 1));
    // So few that between two such addresses lies no third kind: the ranges are farther apart.
    let few = population.size() <= 1 << 24;
    let nobodys = few && is_nobodys(first) && is_nobodys(last);
    if nobodys || leads_nowhere() { Ok(()) } else { Err(OutOfScope::Sources { first, last }) }
}

/// The load is not this machine's own business; whoever asked for it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfScope {
    /// The target is somebody else's.
    #[error(
        "{target} is not local; load goes to this machine, or to 198.18.0.0/15 or 2001:2::/48 from \
         inside a network namespace without gateways; for another server of your own say \
         --i-own-this-target"
    )]
    Target {
        /// Where the load was to go.
        target: SocketAddr,
    },
    /// The sources could be somebody's.
    #[error(
        "replies to {first} to {last} would go to whoever has these addresses; forge private ones \
         (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 198.18.0.0/15, fc00::/7, 2001:2::/48), or run in a \
         network namespace without gateways"
    )]
    Sources {
        /// The first client.
        first: IpAddr,
        /// The last.
        last: IpAddr,
    },
}

/// Whether an address is one of this machine's: only those can be bound to.
pub(crate) fn is_own(address: IpAddr) -> bool {
    !address.is_unspecified() && UdpSocket::bind((address, 0)).is_ok()
}

/// Whether no host of the Internet can have the address.
fn is_nobodys(address: IpAddr) -> bool {
    let reserved = match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local(),
    };
    reserved || is_for_benchmarks(address)
}

fn is_for_benchmarks(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [198, 18 | 19, ..]),
        IpAddr::V6(address) => matches!(address.segments(), [0x2001, 2, 0, ..]),
    }
}

/// Whether no route of this process's network namespace goes beyond what is directly attached.
fn leads_nowhere() -> bool {
    let read = |path| std::fs::read_to_string(path);
    // Without IPv6 there is no second file, and nothing it could say.
    let v6 = read("/proc/self/net/ipv6_route").unwrap_or_default();
    read("/proc/self/net/route").is_ok_and(|v4| !leads_out_v4(&v4)) && !leads_out_v6(&v6)
}

/// Columns: device, destination, gateway, flags, …, the mask eighth; below one line of titles.
fn leads_out_v4(routes: &str) -> bool {
    routes.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, destination, gateway, _, _, _, _, mask, ..] => {
                *gateway != ZERO_V4 || (*destination == ZERO_V4 && *mask == ZERO_V4)
            }
            _ => true,
        }
    })
}

/// Columns: destination, its prefix length, source, its prefix length, next hop, …, device last.
/// The kernel itself keeps an entry that rejects everything, on `lo`.
fn leads_out_v6(routes: &str) -> bool {
    routes.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, length, _, _, next_hop, .., device] => {
                *device != "lo" && (*length == "00" || *next_hop != ZERO_V6)
            }
            _ => true,
        }
    })
}

const ZERO_V4: &str = "00000000";
const ZERO_V6: &str = "00000000000000000000000000000000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_allowed_and_the_world_is_not() {
        for target in ["127.0.0.1:123", "127.9.8.7:1", "[::1]:123"] {
            assert_eq!(refuse_foreign(target.parse().unwrap(), false), Ok(()), "{target}");
        }
        for target in ["192.0.2.1:123", "10.0.0.1:123", "0.0.0.0:123", "[2001:db8::1]:123"] {
            assert!(refuse_foreign(target.parse().unwrap(), false).is_err(), "{target}");
            assert_eq!(refuse_foreign(target.parse().unwrap(), true), Ok(()), "{target}");
        }
    }

    #[test]
    fn addresses_that_somebody_can_have_are_not_forged() {
        for text in ["10.0.0.0", "172.16.0.1", "192.168.1.1", "198.19.0.1", "fd00::1", "2001:2::1"]
        {
            assert!(is_nobodys(text.parse().unwrap()), "{text}");
        }
        for text in ["8.8.8.8", "172.32.0.1", "100.64.0.1", "2001:db8::1", "fe80::1"] {
            assert!(!is_nobodys(text.parse().unwrap()), "{text}");
        }
        // Not in a namespace that leads nowhere, where everything may be forged.
        if !leads_nowhere() {
            let population = "8.8.8.0/24".parse().unwrap();
            assert!(matches!(refuse_foreign_sources(&population), Err(OutOfScope::Sources { .. })));
        }
    }

    #[test]
    fn only_the_reserved_ranges_are_for_benchmarks() {
        for text in ["198.18.0.0", "198.19.255.255", "2001:2::1"] {
            assert!(is_for_benchmarks(text.parse().unwrap()), "{text}");
        }
        for text in ["198.17.255.255", "198.20.0.0", "2001:2:1::1", "2001:db8::1"] {
            assert!(!is_for_benchmarks(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_gateway_or_a_default_route_leads_out() {
        let titles = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
        let attached = format!("{titles}tbc1 000012C6 00000000 0001 0 0 0 00FFFFFF 0 0 0\n");
        assert!(!leads_out_v4(titles) && !leads_out_v4(&attached));
        let gateway = "eth0 000012C6 0100A8C0 0003 0 0 0 00FFFFFF 0 0 0\n";
        let default = "ppp0 00000000 00000000 0001 0 0 0 00000000 0 0 0\n";
        for route in [gateway, default, "damaged\n"] {
            assert!(leads_out_v4(&format!("{attached}{route}")), "{route}");
        }
    }

    #[test]
    fn an_ipv6_gateway_or_default_route_leads_out_and_the_kernels_own_entry_does_not() {
        let line = |length: &str, next_hop: &str, device: &str| {
            format!("{ZERO_V6} {length} {ZERO_V6} 00 {next_hop} ffffffff 1 0 00200200 {device}\n")
        };
        assert!(!leads_out_v6(&line("00", ZERO_V6, "lo")));
        assert!(!leads_out_v6(&line("40", ZERO_V6, "tbc1")));
        assert!(leads_out_v6(&line("00", ZERO_V6, "eth0")));
        assert!(leads_out_v6(&line("40", "fe800000000000000000000000000001", "eth0")));
        assert!(leads_out_v6("damaged\n"));
    }
}
