//! Frames by `AF_PACKET`: a few at a time by `sendmmsg`, past the queueing discipline.
//!
//! Works with every driver, and names the device in each frame, so that one socket serves them all. The
//! kernel stamps departures of such frames as it does those of datagrams.
//!
//! Must never: receive anything; block.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use socket2::{Domain, Protocol, Socket, Type};
use timeball_time::{Realtime, Timestamp};

use super::{CHUNK, Slot};
use crate::block::{Block, Zeroed};
use crate::cmsg::{self, TIMESTAMPING_NEW};
use crate::{message, sockopt};

/// A socket to send frames by. Needs `CAP_NET_RAW` to be opened, and nothing to be used.
///
/// # Errors
/// What the kernel says.
pub(super) fn open() -> io::Result<Socket> {
    let kind = Type::RAW.nonblocking().cloexec();
    // No protocol: it hears nothing.
    let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(0)))?;
    sockopt::set(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
    let stamps = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    sockopt::set(socket.as_fd(), libc::SOL_SOCKET, TIMESTAMPING_NEW, stamps as i32)?;
    Ok(socket)
}

/// Sends frames by such a socket.
#[derive(Debug)]
pub(super) struct PacketSender {
    socket: Socket,
    frames: Block<Slot>,
    messages: Block<libc::mmsghdr>,
    parts: Block<libc::iovec>,
    names: Block<libc::sockaddr_ll>,
    control: Block<Control>,
}

/// Room for the wish for a stamp.
#[repr(C, align(8))]
#[derive(Debug)]
struct Control([u8; 32]);

// SAFETY: an array of bytes.
unsafe impl Zeroed for Control {}

// SAFETY: a C structure of integers.
unsafe impl Zeroed for libc::sockaddr_ll {}

impl PacketSender {
    pub(super) fn new(socket: Socket) -> Self {
        let mut sender = Self {
            socket,
            frames: Block::new(CHUNK),
            messages: Block::new(CHUNK),
            parts: Block::new(CHUNK),
            names: Block::new(CHUNK),
            control: Block::new(1),
        };
        for slot in 0..CHUNK {
            sender.point(slot);
        }
        sender
    }

    /// Points message `slot` at what belongs to it.
    fn point(&mut self, slot: usize) {
        let (part, name) = (self.parts.pointer(slot), self.names.pointer(slot));
        // JUSTIFICATION: the kernel reads names through pointers kept in messages.
        // SAFETY: the kernel knows of none of this block but within a send.
        let address = unsafe { self.names.get_mut(slot) };
        address.sll_family = libc::AF_PACKET as u16;
        // JUSTIFICATION: as above.
        // SAFETY: as above.
        let header = unsafe { &mut self.messages.get_mut(slot).msg_hdr };
        header.msg_name = name.cast();
        header.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
        header.msg_iov = part;
        header.msg_iovlen = 1;
    }

    /// The memory of frame `slot`, less than [`CHUNK`], which is to leave by `interface` with `len`
    /// octets.
    #[inline]
    pub(super) fn frame(&mut self, slot: usize, interface: u32, len: usize) -> &mut [u8] {
        let frame = self.frames.pointer(slot);
        // JUSTIFICATION: the kernel reads parts through pointers kept in messages.
        // SAFETY: no send is under way, so the kernel keeps away from this block and those below.
        let part = unsafe { self.parts.get_mut(slot) };
        *part = libc::iovec { iov_base: frame.cast(), iov_len: len };
        // JUSTIFICATION: as above.
        // SAFETY: as above.
        let name = unsafe { self.names.get_mut(slot) };
        name.sll_ifindex = interface as i32;
        // JUSTIFICATION: as above.
        // SAFETY: as above.
        let frame = unsafe { self.frames.get_mut(slot) };
        &mut frame.0[..len]
    }

    /// Sends the first `count` frames and says how many the kernel took; it stops at the first it
    /// refuses. With `stamped`, the first is to be stamped when it leaves.
    #[inline]
    pub(super) fn send(&mut self, count: usize, stamped: bool) -> usize {
        let control = self.control.pointer(0);
        // JUSTIFICATION: the kernel reads control bytes through a pointer kept in the message.
        // SAFETY: no send is under way.
        let bytes = unsafe { &mut self.control.get_mut(0).0 };
        let control_len = if stamped { cmsg::ask_for_departure(bytes, 0) } else { 0 };
        // JUSTIFICATION: as above.
        // SAFETY: as above.
        let header = unsafe { &mut self.messages.get_mut(0).msg_hdr };
        header.msg_control = control.cast();
        header.msg_controllen = control_len;
        let (fd, first) = (self.socket.as_raw_fd(), self.messages.pointer(0));
        // JUSTIFICATION: std has no sendmmsg.
        // SAFETY: `first` points to at least `count` messages, whose names, parts and control bytes lie
        // in blocks of this sender, all alive; the kernel keeps nothing.
        let sent =
            unsafe { libc::sendmmsg(fd, first, count.min(CHUNK) as u32, libc::MSG_DONTWAIT) };
        usize::try_from(sent).unwrap_or(0)
    }

    /// The kernel's stamp of the last departure that was to be stamped.
    pub(super) fn departed(&self) -> Option<Timestamp<Realtime>> {
        message::departure(self.socket.as_fd())
    }
}
