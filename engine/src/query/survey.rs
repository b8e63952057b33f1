//! Asks several servers a few times each, side by side, and keeps what each said.
//!
//! Every request leaves from a fresh socket, so from a fresh random port, with a random nonce: a reply
//! can only come from somebody who saw the request. A server that refuses, or sends a kiss-o'-death, is not
//! asked again.
//!
//! Must never: ask one server more than [`SurveyOptions::samples`] times, or wait past its timeout.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use timeball_discipline::{Exchange, Rejection, Sample};
use timeball_sys::{ClientSocket, Stamping, Waiter, monotonic, precision, realtime};
use timeball_time::{Interval, Monotonic, Realtime, Timestamp};
use timeball_wire::{Header, Key};

/// How to ask.
#[derive(Clone, Debug)]
pub(super) struct SurveyOptions {
    /// Requests to each server, at least 1.
    pub samples: u32,
    /// How long to wait for each reply.
    pub timeout: Interval,
    /// The key that requests are signed with and replies must be.
    pub key: Option<Arc<Key>>,
}

/// One server asked, and what came of it.
#[derive(Debug)]
pub(super) struct Candidate {
    /// As the user wrote it.
    pub name: String,
    /// Where the requests went; the reason if there is no such place.
    pub remote: Result<SocketAddr, String>,
    /// Good answers, in order of arrival.
    pub samples: Vec<Sample<Realtime>>,
    /// Why the last answer was refused, and that answer's header, if any was.
    pub rejection: Option<(Rejection, Header)>,
    /// Requests sent.
    pub sent: u32,
    /// What the network said instead of an answer.
    pub fault: Option<io::Error>,
    pending: Option<Pending>,
    next: Timestamp<Monotonic>,
}

/// A request in flight.
#[derive(Debug)]
struct Pending {
    socket: ClientSocket,
    exchange: Exchange<Realtime>,
    deadline: Timestamp<Monotonic>,
}

impl Candidate {
    /// A server to ask.
    pub(super) const fn new(name: String, remote: Result<SocketAddr, String>) -> Self {
        Self {
            name,
            remote,
            samples: Vec::new(),
            rejection: None,
            sent: 0,
            fault: None,
            pending: None,
            next: Timestamp::from_nanos(0),
        }
    }

    /// The answer with the least delay: the one whose path distorted it least.
    pub(super) fn best(&self) -> Option<&Sample<Realtime>> {
        self.samples.iter().min_by_key(|sample| sample.delay)
    }

    fn is_finished(&self, options: &SurveyOptions) -> bool {
        let refused =
            self.fault.is_some() || matches!(self.rejection, Some((Rejection::KissOfDeath(_), _)));
        self.pending.is_none() && (self.remote.is_err() || refused || self.sent >= options.samples)
    }

    /// When this server wants attention next.
    fn wakeup(&self) -> Timestamp<Monotonic> {
        self.pending.as_ref().map_or(self.next, |pending| pending.deadline)
    }

    /// Gives up an overdue request, and sends the next one when it is due.
    fn advance(&mut self, options: &SurveyOptions, now: Timestamp<Monotonic>) {
        if self.pending.as_ref().is_some_and(|pending| now >= pending.deadline) {
            self.pending = None;
        }
        if self.pending.is_some() || self.is_finished(options) || now < self.next {
            return;
        }
        let Ok(remote) = self.remote else { return };
        self.sent += 1;
        self.next = now + SPACING;
        match ask(remote, now + options.timeout, options.key.clone()) {
            Ok(pending) => self.pending = Some(pending),
            Err(fault) => self.fault = Some(fault),
        }
    }

    /// Takes what has arrived for the request in flight.
    fn collect(&mut self, precision: i8) {
        let Some(pending) = &mut self.pending else { return };
        let mut datagram = [0; DATAGRAM_MAX];
        // Whoever floods this socket gets its deadline's worth of attention, not more per wake-up.
        for _ in 0..DATAGRAMS_PER_WAKEUP {
            let received = match pending.socket.receive(&mut datagram) {
                Ok(Some(received)) => received,
                Ok(None) => return,
                Err(fault) => {
                    self.fault = Some(fault);
                    self.pending = None;
                    return;
                }
            };
            if let Some(stamp) = pending.socket.transmitted() {
                pending.exchange.transmitted(stamp);
            }
            let bytes = &datagram[..received.len];
            let arrival = received.stamp.unwrap_or_else(realtime);
            match pending.exchange.accept(bytes, arrival, precision) {
                Ok(sample) => self.samples.push(sample),
                Err(rejection) => {
                    self.rejection = Header::parse(bytes).map(|header| (rejection, header));
                    if !rejection.is_authentic() {
                        // Anybody can send that; the answer may still come.
                        continue;
                    }
                }
            }
            self.pending = None;
            return;
        }
    }
}

/// Asks all `candidates` and returns when each has answered, refused, or run out of time.
///
/// # Errors
/// When the system allows no more file descriptors.
pub(super) fn survey(candidates: &mut [Candidate], options: &SurveyOptions) -> io::Result<()> {
    let precision = precision();
    // Or the first answer would be stamped by this process, late.
    let _stamping = Stamping::in_force();
    let mut waiter = Waiter::new()?;
    loop {
        let now = monotonic();
        for candidate in &mut *candidates {
            candidate.advance(options, now);
        }
        let open = || candidates.iter().filter(|candidate| !candidate.is_finished(options));
        let Some(deadline) = open().map(Candidate::wakeup).min() else { return Ok(()) };
        let sockets: Vec<_> = candidates
            .iter()
            .filter_map(|candidate| candidate.pending.as_ref())
            .map(|pending| pending.socket.as_fd())
            .collect();
        waiter.wait(deadline, &sockets)?;
        for candidate in &mut *candidates {
            candidate.collect(precision);
        }
    }
}

/// Sends one request.
fn ask(
    remote: SocketAddr,
    deadline: Timestamp<Monotonic>,
    key: Option<Arc<Key>>,
) -> io::Result<Pending> {
    let socket = ClientSocket::connect(remote).map_err(io::Error::other)?;
    let nonce = getrandom::u64().map_err(io::Error::other)?;
    let exchange = Exchange::new(nonce, realtime(), key);
    socket.send(&exchange.request())?;
    Ok(Pending { socket, exchange, deadline })
}

/// Between two requests to one server: short for a person, long for a server's rate limit of 8 in a burst.
const SPACING: Interval = Interval::from_millis(250);
/// Longer than any reply to a bare request may be.
const DATAGRAM_MAX: usize = 512;
const DATAGRAMS_PER_WAKEUP: usize = 32;
