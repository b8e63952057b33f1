//! One message at a time, with what the kernel says about it: datagrams, and reports of departures.
//!
//! For sockets with few datagrams, and for error queues; workers receive in batches.
//!
//! Must never: block; take more than [`REPORTS_MAX`] reports in one go.

use core::mem::MaybeUninit;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use timeball_time::{Realtime, Timestamp};

use crate::cmsg::Control;

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
    let mut control = [0u8; CONTROL];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // JUSTIFICATION: msghdr has private padding on some targets, so it cannot be written literally.
    // SAFETY: all zero is a valid msghdr: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len();
    // JUSTIFICATION: std and socket2 give no control messages of received datagrams safely.
    // SAFETY: `message` points to `part`, `bytes` and `control`, which outlive the call and are as long as
    // it says; nothing is kept by the kernel.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    if len < 0 {
        let error = io::Error::last_os_error();
        let none = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
        return if none { Ok(None) } else { Err(error) };
    }
    let used = message.msg_controllen.min(control.len());
    let stamp = Control::decode(&control[..used]).stamp;
    let truncated = message.msg_flags & libc::MSG_TRUNC != 0;
    Ok(Some(Received { len: len as usize, truncated, stamp }))
}

/// A stamp (64 bytes) and an extended error with its offender's address (up to 64), twice over.
const CONTROL: usize = 256;

/// Departure reports taken in one go; there is rarely more than one.
const REPORTS_MAX: usize = 16;
