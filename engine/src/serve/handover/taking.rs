//! The successor's side.
//!
//! Must never: go on when the predecessor has not left.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use timeball_discipline::Legacy;
use timeball_sys::xdp::{Link, Mode};
use timeball_sys::{ListenError, ListenGroup, receive_with_fds};

use super::{Account, DONE, Estate, PREPARED, READY, Testament, VERSION};
use crate::config::Server;
use crate::control::{Door, ask_take_over};
use crate::serve::StartError;
use crate::serve::fast_path::Lent;
use crate::serve::listen::{Listening, Place, listen_options};

/// A take-over under way.
#[derive(Debug)]
pub(in crate::serve) struct Succession {
    stream: UnixStream,
    pid: u32,
}

/// The predecessor's last word.
#[derive(Debug)]
pub(in crate::serve) struct Parting(UnixStream);

/// What was given.
#[derive(Debug)]
pub(in crate::serve) struct Inheritance {
    estate: Estate,
    sockets: std::vec::IntoIter<OwnedFd>,
}

impl Succession {
    /// Asks the server at the control socket `path`, or at the usual places, for its sockets.
    ///
    /// # Errors
    /// When there is none, or it does not give them.
    pub(in crate::serve) fn begin(path: Option<&Path>) -> Result<(Self, Inheritance), StartError> {
        let stream = ask_take_over(path).map_err(|error| failed(error.to_string()))?;
        let mut fds = Vec::new();
        let patience = stream.set_read_timeout(Some(PATIENCE));
        let line = patience.and_then(|()| line(&stream, &mut fds)).map_err(silent)?;
        let answer: Value =
            serde_json::from_str(&line).map_err(|error| failed(error.to_string()))?;
        if let Some(error) = answer["error"].as_str() {
            return Err(failed(format!("the running server says: {error}")));
        }
        let estate: Estate =
            serde_json::from_value(answer["estate"].clone()).map_err(|e| failed(e.to_string()))?;
        if estate.version != VERSION {
            return Err(failed("it is of another version; restart it instead".to_owned()));
        }
        let promised: usize = estate.places.iter().map(super::Offer::sockets).sum();
        let promised = promised + usize::from(estate.door.is_some()) + estate.links.len();
        while fds.len() < promised {
            if receive_with_fds(&stream, &mut [0], &mut fds).map_err(silent)? == 0 {
                return Err(silent(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        let pid = estate.pid;
        Ok((Self { stream, pid }, Inheritance { estate, sockets: fds.into_iter() }))
    }

    /// Says that all that can fail is done, and returns what is served and known.
    ///
    /// # Errors
    /// When the predecessor does not say.
    pub(in crate::serve) fn legacy(&self) -> Result<Legacy, StartError> {
        writeln!(&self.stream, "{PREPARED}").map_err(silent)?;
        let line = line(&self.stream, &mut Vec::new()).map_err(silent)?;
        let testament: Option<Testament> = serde_json::from_str(&line).ok();
        let legacy = testament.and_then(|testament| testament.legacy());
        legacy.ok_or_else(|| failed("what it says of its time makes no sense".to_owned()))
    }

    /// Says that this process serves, with the control socket or another, and waits for the predecessor to
    /// leave: from then on this process is the server.
    ///
    /// # Errors
    /// When it does not: then this process has to.
    pub(in crate::serve) fn ready(self, door: bool) -> Result<Parting, StartError> {
        let door = if door { "door" } else { "no door" };
        let word = format!("{READY} {} {door}", std::process::id());
        writeln!(&self.stream, "{word}").map_err(silent)?;
        match line(&self.stream, &mut Vec::new()).map_err(silent)?.as_str() {
            DONE => {
                tracing::info!("took over from process {}", self.pid);
                Ok(Parting(self.stream))
            }
            other => Err(failed(format!("it says {other:?}"))),
        }
    }
}

impl Parting {
    /// What the predecessor has counted, once it has come to an end; `None`, and a line why, if it does not
    /// say.
    pub(in crate::serve) fn account(self) -> Option<Account> {
        let mut line = String::new();
        let read = BufReader::new(self.0.take(ACCOUNT_MAX)).read_line(&mut line);
        let account = read.and_then(|_| serde_json::from_str(&line).map_err(io::Error::from));
        let lost = |error: &io::Error| tracing::warn!("counters begin anew: {error}");
        account.inspect_err(lost).ok()
    }
}

impl Inheritance {
    /// The sockets as those of `server`, which has them or not, and may have more workers or fewer.
    ///
    /// # Errors
    /// [`ListenError`].
    pub(in crate::serve) fn listening(&mut self, server: &Server) -> Result<Listening, StartError> {
        let (mut places, mut notes) = (Vec::new(), Vec::new());
        for offer in &self.estate.places {
            let fds = self.sockets.by_ref().take(offer.sockets()).collect();
            let options = listen_options(server, self.estate.spread_key, offer.address);
            let mut group = ListenGroup::adopt(fds, offer.seats(), &options)?;
            if group.sockets.len() < options.workers {
                let alone = group.is_alone().map_err(StartError::system("who has the port"))?;
                let taken = || Err(ListenError::AddressInUse(offer.address));
                let outcome = if alone { group.grow(&options) } else { taken() };
                notes.extend(outcome.err().map(|error| fewer(offer, &error)));
            }
            let group = Arc::new(group);
            places.push(Place { asked: offer.asked, smeared: offer.smeared, group });
        }
        let mut listening = Listening::at(places, self.estate.spread_key);
        listening.notes = notes;
        Ok(listening)
    }

    /// The control socket, if it is the one at `path`, or any will do.
    pub(in crate::serve) fn door(&mut self, path: Option<&PathBuf>) -> Option<Door> {
        let own = self.estate.door.take()?;
        let listener = self.sockets.next().map(UnixListener::from)?;
        path.is_none_or(|path| *path == own).then(|| Door::adopt(listener, own))
    }

    /// What the predecessor's fast path has at interfaces; to be asked for last.
    pub(in crate::serve) fn links(self) -> Vec<Lent> {
        let lent = |(hold, fd): (&super::Hold, OwnedFd)| {
            let mode = if hold.native { Mode::Native } else { Mode::Generic };
            Lent { interface: hold.interface, link: Link::adopt(fd, mode) }
        };
        self.estate.links.iter().zip(self.sockets).map(lent).collect()
    }
}

/// Why there are not as many sockets as workers were wanted.
fn fewer(offer: &super::Offer, error: &ListenError) -> String {
    let super::Offer { address, workers, .. } = offer;
    format!("{address}: {workers} workers as before, until a restart: no sockets for more: {error}")
}

/// One line, and what comes with it.
fn line(stream: &UnixStream, fds: &mut Vec<OwnedFd>) -> io::Result<String> {
    let mut line = Vec::new();
    let mut octet = [0];
    // One by one: what follows the line has descriptors with it.
    while line.len() < LINE_MAX {
        match receive_with_fds(stream, &mut octet, fds)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if octet[0] == b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            _ => line.push(octet[0]),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn failed(cause: String) -> StartError {
    StartError::TakeOver(cause)
}

fn silent(cause: io::Error) -> StartError {
    failed(format!("the running server does not answer: {cause}; it goes on"))
}

const PATIENCE: Duration = Duration::from_secs(10);
/// Of a few hundred octets for each address.
const LINE_MAX: usize = 1 << 16;
/// Of a few thousand octets for each worker.
const ACCOUNT_MAX: u64 = 1 << 24;
