//! Listening for connections, alone at an address or for a moment beside the process that is to be replaced.
//!
//! Must never: share an address with somebody who was not meant to.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// A TCP socket that listens at `address` and does not block; `beside`: a process of the same user may listen
/// there too, through a socket of this function's.
///
/// # Errors
/// As the system says; `AddrInUse` if somebody listens there and it is not to be beside them.
pub fn listen_stream(address: SocketAddr, beside: bool) -> io::Result<TcpListener> {
    if !beside {
        // The kernel lets two share an address only if both say so; this one asks without.
        drop(TcpListener::bind(address)?);
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connections that wait to be taken.
const BACKLOG: i32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shared_with_a_successor_and_with_nobody_else() {
        let first = listen_stream("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = first.local_addr().unwrap();
        let refused = listen_stream(address, false).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(io::ErrorKind::AddrInUse));
        assert!(TcpListener::bind(address).is_err());
        let second = listen_stream(address, true).unwrap();
        drop(first);
        std::net::TcpStream::connect(address).unwrap();
        let begun = std::time::Instant::now();
        while second.accept().is_err() {
            assert!(begun.elapsed().as_secs() < 30, "the successor is alone now");
        }
    }
}
