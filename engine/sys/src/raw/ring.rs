//! A ring that is shared with the kernel (`AF_XDP`): one side writes entries, the other takes them.
//!
//! `producer` and `consumer` count up for ever; an entry's place is its number modulo the size. Each
//! side writes one of the two words, and reads the other's before it touches entries.
//!
//! Must never: be used by two threads; touch an entry that is the kernel's.

use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// Where the parts of a ring are: `struct xdp_ring_offset` (uapi/linux/if_xdp.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offsets {
    pub(super) producer: u64,
    pub(super) consumer: u64,
    pub(super) entries: u64,
    pub(super) flags: u64,
}

/// A ring of `T`, a type that the kernel documents for it.
#[derive(Debug)]
pub(super) struct Ring<T: Copy> {
    map: Map,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
}

/// Memory that is the kernel's as well; unmapped when dropped.
#[derive(Debug)]
struct Map {
    start: NonNull<u8>,
    len: usize,
}

impl<T: Copy> Ring<T> {
    /// Maps the ring of `size` entries, a power of two, that `socket` has at `page_offset`.
    ///
    /// # Errors
    /// What the kernel says; `InvalidData` if its offsets are not aligned for `T`.
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page_offset: i64,
        offsets: &Offsets,
        size: u32,
    ) -> io::Result<Self> {
        let len = offsets.entries as usize + size as usize * size_of::<T>();
        let words = [offsets.producer, offsets.consumer];
        let fits = words.iter().all(|word| word.is_multiple_of(4) && word + 4 <= len as u64);
        if !fits || !offsets.entries.is_multiple_of(align_of::<T>() as u64) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let map = Map::new(socket, page_offset, len)?;
        let (producer, consumer) = (map.at(offsets.producer), map.at(offsets.consumer));
        let entries = map.at(offsets.entries).cast();
        Ok(Self {
            map,
            producer: producer.cast(),
            consumer: consumer.cast(),
            entries,
            mask: size - 1,
        })
    }

    /// The word the writing side counts in.
    #[inline]
    pub(super) fn producer(&self) -> &AtomicU32 {
        // JUSTIFICATION: shared with the kernel.
        // SAFETY: inside the mapping and aligned (checked in `map`), which lives as long as `self`.
        unsafe { self.producer.as_ref() }
    }

    /// The word the reading side counts in.
    #[inline]
    pub(super) fn consumer(&self) -> &AtomicU32 {
        // JUSTIFICATION: as above.
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }
    }

    /// Writes the entry of number `at`, which must not be the kernel's.
    #[inline]
    pub(super) fn write(&mut self, at: u32, entry: T) {
        let place = self.place(at);
        // JUSTIFICATION: shared with the kernel.
        // SAFETY: inside the mapping: `mask` keeps the place below the size; aligned.
        unsafe { place.write(entry) }
    }

    /// The entry of number `at`, which the kernel must have written.
    #[inline]
    pub(super) fn read(&self, at: u32) -> T {
        let place = self.place(at);
        // JUSTIFICATION: as above.
        // SAFETY: as above; every bit pattern is valid for the integers that entries are made of.
        unsafe { place.read() }
    }

    /// How many entries there are to be taken, and the number of the first.
    #[inline]
    pub(super) fn waiting(&self) -> (u32, u32) {
        let first = self.consumer().load(Ordering::Relaxed);
        (first, self.producer().load(Ordering::Acquire).wrapping_sub(first).min(self.mask + 1))
    }

    #[inline]
    fn place(&self, at: u32) -> *mut T {
        debug_assert!(self.map.len > 0);
        // JUSTIFICATION: shared with the kernel.
        // SAFETY: `mask` keeps it below the size, for which `map` has made room.
        unsafe { self.entries.as_ptr().add((at & self.mask) as usize) }
    }
}

impl Map {
    fn new(socket: BorrowedFd<'_>, page_offset: i64, len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let (anywhere, fd) = (core::ptr::null_mut(), socket.as_raw_fd());
        // JUSTIFICATION: std maps nothing.
        // SAFETY: a new mapping, which replaces none.
        let start = unsafe { libc::mmap(anywhere, len, protection, flags, fd, page_offset) };
        match NonNull::new(start.cast()) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED.cast() => Ok(Self { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The address `offset` octets in, which must be inside.
    fn at(&self, offset: u64) -> NonNull<u8> {
        assert!(offset < self.len as u64, "beyond the mapping");
        // JUSTIFICATION: offsets are the kernel's.
        // SAFETY: inside the mapping: checked above.
        unsafe { self.start.add(offset as usize) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // JUSTIFICATION: counterpart of the mapping in `new`.
        // SAFETY: mapped there with this length; nothing points into it but the ring that is dropped.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
