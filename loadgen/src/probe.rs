//! One request before the load: is there a server at all?
//!
//! A million requests to a closed port say no more than one, and say it worse: the kernel tells a connected
//! socket what it does not tell a socket with many sources. The request also has the neighbour looked up
//! before the clock runs.
//!
//! Must never: send more than a dozen packets, or judge the answer; that is the load's business.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use timeball_sys::ClientSocket;

use crate::{Kind, LoadError};

/// Returns when `target` has sent anything back.
///
/// # Errors
/// [`LoadError::Refused`], [`LoadError::Unreachable`], [`LoadError::Silent`].
pub(crate) fn probe(target: SocketAddr) -> Result<(), LoadError> {
    let unreachable = |cause| LoadError::Unreachable { target, cause };
    let socket =
        ClientSocket::connect(target).map_err(|error| unreachable(io::Error::other(error)))?;
    let request = Kind::V4.packet();
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => LoadError::Refused(target),
        _ => unreachable(error),
    };
    for _ in 0..TRIES {
        socket.send(&request).map_err(told)?;
        let sent = Instant::now();
        while sent.elapsed() < PATIENCE {
            if socket.receive(&mut [0; 64]).map_err(told)?.is_some() {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
    }
    Err(LoadError::Silent(target))
}

/// Three seconds in all: a server under load or rate limit may leave out one.
const TRIES: u32 = 6;
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_closed_port_is_told_at_once() {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(probe(gone), Err(LoadError::Refused(target)) if target == gone));
    }

    #[test]
    fn a_server_that_answers_the_second_request_is_there() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = server.local_addr().unwrap();
        let answering = thread::spawn(move || {
            server.recv_from(&mut [0; 64]).unwrap();
            let (len, client) = server.recv_from(&mut [0; 64]).unwrap();
            server.send_to(&vec![0; len], client).unwrap();
        });
        assert!(probe(target).is_ok());
        answering.join().unwrap();
    }

    #[test]
    fn silence_has_an_end() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = silent.local_addr().unwrap();
        assert!(matches!(probe(target), Err(LoadError::Silent(_))));
    }
}
