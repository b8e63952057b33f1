//! Which way a worker's datagrams come and go: the choice, and the reason for it.
//!
//! Must never: fail for want of io_uring unless it was asked for by name.

use core::net::IpAddr;
use std::io;

use timeball_time::{Realtime, Timestamp};
use timeball_wire::{Datagram, IoTally, PacketIo, Wait};

use crate::mmsg::MmsgIo;
use crate::raw::Exit;
use crate::server::ServerSocket;
use crate::uring::{self, UringIo, UringOptions};
use crate::waker::Waker;

/// Which carrier to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// io_uring where it is allowed and new enough, else `recvmmsg`.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// `recvmmsg` and `sendmmsg`.
    Mmsg,
}

/// A worker's carrier; made on the worker's own thread, to which its ring is bound.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one per worker, and a box would cost each packet")]
pub enum Carrier {
    /// By io_uring.
    Uring(UringIo),
    /// By `recvmmsg` and `sendmmsg`.
    Mmsg(MmsgIo),
}

impl Carrier {
    /// The carrier `backend` asks for, and why it was chosen, as one line for people.
    ///
    /// # Errors
    /// [`CarrierError`]; with [`Backend::Auto`] only for faults that no carrier would survive.
    pub fn open(
        backend: Backend,
        options: UringOptions,
        sockets: Vec<ServerSocket>,
    ) -> Result<(Self, String), CarrierError> {
        if backend == Backend::Mmsg {
            return Ok((Self::Mmsg(MmsgIo::new(sockets)?), "recvmmsg: set by backend".to_owned()));
        }
        let refused = match uring::probe().usable {
            Ok(()) => match UringIo::new(sockets, options) {
                Ok(io) => {
                    let reason = format!("io_uring, replies by {}", options.replies);
                    return Ok((Self::Uring(io), reason));
                }
                Err(refused) => (refused.cause, refused.sockets),
            },
            Err(cause) => (CarrierError::UringUnusable(cause), sockets),
        };
        let (cause, sockets) = refused;
        if backend == Backend::Uring {
            return Err(cause);
        }
        Ok((Self::Mmsg(MmsgIo::new(sockets)?), format!("recvmmsg: {cause}")))
    }

    /// The same carrier, whose replies leave by `exit` where they can.
    #[must_use]
    pub fn leaving_by(self, exit: Exit) -> Self {
        match self {
            Self::Uring(io) => Self::Uring(io.leaving_by(exit)),
            Self::Mmsg(io) => Self::Mmsg(io.leaving_by(exit)),
        }
    }

    /// The handle by which other threads end a [`Wait::Block`].
    pub fn waker(&self) -> Waker {
        match self {
            Self::Uring(io) => io.waker(),
            Self::Mmsg(io) => io.waker(),
        }
    }
}

impl Carrier {
    /// Takes nothing more from the sockets, which go on with others: what was taken before still comes by
    /// `receive` with [`Wait::Poll`], until that says zero.
    pub fn close(&mut self) {
        match self {
            Self::Uring(io) => io.close(),
            Self::Mmsg(io) => io.close(),
        }
    }
}

impl PacketIo for Carrier {
    type Error = CarrierError;

    #[inline]
    fn now(&self) -> Timestamp<Realtime> {
        crate::clock::realtime()
    }

    #[inline]
    fn receive(&mut self, wait: Wait) -> Result<usize, CarrierError> {
        match self {
            Self::Uring(io) => io.receive(wait),
            Self::Mmsg(io) => io.receive(wait),
        }
    }

    #[inline]
    fn datagram(&mut self, index: usize) -> Datagram<'_> {
        match self {
            Self::Uring(io) => io.datagram(index),
            Self::Mmsg(io) => io.datagram(index),
        }
    }

    #[inline]
    fn source(&mut self, index: usize) -> IpAddr {
        match self {
            Self::Uring(io) => io.source(index),
            Self::Mmsg(io) => io.source(index),
        }
    }

    #[inline]
    fn reply(&mut self, index: usize, len: usize) {
        match self {
            Self::Uring(io) => io.reply(index, len),
            Self::Mmsg(io) => io.reply(index, len),
        }
    }

    #[inline]
    fn send(
        &mut self,
        stamp: &mut impl FnMut(&mut [u8], Timestamp<Realtime>),
    ) -> Result<(), CarrierError> {
        match self {
            Self::Uring(io) => io.send(stamp),
            Self::Mmsg(io) => io.send(stamp),
        }
    }

    fn tally(&self) -> IoTally {
        match self {
            Self::Uring(io) => io.tally(),
            Self::Mmsg(io) => io.tally(),
        }
    }
}

/// Why a carrier could not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    /// io_uring cannot be used here.
    #[error("io_uring is not used: {0}")]
    UringUnusable(uring::Unusable),
    /// Something needed at the start was refused.
    #[error("cannot start carrying packets: {step}: {cause}")]
    Setup {
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Receiving fails for good.
    #[error("receiving has failed for good: {0}; the worker cannot go on")]
    Receive(io::Error),
    /// The ring does not take what it is given.
    #[error("the ring has failed: {0}; set the backend to recvmmsg")]
    Ring(io::Error),
}

impl CarrierError {
    pub(crate) fn setup(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Setup { step, cause }
    }
}
