//! One turn's datagrams and their replies, the same for both carriers.
//!
//! A [`Batch`] owns the frames. A carrier says which frames hold datagrams ([`Batch::push`]), the
//! worker reads them and asks for replies, and the carrier sends those: through its ring, or
//! through [`Batch::transmit`], which is `sendmmsg`, and a [`Courier`] for those that leave around the
//! kernel's IP layer. A reply is sent from its request's frame: the name is the request's, the control
//! bytes are rewritten in place.
//!
//! Must never: allocate after construction; send a reply from an address other than the one asked.

use core::net::IpAddr;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use timeball_time::{Realtime, Timestamp};
use timeball_wire::{BATCH_MAX, Datagram, IoTally};

use crate::block::{Block, Zeroed};
use crate::clock::realtime;
use crate::cmsg::{self, Control, PacketInfo};
use crate::departure::Departure;
use crate::frame::{CONTROL, Frame, NAME, PAYLOAD};
use crate::message;
use crate::raw::{Courier, Exit};
use crate::server::ServerSocket;
use crate::sockaddr;

/// The datagrams of one turn, and the replies asked for so far.
#[derive(Debug)]
pub(crate) struct Batch {
    frames: Block<Frame>,
    slots: Vec<Slot>,
    replies: Vec<Reply>,
    messages: Block<libc::mmsghdr>,
    parts: Block<libc::iovec>,
    departure: Departure,
    /// Takes the replies that are to leave around the kernel's IP layer, if any are.
    courier: Option<Box<Courier>>,
    /// Replies sent since a turn last had few: under load beyond what sending each alone can carry.
    unbroken: usize,
}

// SAFETY: C structures of integers and pointers; null with length zero is valid.
unsafe impl Zeroed for libc::mmsghdr {}

// SAFETY: as above.
unsafe impl Zeroed for libc::iovec {}

/// Where a datagram lies, and what came with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) frame: u16,
    pub(crate) socket: u16,
    pub(crate) name_len: u8,
    pub(crate) control_len: u8,
    pub(crate) len: u16,
    pub(crate) truncated: bool,
}

/// A reply asked for.
#[derive(Clone, Copy, Debug)]
struct Reply {
    frame: u16,
    socket: u16,
    len: u16,
}

impl Batch {
    pub(crate) fn new(frames: usize) -> Self {
        let messages = Block::<libc::mmsghdr>::new(BATCH_MAX);
        let parts = Block::<libc::iovec>::new(BATCH_MAX);
        let (slots, replies) = (Vec::with_capacity(BATCH_MAX), Vec::with_capacity(BATCH_MAX));
        let (frames, departure) = (Block::new(frames), Departure::new());
        Self { frames, slots, replies, messages, parts, departure, courier: None, unbroken: 0 }
    }

    /// Has replies leave by `exit` where they can.
    pub(crate) fn leave_by(&mut self, exit: Exit, sockets: &[ServerSocket]) {
        self.courier = Some(Box::new(Courier::new(exit, sockets)));
    }

    pub(crate) const fn frames(&self) -> &Block<Frame> {
        &self.frames
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Ends the turn.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.replies.clear();
    }

    /// Adds a datagram; the kernel must be done with its frame, and there must be room.
    #[inline]
    pub(crate) fn push(&mut self, slot: Slot) {
        debug_assert!(self.slots.len() < BATCH_MAX);
        self.slots.push(slot);
    }

    /// The header io_uring wrote into a frame the kernel is done with.
    #[inline]
    pub(crate) fn header(&mut self, frame: u16) -> [u32; 4] {
        let header = &self.frame(frame).header;
        core::array::from_fn(|i| {
            let word = [header[4 * i], header[4 * i + 1], header[4 * i + 2], header[4 * i + 3]];
            u32::from_ne_bytes(word)
        })
    }

    /// Who sent datagram `index`.
    #[inline]
    pub(crate) fn source(&mut self, index: usize) -> IpAddr {
        let slot = self.slots[index];
        sockaddr::decode(&self.frame(slot.frame).name[..usize::from(slot.name_len).min(NAME)])
            .unwrap_or(sockaddr::NOWHERE)
            .ip()
    }

    /// Datagram `index`.
    #[inline]
    pub(crate) fn datagram(&mut self, index: usize) -> Datagram<'_> {
        let slot = self.slots[index];
        let frame = self.frame(slot.frame);
        Datagram {
            source: sockaddr::decode(&frame.name[..usize::from(slot.name_len).min(NAME)])
                .unwrap_or(sockaddr::NOWHERE),
            received: frame.control(slot.control_len).stamp,
            bytes: &mut frame.payload[..usize::from(slot.len)],
            truncated: slot.truncated,
        }
    }

    /// Asks for the first `len` bytes of datagram `index` to be sent back.
    #[inline]
    pub(crate) fn reply(&mut self, sockets: &[ServerSocket], index: usize, len: usize) {
        let slot = self.slots[index];
        let len = len.min(usize::from(slot.len)) as u16;
        let place = self.replies.len();
        debug_assert!(place < self.slots.len(), "at most one reply per datagram");
        let frame = self.frame(slot.frame);
        let local = frame.control(slot.control_len).local;
        let source = sockaddr::decode(&frame.name[..usize::from(slot.name_len).min(NAME)]);
        let control_len = local.map_or(0, |info: PacketInfo| info.encode(&mut frame.control));
        let (name, control) = (frame.name.as_mut_ptr(), frame.control.as_mut_ptr());
        let payload = frame.payload.as_mut_ptr();

        let part_pointer = self.parts.pointer(place);
        // JUSTIFICATION: the kernel reads parts through pointers kept in messages.
        // SAFETY: no send is under way between `push` and `transmit`, so the kernel keeps away.
        let part = unsafe { self.parts.get_mut(place) };
        *part = libc::iovec { iov_base: payload.cast(), iov_len: usize::from(len) };
        // JUSTIFICATION: as above.
        // SAFETY: as above.
        let message = unsafe { &mut self.messages.get_mut(place).msg_hdr };
        message.msg_name = name.cast();
        message.msg_namelen = u32::from(slot.name_len);
        message.msg_iov = part_pointer;
        message.msg_iovlen = 1;
        message.msg_control = control.cast();
        message.msg_controllen = control_len;
        self.replies.push(Reply { frame: slot.frame, socket: slot.socket, len });

        let Some(courier) = &mut self.courier else { return };
        if place == 0 {
            courier.begin();
        }
        let bound = sockets[usize::from(slot.socket)].address();
        let own = SocketAddr::new(local.map_or(bound.ip(), |info| info.address), bound.port());
        courier.plan(slot.socket, own, source.unwrap_or(sockaddr::NOWHERE), usize::from(len));
    }

    /// Notes how much there is to send; to be called before the first reply of a turn is.
    #[inline]
    pub(crate) fn weigh(&mut self) {
        let count = self.replies.len();
        self.unbroken = if count < MANY { 0 } else { self.unbroken.saturating_add(count) };
    }

    /// The replies from `start` on that the next system call is to send: one, so that its stamp is as near to
    /// its departure as can be; when that has not been enough for long, up to [`CHUNK`] of one socket.
    #[inline]
    pub(crate) fn chunk(&self, sockets: &[ServerSocket], start: usize) -> core::ops::Range<usize> {
        let rest = &self.replies[start..];
        let Some(first) = rest.first() else { return start..start };
        let socket = &sockets[usize::from(first.socket)];
        if self.unbroken < UNBROKEN_MIN || (socket.stamps_departures() && self.departure.is_due()) {
            return start..start + 1;
        }
        let courier = self.courier.as_ref();
        let by_socket = |place| courier.is_none_or(|courier| courier.leaves_to_socket(place));
        let places = (start..).zip(rest.iter().take(CHUNK));
        let same =
            places.take_while(|(place, reply)| reply.socket == first.socket && by_socket(*place));
        start..start + same.count()
    }

    /// The socket reply `place` leaves by.
    #[inline]
    pub(crate) fn socket_of(&self, place: usize) -> u16 {
        self.replies[place].socket
    }

    /// The message of reply `place`; valid until the next turn.
    #[inline]
    pub(crate) fn message(&self, place: usize) -> *mut libc::mmsghdr {
        self.messages.pointer(place)
    }

    /// Has the replies of `chunk` stamped for departure from this moment on, and now and then lets the
    /// kernel stamp one of them when it really leaves. To be called right before they are sent.
    #[inline]
    pub(crate) fn stamp(
        &mut self,
        sockets: &[ServerSocket],
        chunk: core::ops::Range<usize>,
        stamp: &mut impl FnMut(&mut [u8], Timestamp<Realtime>),
    ) {
        let now = realtime();
        if sockets[usize::from(self.socket_of(chunk.start))].stamps_departures()
            && self.departure.begin(now, chunk.len())
        {
            self.ask_for_stamp(chunk.start);
        }
        let (first, each) = (self.departure.first(), self.departure.each());
        let mut departs = now + first;
        for place in chunk {
            let Reply { frame, len, .. } = self.replies[place];
            stamp(&mut self.frame(frame).payload[..usize::from(len)], departs);
            departs = departs + each;
        }
    }

    /// Takes the kernel's stamp of a departure, if one is waited for; to be called after each send.
    #[inline]
    pub(crate) fn learn(&mut self, socket: &ServerSocket) {
        if self.departure.is_waiting() {
            self.departure.learn(message::departure(socket.sender()));
        }
    }

    /// Adds to the control bytes of reply `place` the wish for a stamp.
    fn ask_for_stamp(&mut self, place: usize) {
        let frame = self.replies[place].frame;
        // JUSTIFICATION: the kernel reads the length from the message.
        // SAFETY: no send is under way between `push` and `transmit`, so the kernel keeps away.
        let message = unsafe { &mut self.messages.get_mut(place).msg_hdr };
        let used = message.msg_controllen;
        // JUSTIFICATION: frames are shared with the kernel.
        // SAFETY: as in `Batch::frame`; written out because `message` is borrowed as well.
        let frame = unsafe { self.frames.get_mut(usize::from(frame)) };
        message.msg_controllen = cmsg::ask_for_departure(&mut frame.control, used);
    }

    /// Sends all replies by the courier or by `sendmmsg`, each stamped right before the call that sends it.
    ///
    /// Each round sends at least one reply or gives one up, so there are at most as many rounds as
    /// replies.
    pub(crate) fn transmit(
        &mut self,
        sockets: &[ServerSocket],
        stamp: &mut impl FnMut(&mut [u8], Timestamp<Realtime>),
        tally: &mut IoTally,
    ) {
        self.weigh();
        let mut start = 0;
        while start < self.replies.len() {
            start += self.transmit_by_courier(start, stamp, tally);
            if start == self.replies.len() {
                break;
            }
            let chunk = self.chunk(sockets, start);
            let socket = &sockets[usize::from(self.socket_of(start))];
            self.stamp(sockets, chunk.clone(), stamp);
            start += self.send_chunk(socket, chunk, tally);
            self.learn(socket);
        }
    }

    /// Sends the replies from `start` on that do not go by their sockets, up to the first that does; says how
    /// many they are. One that the courier cannot send after all goes by its socket.
    fn transmit_by_courier(
        &mut self,
        start: usize,
        stamp: &mut impl FnMut(&mut [u8], Timestamp<Realtime>),
        tally: &mut IoTally,
    ) -> usize {
        // Out of the way, because frames are borrowed as well.
        let Some(mut courier) = self.courier.take() else { return 0 };
        let mut next = start;
        while next < self.replies.len() && !courier.leaves_to_socket(next) {
            let chunk = courier.chunk(next, self.unbroken < UNBROKEN_MIN);
            if chunk.is_empty() {
                courier.give_up(next);
                break;
            }
            let (mut departs, each) = courier.departs(&chunk);
            for (at, place) in chunk.clone().enumerate() {
                let Reply { frame, len, .. } = self.replies[place];
                let payload = &mut self.frame(frame).payload[..usize::from(len)];
                stamp(payload, departs);
                courier.load(place, at, payload);
                departs = departs + each;
            }
            let sent = courier.send(chunk);
            tally.sent += sent as u64;
            tally.raw += sent as u64;
            next += sent;
        }
        tally.by_socket = courier.fallbacks();
        self.courier = Some(courier);
        next - start
    }

    /// Sends replies of `chunk`, and says how many are done with. The kernel stops at the first it refuses;
    /// those behind it are to be stamped anew, because a refusal takes less time than a departure.
    fn send_chunk(
        &self,
        socket: &ServerSocket,
        chunk: core::ops::Range<usize>,
        tally: &mut IoTally,
    ) -> usize {
        let fd = socket.sender().as_raw_fd();
        let (first, count) = (self.message(chunk.start), chunk.len() as u32);
        // JUSTIFICATION: std has no sendmmsg.
        // SAFETY: `first` points to `count` messages, whose names, control bytes and payloads
        // lie in frames of this batch, all alive; the kernel keeps nothing.
        let sent = unsafe { libc::sendmmsg(fd, first, count, libc::MSG_DONTWAIT) };
        if sent > 0 {
            tally.sent += sent as u64;
            return sent as usize;
        }
        count_failure(io::Error::last_os_error().raw_os_error().unwrap_or(0), tally);
        1
    }

    #[inline]
    fn frame(&mut self, frame: u16) -> &mut Frame {
        // JUSTIFICATION: frames are shared with the kernel.
        // SAFETY: only called for frames of this turn's datagrams, with which the kernel is done
        // until they are handed back after the turn.
        unsafe { self.frames.get_mut(usize::from(frame)) }
    }
}

impl Frame {
    #[inline]
    fn control(&self, len: u8) -> Control {
        Control::decode(&self.control[..usize::from(len).min(CONTROL)])
    }
}

/// Counts a reply the kernel did not take.
pub(crate) const fn count_failure(errno: i32, tally: &mut IoTally) {
    match errno {
        libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM => tally.send_full += 1,
        _ => tally.send_refused += 1,
    }
}

/// Replies sent by one system call at most, between two readings of the clock: about a quarter less time
/// each than sending them alone, and no more to be had from more of them.
const CHUNK: usize = 8;

/// A turn with fewer replies than this shows that the worker keeps up.
const MANY: usize = 16;

/// Replies in turns of [`MANY`] and more after which the worker does not keep up: some times the burst that
/// a receive buffer holds.
const UNBROKEN_MIN: usize = 1024;

const _: () = assert!(PAYLOAD <= u16::MAX as usize && CONTROL <= u8::MAX as usize);
