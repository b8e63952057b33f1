//! The control plane's socket of a listen address: one datagram at a time, answered from where it was asked.
//!
//! The steering program hands it what no worker can answer (modes 5 and 6). It is in the group of the
//! workers' sockets, so an answer comes from the server's own address and port.
//!
//! Must never: block.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use timeball_time::{Realtime, Timestamp};

use crate::cmsg::PacketInfo;
use crate::message::{self, Message, Received};
use crate::server::ServerSocket;

/// A socket for control messages and broadcasts.
#[derive(Debug)]
pub struct ControlSocket(ServerSocket);

/// One datagram taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Bytes written to the caller's buffer; a longer datagram is cut.
    pub len: usize,
    /// Longer than the caller's buffer.
    pub truncated: bool,
    /// Who sent it.
    pub source: SocketAddr,
    /// The local address it was sent to; `None` if the socket is bound to one.
    pub local: Option<PacketInfo>,
    /// The kernel's stamp of its arrival, if it gave one.
    pub stamp: Option<Timestamp<Realtime>>,
}

impl Taken {
    /// What `message` is, if its sender has an address.
    pub(crate) fn of(message: Message) -> Option<Self> {
        let Message { received, source, local } = message;
        let Received { len, truncated, stamp } = received;
        source.map(|source| Self { len, truncated, source, local, stamp })
    }
}

impl From<ServerSocket> for ControlSocket {
    fn from(socket: ServerSocket) -> Self {
        Self(socket)
    }
}

impl ControlSocket {
    /// Another handle of the same socket.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Takes one datagram; `None` when there is none, or its sender has no address to answer to.
    ///
    /// # Errors
    /// As the kernel says, of an earlier answer mostly; the socket is good for more.
    pub fn receive(&mut self, bytes: &mut [u8]) -> io::Result<Option<Taken>> {
        Ok(message::receive_from(self.as_fd(), bytes, 0)?.and_then(Taken::of))
    }

    /// Sends `bytes` to whoever sent `taken`, from the address it was sent to.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; others as the kernel says.
    pub fn answer(&self, taken: &Taken, bytes: &[u8]) -> io::Result<()> {
        message::send_from(self.as_fd(), bytes, taken.source, taken.local)
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::group::listen;
    use crate::server::ListenOptions;

    #[test]
    fn the_answer_comes_from_the_address_and_port_asked() {
        for (bound, asked) in [("0.0.0.0:0", "127.0.0.7"), ("[::]:0", "::1")] {
            let options =
                ListenOptions { control: true, ..ListenOptions::new(bound.parse().expect("one")) };
            let Ok(group) = listen(&options) else { continue };
            let mut control = group.control.expect("asked for");
            let asked = SocketAddr::new(asked.parse().expect("an address"), group.address.port());
            let any: SocketAddr = bound.parse().expect("an address");
            let client = UdpSocket::bind(any).expect("a free port");
            client.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
            client.send_to(&[0x16; 12], asked).expect("send");
            let mut bytes = [0; 64];
            let taken = control.receive(&mut bytes).expect("receive").expect("a datagram");
            assert_eq!((taken.len, taken.truncated), (12, false));
            control.answer(&taken, b"a longer answer than was asked for").expect("send");
            let (len, from) = client.recv_from(&mut bytes).expect("an answer");
            assert_eq!((&bytes[..len], from), (&b"a longer answer than was asked for"[..], asked));
        }
    }
}
