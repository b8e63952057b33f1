//! One who has come to the page: asks once, is answered once, and has so much time for it.
//!
//! Must never: block, be waited for, or keep its place by sending an octet now and then.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use timeball_time::{Interval, Monotonic, Timestamp};

use super::request::{Code, REQUEST_MAX, Request, parse};

/// One connection.
#[derive(Debug)]
pub(super) struct Visitor {
    stream: TcpStream,
    /// Not among those who may read.
    pub(super) stranger: bool,
    request: Vec<u8>,
    answer: Vec<u8>,
    written: usize,
    /// When it has had its time, whatever it does.
    deadline: Timestamp<Monotonic>,
}

impl Visitor {
    /// One who has just come.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn new(
        stream: TcpStream,
        stranger: bool,
        now: Timestamp<Monotonic>,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (request, answer, deadline) = (Vec::new(), Vec::new(), now + PATIENCE);
        Ok(Self { stream, stranger, request, answer, written: 0, deadline })
    }

    /// When to look at it again if it says nothing.
    pub(super) fn wakeup(&self, now: Timestamp<Monotonic>) -> Timestamp<Monotonic> {
        if self.is_asking() { self.deadline } else { self.deadline.min(now + RETRY) }
    }

    /// Whether it has not asked yet.
    pub(super) const fn is_asking(&self) -> bool {
        self.answer.is_empty()
    }

    /// Goes on with it as far as it goes; false when it is over.
    pub(super) fn turn(
        &mut self,
        now: Timestamp<Monotonic>,
        answer: &mut dyn FnMut(Result<Request, Code>, bool) -> Vec<u8>,
    ) -> bool {
        if now >= self.deadline {
            return false;
        }
        if self.is_asking() {
            if self.read().is_err() {
                return false;
            }
            if let Some(request) = parse(&self.request) {
                self.answer = answer(request, self.stranger);
            }
        }
        self.write().unwrap_or(false)
    }

    /// Takes what is there, up to a whole request.
    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; REQUEST_MAX];
        let room = REQUEST_MAX - self.request.len();
        match self.stream.read(&mut bytes[..room]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.request.extend_from_slice(&bytes[..len]);
                Ok(())
            }
            Err(error) if is_nothing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives what fits; false when that was the last of it.
    fn write(&mut self) -> io::Result<bool> {
        while self.written < self.answer.len() {
            match self.stream.write(&self.answer[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.written += len,
                Err(error) if is_nothing(&error) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        if self.is_asking() {
            return Ok(true);
        }
        // All that was asked has been read, so the end is no reset and the answer arrives.
        self.stream.shutdown(Shutdown::Write)?;
        Ok(false)
    }
}

impl AsFd for Visitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// From coming to going.
pub(super) const PATIENCE: Interval = Interval::from_secs(10);
/// Between two attempts to write to one who does not read.
const RETRY: Interval = Interval::from_millis(20);
