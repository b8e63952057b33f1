//! Where load may go: to this machine, and nowhere else.
//!
//! A generator that can offer a million packets a second from forged addresses is a weapon if it
//! can be pointed at somebody. Loopback is always allowed. The only other targets are the ranges
//! reserved for benchmarking (RFC 2544: 198.18.0.0/15; RFC 5180: 2001:2::/48), and only from inside
//! a network namespace that leads nowhere: no default route, no gateway, just what is directly
//! attached, such as a `veth`.
//!
//! Must never: resolve names, or be switched off.

use std::net::{IpAddr, SocketAddr};

/// Fails unless load may go to `target`.
pub fn refuse_foreign(target: SocketAddr) -> Result<(), OutOfScope> {
    if target.ip().is_loopback() || (is_for_benchmarks(target.ip()) && leads_nowhere()) {
        Ok(())
    } else {
        Err(OutOfScope { target })
    }
}

/// The target is not this machine; whoever chose it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{target} is not local; load goes only to loopback, or to 198.18.0.0/15 or 2001:2::/48 from \
     inside a network namespace without gateways"
)]
pub struct OutOfScope {
    /// Where the load was to go.
    pub target: SocketAddr,
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
            assert_eq!(refuse_foreign(target.parse().unwrap()), Ok(()), "{target}");
        }
        for target in ["192.0.2.1:123", "10.0.0.1:123", "0.0.0.0:123", "[2001:db8::1]:123"] {
            assert!(refuse_foreign(target.parse().unwrap()).is_err(), "{target}");
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
