//! A fixed row of values on the heap that the kernel may write to: frames, message headers, ring
//! entries.
//!
//! A `Box<[T]>` would promise the compiler that nobody else has pointers into it; here the kernel
//! has. So the memory is owned through a raw pointer, and references are made one element at a
//! time, while the kernel keeps away from that element.
//!
//! Must never: grow, move, or hold a type with a destructor.

use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

/// `count` values of `T`, zeroed at the start, at addresses that never change.
#[derive(Debug)]
pub(crate) struct Block<T: Zeroed> {
    first: NonNull<T>,
    count: usize,
    layout: Layout,
}

/// A type for which all-zero bytes are a valid value, and which needs no drop.
///
/// # Safety
/// Both must be true.
pub(crate) unsafe trait Zeroed {}

impl<T: Zeroed> Block<T> {
    /// `count` zeroed values, at least 1, the first aligned to a page.
    pub(crate) fn new(count: usize) -> Self {
        assert!(count > 0 && size_of::<T>() > 0, "a block holds something");
        let layout = Layout::array::<T>(count)
            .and_then(|layout| layout.align_to(PAGE))
            .expect("sizes are set at start-up and far below isize::MAX");
        // JUSTIFICATION: safe containers cannot share their memory with the kernel.
        // SAFETY: the layout's size is not zero: checked above.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(first) = NonNull::new(memory.cast::<T>()) else { handle_alloc_error(layout) };
        Self { first, count, layout }
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Where element `index` lies.
    #[inline]
    pub(crate) fn pointer(&self, index: usize) -> *mut T {
        assert!(index < self.count, "beyond the block");
        // JUSTIFICATION: the kernel is given addresses.
        // SAFETY: `index` is inside the allocation: checked above.
        unsafe { self.first.as_ptr().add(index) }
    }

    /// Element `index`.
    ///
    /// # Safety
    /// The kernel must not be writing to it while the reference lives.
    #[inline]
    pub(crate) unsafe fn get_mut(&mut self, index: usize) -> &mut T {
        let element = self.pointer(index);
        // JUSTIFICATION: see the module: elements are borrowed one at a time.
        // SAFETY: inside the allocation, valid since zeroed (`Zeroed`), ours alone as `self` is
        // borrowed mutably and the caller keeps the kernel away.
        unsafe { &mut *element }
    }
}

impl<T: Zeroed> Drop for Block<T> {
    fn drop(&mut self) {
        // JUSTIFICATION: counterpart of the allocation in `new`.
        // SAFETY: allocated there with this very layout; no destructors to run (`Zeroed`).
        unsafe { dealloc(self.first.as_ptr().cast(), self.layout) };
    }
}

/// Rings registered with the kernel must start on a page.
const PAGE: usize = 4096;
