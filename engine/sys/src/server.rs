//! One socket of a server, and how it is made; `group.rs` has those of an address together.
//!
//! It asks for what the packet path needs and nothing else: arrival stamps, the
//! address asked (unless only one is possible), the don't-fragment bit. `PROBE` path-MTU discovery
//! sets that bit and ignores what ICMP claims, so a forged "fragmentation needed" cannot touch us;
//! without it the kernel would also draw an IP identification per reply, 7 to 9 % of a core.
//!
//! Must never: share its port with another process, fragment, or listen to IPv4 on an IPv6 socket.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::client::family;
use crate::cmsg::TIMESTAMPNS_NEW;
use crate::headers::HOPS;
use crate::sockopt;
use crate::steering::{self, Hears, Spread};

/// How to listen on one address.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Address and port; port 0 takes a free one, the same for all workers.
    pub address: SocketAddr,
    /// Sockets to make: one per worker, at least 1.
    pub workers: usize,
    /// Room for datagrams the worker has not taken yet, in bytes of kernel memory per socket.
    ///
    /// About 2 KiB of it go to one small datagram. More than 512 datagrams only make answers old.
    pub receive_buffer_bytes: usize,
    /// How datagrams find their worker.
    pub spread: Spread,
    /// Secret mixed into [`Spread::SourceAddress`], so that nobody can aim at one worker.
    pub spread_key: u32,
    /// Core of each worker, for [`Spread::Cpu`]; others' datagrams go to core modulo workers.
    pub cores: Vec<usize>,
    /// Give each worker a second socket of the same port to send by.
    ///
    /// A ring keeps an entry in the wait queue of the socket it receives from, and the kernel would
    /// look at it each time a reply has left (measured: 150 ns of 4 500).
    pub send_apart: bool,
    /// Make one more socket, to which control messages (mode 6) and broadcasts (mode 5) are steered.
    pub control: bool,
    /// Refuse to start when anybody holds the port already, even one who would share it.
    pub exclusive: bool,
}

impl ListenOptions {
    /// The defaults for `address`: one worker, 256 KiB, by source address, sending apart, exclusive.
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            workers: 1,
            receive_buffer_bytes: 256 << 10,
            spread: Spread::SourceAddress,
            spread_key: 0,
            cores: Vec::new(),
            send_apart: true,
            control: false,
            exclusive: true,
        }
    }
}

/// One bound, non-blocking socket of a server.
#[derive(Debug)]
pub struct ServerSocket {
    socket: Socket,
    /// Of the same port, for sending only; requests are steered past it.
    sender: Option<Socket>,
    address: SocketAddr,
}

/// Why a server cannot listen, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error(
        "{0} is in use by another program; stop it (ss -lunp shows which), or listen on another \
         port"
    )]
    AddressInUse(SocketAddr),
    /// A port below 1024 without the right to it.
    #[error(
        "not permitted to listen on {0}: ports below 1024 need CAP_NET_BIND_SERVICE; grant it \
         (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), run as root, or listen on another \
         port"
    )]
    PermissionDenied(SocketAddr),
    /// The kernel has no IPv6 (or no IPv4).
    #[error("cannot listen on {address}: this machine has no {family}; leave the address out")]
    AddressFamilyUnsupported {
        /// The address asked for.
        address: SocketAddr,
        /// Its family.
        family: &'static str,
    },
    /// No interface has the address.
    #[error(
        "cannot listen on {0}: no interface has this address; check `ip address`, or listen on all"
    )]
    AddressNotAvailable(SocketAddr),
    /// A socket that was passed on takes more than its own family.
    #[error(
        "the socket passed on for {0} takes IPv4 as well: set BindIPv6Only=ipv6-only in its socket \
         unit"
    )]
    BothFamilies(SocketAddr),
    /// A socket that was passed on lets no other have its port.
    #[error(
        "several workers cannot share the socket passed on for {0}: set ReusePort=yes in its socket \
         unit and start the server as the user who opens the socket (root), or set workers = 1"
    )]
    Unshared(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {step}: {cause}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
}

/// The receive buffer that `socket` really has, in the unit in which one is asked for.
pub(crate) fn granted(socket: &ServerSocket, address: SocketAddr) -> Result<usize, ListenError> {
    let granted = sockopt::get(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF)
        .map_err(|cause| explained(address, "reading the buffer size", cause))?;
    // The kernel doubles what it is asked for and reports the double (man 7 socket).
    Ok(granted.unsigned_abs() as usize / 2)
}

/// Whether `address` could be bound by us alone: a socket that shares its port would not notice
/// another server that does the same, and each would get a part of the requests.
///
/// # Errors
/// [`ListenError`]. Nothing stays bound.
pub fn check_free(address: SocketAddr) -> Result<(), ListenError> {
    let socket = open(address).map_err(|cause| explained(address, "opening a socket", cause))?;
    socket.bind(&address.into()).map_err(|cause| explained(address, "binding", cause))
}

impl ServerSocket {
    pub(crate) fn bind(
        address: SocketAddr,
        receive_buffer_bytes: usize,
    ) -> Result<Self, ListenError> {
        let explain = |step| move |cause| explained(address, step, cause);
        let socket = open(address).map_err(explain("opening a socket"))?;
        socket.set_reuse_port(true).map_err(explain("sharing the port among workers"))?;
        prepare(&socket, address, receive_buffer_bytes)?;
        socket.bind(&address.into()).map_err(explain("binding"))?;
        let bound = socket.local_addr().map_err(explain("reading the bound address"))?;
        let address = bound.as_socket().unwrap_or(address);
        Ok(Self { socket, sender: None, address })
    }

    /// One that is bound to `address` already.
    pub(crate) const fn of(socket: Socket, sender: Option<Socket>, address: SocketAddr) -> Self {
        Self { socket, sender, address }
    }

    /// Has its replies leave by `sender`.
    pub(crate) fn send_by(&mut self, sender: Socket) {
        self.sender = Some(sender);
    }

    /// The socket for sending only, if it has one.
    pub(crate) fn apart(&self) -> Option<BorrowedFd<'_>> {
        self.sender.as_ref().map(Socket::as_fd)
    }

    /// The one it receives by.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    /// Makes a bound socket that was opened elsewhere the same as one of ours at `options.address`.
    pub(crate) fn take(socket: OwnedFd, options: &ListenOptions) -> Result<Self, ListenError> {
        let (socket, address) = (Socket::from(socket), options.address);
        let explain = |step| move |cause| explained(address, step, cause);
        if address.is_ipv6() && !socket.only_v6().map_err(explain("reading socket options"))? {
            return Err(ListenError::BothFamilies(address));
        }
        socket.set_nonblocking(true).map_err(explain("setting socket options"))?;
        prepare(&socket, address, options.receive_buffer_bytes)?;
        Ok(Self { socket, sender: None, address })
    }

    /// Takes over a bound UDP socket made elsewhere, as it is but non-blocking: for tests.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn adopt(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self { socket: socket.into(), sender: None, address })
    }

    /// Another handle of the same socket, which lives until the last of them is dropped: what one does not
    /// take, another will.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        let sender = self.sender.as_ref().map(Socket::try_clone).transpose()?;
        Ok(Self { socket: self.socket.try_clone()?, sender, address: self.address })
    }

    /// The socket replies leave by: the one they are received by, or another of the same port.
    pub fn sender(&self) -> BorrowedFd<'_> {
        self.sender.as_ref().unwrap_or(&self.socket).as_fd()
    }

    /// Whether a reply may ask for a stamp of its departure: on a socket that also receives, the report
    /// would look like an error.
    pub(crate) const fn stamps_departures(&self) -> bool {
        self.sender.is_some()
    }

    /// How many hops a reply may go: its time to live.
    pub(crate) fn hops(&self) -> u8 {
        let (level, name) = match self.address {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TTL),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
        };
        let hops = sockopt::get(self.sender(), level, name).ok();
        hops.and_then(|hops| u8::try_from(hops).ok()).unwrap_or(HOPS)
    }

    pub(crate) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The address it is bound to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl AsFd for ServerSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<ServerSocket> for std::net::UdpSocket {
    fn from(server: ServerSocket) -> Self {
        server.socket.into()
    }
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Sets what a socket that serves at `address` needs, bound or not yet.
fn prepare(
    socket: &Socket,
    address: SocketAddr,
    receive_buffer_bytes: usize,
) -> Result<(), ListenError> {
    let explain = |step| move |cause| explained(address, step, cause);
    set_packet_options(socket, address).map_err(explain("setting socket options"))?;
    steering::hear(socket.as_fd(), Hears::ToUs).map_err(explain("choosing what it hears"))?;
    set_receive_buffer(socket, receive_buffer_bytes).map_err(explain("sizing the buffer"))
}

fn set_packet_options(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let fd = socket.as_fd();
    sockopt::set(fd, libc::SOL_SOCKET, TIMESTAMPNS_NEW, 1)?;
    let many = address.ip().is_unspecified();
    if address.is_ipv4() {
        sockopt::set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        if many {
            sockopt::set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        }
    } else {
        let probe = libc::IPV6_PMTUDISC_PROBE;
        sockopt::set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, probe)?;
        sockopt::set(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)?;
        if many {
            sockopt::set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            // An anycast prefix routed to `lo` is local without being on an interface; without this
            // the kernel would refuse to answer from the address that was asked.
            socket.set_freebind_v6(true)?;
        }
    }
    Ok(())
}

/// By force where permitted (CAP_NET_ADMIN), else as much as `net.core.rmem_max` allows.
pub(crate) fn set_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    let size = i32::try_from(bytes).unwrap_or(i32::MAX / 2);
    sockopt::set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size)
        .or_else(|_| socket.set_recv_buffer_size(bytes))
}

pub(crate) fn explained(address: SocketAddr, step: &'static str, cause: io::Error) -> ListenError {
    match cause.raw_os_error() {
        Some(libc::EADDRINUSE) => ListenError::AddressInUse(address),
        Some(libc::EACCES | libc::EPERM) => ListenError::PermissionDenied(address),
        Some(libc::EAFNOSUPPORT) => {
            ListenError::AddressFamilyUnsupported { address, family: family(address) }
        }
        Some(libc::EADDRNOTAVAIL) => ListenError::AddressNotAvailable(address),
        _ => ListenError::Other { address, step, cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::listen;

    fn options(address: &str) -> ListenOptions {
        ListenOptions::new(address.parse().expect("an address"))
    }

    #[test]
    fn workers_share_one_port_that_nobody_else_can_take() {
        let group = listen(&ListenOptions { workers: 3, ..options("127.0.0.1:0") }).expect("free");
        assert_eq!(group.sockets.len(), 3);
        assert!(group.sockets.iter().all(|socket| socket.address() == group.address));
        let again = ListenOptions { address: group.address, ..options("127.0.0.1:0") };
        let error = listen(&again).expect_err("taken");
        assert!(matches!(error, ListenError::AddressInUse(_)), "{error}");
        // The same in another way: asked to share, we could.
        listen(&ListenOptions { exclusive: false, ..again }).expect("shared");
    }

    #[test]
    fn an_address_of_nobody_is_named_as_such() {
        let error = listen(&options("192.0.2.1:0")).expect_err("TEST-NET-1 is on no interface");
        assert!(matches!(error, ListenError::AddressNotAvailable(_)), "{error}");
    }

    #[test]
    fn a_low_port_without_the_capability_names_it() {
        let result = std::thread::spawn(|| {
            let (set, cap) = (caps::CapSet::Effective, caps::Capability::CAP_NET_BIND_SERVICE);
            caps::drop(None, set, cap).expect("capset");
            listen(&options("127.0.0.1:1009"))
        });
        let error = result.join().expect("the unprivileged thread").expect_err("not permitted");
        assert!(error.to_string().contains("CAP_NET_BIND_SERVICE"), "{error}");
    }

    #[test]
    fn the_granted_buffer_is_reported_in_the_unit_it_is_asked_in() {
        let asked = 128 << 10;
        let group =
            listen(&ListenOptions { receive_buffer_bytes: asked, ..options("127.0.0.1:0") });
        assert_eq!(group.expect("free").receive_buffer_bytes, asked);
    }

    #[test]
    fn the_packet_options_are_in_force() {
        let group = listen(&options("0.0.0.0:0")).expect("free");
        let get =
            |level, name| sockopt::get(group.sockets[0].as_fd(), level, name).expect("option");
        assert_eq!(get(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER), libc::IP_PMTUDISC_PROBE);
        assert_eq!(get(libc::IPPROTO_IP, libc::IP_PKTINFO), 1);
        assert_eq!(get(libc::SOL_SOCKET, TIMESTAMPNS_NEW), 1);
        let Ok(group) = listen(&options("[::]:0")) else { return };
        let get =
            |level, name| sockopt::get(group.sockets[0].as_fd(), level, name).expect("option");
        assert_eq!(get(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY), 1);
        assert_eq!(get(libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG), 1);
        assert_eq!(get(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO), 1);
    }
}
