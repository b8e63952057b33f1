//! The carrier made of io_uring: one ring per worker.
//!
//! A multishot `recvmsg` per socket fills frames from a ring of provided buffers; the worker
//! answers in those frames; replies leave from them, by the ring or by `sendmmsg` ([`ReplyPath`]).
//! Ring replies are `MSG_DONTWAIT`, so each has been sent or has failed when the submitting call
//! returns, and its frame can be lent again at once; success makes no completion.
//!
//! Must never: leave the thread it was made on; lend a frame before its reply is gone.

mod buf_ring;
mod probe;
mod ring;

use core::fmt;
use core::net::IpAddr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use io_uring::types::Fixed;
use io_uring::{cqueue, opcode, squeue};
use timeball_time::{Realtime, Timestamp};
use timeball_wire::{BATCH_MAX, Datagram, IoTally, PacketIo, Wait};

pub use self::probe::{Feature, Report, Unusable, probe};

use self::buf_ring::{BufRing, GROUP};
use self::ring::{Completion, Ring};
use crate::batch::{Batch, Slot, count_failure};
use crate::carrier::CarrierError;
use crate::clock::realtime;
use crate::frame::{CONTROL, NAME, PAYLOAD, PAYLOAD_START};
use crate::mmsg::FAULTS_MAX;
use crate::raw::Exit;
use crate::server::ServerSocket;
use crate::waker::Waker;

/// Carries the datagrams of one worker by io_uring.
pub struct UringIo {
    // The ring is dropped first: its requests point to everything below.
    ring: Ring,
    buffers: BufRing,
    batch: Batch,
    /// What the multishot receives ask for; lives as long as they do.
    template: Box<libc::msghdr>,
    sockets: Vec<ServerSocket>,
    /// For each socket: its multishot receive is under way.
    armed: Vec<bool>,
    waker: Waker,
    waker_armed: bool,
    woken: bool,
    closed: bool,
    replies: ReplyPath,
    faults: u32,
    tally: IoTally,
}

/// Settings of [`UringIo`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UringOptions {
    /// Frames lent to the kernel: a power of two from 2 to 32 768. They are used in turn, so more
    /// of them only cost cache; bursts wait in the socket's buffer.
    pub frames: u16,
    /// How replies leave.
    pub replies: ReplyPath,
}

impl Default for UringOptions {
    fn default() -> Self {
        Self { frames: 256, replies: ReplyPath::default() }
    }
}

/// How replies leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyPath {
    /// Through the ring, without completions.
    Ring,
    /// Beside it, by `sendmmsg`: 3 to 9 % less core time per reply wherever both were measured in one
    /// run (`timeball-bench throughput`), because a send through the ring costs 50 ns more.
    #[default]
    Sendmmsg,
}

impl fmt::Display for ReplyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ring => "ring",
            Self::Sendmmsg => "sendmmsg",
        })
    }
}

/// A ring was refused; the sockets are given back for another carrier.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct UringRefused {
    /// Why.
    pub cause: CarrierError,
    /// The sockets, untouched.
    pub sockets: Vec<ServerSocket>,
}

impl UringIo {
    /// A carrier over `sockets`, at least one; belongs to the calling thread.
    ///
    /// # Errors
    /// [`UringRefused`], with the sockets.
    pub fn new(
        sockets: Vec<ServerSocket>,
        options: UringOptions,
    ) -> Result<Self, Box<UringRefused>> {
        match Self::prepare(&sockets, options) {
            Ok((ring, buffers, batch, waker)) => Ok(Self {
                ring,
                buffers,
                batch,
                template: template(),
                armed: vec![false; sockets.len()],
                sockets,
                waker,
                waker_armed: false,
                woken: false,
                closed: false,
                replies: options.replies,
                faults: 0,
                tally: IoTally::default(),
            }),
            Err(cause) => Err(Box::new(UringRefused { cause, sockets })),
        }
    }

    fn prepare(
        sockets: &[ServerSocket],
        options: UringOptions,
    ) -> Result<(Ring, BufRing, Batch, Waker), CarrierError> {
        let frames = options.frames.next_power_of_two().clamp(2, 1 << 15);
        // At most: a datagram per frame, an error per reply of as many frames, and one end per
        // socket.
        let completions = 4 * u32::from(frames).max(BATCH_MAX as u32);
        let mut ring = Ring::new(SUBMISSIONS, completions)
            .map_err(CarrierError::setup("setting up a ring"))?;
        let waker = Waker::new().map_err(CarrierError::setup("making an eventfd"))?;
        // In this order: receivers, senders, the waker.
        let receivers = sockets.iter().map(|socket| socket.as_fd().as_raw_fd());
        let senders = sockets.iter().map(|socket| socket.sender().as_raw_fd());
        let files: Vec<_> = receivers.chain(senders).chain([waker.as_fd().as_raw_fd()]).collect();
        ring.submitter()
            .register_files(&files)
            .map_err(CarrierError::setup("registering sockets with the ring"))?;
        let mut buffers = BufRing::register(&ring.submitter(), frames)
            .map_err(CarrierError::setup("registering frames with the ring"))?;
        let batch = Batch::new(usize::from(frames));
        for index in 0..frames {
            buffers.lend(index, batch.frames().pointer(usize::from(index)));
        }
        buffers.publish();
        ring.enable().map_err(CarrierError::setup("enabling the ring"))?;
        Ok((ring, buffers, batch, waker))
    }

    /// The handle by which other threads end a [`Wait::Block`].
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The same carrier, whose replies leave by `exit` where they can, and by `sendmmsg` where not.
    #[must_use]
    pub fn leaving_by(mut self, exit: Exit) -> Self {
        self.batch.leave_by(exit, &self.sockets);
        self.replies = ReplyPath::Sendmmsg;
        self
    }

    /// Takes nothing more from the sockets; datagrams in frames already are still to be received.
    pub(crate) fn close(&mut self) {
        self.ring.cancel_all();
        self.closed = true;
    }

    /// Queues a receive for every socket that has none, and a poll of the waker; true if any was
    /// queued.
    fn arm(&mut self) -> Result<bool, CarrierError> {
        if self.closed {
            return Ok(false);
        }
        let mut queued = false;
        for socket in 0..self.sockets.len() {
            if self.armed[socket] {
                continue;
            }
            let receive =
                opcode::RecvMsgMulti::new(Fixed(socket as u32), &raw const *self.template, GROUP);
            self.push(&receive.build().user_data(RECEIVE | socket as u64))?;
            self.armed[socket] = true;
            queued = true;
        }
        if !self.waker_armed {
            let waker = Fixed(2 * self.sockets.len() as u32);
            let poll = opcode::PollAdd::new(waker, libc::POLLIN as u32).build();
            self.push(&poll.user_data(WAKE))?;
            self.waker_armed = true;
            queued = true;
        }
        Ok(queued)
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<(), CarrierError> {
        // JUSTIFICATION: requests carry raw pointers.
        // SAFETY: they point to the template, to messages and to frames, which live as long as the
        // ring: it is dropped first. Messages and frames of replies stay untouched until submitted.
        let pushed = unsafe { self.ring.push(entry) };
        pushed.map_err(|_| CarrierError::Ring(io::ErrorKind::StorageFull.into()))
    }

    /// Takes what has completed, until the batch is full.
    #[inline]
    fn drain(&mut self) -> Result<usize, CarrierError> {
        while self.batch.len() < BATCH_MAX {
            let Some(completion) = self.ring.completion() else { break };
            match completion.tag & TAG {
                RECEIVE => self.received(completion)?,
                WAKE => {
                    self.waker_armed = false;
                    self.woken |= self.waker.clear();
                }
                _ => {
                    self.tally.sent -= 1;
                    count_failure(-completion.result, &mut self.tally);
                }
            }
        }
        Ok(self.batch.len())
    }

    /// Fills up a batch that is likely to be the beginning of more.
    fn top_up(&mut self) -> Result<(), CarrierError> {
        if self.batch.len() < BATCH_MAX {
            self.enter(Some(0))?;
            self.drain()?;
        }
        Ok(())
    }

    #[inline]
    fn received(&mut self, completion: Completion) -> Result<(), CarrierError> {
        let socket = (completion.tag & !TAG) as u16;
        if !cqueue::more(completion.flags) {
            self.armed[usize::from(socket)] = false;
        }
        let frame = cqueue::buffer_select(completion.flags);
        match (frame, usize::try_from(completion.result)) {
            (Some(frame), Ok(len)) if len >= PAYLOAD_START => {
                self.faults = 0;
                let [name, control, payload, flags] = self.batch.header(frame);
                self.batch.push(Slot {
                    frame,
                    socket,
                    name_len: name.min(NAME as u32) as u8,
                    control_len: control.min(CONTROL as u32) as u8,
                    len: payload.min((len - PAYLOAD_START).min(PAYLOAD) as u32) as u16,
                    truncated: flags & libc::MSG_TRUNC as u32 != 0,
                });
                Ok(())
            }
            (frame, _) => {
                if let Some(frame) = frame {
                    self.lend(frame);
                    self.buffers.publish();
                }
                self.forgive(completion.result)
            }
        }
    }

    /// An error of a socket is not one of the carrier, unless it never ends; frames having run out
    /// is none.
    fn forgive(&mut self, result: i32) -> Result<(), CarrierError> {
        match -result {
            libc::ENOBUFS => self.tally.frames_exhausted += 1,
            errno => {
                self.faults += 1;
                let hopeless =
                    matches!(errno, libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL);
                if hopeless || self.faults > FAULTS_MAX {
                    return Err(CarrierError::Receive(io::Error::from_raw_os_error(errno)));
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn lend(&mut self, frame: u16) {
        self.buffers.lend(frame, self.batch.frames().pointer(usize::from(frame)));
    }

    /// Submits all that is queued, making `wait` completions if asked; bounded by [`ENTER_TRIES`].
    fn enter(&mut self, wait: Option<u32>) -> Result<(), CarrierError> {
        let mut wait = wait;
        for _ in 0..ENTER_TRIES {
            match self.ring.enter(wait) {
                Ok(_) => {
                    if self.ring.queued() == 0 {
                        return Ok(());
                    }
                }
                // A signal ends the wait; whoever waits calls again.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if self.ring.queued() == 0 {
                        return Ok(());
                    }
                }
                // Completions have to be made before more is taken.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN)) => {
                    wait = Some(0);
                }
                Err(error) => return Err(CarrierError::Ring(error)),
            }
        }
        Err(CarrierError::Ring(io::ErrorKind::TimedOut.into()))
    }

    /// Sends all replies through the ring, each stamped right before the call that sends it.
    fn send_by_ring(
        &mut self,
        stamp: &mut impl FnMut(&mut [u8], Timestamp<Realtime>),
    ) -> Result<(), CarrierError> {
        self.batch.weigh();
        let mut chunk = self.batch.chunk(&self.sockets, 0);
        while !chunk.is_empty() {
            let next = self.batch.chunk(&self.sockets, chunk.end);
            self.batch.stamp(&self.sockets, chunk.clone(), stamp);
            for place in chunk.clone() {
                self.push_reply(place)?;
            }
            self.tally.sent += chunk.len() as u64;
            // The last chunk's call looks for more requests as well.
            self.enter(next.is_empty().then_some(0))?;
            self.batch.learn(&self.sockets[usize::from(self.batch.socket_of(chunk.start))]);
            chunk = next;
        }
        Ok(())
    }

    #[inline]
    fn push_reply(&mut self, place: usize) -> Result<(), CarrierError> {
        let socket = Fixed(self.sockets.len() as u32 + u32::from(self.batch.socket_of(place)));
        // `msg_hdr` is the first field of `mmsghdr`.
        let message = self.batch.message(place).cast_const().cast::<libc::msghdr>();
        let entry = opcode::SendMsg::new(socket, message)
            .flags(libc::MSG_DONTWAIT as u32)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(SEND);
        self.push(&entry)
    }

    /// Gives the frames of the turn back to the kernel.
    #[inline]
    fn recycle(&mut self) {
        for index in 0..self.batch.len() {
            let frame = self.batch.slots()[index].frame;
            self.lend(frame);
        }
        if self.batch.len() > 0 {
            self.buffers.publish();
        }
        self.batch.clear();
    }
}

impl PacketIo for UringIo {
    type Error = CarrierError;

    #[inline]
    fn now(&self) -> Timestamp<Realtime> {
        realtime()
    }

    fn receive(&mut self, wait: Wait) -> Result<usize, CarrierError> {
        self.recycle();
        let waiting = self.drain()?;
        // Ring replies have looked for more already, in the call that sent them.
        if waiting >= MULTISHOT_RUN || (waiting > 0 && self.replies == ReplyPath::Sendmmsg) {
            self.top_up()?;
        }
        let mut looked = false;
        loop {
            let armed = self.arm()?;
            if self.batch.len() > 0 {
                if armed {
                    self.enter(None)?;
                }
                return Ok(self.batch.len());
            }
            if core::mem::take(&mut self.woken) || (looked && wait == Wait::Poll) {
                return Ok(0);
            }
            self.enter(Some(u32::from(wait == Wait::Block)))?;
            looked = true;
            if self.drain()? >= MULTISHOT_RUN {
                self.top_up()?;
            }
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
        match self.replies {
            ReplyPath::Ring => self.send_by_ring(stamp)?,
            ReplyPath::Sendmmsg => self.batch.transmit(&self.sockets, stamp, &mut self.tally),
        }
        self.recycle();
        Ok(())
    }

    fn tally(&self) -> IoTally {
        self.tally
    }
}

impl fmt::Debug for UringIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringIo").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

/// Room for name and control in every frame; no parts, since the payload takes what is left of it.
fn template() -> Box<libc::msghdr> {
    // JUSTIFICATION: msghdr has private padding on some targets, so it cannot be written literally.
    // SAFETY: all zero is a valid msghdr: null pointers with zero lengths.
    let mut template: libc::msghdr = unsafe { core::mem::zeroed() };
    template.msg_namelen = NAME as u32;
    template.msg_controllen = CONTROL;
    Box::new(template)
}

/// Datagrams the kernel receives for one multishot before it turns to other work; when it gave so
/// many, there are likely more.
const MULTISHOT_RUN: usize = 32;

/// Requests queued at once: a batch of replies, a receive per socket, and the waker's poll.
const SUBMISSIONS: u32 = 2 * BATCH_MAX as u32;

/// Calls to get queued requests taken; one does, two after an interruption.
const ENTER_TRIES: u32 = 8;

/// What a completion belongs to: the upper half of its tag; the lower is the socket.
const TAG: u64 = 0xffff_ffff_0000_0000;
const RECEIVE: u64 = 1 << 32;
const WAKE: u64 = 2 << 32;
const SEND: u64 = 3 << 32;
