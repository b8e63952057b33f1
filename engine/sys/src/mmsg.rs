//! The carrier made of `recvmmsg` and `sendmmsg`: works on every kernel and in every container.
//!
//! A system call takes up to [`TAKE_MAX`] datagrams of one socket, and a few send the replies.
//! Sockets that gave a good part of a batch are asked again without a look at `poll` first, because
//! under load more has arrived meanwhile; every [`TURNS_UNPOLLED_MAX`] turns all are polled, so
//! that a busy socket cannot starve a quiet one or the waker. The thread sleeps in `poll`, and only
//! when every socket is known to be empty.
//!
//! Must never: block in anything but that `poll`; die of an error that belongs to one datagram.

use core::net::IpAddr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use timeball_time::{Realtime, Timestamp};
use timeball_wire::{BATCH_MAX, Datagram, IoTally, PacketIo, Wait};

use crate::batch::{Batch, Slot};
use crate::block::Block;
use crate::carrier::CarrierError;
use crate::clock::realtime;
use crate::frame::{CONTROL, NAME, PAYLOAD};
use crate::raw::Exit;
use crate::server::ServerSocket;
use crate::waker::Waker;

/// Carries the datagrams of one worker by `recvmmsg` and `sendmmsg`.
#[derive(Debug)]
pub struct MmsgIo {
    batch: Batch,
    messages: Block<libc::mmsghdr>,
    parts: Block<libc::iovec>,
    /// Messages the last `recvmmsg` wrote to, to be made fit for the next.
    used: usize,
    sockets: Vec<ServerSocket>,
    /// For each socket: it may hold datagrams.
    hopeful: Vec<bool>,
    /// The socket to ask first.
    next: usize,
    turns_unpolled: u32,
    faults: u32,
    polled: Vec<libc::pollfd>,
    waker: Waker,
    woken: bool,
    closed: bool,
    tally: IoTally,
}

impl MmsgIo {
    /// A carrier over `sockets`, at least one, all non-blocking.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub fn new(sockets: Vec<ServerSocket>) -> Result<Self, CarrierError> {
        let waker = Waker::new().map_err(CarrierError::setup("making an eventfd"))?;
        let fds = sockets.iter().map(|socket| socket.as_fd().as_raw_fd());
        let readable = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let polled = fds.chain([waker.as_fd().as_raw_fd()]).map(readable).collect();
        let mut carrier = Self {
            batch: Batch::new(TAKE_MAX),
            messages: Block::new(TAKE_MAX),
            parts: Block::new(TAKE_MAX),
            used: TAKE_MAX,
            hopeful: vec![true; sockets.len()],
            sockets,
            next: 0,
            turns_unpolled: 0,
            faults: 0,
            polled,
            waker,
            woken: false,
            closed: false,
            tally: IoTally::default(),
        };
        carrier.point_messages_at_frames();
        Ok(carrier)
    }

    /// The handle by which other threads end a [`Wait::Block`].
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The same carrier, whose replies leave by `exit` where they can.
    #[must_use]
    pub fn leaving_by(mut self, exit: Exit) -> Self {
        self.batch.leave_by(exit, &self.sockets);
        self
    }

    /// Takes nothing more from the sockets.
    pub(crate) const fn close(&mut self) {
        self.closed = true;
    }

    fn point_messages_at_frames(&mut self) {
        for index in 0..TAKE_MAX {
            let frame_pointer = self.batch.frames().pointer(index);
            // JUSTIFICATION: the kernel is given the addresses of the frame's fields.
            // SAFETY: inside the block, and the kernel does not know of it yet.
            let frame = unsafe { &mut *frame_pointer };
            let part_pointer = self.parts.pointer(index);
            // JUSTIFICATION: the kernel reads parts through pointers kept in messages.
            // SAFETY: no receive is under way during construction.
            let part = unsafe { self.parts.get_mut(index) };
            *part = libc::iovec { iov_base: frame.payload.as_mut_ptr().cast(), iov_len: PAYLOAD };
            // JUSTIFICATION: as above.
            // SAFETY: as above.
            let message = unsafe { &mut self.messages.get_mut(index).msg_hdr };
            message.msg_name = frame.name.as_mut_ptr().cast();
            message.msg_iov = part_pointer;
            message.msg_iovlen = 1;
            message.msg_control = frame.control.as_mut_ptr().cast();
        }
    }

    /// Asks the hopeful sockets in turn until one gives something.
    fn take_any(&mut self) -> Result<usize, CarrierError> {
        for _ in 0..self.sockets.len() {
            let socket = self.next;
            self.next = if socket + 1 == self.sockets.len() { 0 } else { socket + 1 };
            if self.hopeful[socket] {
                let count = self.take(socket)?;
                self.hopeful[socket] = count >= HOPEFUL_MIN;
                if count > 0 {
                    return Ok(count);
                }
            }
        }
        Ok(0)
    }

    /// Takes a batch from one socket; 0 when it is empty or had an error to tell.
    fn take(&mut self, socket: usize) -> Result<usize, CarrierError> {
        self.refresh_messages();
        let (fd, first) = (self.sockets[socket].as_fd().as_raw_fd(), self.messages.pointer(0));
        let (count, flags, forever) = (TAKE_MAX as u32, libc::MSG_DONTWAIT, core::ptr::null_mut());
        // JUSTIFICATION: std has no recvmmsg.
        // SAFETY: `first` points to `count` messages, whose names, control bytes and payloads lie
        // in frames of the batch, all alive and of the lengths given; the kernel keeps nothing.
        let received = unsafe { libc::recvmmsg(fd, first, count, flags, forever) };
        if received < 0 {
            return self.forgive(io::Error::last_os_error());
        }
        self.faults = 0;
        self.used = received as usize;
        for index in 0..self.used {
            // JUSTIFICATION: the kernel wrote the lengths into the message.
            // SAFETY: the receive has ended.
            let message = unsafe { self.messages.get_mut(index) };
            let (header, len) = (&message.msg_hdr, message.msg_len as usize);
            self.batch.push(Slot {
                frame: index as u16,
                socket: socket as u16,
                name_len: (header.msg_namelen as usize).min(NAME) as u8,
                control_len: header.msg_controllen.min(CONTROL) as u8,
                len: len.min(PAYLOAD) as u16,
                truncated: header.msg_flags & libc::MSG_TRUNC != 0,
            });
        }
        Ok(self.used)
    }

    /// The kernel leaves the lengths it used in a message; put the room there is back.
    fn refresh_messages(&mut self) {
        for index in 0..self.used {
            // JUSTIFICATION: the kernel reads the lengths from the message.
            // SAFETY: no receive is under way.
            let message = unsafe { &mut self.messages.get_mut(index).msg_hdr };
            message.msg_namelen = NAME as u32;
            message.msg_controllen = CONTROL;
        }
        self.used = 0;
    }

    /// An error of a socket is not one of the carrier, unless it never ends.
    fn forgive(&mut self, error: io::Error) -> Result<usize, CarrierError> {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(0),
            Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL) => {
                Err(CarrierError::Receive(error))
            }
            _ if self.faults >= FAULTS_MAX => Err(CarrierError::Receive(error)),
            _ => {
                self.faults += 1;
                Ok(0)
            }
        }
    }

    /// Looks which sockets have something, sleeping first if allowed.
    fn poll(&mut self, wait: Wait) -> Result<(), CarrierError> {
        self.turns_unpolled = 0;
        let timeout_ms = if wait == Wait::Block { -1 } else { 0 };
        let (first, count) = (self.polled.as_mut_ptr(), self.polled.len() as libc::nfds_t);
        // JUSTIFICATION: std cannot wait for several descriptors.
        // SAFETY: `first` points to `count` entries that outlive the call.
        if unsafe { libc::poll(first, count, timeout_ms) } < 0 {
            return self.forgive(io::Error::last_os_error()).map(drop);
        }
        for (hopeful, polled) in self.hopeful.iter_mut().zip(&self.polled) {
            *hopeful = polled.revents != 0;
        }
        let woken = self.polled.last().is_some_and(|polled| polled.revents != 0);
        self.woken |= woken && self.waker.clear();
        Ok(())
    }
}

impl PacketIo for MmsgIo {
    type Error = CarrierError;

    #[inline]
    fn now(&self) -> Timestamp<Realtime> {
        realtime()
    }

    fn receive(&mut self, wait: Wait) -> Result<usize, CarrierError> {
        self.batch.clear();
        if self.closed {
            return Ok(0);
        }
        if self.turns_unpolled >= TURNS_UNPOLLED_MAX {
            self.poll(Wait::Poll)?;
        }
        self.turns_unpolled += 1;
        let mut looked = false;
        loop {
            let count = self.take_any()?;
            if count > 0 {
                return Ok(count);
            }
            if core::mem::take(&mut self.woken) || (looked && wait == Wait::Poll) {
                return Ok(0);
            }
            self.poll(wait)?;
            looked = true;
        }
    }

    #[inline]
    fn datagram(&mut self, index: usize) -> Datagram<'_> {
        self.batch.datagram(index)
    }

    #[inline]
    fn source(&mut self, index: usize) -> IpAddr {
        self.batch.source(index)
    }

    #[inline]
    fn reply(&mut self, index: usize, len: usize) {
        self.batch.reply(&self.sockets, index, len);
    }

    fn send(
        &mut self,
        stamp: &mut impl FnMut(&mut [u8], Timestamp<Realtime>),
    ) -> Result<(), CarrierError> {
        self.batch.transmit(&self.sockets, stamp, &mut self.tally);
        self.batch.clear();
        Ok(())
    }

    fn tally(&self) -> IoTally {
        self.tally
    }
}

/// Datagrams taken by one system call: more save nothing measurable, and cost cache and the time
/// the first waits for its reply.
const TAKE_MAX: usize = 32;
const _: () = assert!(TAKE_MAX <= BATCH_MAX);

/// A socket that gave this many datagrams is asked again without polling first: under load more has
/// come while they were answered, and one `recvmmsg` in vain costs no more than a `poll`.
const HOPEFUL_MIN: usize = 2;

/// Turns between two looks at all sockets and the waker.
const TURNS_UNPOLLED_MAX: u32 = 8;

/// Errors in a row, without a datagram in between, after which the carrier gives up. An ICMP
/// message or an interface going down makes one each.
pub(crate) const FAULTS_MAX: u32 = 10_000;
