//! One client at the door: takes a line, gives a line, within limits of bytes and time.
//!
//! Must never: block; keep more than one request or one answer in memory.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use timeball_time::{Interval, Monotonic, Timestamp};

use super::demand::Ticket;

/// What is answered to a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// At once.
    Now(Vec<u8>),
    /// When whoever has the ticket gives the answer.
    Later(Ticket),
    /// By somebody else, who goes on with the connection.
    Elsewhere,
}

/// One connected client.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    written: usize,
    /// What it waits for.
    ticket: Option<Ticket>,
    /// When it has had its time.
    deadline: Timestamp<Monotonic>,
}

impl Connection {
    /// A client that has just come.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn new(stream: UnixStream, now: Timestamp<Monotonic>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (request, answer, deadline) = (Vec::new(), Vec::new(), now + PATIENCE);
        Ok(Self { stream, request, answer, written: 0, ticket: None, deadline })
    }

    /// Whether it has taken its last answer whole and may go on asking.
    pub(super) const fn is_asking(&self) -> bool {
        self.answer.is_empty() && self.ticket.is_none()
    }

    /// Whether its answer is the one of `ticket`.
    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.ticket == Some(ticket)
    }

    /// Gives it the answer it waits for.
    pub(super) fn give(&mut self, answer: Vec<u8>, now: Timestamp<Monotonic>) {
        (self.answer, self.ticket, self.deadline) = (answer, None, now + PATIENCE);
    }

    /// When to look at it again if it says nothing.
    pub(super) fn wakeup(&self, now: Timestamp<Monotonic>) -> Timestamp<Monotonic> {
        if self.answer.is_empty() { self.deadline } else { self.deadline.min(now + RETRY) }
    }

    /// Goes on with it as far as it goes; false when it is over.
    pub(super) fn turn(
        &mut self,
        now: Timestamp<Monotonic>,
        answer: &mut dyn FnMut(&[u8], &UnixStream) -> Reply,
    ) -> bool {
        if now >= self.deadline || self.read().is_err() || self.write().is_err() {
            return false;
        }
        while self.is_asking()
            && let Some(end) = self.request.iter().position(|&octet| octet == b'\n')
        {
            let line: Vec<u8> = self.request.drain(..=end).collect();
            self.deadline = now + PATIENCE;
            match answer(&line, &self.stream) {
                Reply::Now(answer) => self.answer = answer,
                Reply::Elsewhere => return false,
                Reply::Later(ticket) => {
                    (self.ticket, self.deadline) = (Some(ticket), now + PATIENCE_LATER);
                }
            }
            if self.write().is_err() {
                return false;
            }
        }
        // A line that fills all there is has no end.
        self.request.len() < REQUEST_MAX
    }

    /// Takes what is there, up to a whole request.
    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; REQUEST_MAX];
        let room = REQUEST_MAX - self.request.len();
        match self.stream.read(&mut bytes[..room]) {
            // The client will say no more; if it has said all, it is still answered.
            Ok(0) if self.is_asking() && !self.request.contains(&b'\n') => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(len) => {
                self.request.extend_from_slice(&bytes[..len]);
                Ok(())
            }
            Err(error) => tolerate(error),
        }
    }

    /// Gives what fits.
    fn write(&mut self) -> io::Result<()> {
        while self.written < self.answer.len() {
            match self.stream.write(&self.answer[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.written += len,
                Err(error) => return tolerate(error),
            }
        }
        self.answer.clear();
        self.written = 0;
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn tolerate(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

/// The longest request.
pub(super) const REQUEST_MAX: usize = 4096;
/// From one whole request to the next, answer included.
const PATIENCE: Interval = Interval::from_secs(5);
/// For an answer that the main thread has to work for.
const PATIENCE_LATER: Interval = Interval::from_secs(60);
/// Between two attempts to write to a client that does not read.
const RETRY: Interval = Interval::from_millis(20);
