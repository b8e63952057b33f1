//! Replies and departure stamps arriving in batches.
//!
//! Must never: allocate after construction or block.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use socket2::Socket;
use timeball_time::{Realtime, Timestamp};

use super::{ControlBytes, EMPTY_VECTOR, Name, empty_message};
use crate::cmsg::Control;
use crate::{headers, sockaddr, sockopt};

/// Takes batches of datagrams with the kernel's stamps.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    flags: i32,
    reading: Reading,
    frame_len: usize,
    frames: Vec<u8>,
    controls: Vec<ControlBytes>,
    names: Vec<Name>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

/// How received bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The kernel has taken the headers off and says who sent it.
    Datagram,
    /// From the Ethernet header on.
    Frame,
    /// What comes back from an error queue: headers of whatever kind, then the request.
    Departure,
}

impl Receiver {
    pub(super) fn new(socket: Socket, reading: Reading, frame_len: usize, batch: usize) -> Self {
        Self {
            socket,
            flags: if reading == Reading::Departure { libc::MSG_ERRQUEUE } else { 0 },
            reading,
            frame_len,
            frames: vec![0; frame_len * batch],
            controls: vec![ControlBytes::EMPTY; batch],
            names: vec![Name::EMPTY; batch],
            vectors: vec![EMPTY_VECTOR; batch],
            messages: vec![empty_message(); batch],
        }
    }

    /// Takes what has arrived, up to a batch, and says how many; zero when nothing has.
    pub fn receive(&mut self) -> io::Result<usize> {
        let (frames, controls) = (self.frames.as_mut_ptr(), self.controls.as_mut_ptr());
        let (names, vectors) = (self.names.as_mut_ptr(), self.vectors.as_mut_ptr());
        for slot in 0..self.messages.len() {
            self.vectors[slot] = libc::iovec {
                iov_base: frames.wrapping_add(slot * self.frame_len).cast(),
                iov_len: self.frame_len,
            };
            let header = &mut self.messages[slot].msg_hdr;
            header.msg_name = names.wrapping_add(slot).cast();
            header.msg_namelen = size_of::<Name>() as u32;
            header.msg_iov = vectors.wrapping_add(slot);
            header.msg_iovlen = 1;
            header.msg_control = controls.wrapping_add(slot).cast();
            header.msg_controllen = size_of::<ControlBytes>();
        }
        let flags = self.flags | libc::MSG_DONTWAIT;
        match receive_messages(self.socket.as_raw_fd(), &mut self.messages, flags) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Datagram `index` of the last batch, `index` less than what [`Receiver::receive`] returned.
    #[inline]
    pub fn arrival(&self, index: usize) -> Arrival<'_> {
        let message = &self.messages[index];
        let len = (message.msg_len as usize).min(self.frame_len);
        let start = index * self.frame_len;
        let bytes = &self.frames[start..start + len];
        let control = &self.controls[index].0;
        let control_len = message.msg_hdr.msg_controllen.min(control.len());
        let (source, bytes) = match self.reading {
            Reading::Datagram => (sockaddr::decode(&self.names[index].0), bytes),
            Reading::Departure => (None, bytes),
            Reading::Frame => match headers::parse(bytes) {
                // What the device padded is not the server's; what did not fit is missing.
                Some((source, start, end)) => {
                    (Some(source), bytes.get(start..end.min(len)).unwrap_or_default())
                }
                None => (None, bytes),
            },
        };
        Arrival {
            source,
            stamp: Control::decode(&control[..control_len]).stamp,
            bytes,
            truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }

    /// Datagrams that came for this socket and were dropped because its buffer was full.
    pub fn overruns(&self) -> io::Result<u64> {
        let mut figures = [0u32; MEMORY_FIGURES];
        sockopt::get_raw(self.socket.as_fd(), libc::SOL_SOCKET, SO_MEMINFO, &mut figures)?;
        Ok(u64::from(figures[libc::SK_MEMINFO_DROPS as usize]))
    }

    /// Bytes of the receive buffer that the kernel gave, bookkeeping included.
    pub fn buffer_bytes(&self) -> io::Result<usize> {
        self.socket.recv_buffer_size()
    }
}

/// One datagram, valid until the next batch.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Who sent it; `None` if the kernel did not say (as for a departure).
    pub source: Option<SocketAddr>,
    /// The kernel's stamp: of the arrival, or of the departure.
    pub stamp: Option<Timestamp<Realtime>>,
    /// The payload, or as much of it as fitted.
    pub bytes: &'a [u8],
    /// Longer than what fitted.
    pub truncated: bool,
}

/// Takes departure stamps from the socket's error queue.
#[derive(Debug)]
pub struct Departures(pub(super) Receiver);

impl Departures {
    /// Takes what is queued, up to a batch, and says how many.
    pub fn receive(&mut self) -> io::Result<usize> {
        self.0.receive()
    }

    /// Departure `index` of the last batch: `bytes` *end* with the request; the headers come
    /// before.
    pub fn departure(&self, index: usize) -> Arrival<'_> {
        self.0.arrival(index)
    }
}

fn receive_messages(fd: RawFd, messages: &mut [libc::mmsghdr], flags: i32) -> io::Result<usize> {
    // JUSTIFICATION: no safe binding receives a batch.
    // SAFETY: as for `send_messages`; the memory the kernel writes to is borrowed mutably by the
    // caller and plain bytes, for which every value is valid. No timeout is passed.
    let received = unsafe {
        libc::recvmmsg(
            fd,
            messages.as_mut_ptr(),
            messages.len() as u32,
            flags,
            std::ptr::null_mut(),
        )
    };
    if received < 0 { Err(io::Error::last_os_error()) } else { Ok(received as usize) }
}

/// `SO_MEMINFO` (uapi/asm-generic/socket.h): `SK_MEMINFO_VARS` figures of the socket's memory.
const SO_MEMINFO: i32 = 55;
const MEMORY_FIGURES: usize = 9;
