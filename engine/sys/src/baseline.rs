//! Two plain echo servers, which benches compare with: what an honest C programmer would write.
//!
//! Both answer every datagram of at least 48 octets with a minimal NTP reply written in place: the
//! same octets moved as a real answer needs, no checks, no stamps of arrival, no options on the
//! socket. One thread, one socket, blocking.
//!
//! Must never: be part of the program, or be made slower than its author could make it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use crate::block::{Block, Zeroed};
use crate::clock::realtime;

/// Answers with `recvmmsg` and `sendmmsg` in batches of up to 32, until receiving fails.
///
/// # Errors
/// What the socket said to a receive.
pub fn serve_mmsg(socket: &UdpSocket) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    let mut lines = Lines::new();
    let mut used = BATCH;
    loop {
        lines.refresh(used);
        let (first, forever) = (lines.messages.pointer(0), core::ptr::null_mut());
        // JUSTIFICATION: std has no recvmmsg.
        // SAFETY: `first` points to BATCH messages over memory that `lines` owns.
        let count =
            unsafe { libc::recvmmsg(fd, first, BATCH as u32, libc::MSG_WAITFORONE, forever) };
        if count < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        used = count as usize;
        let answers = lines.answer(used);
        let mut sent = 0;
        while sent < answers {
            let (first, left) = (lines.messages.pointer(sent), (answers - sent) as u32);
            // JUSTIFICATION: std has no sendmmsg.
            // SAFETY: `first` points to `left` messages over memory that `lines` owns.
            let count = unsafe { libc::sendmmsg(fd, first, left, 0) };
            sent += count.max(1) as usize; // one that cannot be sent is skipped
        }
    }
}

/// Answers with `recvfrom` and `sendto`, one at a time, until receiving fails.
///
/// # Errors
/// What the socket said to a receive.
pub fn serve_single(socket: &UdpSocket) -> io::Result<()> {
    let mut bytes = [0; PAYLOAD];
    loop {
        let (len, source): (usize, SocketAddr) = match socket.recv_from(&mut bytes) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if len >= HEADER {
            write_reply(&mut bytes[..HEADER], ntp_now());
            let _ = socket.send_to(&bytes[..HEADER], source);
        }
    }
}

/// 32 messages, each with its name, part and payload.
struct Lines {
    messages: Block<libc::mmsghdr>,
    parts: Block<libc::iovec>,
    names: Block<[u8; NAME]>,
    payloads: Block<[u8; PAYLOAD]>,
}

// SAFETY: arrays of bytes.
unsafe impl Zeroed for [u8; NAME] {}

// SAFETY: arrays of bytes.
unsafe impl Zeroed for [u8; PAYLOAD] {}

impl Lines {
    fn new() -> Self {
        Self {
            messages: Block::new(BATCH),
            parts: Block::new(BATCH),
            names: Block::new(BATCH),
            payloads: Block::new(BATCH),
        }
    }

    /// Makes the first `used` messages fit to receive again.
    fn refresh(&mut self, used: usize) {
        for index in 0..used {
            let (name, payload) = (self.names.pointer(index), self.payloads.pointer(index));
            let part_pointer = self.parts.pointer(index);
            // JUSTIFICATION: shared with the kernel.
            // SAFETY: no system call is under way.
            let part = unsafe { self.parts.get_mut(index) };
            *part = libc::iovec { iov_base: payload.cast(), iov_len: PAYLOAD };
            // JUSTIFICATION: as above.
            // SAFETY: as above.
            let message = unsafe { &mut self.messages.get_mut(index).msg_hdr };
            message.msg_name = name.cast();
            message.msg_namelen = NAME as u32;
            message.msg_iov = part_pointer;
            message.msg_iovlen = 1;
        }
    }

    /// Writes the replies in place and moves the messages of answered requests to the front.
    fn answer(&mut self, count: usize) -> usize {
        let now = ntp_now();
        let mut answers = 0;
        for index in 0..count {
            // JUSTIFICATION: shared with the kernel.
            // SAFETY: no system call is under way.
            let message = *unsafe { self.messages.get_mut(index) };
            if (message.msg_len as usize) < HEADER {
                continue;
            }
            // JUSTIFICATION: as above.
            // SAFETY: as above.
            let payload = unsafe { self.payloads.get_mut(index) };
            write_reply(&mut payload[..HEADER], now);
            // JUSTIFICATION: as above.
            // SAFETY: as above.
            let part = unsafe { self.parts.get_mut(index) };
            part.iov_len = HEADER;
            // JUSTIFICATION: as above.
            // SAFETY: as above.
            *unsafe { self.messages.get_mut(answers) } = message;
            answers += 1;
        }
        answers
    }
}

/// A reply of mode 4 over the request: version kept, stratum 10, both times `now`.
fn write_reply(bytes: &mut [u8], now: [u8; 8]) {
    bytes[0] = (bytes[0] & 0x38) | 4;
    bytes[1] = 10;
    bytes[3] = -24i8 as u8;
    bytes[4..16].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 127, 127, 1, 0]);
    bytes[16..24].copy_from_slice(&now);
    bytes.copy_within(40..48, 24);
    bytes[32..40].copy_from_slice(&now);
    bytes[40..48].copy_from_slice(&now);
}

/// The clock now in NTP's 32.32 fixed point, of era 0.
fn ntp_now() -> [u8; 8] {
    let nanos = realtime().nanos() as u64;
    let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let fraction = (nanos << 32) / 1_000_000_000;
    ((seconds.wrapping_add(NTP_TO_UNIX_S) << 32) | fraction).to_be_bytes()
}

const BATCH: usize = 32;
const NAME: usize = 32;
const PAYLOAD: usize = 1024;
const HEADER: usize = 48;
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn answers(serve: fn(&UdpSocket) -> io::Result<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let target = socket.local_addr().expect("bound");
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("option");
        let server = thread::spawn(move || serve(&socket));
        let client = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        client.set_read_timeout(Some(Duration::from_secs(1))).expect("option");
        client.connect(target).expect("connect");
        client.send(b"too short").expect("send");
        for number in 0..100u8 {
            client.send(&[&[0x23u8; 40][..], &[number; 8]].concat()).expect("send");
        }
        for number in 0..100u8 {
            let mut bytes = [0; 64];
            assert_eq!(client.recv(&mut bytes).expect("a reply"), HEADER);
            assert_eq!((bytes[0], bytes[1]), (0x24, 10));
            assert_eq!(bytes[24..32], [number; 8], "the origin is the request's transmit time");
            assert_eq!(bytes[32..40], bytes[40..48]);
        }
        let ended = server.join().expect("the server").expect_err("no more requests");
        assert_eq!(ended.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_batched_echo_answers() {
        answers(serve_mmsg);
    }

    #[test]
    fn the_single_echo_answers() {
        answers(serve_single);
    }
}
