//! An io_uring instance, set up for one worker and entered by its registered index.
//!
//! `SINGLE_ISSUER | DEFER_TASKRUN`: completions are made in this thread and only when it asks, so a
//! batch of datagrams is received by the call that waits for it, never by an interrupt of the
//! answering loop. The crate's own submitter remembers a registered ring only as long as it borrows
//! the ring, hence the two system calls made here directly.
//!
//! A ring is a second way into the kernel, which system call filters do not see. So it begins disabled, is
//! given what it needs, and from [`Ring::enable`] on takes but the three requests of the carrier, and those
//! only about files registered with it: whoever took the worker over could open or connect nothing by it.
//!
//! Must never: be used from another thread than the one that made it; be enabled without its restrictions
//! where the kernel has them.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::register::Restriction;
use io_uring::types::CancelBuilder;
use io_uring::{IoUring, opcode, squeue};

/// The ring of one worker.
pub(crate) struct Ring {
    ring: IoUring,
    /// Index of the registered ring descriptor; without one the descriptor itself is used.
    registered: Option<u32>,
    features: RingFeatures,
}

/// What the kernel granted beyond the minimum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RingFeatures {
    pub(crate) submit_all: bool,
    pub(crate) no_sqarray: bool,
    pub(crate) registered_ring: bool,
    pub(crate) restricted: bool,
}

impl Ring {
    /// A ring with room for `submissions` at once and `completions` outstanding, to be enabled once it has
    /// been given its files and buffers.
    ///
    /// # Errors
    /// What the kernel said to the set-up without optional features.
    pub(crate) fn new(submissions: u32, completions: u32) -> io::Result<Self> {
        let mut features =
            RingFeatures { submit_all: true, no_sqarray: true, ..RingFeatures::default() };
        let ring = loop {
            match build(submissions, completions, features) {
                Ok(ring) => break ring,
                Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
                Err(_) if features.no_sqarray => features.no_sqarray = false,
                Err(_) if features.submit_all => features.submit_all = false,
                Err(error) => return Err(error),
            }
        };
        let registered = register_ring(ring.as_raw_fd()).ok();
        features.registered_ring = registered.is_some();
        Ok(Self { ring, registered, features })
    }

    /// Lets the ring take requests: of the carrier's kinds and about registered files alone, where the
    /// kernel can see to that; nothing more can be registered with it then.
    ///
    /// # Errors
    /// What the kernel said; without restrictions it is still an `Ok`.
    pub(crate) fn enable(&mut self) -> io::Result<()> {
        let submitter = self.ring.submitter();
        let mut restrictions = restrictions();
        let restricted = submitter.register_restrictions(&mut restrictions).is_ok();
        submitter.register_enable_rings()?;
        self.features.restricted = restricted;
        Ok(())
    }

    pub(crate) const fn features(&self) -> RingFeatures {
        self.features
    }

    pub(crate) fn parameters(&self) -> &io_uring::Parameters {
        self.ring.params()
    }

    pub(crate) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// The next completion.
    #[inline]
    pub(crate) fn completion(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        let (tag, result, flags) = (entry.user_data(), entry.result(), entry.flags());
        Some(Completion { tag, result, flags })
    }

    /// Queues a request for the next [`Ring::enter`].
    ///
    /// # Safety
    /// What the request points to must live until it has been submitted, and whatever the kernel
    /// writes to, until it has completed.
    #[inline]
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) -> Result<(), squeue::PushError> {
        let mut queue = self.ring.submission();
        // JUSTIFICATION: requests carry raw pointers.
        // SAFETY: the caller's promise is the one asked for here.
        unsafe { queue.push(entry) }
    }

    /// Ends all requests; that they have ended is told by completions, as is what they did before.
    pub(crate) fn cancel_all(&self) {
        // There may be none.
        let _ = self.ring.submitter().register_sync_cancel(None, CancelBuilder::any().all());
    }

    /// Requests queued and not yet submitted.
    #[inline]
    pub(crate) fn queued(&mut self) -> u32 {
        self.ring.submission().len() as u32
    }

    /// Submits what is queued; with `wait`, also makes completions until there are at least that
    /// many. Returns how many requests were submitted.
    #[inline]
    pub(crate) fn enter(&mut self, wait: Option<u32>) -> io::Result<u32> {
        let queued = self.queued();
        let mut flags = if wait.is_some() { ENTER_GETEVENTS } else { 0 };
        let fd = match self.registered {
            Some(index) => {
                flags |= ENTER_REGISTERED_RING;
                index
            }
            None => self.ring.as_raw_fd() as u32,
        };
        let (want, mask) = (wait.unwrap_or(0), core::ptr::null::<libc::sigset_t>());
        // JUSTIFICATION: see the module: no safe call enters by a registered index that outlives a
        // borrow.
        // SAFETY: integers and a null pointer; what the requests point to was promised to `push`.
        let result = unsafe {
            libc::syscall(libc::SYS_io_uring_enter, fd, queued, want, flags, mask, 0usize)
        };
        u32::try_from(result).map_err(|_| io::Error::last_os_error())
    }
}

/// One completion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) tag: u64,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

impl Drop for Ring {
    /// Best effort: ends all requests and lets go of the sockets now, not when the kernel gets
    /// round to it, so that their port is free when this returns.
    fn drop(&mut self) {
        self.cancel_all();
        let _ = self.enter(Some(0)); // cancelled requests end in this thread's deferred work
        let _ = self.ring.submitter().unregister_files();
        if let Some(index) = self.registered {
            let mut update = RingUpdate { offset: index, reserved: 0, data: 0 };
            let _ = register(self.ring.as_raw_fd(), UNREGISTER_RING_FDS, &mut update);
        }
    }
}

fn build(submissions: u32, completions: u32, features: RingFeatures) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    builder.setup_cqsize(completions).setup_r_disabled().dontfork();
    if features.submit_all {
        builder.setup_submit_all();
    }
    if features.no_sqarray {
        builder.setup_no_sqarray();
    }
    builder.build(submissions)
}

/// What the carrier asks of its ring, and what [`Ring::drop`] does.
fn restrictions() -> [Restriction; 8] {
    [
        Restriction::sqe_op(opcode::RecvMsgMulti::CODE),
        Restriction::sqe_op(opcode::SendMsg::CODE),
        Restriction::sqe_op(opcode::PollAdd::CODE),
        Restriction::sqe_flags_required(squeue::Flags::FIXED_FILE.bits()),
        Restriction::sqe_flags_allowed(
            (squeue::Flags::FIXED_FILE
                | squeue::Flags::BUFFER_SELECT
                | squeue::Flags::SKIP_SUCCESS)
                .bits(),
        ),
        Restriction::register_op(UNREGISTER_FILES),
        Restriction::register_op(UNREGISTER_RING_FDS as u8),
        Restriction::register_op(SYNC_CANCEL),
    ]
}

fn register_ring(fd: RawFd) -> io::Result<u32> {
    let mut update = RingUpdate { offset: u32::MAX, reserved: 0, data: fd as u64 };
    register(fd, REGISTER_RING_FDS, &mut update)?;
    Ok(update.offset)
}

fn register(fd: RawFd, operation: u32, update: &mut RingUpdate) -> io::Result<()> {
    let update = core::ptr::from_mut(update);
    // JUSTIFICATION: the bindings forget the registered index when their borrow of the ring ends.
    // SAFETY: one `io_uring_rsrc_update`, alive during the call, which keeps nothing.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, operation, update, 1u32) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `struct io_uring_rsrc_update` (linux/io_uring.h).
#[repr(C)]
struct RingUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// linux/io_uring.h: `IORING_ENTER_*` and `IORING_*REGISTER_*`.
const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;
const UNREGISTER_FILES: u8 = 3;
const SYNC_CANCEL: u8 = 24;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use io_uring::types::{Fd, Fixed};

    use super::*;

    /// An enabled ring with one registered socket.
    fn ring(socket: &UdpSocket) -> Option<Ring> {
        let ring = Ring::new(8, 8).inspect_err(|error| eprintln!("skipped: {error}")).ok();
        let mut ring = ring?;
        ring.submitter().register_files(&[socket.as_raw_fd()]).expect("5.1");
        ring.enable().expect("enabled");
        assert!(ring.features().restricted, "restrictions are in every kernel that has the rest");
        Some(ring)
    }

    fn result(ring: &mut Ring, entry: &squeue::Entry) -> i32 {
        // JUSTIFICATION: requests carry raw pointers.
        // SAFETY: those given here need no memory, or live until the call below returns.
        unsafe { ring.push(entry) }.expect("room");
        ring.enter(Some(1)).expect("entered");
        ring.completion().expect("a completion").result
    }

    #[test]
    fn other_requests_than_the_carriers_are_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let Some(mut ring) = ring(&socket) else { return };
        let path = c"/etc/passwd".as_ptr();
        let address = core::ptr::null();
        for (name, entry) in [
            ("nop", opcode::Nop::new().build()),
            ("openat", opcode::OpenAt::new(Fd(libc::AT_FDCWD), path).build()),
            ("socket", opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build()),
            ("connect", opcode::Connect::new(Fixed(0), address, 0).build()),
            ("close", opcode::Close::new(Fixed(0)).build()),
        ] {
            assert_eq!(result(&mut ring, &entry), -libc::EACCES, "{name}");
        }
    }

    #[test]
    fn requests_about_files_that_are_not_registered_are_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let Some(mut ring) = ring(&socket) else { return };
        let writable = libc::POLLOUT as u32;
        let foreign = opcode::PollAdd::new(Fd(socket.as_raw_fd()), writable).build();
        assert_eq!(result(&mut ring, &foreign), -libc::EACCES);
        let own = opcode::PollAdd::new(Fixed(0), writable).build();
        assert_eq!(result(&mut ring, &own), libc::POLLOUT.into());
    }

    #[test]
    fn nothing_more_is_registered_with_an_enabled_ring() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let Some(ring) = ring(&socket) else { return };
        let refused = |result: io::Result<()>| result.unwrap_err().raw_os_error();
        let submitter = ring.submitter();
        let more = submitter.register_files_update(0, &[0]).map(drop);
        assert_eq!(refused(more), Some(libc::EACCES));
        let freed = submitter.register_restrictions(&mut [Restriction::sqe_op(0)]);
        assert!(refused(freed).is_some());
    }
}
