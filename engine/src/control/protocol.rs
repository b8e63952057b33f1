//! What is said through the control socket: a line of JSON each way.
//!
//! `{"version":1,"ask":"status"}` is answered by `{"version":1,"status":{…}}`, the [`Report`]; anything else
//! by `{"version":1,"error":"…"}`. More requests may follow on the same connection.
//!
//! Must never: change anything in the server for a request it does not wholly understand.

use serde::{Deserialize, Serialize};

use crate::report::{Report, Witness};

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
    /// Why there is no answer.
    Error(String),
}

/// The line that answers the line `request`.
pub(super) fn answer(request: &[u8], witness: &mut Witness) -> Vec<u8> {
    let said = match serde_json::from_slice::<Request>(request) {
        Err(error) => Said::Error(format!("not a request: {error}")),
        Ok(Request { version, .. }) if version != VERSION => {
            Said::Error(format!("version {version} is not spoken here; {VERSION} is"))
        }
        Ok(Request { ask: Ask::Status, .. }) => witness.report().map_or_else(
            || Said::Error("the server is still starting".to_owned()),
            |report| Said::Status(Box::new(report)),
        ),
    };
    let mut line =
        serde_json::to_vec(&Answer { version: VERSION, said }).expect("plain values only");
    line.push(b'\n');
    line
}

/// The version of this protocol.
pub(super) const VERSION: u32 = 1;
