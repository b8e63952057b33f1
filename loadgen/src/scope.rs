//! Where load may go: to this machine, and nowhere else.
//!
//! A generator that can offer a million packets a second from forged addresses is a weapon if it can be
//! pointed at somebody. Loopback is always allowed. The only other targets are the ranges reserved for
//! benchmarking (RFC 2544: 198.18.0.0/15; RFC 5180: 2001:2::/48), and only from inside a network namespace
//! that is not the machine's own, where nothing but a `veth` of ours can lead anywhere.
//!
//! Must never: resolve names, or be switched off.

use std::net::{IpAddr, SocketAddr};

/// Fails unless load may go to `target`.
pub fn refuse_foreign(target: SocketAddr) -> Result<(), OutOfScope> {
    let foreign = OutOfScope { target };
    if target.ip().is_loopback() {
        return Ok(());
    }
    if is_for_benchmarks(target.ip()) && is_own_namespace() == Some(false) {
        return Ok(());
    }
    Err(foreign)
}

/// The target is not this machine; whoever chose it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{target} is not local; load goes only to loopback, or to 198.18.0.0/15 or 2001:2::/48 from inside \
     another network namespace"
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

/// Whether this process is in the network namespace of the machine's first process; `None` if unknown.
fn is_own_namespace() -> Option<bool> {
    let ours = std::fs::read_link("/proc/self/ns/net").ok()?;
    let first = std::fs::read_link("/proc/1/ns/net").ok()?;
    Some(ours == first)
}

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
    fn the_benchmark_ranges_are_refused_in_the_machines_own_namespace() {
        // Nothing to show when the tests themselves run in a namespace of their own.
        if is_own_namespace() == Some(false) {
            return;
        }
        for target in ["198.18.0.1:123", "198.19.255.255:9", "[2001:2::1]:123"] {
            assert!(refuse_foreign(target.parse().unwrap()).is_err(), "{target}");
        }
        assert!(is_for_benchmarks("198.19.0.1".parse().unwrap()));
        assert!(!is_for_benchmarks("198.20.0.1".parse().unwrap()));
    }
}
