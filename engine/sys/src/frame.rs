//! The memory of one datagram: name, control and payload at constant offsets.
//!
//! Both carriers use one layout, the one io_uring's multishot receive prescribes (a header, then
//! the three fields, man 3 io_uring_prep_recvmsg_multishot), so that a reply is written and sent
//! from the very bytes its request arrived in, whoever received it.
//!
//! Must never: change its layout without [`crate::uring`]'s message template.

use crate::block::Zeroed;
use crate::cmsg::SERVER_CONTROL;
use crate::sockaddr::SOCKADDR_MAX;

/// One frame.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Frame {
    /// `struct io_uring_recvmsg_out`: lengths of name, control and payload, and flags; all `u32`.
    pub(crate) header: [u8; HEADER],
    /// The sender's `sockaddr`.
    pub(crate) name: [u8; NAME],
    /// Control messages: as received, then, for the reply, overwritten by the one it takes back.
    pub(crate) control: [u8; CONTROL],
    /// The datagram.
    pub(crate) payload: [u8; PAYLOAD],
}

// SAFETY: arrays of bytes.
unsafe impl Zeroed for Frame {}

pub(crate) const HEADER: usize = 16;
pub(crate) const NAME: usize = 32;
pub(crate) const CONTROL: usize = 80;

/// Longest datagram taken whole: more than an Ethernet frame carries, and an NTS request needs.
pub(crate) const PAYLOAD: usize = 1984;

/// Offset of the payload: two cache lines hold all that comes before it.
pub(crate) const PAYLOAD_START: usize = HEADER + NAME + CONTROL;

const _: () = assert!(NAME >= SOCKADDR_MAX && CONTROL >= SERVER_CONTROL && PAYLOAD_START == 128);

/// An odd number of cache lines: with a power of two, the same field of all frames would compete
/// for the same few sets of the cache.
const _: () = assert!(size_of::<Frame>() == 33 * 64);
