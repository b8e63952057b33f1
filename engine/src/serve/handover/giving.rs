//! The predecessor's side.
//!
//! Must never: wait for the successor; it is looked at when it has said something.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;
use timeball_discipline::Legacy;
use timeball_sys::xdp::Mode;
use timeball_sys::{FDS_MAX, monotonic, send_with_fds};
use timeball_time::{Interval, Monotonic, Timestamp};

use super::{Account, DONE, Estate, Hold, Offer, PREPARED, READY, Testament, VERSION};
use crate::serve::fast_path::Lent;
use crate::serve::listen::Listening;
use crate::serve::manager;

/// A hand-over under way.
#[derive(Debug)]
pub(in crate::serve) struct Giving {
    stream: UnixStream,
    heard: Vec<u8>,
    /// By then the successor has to have said its next word.
    pub(in crate::serve) deadline: Timestamp<Monotonic>,
    /// The discipline rests.
    pub(in crate::serve) resting: bool,
}

/// What the successor says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::serve) enum Word {
    /// All that can fail is done.
    Prepared,
    /// It serves, as process `pid`; `door`: at the control socket, too.
    Ready { pid: u32, door: bool },
}

impl Giving {
    /// Gives whoever is at the other end of `stream` the sockets of `listening`, the control socket `door`,
    /// and handles of what is `lent` by the fast path.
    ///
    /// # Errors
    /// When the other end does not take them.
    pub(in crate::serve) fn begin(
        stream: UnixStream,
        listening: &Listening,
        door: Option<(&std::path::Path, BorrowedFd<'_>)>,
        lent: &[Lent],
    ) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        if let Some(place) = listening.places().iter().find(|place| !place.group.is_whole()) {
            let address = place.group.address;
            let error = format!("{address} is served by the service manager's socket alone");
            writeln!(&stream, "{}", json!({ "version": 1, "error": error }))?;
            return Err(io::Error::other(error));
        }
        stream.set_write_timeout(Some(WRITE_MAX))?;
        let offers = listening.places().iter().map(|place| Offer {
            asked: place.asked,
            address: place.group.address,
            smeared: place.smeared,
            workers: place.group.sockets.len(),
            seats: place.group.seats.workers.clone(),
            control_seat: place.group.seats.control,
        });
        let estate = Estate {
            version: VERSION,
            pid: std::process::id(),
            spread_key: listening.spread_key(),
            places: offers.collect(),
            door: door.map(|(path, _)| path.to_owned()),
            links: lent.iter().map(Hold::of).collect(),
        };
        let line = format!("{}\n", json!({ "version": 1, "estate": estate }));
        (&stream).write_all(line.as_bytes())?;
        let sockets = listening.places().iter().flat_map(|place| place.group.fds());
        let links = lent.iter().map(|one| one.link.as_fd());
        let fds: Vec<_> = sockets.chain(door.map(|(_, fd)| fd)).chain(links).collect();
        for fds in fds.chunks(FDS_MAX) {
            send_with_fds(&stream, b"#", fds)?;
        }
        stream.set_nonblocking(true)?;
        let (heard, deadline) = (Vec::new(), monotonic() + PREPARE_MAX);
        Ok(Self { stream, heard, deadline, resting: false })
    }

    /// The next word of the successor, if it has said one.
    ///
    /// # Errors
    /// When there is nobody any more, or it says something else, or nothing for too long.
    pub(in crate::serve) fn hear(&mut self) -> io::Result<Option<Word>> {
        let mut bytes = [0; 64];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => self.heard.extend_from_slice(&bytes[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let Some(end) = self.heard.iter().position(|&octet| octet == b'\n') else {
            let late = monotonic() >= self.deadline || self.heard.len() > WORD_MAX;
            return if late { Err(io::ErrorKind::TimedOut.into()) } else { Ok(None) };
        };
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
            (PREPARED, _) => Ok(Some(Word::Prepared)),
            (READY, who) => {
                let (pid, door) = who.split_once(' ').unwrap_or((who, ""));
                let pid = pid.parse().map_err(|_| io::ErrorKind::InvalidData)?;
                Ok(Some(Word::Ready { pid, door: door == "door" }))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Gives it what is served and known; the discipline rests from here on.
    ///
    /// # Errors
    /// When the other end does not take it.
    pub(in crate::serve) fn bequeath(&mut self, legacy: &Legacy) -> io::Result<()> {
        (self.resting, self.deadline) = (true, monotonic() + READY_MAX);
        let line = serde_json::to_string(&Testament::of(legacy)).expect("plain values only");
        writeln!(self.stream, "{line}")
    }

    /// Leaves everything to it, after the service manager has been told that `pid` is the server now.
    ///
    /// # Errors
    /// When it is gone.
    pub(in crate::serve) fn done(&mut self, pid: u32) -> io::Result<()> {
        manager::tell(&[sd_notify::NotifyState::MainPid(pid)]);
        writeln!(self.stream, "{DONE}")
    }

    /// Gives it what was counted, once nothing is counted here any more.
    ///
    /// # Errors
    /// When it is gone, or does not take it.
    pub(in crate::serve) fn account(self, account: &Account) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        let line = serde_json::to_string(account).expect("plain values only");
        writeln!(&self.stream, "{line}")
    }
}

impl Hold {
    fn of(lent: &Lent) -> Self {
        Self { interface: lent.interface, native: lent.link.mode() == Mode::Native }
    }
}

impl AsFd for Giving {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

const WRITE_MAX: Duration = Duration::from_secs(5);
/// Reading a configuration and opening sockets.
const PREPARE_MAX: Interval = Interval::from_secs(30);
/// Starting threads: less than the discipline can rest.
const READY_MAX: Interval = Interval::from_secs(3);
const WORD_MAX: usize = 64;
