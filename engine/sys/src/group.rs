//! The sockets of one listen address: one per worker and one for control, in one SO_REUSEPORT group.
//!
//! All are bound before the first is served, so that no datagram is steered to a worker that does
//! not exist yet. The kernel keeps a group as a list in the order of binding, and steering names a socket by
//! its [`Seats`] there. Nothing may leave the list while it is served: the kernel would put the last into the
//! gap. So a group can grow, behind all that is there, and never shrinks: fewer workers share what there is.
//!
//! Must never: have a stranger's socket before one of its own, or be steered to a seat nobody has.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::Socket;

use crate::cmsg::TIMESTAMPING_NEW;
use crate::control::ControlSocket;
use crate::passed::holders_beside;
use crate::server::{
    ListenError, ListenOptions, ServerSocket, check_free, explained, granted, set_receive_buffer,
};
use crate::sockopt;
use crate::steering::{self, Spread};

/// The sockets of one listen address, in the order of the workers.
#[derive(Debug)]
pub struct ListenGroup {
    /// One per worker that the group was made for.
    pub sockets: Vec<ServerSocket>,
    /// Where what no worker can answer arrives, if that was asked for.
    pub control: Option<ControlSocket>,
    /// Where they stand in the kernel's list.
    pub seats: Seats,
    /// Address and port really bound.
    pub address: SocketAddr,
    /// Receive buffer the kernel granted, in the unit of [`ListenOptions::receive_buffer_bytes`].
    pub receive_buffer_bytes: usize,
    /// How datagrams find their worker.
    pub spread: Spread,
}

/// Where the sockets that receive stand in the kernel's list of their group, from 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seats {
    /// One for each worker's socket.
    pub workers: Vec<u32>,
    /// Of the socket for control; of nobody if there is none.
    pub control: u32,
}

impl Seats {
    /// Those of a group that was opened for so many workers and has not grown.
    pub fn usual(workers: usize) -> Self {
        let workers = workers as u32;
        Self { workers: (0..workers).collect(), control: workers }
    }

    /// Whether the group has not grown since it was opened.
    pub fn is_usual(&self) -> bool {
        *self == Self::usual(self.workers.len())
    }
}

/// Makes, binds and steers the sockets of one listen address.
///
/// # Errors
/// [`ListenError`]; whatever was bound is closed again.
pub fn listen(options: &ListenOptions) -> Result<ListenGroup, ListenError> {
    if options.exclusive {
        check_free(options.address)?;
    }
    gather(Vec::with_capacity(options.workers), options)
}

/// The group that begins with `sockets`; the others are bound beside them.
pub(crate) fn gather(
    mut sockets: Vec<ServerSocket>,
    options: &ListenOptions,
) -> Result<ListenGroup, ListenError> {
    let mut address = options.address;
    for _ in sockets.len()..options.workers.max(1) {
        let socket = ServerSocket::bind(address, options.receive_buffer_bytes)?;
        address = socket.address();
        sockets.push(socket);
    }
    // Steering names the sockets by the order they joined in, and passes over all later ones.
    let control = options
        .control
        .then(|| ServerSocket::bind(address, CONTROL_BUFFER_BYTES).map(ControlSocket::from))
        .transpose()?;
    let receive_buffer_bytes = granted(&sockets[0], address)?;
    let (seats, spread) = (Seats::usual(sockets.len()), options.spread);
    let mut group = ListenGroup { sockets, control, seats, address, receive_buffer_bytes, spread };
    if group.fds().nth(1).is_some() || options.send_apart {
        group.steer(options)?;
    }
    for socket in group.sockets.iter_mut().filter(|_| options.send_apart) {
        socket.send_by(sender(address)?);
    }
    Ok(group)
}

/// A socket to send by, of the port of `address`.
fn sender(address: SocketAddr) -> Result<Socket, ListenError> {
    let sender = ServerSocket::bind(address, 0)?.into_socket();
    // Reports of departures, for those datagrams that ask for one.
    let stamps = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    sockopt::set(sender.as_fd(), libc::SOL_SOCKET, TIMESTAMPING_NEW, stamps as i32)
        .map_err(|cause| explained(address, "asking for departure stamps", cause))?;
    Ok(sender)
}

impl ListenGroup {
    /// Every socket of it, in an order that [`ListenGroup::adopt`] knows: those of the workers, then
    /// those they send by, then the one for control.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let senders = self.sockets.iter().filter_map(ServerSocket::apart);
        let receivers = self.sockets.iter().map(AsFd::as_fd);
        receivers.chain(senders).chain(self.control.iter().map(AsFd::as_fd))
    }

    /// Whether each of its workers has a socket to send by, and there is one for control.
    pub fn is_whole(&self) -> bool {
        self.control.is_some() && self.sockets.iter().all(|socket| socket.apart().is_some())
    }

    /// A group of sockets that another process has opened, by `options` of which only those count that can
    /// still be chosen: the receive buffer, and with [`ListenGroup::steer`], which is to follow, how
    /// datagrams are spread. `fds` are [`ListenGroup::fds`] of a group with a socket to send by for each of
    /// its workers, and with one for control, at these `seats`.
    ///
    /// # Errors
    /// [`ListenError`]; among others if there are not so many.
    pub fn adopt(
        fds: Vec<OwnedFd>,
        seats: Seats,
        options: &ListenOptions,
    ) -> Result<Self, ListenError> {
        let address = options.address;
        let explain = |step| move |cause| explained(address, step, cause);
        let workers = seats.workers.len();
        if workers == 0 || fds.len() != 2 * workers + 1 {
            let cause = io::Error::other(format!("{} sockets for {workers} workers", fds.len()));
            return Err(explain("taking sockets over")(cause));
        }
        let mut sockets: Vec<Socket> = fds.into_iter().map(Socket::from).collect();
        let control = sockets.pop().map(|socket| ServerSocket::of(socket, None, address));
        let senders = sockets.split_off(workers);
        let paired = sockets.into_iter().zip(senders);
        let own = |(socket, sender)| ServerSocket::of(socket, Some(sender), address);
        let sockets: Vec<_> = paired.map(own).collect();
        for socket in &sockets {
            set_receive_buffer(socket.socket(), options.receive_buffer_bytes)
                .map_err(explain("sizing the buffer"))?;
        }
        let receive_buffer_bytes = granted(&sockets[0], address)?;
        let (control, spread) = (control.map(ControlSocket::from), options.spread);
        Ok(Self { sockets, control, seats, address, receive_buffer_bytes, spread })
    }

    /// Gives it sockets for as many workers as `options` say, if it has fewer. Nothing comes to those before
    /// it is steered again.
    ///
    /// # Errors
    /// [`ListenError`]; then it is as it was.
    pub fn grow(&mut self, options: &ListenOptions) -> Result<(), ListenError> {
        let address = self.address;
        let more = options.workers.saturating_sub(self.sockets.len());
        let first = self.fds().count();
        let bind = |_| ServerSocket::bind(address, options.receive_buffer_bytes);
        let mut fresh = (0..more).map(bind).collect::<Result<Vec<_>, _>>()?;
        for socket in &mut fresh {
            socket.send_by(sender(address)?);
        }
        self.seats.workers.extend((first..first + more).map(|seat| seat as u32));
        self.sockets.append(&mut fresh);
        Ok(())
    }

    /// Whether nobody else has a socket at its address: only then is it known which seat the next will have.
    ///
    /// # Errors
    /// When the kernel's table cannot be read.
    pub fn is_alone(&self) -> io::Result<bool> {
        let own: Vec<_> = self.fds().collect();
        Ok(!holders_beside(self.address, &own)?)
    }

    /// Spreads datagrams over its sockets as `options` say, from this very moment.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn steer(&self, options: &ListenOptions) -> Result<(), ListenError> {
        let control = self.control.is_some();
        let options = ListenOptions { control, ..options.clone() };
        steering::attach(self.sockets[0].as_fd(), self.address, &self.seats, &options)
            .map_err(|cause| explained(self.address, "steering packets to workers", cause))
    }
}

/// Control messages are few; a flood of them is to cost little memory.
const CONTROL_BUFFER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

    use super::*;

    fn options(workers: usize) -> ListenOptions {
        let address = "127.0.0.1:0".parse().expect("an address");
        ListenOptions { workers, control: true, ..ListenOptions::new(address) }
    }

    /// How many of 64 clients' requests each socket gets; each sends a control message besides.
    fn spread(group: &mut ListenGroup) -> Vec<usize> {
        for host in 0..64 {
            let source = SocketAddrV4::new(Ipv4Addr::new(127, 7, host, 1), 0);
            let client = UdpSocket::bind(source).expect("an address of ours");
            client.send_to(&[0x23; 48], group.address).expect("send");
            client.send_to(&[0x16; 12], group.address).expect("send");
        }
        let control = group.control.as_mut().expect("asked for");
        let taken = std::iter::from_fn(|| control.receive(&mut [0; 64]).expect("receive"));
        assert_eq!(taken.count(), 64);
        let waiting = |socket: &ServerSocket| {
            let mut bytes = [std::mem::MaybeUninit::uninit(); 64];
            std::iter::from_fn(|| socket.socket().recv(&mut bytes).ok()).count()
        };
        group.sockets.iter().map(waiting).collect()
    }

    #[test]
    fn a_group_grows_again_and_again_and_loses_nothing() {
        let mut group = listen(&options(2)).expect("free");
        for workers in [2, 5, 3, 6] {
            let options = ListenOptions { address: group.address, ..options(workers) };
            group.grow(&options).expect("a port of ours");
            let fds = group.fds().map(|fd| fd.try_clone_to_owned().expect("a handle")).collect();
            let before = spread(&mut group);
            assert_eq!(
                before.iter().sum::<usize>(),
                64,
                "nobody has lost anything yet: {before:?}"
            );
            group = ListenGroup::adopt(fds, group.seats.clone(), &options).expect("ours");
            group.steer(&options).expect("ours");
            let after = spread(&mut group);
            assert_eq!(after.iter().sum::<usize>(), 64, "{after:?}");
            assert!(after.iter().all(|&count| count > 0), "each has a part: {after:?}");
        }
        assert_eq!(group.seats.workers, [0, 1, 5, 6, 7, 11]);
        assert!(!group.seats.is_usual() && Seats::usual(3).is_usual());
    }

    #[test]
    fn who_else_has_the_port_is_noticed() {
        let group = listen(&options(1)).expect("free");
        assert!(group.is_alone().expect("the kernel's table"));
        let _other = ServerSocket::bind(group.address, 0).expect("shared");
        assert!(!group.is_alone().expect("the kernel's table"));
    }
}
