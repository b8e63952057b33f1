//! The socket of one NTP client association: asks one server, with kernel stamps both ways.
//!
//! Connected, so that the kernel drops datagrams of anybody else and reports an ICMP refusal; bound
//! to port 0, so that the kernel draws a random source port. A caller that wants a new port per
//! request (RFC 9109) makes a new socket per request. Stamps are the kernel's software stamps in
//! both directions: the reply's comes with it, the request's through the socket's error queue.
//!
//! Must never: block, or take the absence of a stamp for an error.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};
use timeball_time::{Realtime, Timestamp};

use crate::cmsg::TIMESTAMPING_NEW;
use crate::message::{self, Received};
use crate::sockopt;

/// A connected, non-blocking UDP socket with kernel stamps of arrival and departure.
#[derive(Debug)]
pub struct ClientSocket {
    socket: Socket,
}

/// Why a client socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kernel lacks the server's address family.
    #[error("this machine has no {0}; give the source an address of the other family")]
    AddressFamilyUnsupported(&'static str),
    /// No route to the server from here.
    #[error("no route to {remote}: {cause}; check the address and the routing table")]
    Unreachable {
        /// The server asked for.
        remote: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Anything else, such as no more file descriptors.
    #[error("cannot open a socket to {remote}: {cause}")]
    Other {
        /// The server asked for.
        remote: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
}

impl ClientSocket {
    /// A socket for `remote` on a source port the kernel draws at random.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing is sent yet, so an absent server does not show here.
    pub fn connect(remote: SocketAddr) -> Result<Self, ConnectError> {
        let socket = Self::open(remote).map_err(|cause| match cause.raw_os_error() {
            Some(libc::EAFNOSUPPORT) => ConnectError::AddressFamilyUnsupported(family(remote)),
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL) => {
                ConnectError::Unreachable { remote, cause }
            }
            _ => ConnectError::Other { remote, cause },
        })?;
        Ok(Self { socket })
    }

    fn open(remote: SocketAddr) -> io::Result<Socket> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(remote), kind, Some(Protocol::UDP))?;
        sockopt::set(socket.as_fd(), libc::SOL_SOCKET, TIMESTAMPING_NEW, STAMPS)?;
        socket.connect(&remote.into())?;
        Ok(socket)
    }

    /// Sends one datagram to the server.
    ///
    /// # Errors
    /// `WouldBlock` when the socket buffer is full; `ConnectionRefused` when an ICMP answer to an
    /// earlier datagram said that nobody listens there; others as the kernel says.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes).map(drop)
    }

    /// Takes one datagram; `None` when there is none.
    ///
    /// # Errors
    /// `ConnectionRefused` when an ICMP answer said that nobody listens there (reported once per
    /// ICMP).
    pub fn receive(&self, bytes: &mut [u8]) -> io::Result<Option<Received>> {
        message::receive(self.as_fd(), bytes, 0)
    }

    /// The kernel's stamp of the newest departure that has been reported since the last call.
    ///
    /// The stamp is reported shortly after the send, on some devices from their completion
    /// interrupt: ask when the reply is there, or when the socket polls as erroneous.
    pub fn transmitted(&self) -> Option<Timestamp<Realtime>> {
        message::departure(self.as_fd())
    }

    /// The server's address and the local one, while both are known.
    pub fn addresses(&self) -> Option<[SocketAddr; 2]> {
        let remote = self.socket.peer_addr().ok()?.as_socket()?;
        Some([remote, self.local_addr().ok()?])
    }

    /// The local address and the source port drawn.
    ///
    /// # Errors
    /// As the kernel says; none is known for a connected socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

pub(crate) fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Software stamps both ways; a departure's report carries the stamp alone, not the packet.
const STAMPS: i32 = (libc::SOF_TIMESTAMPING_RX_SOFTWARE
    | libc::SOF_TIMESTAMPING_TX_SOFTWARE
    | libc::SOF_TIMESTAMPING_SOFTWARE
    | libc::SOF_TIMESTAMPING_OPT_ID
    | libc::SOF_TIMESTAMPING_OPT_TSONLY) as i32;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::{Duration, Instant};

    use timeball_time::Interval;

    use super::*;
    use crate::clock::realtime;
    use crate::stamping::Stamping;

    /// Repeats `ask` until it says something, for at most a second.
    fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(start.elapsed() < Duration::from_secs(1), "nothing happened within a second");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn exchange_on(address: &str) {
        let server = UdpSocket::bind(address).expect("loopback");
        let client = ClientSocket::connect(server.local_addr().expect("bound")).expect("connect");
        let before = realtime();
        client.send(b"request").expect("send");
        let mut bytes = [0; 64];
        let (len, from) = server.recv_from(&mut bytes).expect("request");
        assert_eq!(from, client.local_addr().expect("bound"));
        server.send_to(&bytes[..len], from).expect("reply");
        let received = eventually(|| client.receive(&mut bytes).expect("receive"));
        let after = realtime();
        assert_eq!(&bytes[..received.len], b"request");
        let departed = eventually(|| client.transmitted());
        let arrived = received.stamp.expect("a stamp of arrival");
        assert!(before <= departed && departed <= arrived && arrived <= after);
        assert!(after - before < Interval::from_secs(1));
    }

    #[test]
    fn both_stamps_come_in_order_over_ipv4_and_ipv6() {
        let _stamping = Stamping::in_force();
        exchange_on("127.0.0.1:0");
        if UdpSocket::bind("[::1]:0").is_ok() {
            exchange_on("[::1]:0");
        }
    }

    #[test]
    fn nothing_received_is_none_and_the_newest_of_several_departures_is_given() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let client = ClientSocket::connect(server.local_addr().expect("bound")).expect("connect");
        assert_eq!(client.receive(&mut [0; 64]).expect("receive"), None);
        assert_eq!(client.transmitted(), None);
        client.send(b"one").expect("send");
        let between = realtime();
        client.send(b"two").expect("send");
        assert!(eventually(|| client.transmitted()) >= between);
    }

    #[test]
    fn a_server_that_is_not_there_is_told_as_refused() {
        let gone = UdpSocket::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound");
        let client = ClientSocket::connect(gone).expect("connect");
        client.send(b"anyone?").expect("send");
        let error = eventually(|| client.receive(&mut [0; 64]).err());
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn each_socket_has_its_own_port_and_long_datagrams_are_marked() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let remote = server.local_addr().expect("bound");
        let client = ClientSocket::connect(remote).expect("connect");
        let other = ClientSocket::connect(remote).expect("connect");
        assert_ne!(client.local_addr().expect("bound"), other.local_addr().expect("bound"));
        server.send_to(&[1; 100], client.local_addr().expect("bound")).expect("send");
        let received = eventually(|| client.receive(&mut [0; 48]).expect("receive"));
        assert!(received.truncated && received.len == 48);
    }
}
