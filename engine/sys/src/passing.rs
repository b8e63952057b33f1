//! Handing open descriptors to another process, over a Unix socket (`SCM_RIGHTS`).
//!
//! What is handed over is the same open socket, not a copy: whatever waits in it, whoever looks first gets.
//!
//! Must never: leave a descriptor open that was received and not returned.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Sends `bytes`, and with them handles of `fds`, at most [`FDS_MAX`]; says how many bytes went.
///
/// # Errors
/// As the kernel says.
pub fn send_with_fds(
    stream: &impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut control: Vec<u8> = Vec::with_capacity(CONTROL_MAX);
    if !fds.is_empty() {
        // struct cmsghdr: length, level, kind; then the descriptors.
        control.extend((HEADER + size_of::<RawFd>() * fds.len()).to_ne_bytes());
        control.extend(libc::SOL_SOCKET.to_ne_bytes());
        control.extend(libc::SCM_RIGHTS.to_ne_bytes());
        fds.iter().for_each(|fd| control.extend(fd.as_raw_fd().to_ne_bytes()));
        control.resize(control.len().next_multiple_of(size_of::<usize>()), 0);
    }
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let message = message(&mut part, &mut control);
    let socket = stream.as_fd().as_raw_fd();
    uninterrupted(|| {
        // JUSTIFICATION: std does not pass descriptors on. SAFETY: `message` points to `part`, `bytes`
        // and `control`, which outlive the call and are as long as it says; the kernel writes to none of
        // them and keeps nothing.
        unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) }
    })
}

/// Receives some of `bytes`, and appends the descriptors that came with them to `fds`; says how many bytes
/// came, 0 at the end.
///
/// # Errors
/// As the kernel says.
pub fn receive_with_fds(
    stream: &impl AsFd,
    bytes: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = vec![0u8; CONTROL_MAX];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message = message(&mut part, &mut control);
    let socket = stream.as_fd().as_raw_fd();
    let len = uninterrupted(|| {
        // JUSTIFICATION: std does not take passed descriptors. SAFETY: `message` points to `part`,
        // `bytes` and `control`, which outlive the call and are as long as it says; nothing is kept by
        // the kernel.
        unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) }
    })?;
    let used = message.msg_controllen.min(control.len());
    for number in received(&control[..used]) {
        // JUSTIFICATION: the kernel has opened it for us and told its number.
        // SAFETY: just opened, and owned by nobody else.
        fds.push(unsafe { OwnedFd::from_raw_fd(number) });
    }
    Ok(len)
}

/// Makes a call until no signal comes in between.
fn uninterrupted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(done) = usize::try_from(call()) {
            return Ok(done);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The descriptors in received control bytes, which hold one message at the most.
fn received(control: &[u8]) -> Vec<RawFd> {
    let Some((header, data)) = control.split_at_checked(HEADER) else { return Vec::new() };
    let word = |at: usize| i32::from_ne_bytes(std::array::from_fn(|octet| header[at + octet]));
    let len = usize::from_ne_bytes(std::array::from_fn(|octet| header[octet]));
    let kind = (word(size_of::<usize>()), word(size_of::<usize>() + size_of::<i32>()));
    if kind != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return Vec::new();
    }
    let data = &data[..len.saturating_sub(HEADER).min(data.len())];
    data.as_chunks().0.iter().map(|octets| RawFd::from_ne_bytes(*octets)).collect()
}

fn message(part: &mut libc::iovec, control: &mut [u8]) -> libc::msghdr {
    // JUSTIFICATION: msghdr has private padding on some targets, so it cannot be written literally.
    // SAFETY: all zero is a valid msghdr: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    if !control.is_empty() {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = control.len();
    }
    message
}

/// The most descriptors that one call passes (the kernel: SCM_MAX_FD, 253).
pub const FDS_MAX: usize = 250;
/// `struct cmsghdr`.
const HEADER: usize = size_of::<usize>() + 2 * size_of::<i32>();
const CONTROL_MAX: usize = HEADER + (FDS_MAX + 3) * size_of::<RawFd>();
const _: () = assert!(HEADER == size_of::<libc::cmsghdr>());

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_handed_over_is_the_very_socket() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let address = socket.local_addr().expect("bound");
        socket.send_to(b"waits", address).expect("send");
        let fds = vec![socket.as_fd(); FDS_MAX];
        assert_eq!(send_with_fds(&here, b"two", &fds).expect("sent"), 3);
        assert_eq!(send_with_fds(&here, b"more", &[]).expect("sent"), 4);
        drop(socket);
        let (mut bytes, mut received) = ([0; 16], Vec::new());
        let len = receive_with_fds(&there, &mut bytes, &mut received).expect("received");
        assert_eq!((&bytes[..len], received.len()), (&b"two"[..], FDS_MAX));
        let socket = UdpSocket::from(received.pop().expect("many"));
        assert_eq!(socket.local_addr().expect("bound"), address);
        assert_eq!(socket.recv(&mut bytes).expect("it waited"), 5);
        let len = receive_with_fds(&there, &mut bytes, &mut received).expect("received");
        assert_eq!((&bytes[..len], received.len()), (&b"more"[..], FDS_MAX - 1));
        drop(here);
        assert_eq!(receive_with_fds(&there, &mut bytes, &mut received).expect("the end"), 0);
    }
}
