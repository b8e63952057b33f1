//! The memory of a BPF array as memory of ours.
//!
//! Reading and writing it is no system call, so a sandbox need not allow one. The other side are BPF
//! programs on any processor, so the values are made of atomics.
//!
//! Must never: hold a type that is not made of atomics, or one larger than the map.

use core::ptr::NonNull;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The values of a BPF array that was made with `BPF_F_MMAPABLE`.
#[derive(Debug)]
pub(crate) struct Mapped<T> {
    first: NonNull<T>,
    count: usize,
}

/// Nothing but atomics in `repr(C)`, for which all bits are valid.
///
/// # Safety
/// It must be so.
pub(crate) unsafe trait Shared: Sync {}

impl<T: Shared> Mapped<T> {
    /// The `count` values, of `size_of::<T>()` bytes each, of the array `map`.
    pub(crate) fn new(map: BorrowedFd<'_>, count: usize) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8), "the kernel rounds values up to words") };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let len = count * size_of::<T>();
        let (shared, fd) = (libc::MAP_SHARED, map.as_raw_fd());
        // JUSTIFICATION: std maps no files.
        // SAFETY: a new mapping at a place the kernel chooses; it fails if the array is smaller.
        let memory = unsafe { libc::mmap(core::ptr::null_mut(), len, access, shared, fd, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(memory.cast::<T>()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { first, count })
    }

    /// All values.
    pub(crate) const fn values(&self) -> &[T] {
        // JUSTIFICATION: the memory is the kernel's and known by its address only. SAFETY: `count` values
        // lie there, page-aligned, as long as `self` does; all bits are valid and other writers are no data
        // race, as they are atomics (`Shared`).
        unsafe { core::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // JUSTIFICATION: counterpart of the mapping in `new`.
        // SAFETY: mapped there with this length; nobody borrows from it any more.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.count * size_of::<T>()) };
    }
}

// JUSTIFICATION: a raw pointer is not sent by itself. SAFETY: it owns its mapping, and `Shared` values are
// `Sync`.
unsafe impl<T: Shared> Send for Mapped<T> {}
// JUSTIFICATION: as above. SAFETY: it gives out shared references to `Sync` values, no more.
unsafe impl<T: Shared> Sync for Mapped<T> {}
