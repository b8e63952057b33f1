//! The successor's side.
//!
//! Must never: go on when the predecessor has not left.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use timeball_discipline::Legacy;
use timeball_sys::{ListenGroup, receive_with_fds};

use super::{DONE, Estate, PREPARED, READY, Testament, VERSION};
use crate::config::Server;
use crate::control::{Door, ask_take_over};
use crate::serve::StartError;
use crate::serve::listen::{Listening, Place, listen_options};

/// A take-over under way.
#[derive(Debug)]
pub(in crate::serve) struct Succession {
    stream: UnixStream,
    pid: u32,
}

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
        let promised = promised + usize::from(estate.door.is_some());
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
    /// leave.
    ///
    /// # Errors
    /// When it does not: then this process has to.
    pub(in crate::serve) fn ready(self, door: bool) -> Result<(), StartError> {
        let door = if door { "door" } else { "no door" };
        let word = format!("{READY} {} {door}", std::process::id());
        writeln!(&self.stream, "{word}").map_err(silent)?;
        match line(&self.stream, &mut Vec::new()).map_err(silent)?.as_str() {
            DONE => {
                tracing::info!("took over from process {}", self.pid);
                Ok(())
            }
            other => Err(failed(format!("it says {other:?}"))),
        }
    }
}

impl Inheritance {
    /// The sockets as those of `server`, which has them or not.
    ///
    /// # Errors
    /// When there are not as many as `server` has workers.
    pub(in crate::serve) fn listening(&mut self, server: &Server) -> Result<Listening, StartError> {
        let mut places = Vec::new();
        for offer in &self.estate.places {
            let (given, wanted) = (offer.workers, server.cores.len());
            if given != wanted {
                let (asked, remedy) = (offer.asked, "restart it instead, or set `workers`");
                let cause = format!("it has {given} workers at {asked} and this one {wanted}");
                return Err(failed(format!("{cause}; {remedy}")));
            }
            let fds = self.sockets.by_ref().take(offer.sockets()).collect();
            let options = listen_options(server, self.estate.spread_key, offer.address);
            let group = Arc::new(ListenGroup::adopt(fds, &options)?);
            places.push(Place { asked: offer.asked, smeared: offer.smeared, group });
        }
        Ok(Listening::at(places, self.estate.spread_key))
    }

    /// The control socket, if it is the one at `path`, or any will do.
    pub(in crate::serve) fn door(&mut self, path: Option<&PathBuf>) -> Option<Door> {
        let own = self.estate.door.take()?;
        let listener = self.sockets.next().map(UnixListener::from)?;
        path.is_none_or(|path| *path == own).then(|| Door::adopt(listener, own))
    }
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
