//! Integer socket options, in one place because all are set and read the same way.
//!
//! Must never: be used for options that are not one `int`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets an option whose value is one `int`.
pub(crate) fn set(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_raw(fd, level, name, &value)
}

/// Reads an option whose value is one `int`.
pub(crate) fn get(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = [0i32];
    get_raw(fd, level, name, &mut value)?;
    Ok(value[0])
}

/// Reads an option whose value is a row of 32-bit integers; what the kernel does not give stays.
pub(crate) fn get_raw<T: Word>(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    values: &mut [T],
) -> io::Result<()> {
    let mut len = size_of_val(values) as libc::socklen_t;
    let (fd, pointer) = (fd.as_raw_fd(), values.as_mut_ptr().cast());
    // JUSTIFICATION: the options read here have no wrapper in std or socket2.
    // SAFETY: `values` and `len` live through the call, and `len` is the size of `values`, for whose
    // type every bit pattern is valid (`Word`).
    let result = unsafe { libc::getsockopt(fd, level, name, pointer, &raw mut len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A 32-bit integer.
pub(crate) trait Word {}
impl Word for i32 {}
impl Word for u32 {}

/// Sets an option whose value is the plain C structure `T`, as the kernel documents for `name`.
pub(crate) fn set_raw<T>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let value_ptr = core::ptr::from_ref(value).cast();
    let len = size_of::<T>() as libc::socklen_t;
    // JUSTIFICATION: the options set here have no wrapper in std or socket2.
    // SAFETY: `value` lives through the call and is `len` bytes long; the kernel copies it.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value_ptr, len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
