//! Names and the addresses behind them, by the system's own resolver; and the names servers give each other.
//!
//! Must never: be called by a thread that has time to keep; a name server may take many seconds.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use timeball_time::ReferenceId;

/// The addresses of `name`, in the resolver's order of preference.
///
/// # Errors
///
/// What the resolver says.
pub fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<_> = look_up_at(name, 0)?.map(|at| at.ip()).collect();
    addresses.dedup();
    Ok(addresses)
}

/// The same with `port`, and with the interface that an address is good on, where it matters (`fe80::`).
///
/// # Errors
///
/// What the resolver says.
pub(crate) fn look_up_at(
    name: &str,
    port: u16,
) -> io::Result<impl Iterator<Item = SocketAddr> + use<>> {
    (name, port).to_socket_addrs()
}

/// A reference ID as its stratum makes it: a code below 2, an address (or digest) above.
pub(crate) fn reference(stratum: u8, id: ReferenceId) -> String {
    if stratum < 2 { format!("{id:?}") } else { id.to_string() }
}

/// What a kiss code says about why a server is not synchronised.
pub(crate) fn kiss_meaning(code: &str) -> Option<&'static str> {
    match code {
        "INIT" => Some("never since its start"),
        "STEP" => Some("its clock was set and is being checked"),
        "XSTL" => Some("its clock discipline has stopped"),
        "XLST" => Some("it has lost its sources for too long"),
        _ => None,
    }
}
