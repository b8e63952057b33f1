//! What is asked at the control socket and the main thread has to do.
//!
//! Must never: be made for somebody who is neither root nor the user the server runs as.

use std::os::unix::net::UnixStream;

use crossbeam::channel::Sender;
use serde::{Deserialize, Serialize};
use timeball_sys::{Waker, peer_user};

use crate::difference::Difference;

/// Something for the main thread to do; `ticket` is for the answer.
#[derive(Debug)]
pub(crate) enum Demand {
    /// Read the configuration again.
    Reload {
        /// Whose answer it is.
        ticket: Ticket,
        /// Only say what would change.
        dry_run: bool,
    },
    /// Hand everything over to whoever is at the other end.
    TakeOver(UnixStream),
}

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ticket(pub(super) u64);

/// The way to the main thread.
#[derive(Debug)]
pub(crate) struct Demands {
    inbox: Sender<Demand>,
    waker: Waker,
    tickets: u64,
}

impl Demands {
    /// Into `inbox`, of which `waker` tells.
    pub(crate) const fn new(inbox: Sender<Demand>, waker: Waker) -> Self {
        Self { inbox, waker, tickets: 0 }
    }

    /// Hands a demand on; the answer will be that of the ticket.
    ///
    /// # Errors
    /// That the main thread has too much to do already.
    pub(super) fn hand_on(
        &mut self,
        demand: impl FnOnce(Ticket) -> Demand,
    ) -> Result<Ticket, String> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.send(demand(ticket)).map(|()| ticket)
    }

    /// Hands on that whoever is at the other end of `stream` wants to take over.
    ///
    /// # Errors
    /// As above, or of the system.
    pub(super) fn hand_over_to(&self, stream: &UnixStream) -> Result<(), String> {
        let stream = stream.try_clone().map_err(|error| error.to_string())?;
        self.send(Demand::TakeOver(stream))
    }

    fn send(&self, demand: Demand) -> Result<(), String> {
        let sent = self.inbox.try_send(demand);
        sent.map_err(|_| "the server has too much to do; try again".to_owned())?;
        self.waker.wake();
        Ok(())
    }
}

/// What came of reading the configuration again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// It is in force; otherwise it was only looked at.
    pub applied: bool,
    /// In what it differs from the one before, as far as it could be put into force.
    pub differences: Vec<Difference>,
    /// What needs a restart: these settings stay as they are.
    pub kept: Vec<Difference>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Whether whoever is at the other end of `stream` may have the server do something: root may, and the
/// user it runs as. That others may ask is decided by the mode of the socket.
///
/// # Errors
/// Why not.
pub(super) fn may_command(stream: &UnixStream) -> Result<(), String> {
    match peer_user(stream) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("this is for root and for the user that the server runs as".to_owned()),
        Err(error) => Err(format!("the system does not say who asks: {error}")),
    }
}
