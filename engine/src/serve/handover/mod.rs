//! One process takes the place of another without a request being lost.
//!
//! The successor asks at the control socket for the open sockets. Both then serve from the same sockets;
//! whatever waits in one is answered by whoever takes it first. So nothing has to happen at an instant:
//!
//! ```text
//! successor                         predecessor
//!   take_over ─────────────────────▶  goes on as before
//!             ◀──── estate, sockets
//!   (config, keys, new sockets: all that can fail)
//!   prepared ──────────────────────▶  rests its discipline
//!             ◀────────────  legacy  what it serves, what it knows of the clock
//!   (workers, discipline, control)
//!   ready ─────────────────────────▶
//!   (steering, fast path) ◀────  done  finishes the batches it has
//!             ◀─────────────  account  what it has counted; it ends
//!   (page of metrics)
//! ```
//!
//! There may be more workers than before, or fewer: the groups of sockets stay as they are and get further
//! sockets for those who are more, to which nothing is steered before `done`; those who are fewer serve more
//! than one socket each. What workers know of single clients (limits, census) does not go along: it would be
//! as old as the last poll by the time it is of use, and a limit begins with a full allowance.
//!
//! Until `done` is said the predecessor can go on alone, and does, if the successor dies, hangs or gives up.
//!
//! Must never: let both steer the kernel clock, or neither hold the sockets.

mod account;
mod giving;
pub(super) mod kept;
mod taking;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use timeball_discipline::{Legacy, state};
use timeball_sys::Seats;
use timeball_time::Snapshot;

use super::memory;
pub(super) use account::Account;
pub(super) use giving::{Giving, Word};
pub(super) use taking::{Inheritance, Parting, Succession};

/// What the predecessor has to give; the sockets follow in this order, then that of the control socket, then
/// the links of the fast path.
#[derive(Debug, Serialize, Deserialize)]
struct Estate {
    /// [`VERSION`].
    version: u32,
    /// The predecessor's process.
    pid: u32,
    /// By which clients are spread over workers.
    spread_key: u32,
    places: Vec<Offer>,
    /// Where the control socket is, if it goes along.
    door: Option<PathBuf>,
    /// Where a program answers in the driver.
    links: Vec<Hold>,
}

/// A link at an interface, by its number.
#[derive(Debug, Serialize, Deserialize)]
struct Hold {
    interface: u32,
    /// Attached in the driver, and not in the kernel's receive path.
    native: bool,
}

/// The sockets of one address.
#[derive(Debug, Serialize, Deserialize)]
struct Offer {
    asked: SocketAddr,
    address: SocketAddr,
    smeared: bool,
    workers: usize,
    /// Those of its sockets in the kernel's list, as [`Seats`].
    seats: Vec<u32>,
    control_seat: u32,
}

impl Offer {
    /// How many sockets that are: to receive by, to send by, and one for control.
    const fn sockets(&self) -> usize {
        2 * self.workers + 1
    }

    fn seats(&self) -> Seats {
        Seats { workers: self.seats.clone(), control: self.control_seat }
    }
}

/// What the predecessor serves and knows, as a line.
#[derive(Debug, Serialize, Deserialize)]
struct Testament {
    state: Option<String>,
    snapshot: Vec<u64>,
}

impl Testament {
    fn of(legacy: &Legacy) -> Self {
        let state = legacy.state.as_ref().map(|state| state::format(state, memory::boot()));
        Self { state, snapshot: legacy.snapshot.to_words().to_vec() }
    }

    /// `None` if it makes no sense.
    fn legacy(&self) -> Option<Legacy> {
        let state = self.state.as_deref().map(|text| state::parse(text, memory::boot()));
        let words = self.snapshot.as_slice().try_into().ok()?;
        Some(Legacy { state: state.transpose().ok()?, snapshot: Snapshot::from_words(words) })
    }
}

/// Of what is said here; another is refused.
const VERSION: u32 = 2;
const PREPARED: &str = "prepared";
/// Followed by the successor's process, and by whether it has the control socket.
const READY: &str = "ready";
const DONE: &str = "done";
