//! Requests leaving in batches, each from a source of its own.
//!
//! Must never: allocate after construction, block, or retry what the kernel did not take.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use socket2::{SockAddr, Socket};

use super::link::Link;
use super::{ControlBytes, EMPTY_VECTOR, SEGMENTS_MAX, TrafficOptions, Way, empty_message};
use crate::headers::{HOPS, Headers, OFFLOAD_LEN, headers_len, offload};

/// Sends batches of requests to one target.
///
/// Equally long requests of one source that follow each other can go as one message, which costs the
/// kernel a quarter and less; what is on the network is the same.
#[derive(Debug)]
pub struct Sender {
    pub(super) socket: Socket,
    envelope: Envelope,
    is_ipv6: bool,
    segments: usize,
    /// The messages of the batch, one after the other, headers and all.
    bytes: Vec<u8>,
    filled: usize,
    pushed: usize,
    /// What the kernel is asked for each message.
    wishes: Vec<Wish>,
    controls: Vec<ControlBytes>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
    pub(super) used: usize,
}

/// What goes around a request.
#[derive(Debug)]
enum Envelope {
    /// The kernel's headers, to this address.
    Datagram(SockAddr),
    /// Our own; with `segmented`, after what tells the kernel how to cut a frame up.
    Frame { link: Link, target: SocketAddr, segmented: bool },
}

impl Envelope {
    /// Octets before the payload.
    #[inline]
    const fn len(&self) -> usize {
        match self {
            Self::Datagram(_) => 0,
            Self::Frame { target, segmented: false, .. } => headers_len(target.is_ipv6()),
            Self::Frame { target, segmented: true, .. } => {
                OFFLOAD_LEN + headers_len(target.is_ipv6())
            }
        }
    }
}

/// One message: requests that follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) source: IpAddr,
    port: u16,
    start: usize,
    end: usize,
    /// Octets of each of its requests.
    pub(super) request_len: usize,
    pub(super) count: usize,
    pub(super) stamped: bool,
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Requests, from the first, that the kernel took; those after were dropped for want of room in the
    /// socket's own buffer.
    pub taken: usize,
    /// Of these, the ones that a full device dropped at once, where the kernel says so. On a veth that
    /// is the far side's backlog: the server's.
    pub dropped: usize,
}

impl Sender {
    pub(super) fn new(socket: Socket, options: &TrafficOptions, len_max: usize) -> Self {
        let segments = options.segments.clamp(1, SEGMENTS_MAX);
        let envelope = match &options.way {
            Way::Udp => Envelope::Datagram(options.target.into()),
            Way::Link(link) => {
                Envelope::Frame { link: *link, target: options.target, segmented: segments > 1 }
            }
        };
        let (source, batch) = (options.target.ip(), options.batch);
        let nothing =
            Wish { source, port: 0, start: 0, end: 0, request_len: 0, count: 0, stamped: false };
        Self {
            socket,
            is_ipv6: options.target.is_ipv6(),
            segments,
            bytes: vec![0; (envelope.len() + len_max) * batch],
            envelope,
            filled: 0,
            pushed: 0,
            wishes: vec![nothing; batch],
            controls: vec![ControlBytes::EMPTY; batch],
            vectors: vec![EMPTY_VECTOR; batch],
            messages: vec![empty_message(); batch],
            used: 0,
        }
    }

    /// Requests that still fit in this batch.
    pub fn room(&self) -> usize {
        self.messages.len() - self.pushed
    }

    /// Adds a request of `len` octets from `source` and returns them, holding whatever was there before.
    ///
    /// `None` when the batch is full, `len` more than was asked for at the opening, or `source` not of
    /// the target's family. Over UDP the port of `source` is the socket's own, whatever it says here.
    /// `stamped` asks for a departure stamp, and for a message of its own.
    #[inline]
    pub fn push(&mut self, source: SocketAddr, len: usize, stamped: bool) -> Option<&mut [u8]> {
        let segments = self.segments;
        let last = self.wishes[..self.used].last_mut().filter(|last| {
            last.count < segments
                && last.source == source.ip()
                && last.port == source.port()
                && last.request_len == len
                && !last.stamped
                && !stamped
        });
        let start = self.filled;
        let payload = if last.is_some() { start } else { start + self.envelope.len() };
        let end = payload + len;
        let is_full = self.pushed == self.messages.len() || end > self.bytes.len();
        if is_full || source.is_ipv6() != self.is_ipv6 {
            return None;
        }
        if let Some(last) = last {
            last.count += 1;
            last.end = end;
        } else {
            let (source, port) = (source.ip(), source.port());
            self.wishes[self.used] =
                Wish { source, port, start, end, request_len: len, count: 1, stamped };
            self.used += 1;
        }
        self.pushed += 1;
        self.filled = end;
        Some(&mut self.bytes[payload..end])
    }

    /// Sends the batch and empties it.
    ///
    /// What the kernel does not take is dropped, because a generator that retries offers another load
    /// than it says. Fails if the kernel took none for any other reason than want of room.
    pub fn send(&mut self) -> io::Result<Sent> {
        (self.pushed, self.filled) = (0, 0);
        let used = std::mem::take(&mut self.used);
        self.address(used);
        let (mut done, mut dropped) = (0, 0);
        // Each turn is done with at least one message or ends the loop, so the batch bounds it.
        while done < used {
            match send_messages(self.socket.as_raw_fd(), &mut self.messages[done..used]) {
                Ok(count) => done += count,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    dropped += self.wishes[done].count;
                    done += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        let taken = self.wishes[..done].iter().map(|wish| wish.count).sum();
        Ok(Sent { taken, dropped })
    }

    /// Points the first `used` messages at their parts.
    fn address(&mut self, used: usize) {
        let controls = self.controls.as_mut_ptr();
        let vectors = self.vectors.as_mut_ptr();
        for index in 0..used {
            let wish = self.wishes[index];
            let bytes = &mut self.bytes[wish.start..wish.end];
            let header = &mut self.messages[index].msg_hdr;
            let control = &mut self.controls[index];
            let control_len = match &self.envelope {
                Envelope::Datagram(target) => {
                    header.msg_name = target.as_ptr().cast_mut().cast();
                    header.msg_namelen = target.len();
                    control.ask_udp(&wish)
                }
                Envelope::Frame { link, target, segmented } => {
                    let segment_len = (wish.count > 1).then_some(wish.request_len);
                    let frame = if *segmented {
                        let (order, frame) = bytes.split_at_mut(OFFLOAD_LEN);
                        order.copy_from_slice(&offload(target.is_ipv6(), segment_len));
                        frame
                    } else {
                        &mut *bytes
                    };
                    let headers = Headers {
                        local: link.local,
                        next_hop: link.next_hop,
                        hops: HOPS,
                        source: SocketAddr::new(wish.source, wish.port),
                        target: *target,
                    };
                    headers.write(segment_len.is_some(), frame);
                    control.ask_link(&wish)
                }
            };
            self.vectors[index] =
                libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            header.msg_iov = vectors.wrapping_add(index);
            header.msg_iovlen = 1;
            header.msg_control = controls.wrapping_add(index).cast();
            header.msg_controllen = control_len;
        }
    }
}

fn send_messages(fd: RawFd, messages: &mut [libc::mmsghdr]) -> io::Result<usize> {
    // JUSTIFICATION: no safe binding sends a batch.
    // SAFETY: `messages` is a slice of its stated length, and every pointer in it was set by the
    // caller, in this very call, to memory that the caller owns and that is as long as the length
    // beside it.
    let sent = unsafe {
        libc::sendmmsg(fd, messages.as_mut_ptr(), messages.len() as u32, libc::MSG_DONTWAIT)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}
