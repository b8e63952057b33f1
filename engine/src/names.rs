//! Names and the addresses behind them, by the system's own resolver.
//!
//! Must never: be called by a thread that has time to keep; a name server may take many seconds.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};

/// The addresses of `name`, in the resolver's order of preference.
///
/// # Errors
///
/// What the resolver says.
pub fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = (name, 0).to_socket_addrs()?.map(|at| at.ip()).collect();
    addresses.dedup();
    Ok(addresses)
}
