//! The sockets of the broadcast family: what is sent to, and heard by, many on a local network.
//!
//! The kernel gives a broadcast to every socket of its port, and a multicast to all that have joined
//! its group. A socket here takes nothing else: a filter lets only link-level broadcasts and multicasts
//! in, and requests to the server itself are steered past it to the workers, whose port it shares so that
//! what it sends comes from the server's own port.
//!
//! Must never: block, or hear what it sends itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::InterfaceIndexOrAddress::Index;

use crate::control::Taken;
use crate::message;
use crate::server::{ListenError, ServerSocket, explained};
use crate::sockopt;
use crate::steering::{self, Hears};

/// A socket for broadcasts and multicasts.
#[derive(Debug)]
pub struct LanSocket(ServerSocket);

impl LanSocket {
    /// A socket at `address`, beside the server's; it hears broadcasts and the groups it joins.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn beside(address: SocketAddr) -> Result<Self, ListenError> {
        let socket = Self::bind(address)?;
        steering::hear(socket.as_fd(), Hears::ToMany)
            .map_err(|cause| explained(address, "choosing what it hears", cause))?;
        Ok(socket)
    }

    /// A socket of a port of its own, which hears the answers to what it sends.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn apart(address: SocketAddr) -> Result<Self, ListenError> {
        Self::bind(SocketAddr::new(address.ip(), 0))
    }

    fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let server = ServerSocket::bind(address, BUFFER_BYTES)?;
        let socket = server.socket();
        let options = if address.is_ipv4() {
            socket.set_broadcast(true).and_then(|()| socket.set_multicast_loop_v4(false))
        } else {
            socket.set_multicast_loop_v6(false)
        };
        options.map_err(|cause| explained(address, "setting socket options", cause))?;
        Ok(Self(server))
    }

    /// Its family.
    pub const fn is_ipv4(&self) -> bool {
        self.0.address().is_ipv4()
    }

    /// Joins `group` on every interface that knows multicast; again is no error.
    ///
    /// # Errors
    /// The last one if no interface could.
    pub fn join(&self, group: IpAddr) -> io::Result<()> {
        let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
        for index in interfaces() {
            let joined = match group {
                IpAddr::V4(group) => self.0.socket().join_multicast_v4_n(&group, &Index(index)),
                IpAddr::V6(group) => self.0.socket().join_multicast_v6(&group, index),
            };
            match joined {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    outcome = outcome.or(Err(error));
                }
                _ => outcome = Ok(()),
            }
        }
        outcome
    }

    /// Takes one datagram; `None` when there is none, or its sender has no address to answer to.
    ///
    /// # Errors
    /// As the kernel says; the socket is good for more.
    pub fn receive(&self, bytes: &mut [u8]) -> io::Result<Option<Taken>> {
        Ok(message::receive_from(self.as_fd(), bytes, 0)?.and_then(Taken::of))
    }

    /// Sends `bytes` to all at `target`, no further than `ttl` hops: to a group on every interface.
    ///
    /// # Errors
    /// The last one if it could be sent nowhere.
    pub fn announce(&self, bytes: &[u8], target: SocketAddr, ttl: u8) -> io::Result<()> {
        let socket = self.0.socket();
        if !target.ip().is_multicast() {
            socket.set_ttl_v4(u32::from(ttl))?;
            return socket.send_to(bytes, &target.into()).map(drop);
        }
        let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
        for index in interfaces() {
            let sent = self
                .set_interface(target, index, ttl)
                .and_then(|()| socket.send_to(bytes, &target.into()));
            match sent {
                Ok(_) => outcome = Ok(()),
                Err(error) => outcome = outcome.or(Err(error)),
            }
        }
        outcome
    }

    fn set_interface(&self, target: SocketAddr, index: u32, ttl: u8) -> io::Result<()> {
        let socket = self.0.socket();
        if target.is_ipv4() {
            socket.set_multicast_ttl_v4(u32::from(ttl))?;
            let unspecified = libc::in_addr { s_addr: 0 };
            let request = libc::ip_mreqn {
                imr_multiaddr: unspecified,
                imr_address: unspecified,
                imr_ifindex: index as i32,
            };
            sockopt::set_raw(self.as_fd(), libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &request)
        } else {
            socket.set_multicast_hops_v6(u32::from(ttl))?;
            socket.set_multicast_if_v6(index)
        }
    }

    /// Sends `bytes` to whoever sent `taken`, from an address of this machine's own.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; others as the kernel says.
    pub fn answer(&self, taken: &Taken, bytes: &[u8]) -> io::Result<()> {
        let local = taken.local.filter(|local| !local.address.is_multicast());
        message::send_from(self.as_fd(), bytes, taken.source, local)
    }
}

impl AsFd for LanSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The indices of this network namespace's interfaces, loopback left out.
fn interfaces() -> Vec<u32> {
    // JUSTIFICATION: std and socket2 do not list interfaces, and files below /sys may be another
    // namespace's.
    // SAFETY: takes nothing; returns null or a list that is ours to free.
    let list = unsafe { libc::if_nameindex() };
    let mut indices = Vec::new();
    if list.is_null() {
        return indices;
    }
    for at in 0..INTERFACES_MAX {
        // JUSTIFICATION: the list is a C array.
        // SAFETY: it ends with an entry of index 0, at which this loop ends, so `at` is within it.
        let entry = unsafe { list.wrapping_add(at).read() };
        if entry.if_index == 0 {
            break;
        }
        // JUSTIFICATION: the name is a C string.
        // SAFETY: that of an entry which is not the last is a valid C string until the list is freed.
        let name = unsafe { core::ffi::CStr::from_ptr(entry.if_name) };
        if name != LOOPBACK {
            indices.push(entry.if_index);
        }
    }
    // JUSTIFICATION: the list is the C library's memory.
    // SAFETY: it came from `if_nameindex`, is freed once, and nothing points into it any more.
    unsafe { libc::if_freenameindex(list) };
    indices
}

/// What it is called in every namespace.
const LOOPBACK: &core::ffi::CStr = c"lo";
/// A host with more is a router, and has no business here.
const INTERFACES_MAX: usize = 64;
/// A local network has few servers.
const BUFFER_BYTES: usize = 64 << 10;
