//! Sockets that a service manager has opened, or kept, and passes on at the start (`LISTEN_FDS`).
//!
//! What arrived before this process was there waits in them. A group made beside such a socket has it in the
//! first place, which steering counts on: so nobody else may have a socket in the group, not even a
//! predecessor whose ring the kernel is still taking down.
//!
//! Must never: take a descriptor twice, or one that this process has opened itself.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{SockRef, Type};

use crate::group::{ListenGroup, Seats, gather};
use crate::server::{ListenError, ListenOptions, ServerSocket, explained, granted};

/// A descriptor that was passed on.
#[derive(Debug)]
pub struct Passed {
    /// Its number at the start.
    pub number: RawFd,
    /// What the service manager calls it; `unknown` if it does not say.
    pub name: String,
    /// The descriptor, closed when a program is executed.
    pub fd: OwnedFd,
}

/// What was passed on to this process: to be asked for before it opens anything. Asked again, nothing.
///
/// # Errors
/// When what the environment promises is not there.
pub fn passed() -> io::Result<Vec<Passed>> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let fds = sd_notify::listen_fds_with_names()?;
    let passed = fds.map(|(number, name)| {
        // JUSTIFICATION: std does not take descriptors by their numbers. SAFETY: it is open, as was just
        // checked, and nobody owns it: it was there when the process began, and it is asked for once.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        Passed { number, name, fd }
    });
    Ok(passed.collect())
}

impl Passed {
    /// Where it is bound, if it is a UDP socket.
    pub fn address(&self) -> Option<SocketAddr> {
        let socket = SockRef::from(&self.fd);
        let is_udp = socket.r#type().ok()? == Type::DGRAM;
        socket.local_addr().ok()?.as_socket().filter(|_| is_udp)
    }

    /// Whether it is the same socket as `other`.
    pub fn is_same(&self, other: &Self) -> bool {
        matches!((inode(self.fd.as_fd()), inode(other.fd.as_fd())), (Ok(a), Ok(b)) if a == b)
    }
}

/// Makes the group of `options` with `socket`, which is bound to its address, as that of the first
/// worker, and with others beside it. Where there can be no others one worker has it alone: it sends
/// by it too, and there is none for control.
///
/// # Errors
/// [`ListenError`]; what was opened is closed again.
pub fn listen_by(socket: OwnedFd, options: &ListenOptions) -> Result<ListenGroup, ListenError> {
    let address = options.address;
    let first = ServerSocket::take(socket, options)?;
    let cause = if first.socket().reuse_port().unwrap_or(false) {
        wait_until_alone(address, &[first.as_fd()])?;
        let handle = first.try_clone().map_err(|cause| explained(address, "sharing", cause))?;
        match gather(vec![handle], options) {
            Ok(group) => return Ok(group),
            Err(cause) => cause,
        }
    } else {
        ListenError::AddressInUse(address)
    };
    match cause {
        ListenError::AddressInUse(_) | ListenError::PermissionDenied(_) if options.workers == 1 => {
            let receive_buffer_bytes = granted(&first, address)?;
            let (sockets, control, seats) = (vec![first], None, Seats::usual(1));
            let spread = options.spread;
            Ok(ListenGroup { sockets, control, seats, address, receive_buffer_bytes, spread })
        }
        ListenError::AddressInUse(_) => Err(ListenError::Unshared(address)),
        other => Err(other),
    }
}

/// Waits until nobody has a socket at `address` but those that are `own`.
///
/// # Errors
/// [`ListenError::AddressInUse`] when somebody keeps one.
pub fn wait_until_alone(address: SocketAddr, own: &[BorrowedFd<'_>]) -> Result<(), ListenError> {
    let explain = |cause| explained(address, "looking who has the port", cause);
    let deadline = Instant::now() + PATIENCE;
    while holders_beside(address, own).map_err(explain)? {
        if Instant::now() > deadline {
            return Err(ListenError::AddressInUse(address));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Whether anybody has a socket at `address` but those that are `own`.
pub(crate) fn holders_beside(address: SocketAddr, own: &[BorrowedFd<'_>]) -> io::Result<bool> {
    let own: Vec<u64> = own.iter().map(|&fd| inode(fd)).collect::<io::Result<_>>()?;
    Ok(holders(address)?.iter().any(|holder| !own.contains(holder)))
}

/// The UDP sockets bound to `address` and no other, by their inodes.
fn holders(address: SocketAddr) -> io::Result<Vec<u64>> {
    let table = if address.is_ipv4() { "/proc/self/net/udp" } else { "/proc/self/net/udp6" };
    let wanted = kernel_form(address);
    let table = fs::read_to_string(table)?;
    let inode = |line: &str| {
        // sl local_address rem_address st queues timer retransmits uid timeout inode ...
        let mut fields = line.split_whitespace().skip(1);
        let here = fields.next()? == wanted;
        fields.nth(7)?.parse().ok().filter(|_| here)
    };
    Ok(table.lines().filter_map(inode).collect())
}

/// `address` as the kernel's tables have it: words of the machine, in hexadecimal.
fn kernel_form(address: SocketAddr) -> String {
    let hexadecimal = |octets: &[u8]| -> String {
        let words = octets.as_chunks().0.iter();
        words.map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect()
    };
    let host = match address {
        SocketAddr::V4(address) => hexadecimal(&address.ip().octets()),
        SocketAddr::V6(address) => hexadecimal(&address.ip().octets()),
    };
    format!("{host}:{:04X}", address.port())
}

fn inode(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(File::from(fd.try_clone_to_owned()?).metadata()?.ino())
}

/// Whether they were taken already.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// A ring's end takes milliseconds, the service manager's letting go of a socket little more.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use socket2::{Domain, Socket};

    use super::*;

    /// As a service manager binds it, sharing its port or not.
    fn bound(address: &str, shared: bool) -> (OwnedFd, SocketAddr) {
        let address: SocketAddr = address.parse().expect("an address");
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).expect("socket");
        if address.is_ipv6() {
            socket.set_only_v6(true).expect("option");
        }
        socket.set_reuse_port(shared).expect("option");
        socket.bind(&address.into()).expect("a free port");
        let address = socket.local_addr().expect("bound").as_socket().expect("inet");
        (socket.into(), address)
    }

    fn options(address: SocketAddr, workers: usize) -> ListenOptions {
        ListenOptions { workers, control: true, ..ListenOptions::new(address) }
    }

    #[test]
    fn a_group_beside_a_passed_socket_steers_as_any_other() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(client) = UdpSocket::bind(any) else { continue };
            let (socket, address) = bound(any, true);
            let group = listen_by(socket, &options(address, 2)).expect("a group");
            assert!(group.is_whole() && group.address == address);
            // One source: always the same worker; a control message: the socket for control.
            for _ in 0..16 {
                client.send_to(&[0x23; 48], address).expect("send");
                client.send_to(&[0x16; 12], address).expect("send");
            }
            let mut found: Vec<usize> = group.sockets.iter().map(waiting).collect();
            found.sort_unstable();
            assert_eq!(found, [0, 16], "{any}");
            let mut control = group.control.expect("asked for");
            let taken = control.receive(&mut [0; 64]).expect("receive").expect("a datagram");
            assert_eq!(taken.len, 12);
        }
    }

    /// How many datagrams were waiting in `socket`.
    fn waiting(socket: &ServerSocket) -> usize {
        let mut bytes = [std::mem::MaybeUninit::uninit(); 64];
        std::iter::from_fn(|| socket.socket().recv(&mut bytes).ok()).count()
    }

    #[test]
    fn a_socket_that_shares_with_nobody_is_good_for_one_worker_only() {
        let (socket, address) = bound("127.0.0.1:0", false);
        let other = socket.try_clone().expect("a handle");
        let group = listen_by(socket, &options(address, 1)).expect("one");
        assert!(group.control.is_none() && group.sockets.len() == 1);
        let error = listen_by(other, &options(address, 2)).expect_err("two cannot");
        assert!(error.to_string().contains("ReusePort=yes"), "{error}");
    }

    #[test]
    fn one_that_takes_ipv4_beside_ipv6_is_refused() {
        let Ok(socket) = Socket::new(Domain::IPV6, Type::DGRAM, None) else { return };
        if socket.set_only_v6(false).is_err() {
            return;
        }
        let any: SocketAddr = "[::]:0".parse().expect("an address");
        socket.bind(&any.into()).expect("a free port");
        let address = socket.local_addr().expect("bound").as_socket().expect("inet");
        let error = listen_by(socket.into(), &options(address, 1)).expect_err("not ours alone");
        assert!(error.to_string().contains("BindIPv6Only=ipv6-only"), "{error}");
    }

    #[test]
    fn who_has_a_port_is_found_in_both_families() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(any) else { continue };
            let address = socket.local_addr().expect("bound");
            let found = holders(address).expect("a table");
            assert_eq!(found, [inode(socket.as_fd()).expect("an inode")], "{any}");
            assert!(wait_until_alone(address, &[socket.as_fd()]).is_ok());
        }
    }
}
