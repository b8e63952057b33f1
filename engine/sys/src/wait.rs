//! Sleeps until something happens: a deadline, a descriptor, a waker, or the clock being set.
//!
//! For threads that keep time rather than carry packets. Somebody else setting the clock must be
//! noticed at once, and the kernel tells of it in one way only: a timer on `CLOCK_REALTIME` with
//! `TFD_TIMER_CANCEL_ON_SET` becomes readable (man 2 timerfd_create). It also does so after a
//! suspend.
//!
//! Must never: miss a wake-up given while nobody slept, or sleep past the deadline for want of
//! events.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use timeball_time::{Monotonic, Timestamp};

use crate::clock::monotonic;
use crate::waker::Waker;

/// Sleeps for one thread.
#[derive(Debug)]
pub struct Waiter {
    pulse: Pulse,
    set_timer: OwnedFd,
    polled: Vec<libc::pollfd>,
}

/// The outside of a [`Waiter`]: ends its sleep, and shows whether its thread goes on.
#[derive(Clone, Debug)]
pub struct Pulse {
    waker: Waker,
    turns: Arc<AtomicU64>,
}

impl Pulse {
    /// Ends the sleep, or keeps the next from beginning.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// How often the thread has come to [`Waiter::wait`]: a thread that was woken and lives moves it.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

/// Why [`Waiter::wait`] returned; several may hold at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Woken {
    /// The deadline has passed.
    pub deadline: bool,
    /// The kernel clock was set, or the machine was suspended.
    pub clock_set: bool,
    /// Somebody used the waker.
    pub waker: bool,
    /// At least one descriptor is ready; [`Waiter::is_ready`] tells which.
    pub ready: bool,
}

impl Waiter {
    /// A waiter with its own waker.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub fn new() -> io::Result<Self> {
        let set_timer = open_set_timer()?;
        arm_set_timer(&set_timer)?;
        let pulse = Pulse { waker: Waker::new()?, turns: Arc::default() };
        Ok(Self { pulse, set_timer, polled: Vec::new() })
    }

    /// The handle by which other threads end the sleep.
    pub fn waker(&self) -> Waker {
        self.pulse.waker.clone()
    }

    /// The same, with which others can also see that the thread goes on.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Sleeps until `deadline`, or until one of `fds` is readable or has an error to tell, or until
    /// woken, or until the clock is set. With a deadline in the past, looks and returns.
    ///
    /// # Errors
    /// When the kernel refuses to poll: a closed descriptor is reported as ready instead.
    pub fn wait(
        &mut self,
        deadline: Timestamp<Monotonic>,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<Woken> {
        self.pulse.turns.fetch_add(1, Ordering::Relaxed);
        self.polled.clear();
        let own = [self.pulse.waker.as_fd(), self.set_timer.as_fd()];
        self.polled.extend(own.iter().chain(fds).map(|fd| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        }));
        loop {
            match poll(&mut self.polled, deadline) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Woken {
            deadline: monotonic() >= deadline,
            clock_set: self.polled[1].revents != 0 && self.take_clock_set()?,
            waker: self.polled[0].revents != 0 && self.pulse.waker.clear(),
            ready: self.polled[OWN..].iter().any(|polled| polled.revents != 0),
        })
    }

    /// Whether descriptor `index` of the last [`Waiter::wait`] was ready.
    pub fn is_ready(&self, index: usize) -> bool {
        self.polled.get(OWN + index).is_some_and(|polled| polled.revents != 0)
    }

    /// Reads the timer (ECANCELED: the clock was set) and arms it again.
    fn take_clock_set(&self) -> io::Result<bool> {
        let mut expirations = 0u64;
        let expirations_ptr = core::ptr::from_mut(&mut expirations).cast();
        // JUSTIFICATION: std has no timerfd to read from.
        // SAFETY: `expirations` is eight bytes and lives through the call.
        let read =
            unsafe { libc::read(self.set_timer.as_raw_fd(), expirations_ptr, size_of::<u64>()) };
        let nothing = read < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
        arm_set_timer(&self.set_timer)?;
        Ok(!nothing)
    }
}

fn poll(polled: &mut [libc::pollfd], deadline: Timestamp<Monotonic>) -> io::Result<i32> {
    let left = (deadline - monotonic()).nanos().max(0);
    let timeout = libc::timespec { tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000 };
    let (first, count) = (polled.as_mut_ptr(), polled.len() as libc::nfds_t);
    // JUSTIFICATION: std cannot wait for several descriptors.
    // SAFETY: `first` points to `count` entries, which outlive the call, as does `timeout`; the
    // signal mask is null, so it is left alone.
    let result = unsafe { libc::ppoll(first, count, &raw const timeout, core::ptr::null()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn open_set_timer() -> io::Result<OwnedFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // JUSTIFICATION: std has no timerfd.
    // SAFETY: takes two integers and touches no memory of ours.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // JUSTIFICATION: the descriptor comes from a C call.
    // SAFETY: just opened, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn arm_set_timer(timer: &OwnedFd) -> io::Result<()> {
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let never = libc::timespec { tv_sec: NEVER_S, tv_nsec: 0 };
    let when = libc::itimerspec { it_interval: zero, it_value: never };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    let (fd, old) = (timer.as_raw_fd(), core::ptr::null_mut());
    // JUSTIFICATION: std has no timerfd.
    // SAFETY: `when` lives through the call; the old value is not asked for.
    let result = unsafe { libc::timerfd_settime(fd, flags, &raw const when, old) };
    // ECANCELED: set once more since the timer was last read; it is armed all the same.
    let error = io::Error::last_os_error();
    if result == 0 || error.raw_os_error() == Some(libc::ECANCELED) { Ok(()) } else { Err(error) }
}

/// The year 2223: beyond any clock that is merely wrong, within what the kernel's 64-bit timers
/// hold.
const NEVER_S: libc::time_t = 8_000_000_000;

/// The waiter's own descriptors, which come first.
const OWN: usize = 2;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;

    use timeball_time::Interval;

    use super::*;

    fn soon() -> Timestamp<Monotonic> {
        monotonic() + Interval::from_millis(20)
    }

    fn late() -> Timestamp<Monotonic> {
        monotonic() + Interval::from_secs(60)
    }

    #[test]
    fn a_deadline_ends_the_sleep_and_not_before() {
        let mut waiter = Waiter::new().expect("waiter");
        let deadline = soon();
        let woken = waiter.wait(deadline, &[]).expect("wait");
        assert_eq!(woken, Woken { deadline: true, ..Woken::default() });
        assert!(monotonic() >= deadline);
        let past = monotonic() - Interval::from_secs(1);
        assert!(waiter.wait(past, &[]).expect("wait").deadline);
    }

    #[test]
    fn a_wake_up_from_another_thread_or_before_the_sleep_ends_it() {
        let mut waiter = Waiter::new().expect("waiter");
        waiter.waker().wake();
        let expected = Woken { waker: true, ..Woken::default() };
        assert_eq!(waiter.wait(late(), &[]).expect("wait"), expected);
        let waker = waiter.waker();
        let other = thread::spawn(move || waker.wake());
        assert_eq!(waiter.wait(late(), &[]).expect("wait"), expected);
        other.join().expect("the waking thread");
    }

    #[test]
    fn the_ready_descriptor_is_named() {
        let mut waiter = Waiter::new().expect("waiter");
        let quiet = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let busy = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        quiet.send_to(b"x", busy.local_addr().expect("bound")).expect("send");
        let woken = waiter.wait(late(), &[quiet.as_fd(), busy.as_fd()]).expect("wait");
        assert_eq!(woken, Woken { ready: true, ..Woken::default() });
        assert!(!waiter.is_ready(0) && waiter.is_ready(1) && !waiter.is_ready(2));
    }

    #[test]
    fn an_unset_clock_is_not_told_as_set() {
        let mut waiter = Waiter::new().expect("waiter");
        assert!(!waiter.wait(soon(), &[]).expect("wait").clock_set);
        assert!(!waiter.take_clock_set().expect("read"));
    }
}
