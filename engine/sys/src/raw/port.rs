//! Frames by `AF_XDP`: written into memory that the kernel knows, to one queue of one device.
//!
//! For transmission only, in copy mode: the kernel makes a packet of each frame within the system call
//! and hands it to the driver, past everything else. (Zero-copy mode would give the driver's queue to
//! this socket for receiving too, and with nothing there to receive into, requests would be lost.)
//!
//! A queue takes frames of one socket only. So a port is made while there are privileges, bound when the
//! queue is free, and given back by the worker that had it: see [`super::exits`].
//!
//! What the kernel does not take at once (a driver whose queue is full, a device that has gone down) is
//! withdrawn, so that it can go by its socket and never leaves late.
//!
//! Must never: hand the kernel a frame twice, or write to one that it has; block.

use core::sync::atomic::Ordering;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use socket2::{Domain, Socket, Type};

use super::ring::{Offsets, Ring};
use super::{CHUNK, FRAME, Slot};
use crate::block::Block;
use crate::sockopt;

/// A socket for one queue of a device.
#[derive(Debug)]
pub(super) struct Port {
    // The rings are unmapped, and the socket closed, before the frames are freed.
    transmit: Ring<Descriptor>,
    complete: Ring<u64>,
    socket: Socket,
    frames: Block<Slot>,
    /// Index of the device, and which of its queues.
    place: (u32, u32),
    /// Frames that are ours; the last one freed is the first to be used, because it is in the cache.
    free: Vec<u16>,
    /// Frames being written, not the kernel's yet.
    loaded: Vec<Descriptor>,
}

// SAFETY: all that a port points to it owns alone, together with the kernel, which does not care which
// thread calls it; and it has no shared references to itself.
unsafe impl Send for Port {}

/// `struct xdp_desc`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    address: u64,
    len: u32,
    options: u32,
}

impl Port {
    /// A port for `queue` of `interface`, not bound yet. Needs `CAP_NET_RAW`, and memory that may be
    /// locked.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn open(interface: u32, queue: u32) -> io::Result<Self> {
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new(Domain::from(libc::AF_XDP), kind, None)?;
        let frames = Block::<Slot>::new(FRAMES);
        let fd = socket.as_fd();
        let area = libc::xdp_umem_reg {
            addr: frames.pointer(0) as u64,
            len: (FRAMES * FRAME) as u64,
            chunk_size: FRAME as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        sockopt::set_raw(fd, libc::SOL_XDP, libc::XDP_UMEM_REG, &area)?;
        let size = FRAMES as i32;
        // Nothing is received, but there is no binding without a ring to receive into.
        sockopt::set(fd, libc::SOL_XDP, libc::XDP_UMEM_FILL_RING, FILL)?;
        sockopt::set(fd, libc::SOL_XDP, libc::XDP_UMEM_COMPLETION_RING, size)?;
        sockopt::set(fd, libc::SOL_XDP, libc::XDP_TX_RING, size)?;
        // Receiving, transmission, filling, completion: each four 64-bit offsets, as 32-bit halves.
        let mut halves = [0u32; 4 * 8];
        sockopt::get_raw(fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, &mut halves)?;
        let (sent, done) = (offsets(&halves[8..16]), offsets(&halves[24..32]));
        let pages = [libc::XDP_PGOFF_TX_RING, libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64];
        let transmit = Ring::map(fd, pages[0], &sent, FRAMES as u32)?;
        let complete = Ring::map(fd, pages[1], &done, FRAMES as u32)?;
        let (free, loaded) = ((0..FRAMES as u16).collect(), Vec::with_capacity(CHUNK));
        let place = (interface, queue);
        Ok(Self { transmit, complete, socket, frames, place, free, loaded })
    }

    /// Takes the queue.
    ///
    /// # Errors
    /// `ResourceBusy` as long as another has it; what else the kernel says.
    pub(super) fn bind(&self) -> io::Result<()> {
        let name = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: libc::XDP_COPY,
            sxdp_ifindex: self.place.0,
            sxdp_queue_id: self.place.1,
            sxdp_shared_umem_fd: 0,
        };
        let (fd, len) = (self.socket.as_raw_fd(), size_of::<libc::sockaddr_xdp>());
        // JUSTIFICATION: no crate here knows addresses of this family.
        // SAFETY: `name` is of the length given and lives through the call.
        let bound = unsafe { libc::bind(fd, (&raw const name).cast(), len as u32) };
        if bound == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// How many frames can be written now, at most [`CHUNK`]; takes back those that have left.
    #[inline]
    pub(super) fn room(&mut self) -> usize {
        let (first, count) = self.complete.waiting();
        for at in 0..count {
            self.take_back(self.complete.read(first.wrapping_add(at)));
        }
        self.complete.consumer().store(first.wrapping_add(count), Ordering::Release);
        // What has been withdrawn the kernel passes over when it is called: all at once, or one each time. A
        // driver that was busy has that long to recover.
        let is_open = self.left_lying() == 0 || (self.kick().is_ok() && self.left_lying() == 0);
        if is_open { self.free.len().min(CHUNK) } else { 0 }
    }

    /// The memory of the next frame, of `len` octets; there must be room.
    #[inline]
    pub(super) fn frame(&mut self, len: usize) -> &mut [u8] {
        let slot = self.free.pop().expect("the caller has asked for room");
        let address = u64::from(slot) * FRAME as u64;
        self.loaded.push(Descriptor { address, len: len as u32, options: 0 });
        // JUSTIFICATION: frames are shared with the kernel.
        // SAFETY: a free one is ours until it is handed over.
        let frame = unsafe { self.frames.get_mut(usize::from(slot)) };
        &mut frame.0[..len]
    }

    /// Hands over the frames written since the last time, and says how many of them the kernel has taken:
    /// the first ones. The others are free again.
    pub(super) fn send(&mut self) -> usize {
        let begin = self.transmit.producer().load(Ordering::Relaxed);
        self.hand_over(begin);
        let mut is_seen = false;
        for _ in 0..KICKS {
            match self.kick() {
                Ok(()) if self.left_lying() == 0 => break,
                Ok(()) => is_seen = true,
                Err(_) => break,
            }
        }
        let count = self.loaded.len();
        let left = self.withdraw();
        if left == count && !is_seen {
            // It has not looked at the ring, and looks only when called: the places are ours again, too.
            self.transmit.producer().store(begin, Ordering::Release);
        }
        self.loaded.clear();
        count - left
    }

    /// Makes the frames written the kernel's, from the entry of number `begin` on.
    fn hand_over(&mut self, begin: u32) {
        let mut end = begin;
        for descriptor in &self.loaded {
            self.transmit.write(end, *descriptor);
            end = end.wrapping_add(1);
        }
        self.transmit.producer().store(end, Ordering::Release);
    }

    /// Takes the frames back that the kernel has not taken, and says how many they were. It may know already
    /// how far the ring is filled, so the places stay filled: with what it passes over.
    fn withdraw(&mut self) -> usize {
        let (first, count) = self.transmit.waiting();
        for at in 0..count {
            let at = first.wrapping_add(at);
            self.take_back(self.transmit.read(at).address);
            self.transmit.write(at, NOWHERE);
        }
        count as usize
    }

    /// The frame at `address` is ours again. (Some kernels complete what they pass over, too.)
    #[inline]
    fn take_back(&mut self, address: u64) {
        let slot = address as usize / FRAME;
        debug_assert!(address == NOWHERE.address || slot < FRAMES && self.free.len() < FRAMES);
        if slot < FRAMES && self.free.len() < FRAMES {
            self.free.push(slot as u16);
        }
    }

    /// Frames handed over that the kernel has not taken.
    #[inline]
    fn left_lying(&self) -> u32 {
        self.transmit.waiting().1
    }

    /// Has the kernel send what lies in the ring.
    ///
    /// # Errors
    /// If it did not look: the device is down, or gone.
    #[inline]
    fn kick(&self) -> io::Result<()> {
        let (fd, nothing) = (self.socket.as_raw_fd(), core::ptr::null());
        // JUSTIFICATION: std sends no empty message to nowhere.
        // SAFETY: no memory is given; what is sent lies in frames that are the kernel's.
        let sent =
            unsafe { libc::sendto(fd, nothing, 0, libc::MSG_DONTWAIT, core::ptr::null(), 0) };
        if sent >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENXIO | libc::ENETDOWN | libc::EBADF | libc::ENOTSOCK) => Err(error),
            _ => Ok(()),
        }
    }
}

fn offsets(halves: &[u32]) -> Offsets {
    // In the machine's own order, which is little-endian wherever this runs.
    let word = |at: usize| u64::from(halves[2 * at]) | u64::from(halves[2 * at + 1]) << 32;
    Offsets { producer: word(0), consumer: word(1), entries: word(2), flags: word(3) }
}

/// An entry that the kernel passes over: it lies beyond all frames.
const NOWHERE: Descriptor = Descriptor { address: 1 << 40, len: 0, options: 0 };
/// As many as fit the send buffer of such a socket: a power of two.
const FRAMES: usize = 256;
/// Entries of the ring that is not used.
const FILL: i32 = 64;
/// Calls to get a chunk taken: one takes 32 frames.
const KICKS: u32 = 2;

#[cfg(test)]
#[path = "../../tests/network/namespace.rs"]
mod namespace;

#[cfg(test)]
mod tests {
    use super::namespace::{in_namespace, ip};
    use super::*;

    /// Frames that have left by loopback.
    fn left() -> io::Result<u64> {
        let devices = std::fs::read_to_string("/proc/thread-self/net/dev")?;
        let line = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"));
        // Eight figures of what was received come first, and octets before packets.
        let packets = line.and_then(|line| line.split_whitespace().nth(9)?.parse().ok());
        packets.ok_or_else(|| io::Error::other(devices))
    }

    fn write(port: &mut Port, frames: usize) {
        for _ in 0..frames {
            port.frame(64).fill(0);
        }
    }

    /// Waits until the kernel has passed over what was withdrawn.
    fn opens(port: &mut Port) -> bool {
        (0..CHUNK + 2).any(|_| port.room() > 0)
    }

    #[test]
    fn what_the_kernel_does_not_take_is_free_again_and_never_leaves_late() {
        in_namespace(|| {
            let mut port = Port::open(1, 0)?;
            port.bind()?;
            // It does not look at what a device is given that is down.
            ip("link set lo down")?;
            write(&mut port, 5);
            assert_eq!((port.send(), port.free.len(), port.left_lying()), (0, FRAMES, 0));
            ip("link set lo up")?;
            let before = left()?;
            // As after a driver that was busy: it knows of them, and has not taken them.
            for _ in 0..100 {
                write(&mut port, CHUNK);
                port.hand_over(port.transmit.producer().load(Ordering::Relaxed));
                assert_eq!((port.withdraw(), port.free.len()), (CHUNK, FRAMES));
                port.loaded.clear();
                assert!(opens(&mut port), "it passes over them");
            }
            assert_eq!(left()?, before, "none has left");
            for _ in 0..2 * FRAMES / CHUNK {
                assert!(opens(&mut port));
                write(&mut port, CHUNK);
                assert_eq!(port.send(), CHUNK);
            }
            assert_eq!(left()?, before + 2 * FRAMES as u64);
            Ok(())
        });
    }

    #[test]
    fn without_completions_there_is_no_room_until_they_come() {
        in_namespace(|| {
            let mut port = Port::open(1, 0)?;
            port.bind()?;
            let mut sent = 0;
            // Not asked for, completions wait in their ring.
            while port.free.len() >= CHUNK {
                write(&mut port, CHUNK);
                sent += port.send();
            }
            assert_eq!((sent, port.free.len()), (FRAMES, 0));
            assert!(opens(&mut port));
            assert_eq!(port.free.len(), FRAMES);
            Ok(())
        });
    }
}
