//! The control plane: one thread that answers whoever asks about the server, so that workers need not.
//!
//! It listens at a [`Door`] (a Unix socket, for `timeball status` and `why`) and on a UDP socket of each
//! listen address, to which the kernel steers what no worker can answer. Both are bounded: so many
//! connections, bytes and seconds each; so many datagrams per turn, then a pause in which the kernel drops
//! what does not fit the socket.
//!
//! Must never: wait for one of its clients, or be needed by a worker or by the discipline.

mod allowance;
mod ask;
mod connection;
mod demand;
mod door;
mod operator;
mod protocol;
mod query;
mod variables;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use timeball_responder::PolicyReceiver;
use timeball_sys::sandbox::{Role, confine};
use timeball_sys::{ControlSocket, Waiter, monotonic};
use timeball_time::{Interval, Monotonic, Timestamp};

use crate::report::Witness;
use crate::thread::Thread;
use connection::Reply;
use demand::may_command;
use operator::Message;
use protocol::{Ask, Said};
use query::Queries;

pub(crate) use ask::{AskError, ask, ask_reload, ask_take_over};
pub(crate) use demand::{Demand, Demands, Reloaded};
pub(crate) use door::{Door, DoorError};
pub(crate) use operator::Operator;
pub(crate) use variables::peer_status_word;

/// The control plane, ready to run.
pub(crate) struct Control {
    witness: Witness,
    door: Option<Door>,
    sockets: Vec<ControlSocket>,
    queries: Queries,
    waiter: Waiter,
    /// Datagrams are not looked at before this.
    resume: Timestamp<Monotonic>,
    /// What the main thread has to say, and the end by which it says it.
    messages: (Sender<Message>, Receiver<Message>),
    demands: Demands,
    stop: Arc<AtomicBool>,
}

impl Control {
    /// A control plane that tells what `witness` sees: at `door` to everybody, on `sockets` to whom `policy`
    /// allows it; and hands on what is `demands`ed of the main thread.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub(crate) fn new(
        witness: Witness,
        door: Option<Door>,
        sockets: Vec<ControlSocket>,
        policy: PolicyReceiver,
        demands: Demands,
    ) -> io::Result<Self> {
        let (waiter, now) = (Waiter::new()?, monotonic());
        let queries = Queries::new(policy, now);
        let (messages, stop) = (bounded(MESSAGES_MAX), Arc::default());
        let resume = now;
        Ok(Self { witness, door, sockets, queries, waiter, resume, messages, demands, stop })
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses one.
    pub(crate) fn start(self) -> io::Result<Operator> {
        let (pulse, stop) = (self.waiter.pulse(), Arc::clone(&self.stop));
        let messages = self.messages.0.clone();
        let thread = Thread::start("control", pulse, stop, move || {
            if let Err(error) = self.run() {
                tracing::error!("control thread: {error}; status and ntpq will not be answered");
            }
        })?;
        Ok(Operator::new(thread, messages))
    }

    fn run(mut self) -> io::Result<()> {
        // It reads what strangers send.
        confine(Role::Control, &[]).map_err(io::Error::other)?;
        while !self.stop.load(Ordering::Acquire) {
            let now = monotonic();
            let paused = now < self.resume;
            let mut deadline = if paused { self.resume } else { now + IDLE };
            let mut fds: Vec<BorrowedFd<'_>> = Vec::new();
            if !paused {
                fds.extend(self.sockets.iter().map(AsFd::as_fd));
            }
            if let Some(door) = &self.door {
                deadline = deadline.min(door.wakeup(now));
                fds.extend(door.fds());
            }
            self.waiter.wait(deadline, &fds)?;
            if !paused {
                self.take_datagrams();
            }
            while let Ok(message) = self.messages.1.try_recv() {
                self.take(message);
            }
            if let Some(door) = &mut self.door {
                let (witness, demands) = (&mut self.witness, &mut self.demands);
                door.turn(monotonic(), &mut |line, stream| answer(line, stream, witness, demands));
            }
        }
        Ok(())
    }

    /// Takes what has arrived, a bounded part of it in one turn, from each socket its share.
    fn take_datagrams(&mut self) {
        let mut datagram = [0; DATAGRAM_MAX];
        let share = (DATAGRAMS_PER_TURN / self.sockets.len().max(1)).max(1);
        for socket in &mut self.sockets {
            let mut left = share;
            while left > 0 {
                left -= 1;
                match socket.receive(&mut datagram) {
                    Ok(Some(taken)) => {
                        let bytes = &datagram[..taken.len];
                        let (witness, now) = (&mut self.witness, monotonic());
                        self.queries.answer(bytes, &taken, socket, witness, now);
                    }
                    Ok(None) => break,
                    // Of an earlier answer: nobody was there to hear it.
                    Err(_) => {}
                }
            }
            if left == 0 {
                self.resume = monotonic() + PAUSE;
            }
        }
    }
}

/// What is said to the line that came by `stream`.
fn answer(line: &[u8], stream: &UnixStream, witness: &mut Witness, demands: &mut Demands) -> Reply {
    let demanded = match protocol::read(line) {
        Ok(Ask::TakeOver) => {
            match may_command(stream).and_then(|()| demands.hand_over_to(stream)) {
                Ok(()) => return Reply::Elsewhere,
                Err(error) => Err(Said::Error(error)),
            }
        }
        Err(said) => Err(said),
        Ok(Ask::Status) => Err(witness.report().map_or_else(
            || Said::Error("the server is still starting".to_owned()),
            |report| Said::Status(Box::new(report)),
        )),
        Ok(Ask::Reload { dry_run }) => may_command(stream)
            .and_then(|()| demands.hand_on(|ticket| Demand::Reload { ticket, dry_run }))
            .map_err(Said::Error),
    };
    demanded.map_or_else(|said| Reply::Now(protocol::line(said)), Reply::Later)
}

/// When nothing happens at all.
const IDLE: Interval = Interval::from_secs(60);
/// From the main thread, which waits when it has more to say.
const MESSAGES_MAX: usize = 8;
/// Longer than any control message with its authentication.
const DATAGRAM_MAX: usize = 1024;
/// What one turn looks at, over all sockets.
const DATAGRAMS_PER_TURN: usize = 64;
/// After a turn with more: a flood gets at most 6 400 looks a second.
const PAUSE: Interval = Interval::from_millis(10);
