//! What carries packets to the server and back: the seam at which a sender can be run over real sockets,
//! or over a world of which everything is known.
//!
//! Must never: block or allocate per packet.

use std::io;
use std::net::SocketAddr;

use timeball_sys::traffic::{Arrival, Sent, Traffic};

/// One lane: packets go out in batches, replies and departure stamps come back in batches.
pub(crate) trait Carrier {
    /// Adds a packet of `len` octets from `source` to the batch, and returns them; `None` when there is
    /// no room.
    fn push(&mut self, source: SocketAddr, len: usize, stamped: bool) -> Option<&mut [u8]>;
    /// Sends the batch.
    fn send(&mut self) -> io::Result<Sent>;
    /// Takes replies, and says how many.
    fn receive(&mut self) -> io::Result<usize>;
    /// Reply `index` of those just taken.
    fn arrival(&self, index: usize) -> Arrival<'_>;
    /// Takes departure stamps, and says how many.
    fn receive_departures(&mut self) -> io::Result<usize>;
    /// Departure `index` of those just taken; its bytes end with the packet.
    fn departure(&self, index: usize) -> Arrival<'_>;
    /// Replies that were dropped on our side for want of room.
    fn overruns(&self) -> u64;
}

impl Carrier for Traffic {
    #[inline]
    fn push(&mut self, source: SocketAddr, len: usize, stamped: bool) -> Option<&mut [u8]> {
        self.sender.push(source, len, stamped)
    }

    fn send(&mut self) -> io::Result<Sent> {
        self.sender.send()
    }

    fn receive(&mut self) -> io::Result<usize> {
        self.receiver.receive()
    }

    #[inline]
    fn arrival(&self, index: usize) -> Arrival<'_> {
        self.receiver.arrival(index)
    }

    fn receive_departures(&mut self) -> io::Result<usize> {
        self.departures.receive()
    }

    fn departure(&self, index: usize) -> Arrival<'_> {
        self.departures.departure(index)
    }

    fn overruns(&self) -> u64 {
        // A kernel that does not say has nothing to be added.
        self.receiver.overruns().unwrap_or(0)
    }
}
