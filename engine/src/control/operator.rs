//! The main thread's handle on the control thread.
//!
//! Must never: wait without end for the control thread.

use std::time::Duration;

use crossbeam::channel::{Sender, bounded};
use timeball_sys::{ControlSocket, monotonic};

use super::Control;
use super::demand::{Reloaded, Ticket};
use super::door::Door;
use super::protocol::{self, Said};
use crate::report::Witness;
use crate::thread::Thread;

/// What the main thread says to the control thread.
#[derive(Debug)]
pub(super) enum Message {
    /// Another configuration is in force.
    Adopt {
        /// What is to be seen of it.
        witness: Box<Witness>,
        /// The control socket, if it is another.
        door: Option<Option<Door>>,
        /// The sockets of all addresses.
        sockets: Vec<ControlSocket>,
        /// Dropped when it is done.
        done: Sender<()>,
    },
    /// What is to be seen is otherwise, and nothing else.
    Tell(Box<Witness>),
    /// Another process goes on with the control socket.
    LeaveDoor,
    /// The answer to a demand.
    Answer(Ticket, Box<Said>),
}

/// The running control thread.
#[derive(Debug)]
pub(crate) struct Operator {
    thread: Thread,
    messages: Sender<Message>,
}

impl Operator {
    pub(super) const fn new(thread: Thread, messages: Sender<Message>) -> Self {
        Self { thread, messages }
    }

    /// The thread.
    pub(crate) const fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Has it tell what `witness` sees, at `door` if that is another, and answer on `sockets`; waits
    /// until it has let go of those it had.
    pub(crate) fn adopt(
        &self,
        witness: Witness,
        door: Option<Option<Door>>,
        sockets: Vec<ControlSocket>,
    ) {
        let (done, adopted) = bounded(0);
        self.say(Message::Adopt { witness: Box::new(witness), door, sockets, done });
        // A thread that is stuck will get round to it.
        let _ = adopted.recv_timeout(PATIENCE);
    }

    /// Has it tell what `witness` sees.
    pub(crate) fn tell(&self, witness: Witness) {
        self.say(Message::Tell(Box::new(witness)));
    }

    /// Has it answer whoever has `ticket`.
    pub(crate) fn answer(&self, ticket: Ticket, outcome: Result<Reloaded, String>) {
        let said = outcome.map_or_else(Said::Error, |done| Said::Reload(Box::new(done)));
        self.say(Message::Answer(ticket, Box::new(said)));
    }

    /// Has it leave the control socket to another process.
    pub(crate) fn leave_door(&self) {
        self.say(Message::LeaveDoor);
    }

    /// Ends the thread.
    pub(crate) fn finish(self) {
        self.thread.finish();
    }

    fn say(&self, message: Message) {
        // If the thread has ended, which it said, there is nobody to tell.
        let _ = self.messages.send(message);
        self.thread.pulse().wake();
    }
}

impl Control {
    /// Does as the main thread says.
    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Adopt { witness, door, sockets, done } => {
                (self.witness, self.sockets) = (*witness, sockets);
                if let Some(door) = door {
                    self.door = door;
                }
                drop(done);
            }
            Message::Tell(witness) => self.witness = *witness,
            Message::LeaveDoor => self.door.iter_mut().for_each(Door::leave),
            Message::Answer(ticket, said) => {
                if let Some(door) = &mut self.door {
                    door.give(ticket, protocol::line(*said), monotonic());
                }
            }
        }
    }
}

/// The thread answers at most a turn's share of datagrams before it looks.
const PATIENCE: Duration = Duration::from_secs(5);
