//! Replies that leave around the kernel's UDP and IP layers: as Ethernet frames with headers of our
//! own, by `AF_XDP` or by `AF_PACKET`.
//!
//! Requests still come by UDP sockets; but most of what a reply costs is the way out, and most of that
//! is routing, netfilter and queueing that are the same for each. So the [`Pilot`], on the control
//! side, keeps a table of next hops in step with the kernel's ([`tables`] by netlink, [`hops`] as
//! workers read it), and each worker's [`Courier`] looks up where a reply goes, writes its headers, and
//! hands the frame to the device. Whatever is not plain goes by the reply's socket, as without all
//! this, and the kernel then does what only it can: ask for a neighbour, refuse, fragment not.
//!
//! Must never: send to an address of which the kernel has told that it is another's, longer than the
//! bound that [`Pilot`] names; send what is longer than its way carries; make a worker wait.

mod chart;
mod courier;
mod exits;
mod hops;
mod packet;
mod pilot;
mod port;
mod ring;
mod tables;

pub(crate) use courier::Courier;
pub use exits::{Exit, Exits, ExitsError, Transmit};
pub use pilot::Pilot;

/// Longest frame: headers of IPv6 and the longest payload that is received.
const FRAME: usize = 2048;
const _: () = assert!(crate::frame::PAYLOAD + crate::headers::headers_len(true) <= FRAME);

/// The memory of one frame, of the size that `AF_XDP` asks for.
#[repr(C, align(64))]
#[derive(Debug)]
struct Slot([u8; FRAME]);

// SAFETY: an array of bytes.
unsafe impl crate::block::Zeroed for Slot {}

/// Frames that one system call sends at most.
const CHUNK: usize = 8;
