//! What carries a worker's datagrams in a simulated world: two queues and the clock of the moment.
//!
//! The worker owns its carrier, so the world reaches the queues by a shared handle. Replies leave one
//! microsecond after another, as a batch does; the stamp asked for is the moment the reply will leave,
//! less an early bias, never later.
//!
//! Must never: hand a datagram to two turns, or send what was not asked for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use timeball_time::{Interval, Realtime, Timestamp};
use timeball_wire::{BATCH_MAX, Datagram, IoTally, PacketIo, Wait};

/// A request as it lies in the socket.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// As sent, and in the end its reply.
    pub(crate) bytes: Vec<u8>,
    /// Who sent it.
    pub(crate) client: SocketAddr,
    /// True instant of arrival.
    pub(crate) arrived: i64,
    /// The kernel's stamp of the arrival.
    pub(crate) stamp: Option<Timestamp<Realtime>>,
}

/// A reply under way.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) request: Request,
    pub(crate) bytes: Vec<u8>,
    /// How long after the turn began it really leaves, ns.
    pub(crate) after: i64,
}

/// One socket.
#[derive(Debug, Default)]
pub(crate) struct Post {
    /// The kernel clock when the worker's turn begins.
    pub(crate) now: Option<Timestamp<Realtime>>,
    pub(crate) inbox: VecDeque<Request>,
    pub(crate) outbox: Vec<Reply>,
}

/// The carrier of one worker.
#[derive(Debug)]
pub(crate) struct SimIo {
    post: Rc<RefCell<Post>>,
    batch: Vec<Request>,
    /// As they came, for whoever judges the replies.
    originals: Vec<Vec<u8>>,
    wanted: Vec<(usize, usize)>,
    tally: IoTally,
}

impl SimIo {
    pub(crate) fn new(post: Rc<RefCell<Post>>) -> Self {
        let (batch, originals, wanted) = (Vec::new(), Vec::new(), Vec::new());
        Self { post, batch, originals, wanted, tally: IoTally::default() }
    }
}

impl PacketIo for SimIo {
    type Error = Infallible;

    fn now(&self) -> Timestamp<Realtime> {
        self.post.borrow().now.unwrap_or(Timestamp::from_nanos(0))
    }

    fn receive(&mut self, _: Wait) -> Result<usize, Infallible> {
        let mut post = self.post.borrow_mut();
        let taken = post.inbox.len().min(BATCH_MAX);
        self.batch = post.inbox.drain(..taken).collect();
        self.originals = self.batch.iter().map(|request| request.bytes.clone()).collect();
        Ok(taken)
    }

    fn datagram(&mut self, index: usize) -> Datagram<'_> {
        let request = &mut self.batch[index];
        let bytes = request.bytes.as_mut_slice();
        Datagram { source: request.client, received: request.stamp, bytes, truncated: false }
    }

    fn reply(&mut self, index: usize, len: usize) {
        self.wanted.push((index, len));
    }

    fn send(
        &mut self,
        stamp: &mut impl FnMut(&mut [u8], Timestamp<Realtime>),
    ) -> Result<(), Infallible> {
        let now = self.now();
        for (position, (index, len)) in self.wanted.drain(..).enumerate() {
            let after = FIRST_DEPARTURE + NEXT_DEPARTURE * position as i64;
            let predicted = now + Interval::from_nanos(after - EARLY_BIAS);
            let request = &self.batch[index];
            let mut bytes = request.bytes[..len].to_vec();
            stamp(&mut bytes, predicted);
            let original = self.originals[index].clone();
            let request = Request { bytes: original, ..request.clone() };
            self.post.borrow_mut().outbox.push(Reply { request, bytes, after });
            self.tally.sent += 1;
        }
        Ok(())
    }

    fn tally(&self) -> IoTally {
        self.tally
    }
}

/// ns from the beginning of a turn to its first reply, and from one reply to the next.
const FIRST_DEPARTURE: i64 = 2_000;
const NEXT_DEPARTURE: i64 = 1_000;
/// By how much a departure is predicted too early, ns.
pub(crate) const EARLY_BIAS: i64 = 500;
