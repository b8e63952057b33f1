//! What is said through the control socket: a line of JSON each way.
//!
//! `{"version":1,"ask":"status"}` is answered by `{"version":1,"status":{…}}`, the [`Report`], and
//! `{"version":1,"ask":{"reload":{"dry_run":false}}}` by `{"version":1,"reload":{…}}`, the [`Reloaded`];
//! anything else by `{"version":1,"error":"…"}`. More requests may follow on the same connection.
//!
//! Must never: change anything in the server for a request it does not wholly understand.

use serde::{Deserialize, Serialize};

use super::demand::Reloaded;
use crate::report::Report;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// [`VERSION`].
    pub(super) version: u32,
    /// What is wanted.
    pub(super) ask: Ask,
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// The server's state.
    Status,
    /// That the configuration is read again.
    Reload {
        /// Only to see what would change.
        dry_run: bool,
    },
    /// The sockets, to take the server's place; what follows is between the two processes.
    TakeOver,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    /// [`VERSION`].
    pub(super) version: u32,
    #[serde(flatten)]
    pub(super) said: Said,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// The server's state.
    Status(Box<Report>),
    /// What came of reading the configuration again.
    Reload(Box<Reloaded>),
    /// Why there is no answer.
    Error(String),
}

/// What the line `request` asks for.
///
/// # Errors
/// What is wrong with it, to be said to whoever asked.
pub(super) fn read(request: &[u8]) -> Result<Ask, Said> {
    match serde_json::from_slice::<Request>(request) {
        Err(error) => Err(Said::Error(format!("not a request: {error}"))),
        Ok(Request { version, .. }) if version != VERSION => {
            Err(Said::Error(format!("version {version} is not spoken here; {VERSION} is")))
        }
        Ok(Request { ask, .. }) => Ok(ask),
    }
}

/// The line that says `said`.
pub(super) fn line(said: Said) -> Vec<u8> {
    let mut line =
        serde_json::to_vec(&Answer { version: VERSION, said }).expect("plain values only");
    line.push(b'\n');
    line
}

/// The version of this protocol.
pub(super) const VERSION: u32 = 1;
