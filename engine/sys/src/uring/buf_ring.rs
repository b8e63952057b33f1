//! The ring through which frames are lent to the kernel (io_uring "provided buffers").
//!
//! User space writes entries at the tail, the kernel takes them from the head in the same order.
//! The tail lies inside the first entry, in bytes no entry uses, and is the only word both sides
//! look at at once.
//!
//! Must never: lend a frame that is in use, or more frames than the ring has room for.

use core::sync::atomic::{AtomicU16, Ordering};
use std::io;

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::block::{Block, Zeroed};
use crate::frame::Frame;

/// Frames on their way to the kernel.
pub(crate) struct BufRing {
    entries: Block<Entry>,
    tail: u16,
}

#[repr(transparent)]
struct Entry(BufRingEntry);

// SAFETY: three integers and two reserved bytes.
unsafe impl Zeroed for Entry {}

impl BufRing {
    /// A ring with room for `count` frames, a power of two up to 32 768, known to the kernel as
    /// [`GROUP`].
    pub(crate) fn register(submitter: &Submitter<'_>, count: u16) -> io::Result<Self> {
        let entries = Block::new(usize::from(count));
        let address = entries.pointer(0) as u64;
        // JUSTIFICATION: the kernel is given memory to read from for as long as the ring lives.
        // SAFETY: `count` entries on a page boundary, zeroed; the owner keeps them until the ring
        // is gone or has been told to forget them.
        unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0) }?;
        Ok(Self { entries, tail: 0 })
    }

    /// Lends `frame`, which the kernel may use once [`BufRing::publish`] has been called.
    #[inline]
    pub(crate) fn lend(&mut self, index: u16, frame: *mut Frame) {
        let place = usize::from(self.tail) & (self.entries.count() - 1);
        // JUSTIFICATION: entries are shared with the kernel.
        // SAFETY: at or beyond the published tail, where the kernel does not look; there are at
        // most as many frames as entries.
        let entry = unsafe { self.entries.get_mut(place) };
        entry.0.set_addr(frame as u64);
        entry.0.set_len(size_of::<Frame>() as u32);
        entry.0.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was lent.
    #[inline]
    pub(crate) fn publish(&mut self) {
        let first = self.entries.pointer(0).cast::<BufRingEntry>();
        // JUSTIFICATION: the tail's place is known to the bindings only as a pointer.
        // SAFETY: `first` is the first entry of a registered ring.
        let tail = unsafe { BufRingEntry::tail(first) }.cast_mut();
        // JUSTIFICATION: the kernel reads this word while we write it.
        // SAFETY: aligned to two bytes, alive, and written by nobody else.
        let tail = unsafe { AtomicU16::from_ptr(tail) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// The one group of provided buffers.
pub(crate) const GROUP: u16 = 0;
