//! One message at a time, with what the kernel says about it: datagrams, and reports of departures.
//!
//! For sockets with few datagrams, and for error queues; workers receive in batches.
//!
//! Must never: block; take more than [`REPORTS_MAX`] reports in one go.

use core::mem::MaybeUninit;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use timeball_time::{Realtime, Timestamp};

use crate::cmsg::{Control, PacketInfo, SERVER_CONTROL};
use crate::sockaddr::{self, SOCKADDR_MAX};

/// One datagram received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Bytes written to the caller's buffer; a longer datagram is cut.
    pub len: usize,
    /// Longer than the caller's buffer.
    pub truncated: bool,
    /// The kernel's stamp of its arrival, if it gave one.
    pub stamp: Option<Timestamp<Realtime>>,
}

/// The newest departure stamp that `socket`'s error queue holds; empties the queue.
pub(crate) fn departure(socket: BorrowedFd<'_>) -> Option<Timestamp<Realtime>> {
    let mut newest = None;
    for _ in 0..REPORTS_MAX {
        match receive(socket, &mut [], libc::MSG_ERRQUEUE) {
            Ok(Some(report)) => newest = report.stamp.or(newest),
            Ok(None) | Err(_) => break,
        }
    }
    newest
}

/// Takes one message from `socket`, which must not block; `None` when there is none.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: i32,
) -> io::Result<Option<Received>> {
    Ok(receive_from(socket, bytes, flags)?.map(|message| message.received))
}

/// One message, whence it came and whither it went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) received: Received,
    /// Who sent it; `None` from an error queue and where the kernel does not say.
    pub(crate) source: Option<SocketAddr>,
    /// The local address it was sent to, if the socket asks for it.
    pub(crate) local: Option<PacketInfo>,
}

/// The same, with both addresses.
pub(crate) fn receive_from(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: i32,
) -> io::Result<Option<Message>> {
    let mut control = [0u8; CONTROL];
    let mut name = [0u8; SOCKADDR_MAX];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // JUSTIFICATION: msghdr has private padding on some targets, so it cannot be written literally.
    // SAFETY: all zero is a valid msghdr: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = SOCKADDR_MAX as u32;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len();
    // JUSTIFICATION: std and socket2 give no control messages of received datagrams safely.
    // SAFETY: `message` points to `name`, `part`, `bytes` and `control`, which outlive the call and are as
    // long as it says; nothing is kept by the kernel.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    if len < 0 {
        let error = io::Error::last_os_error();
        let none = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
        return if none { Ok(None) } else { Err(error) };
    }
    let used = message.msg_controllen.min(control.len());
    let Control { stamp, local } = Control::decode(&control[..used]);
    let truncated = message.msg_flags & libc::MSG_TRUNC != 0;
    let received = Received { len: len as usize, truncated, stamp };
    let name_len = (message.msg_namelen as usize).min(SOCKADDR_MAX);
    Ok(Some(Message { received, source: sockaddr::decode(&name[..name_len]), local }))
}

/// Sends one datagram to `target`, from the address `local` if there is one.
pub(crate) fn send_from(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    target: SocketAddr,
    local: Option<PacketInfo>,
) -> io::Result<()> {
    let mut name = [0u8; SOCKADDR_MAX];
    let name_len = sockaddr::encode(target, &mut name);
    let mut control = [0u8; SERVER_CONTROL];
    let control_len = local.map_or(0, |local| local.encode(&mut control));
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // JUSTIFICATION: msghdr has private padding on some targets, so it cannot be written literally.
    // SAFETY: all zero is a valid msghdr: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = name_len as u32;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if control_len > 0 {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = control_len;
    }
    // JUSTIFICATION: std and socket2 cannot choose the local address of a datagram safely.
    // SAFETY: `message` points to `name`, `part`, `bytes` and `control`, which outlive the call and are as
    // long as it says; the kernel writes to none of them and keeps nothing.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A stamp (64 bytes) and an extended error with its offender's address (up to 64), twice over.
const CONTROL: usize = 256;

/// Departure reports taken in one go; there is rarely more than one.
const REPORTS_MAX: usize = 16;
