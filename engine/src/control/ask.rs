//! The client's side of the control socket: one question to the server that runs here.
//!
//! Must never: wait without end for a server that hangs.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::demand::Reloaded;
use super::door::usual_paths;
use super::protocol::{Answer, Ask, Request, Said, VERSION};
use crate::report::Report;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody is there.
    #[error(
        "no server answers at {}: {cause}; is `timeball serve` running? If its control_socket is elsewhere, \
         name it with --socket", list(.paths)
    )]
    Nobody {
        /// Where it was looked for.
        paths: Vec<PathBuf>,
        /// What the system said of the first.
        cause: io::Error,
    },
    /// There is one, but we may not ask.
    #[error("not permitted to ask {0}: become its owner or join its group (ls -l shows both)")]
    NotPermitted(PathBuf),
    /// The server hangs, or is not a timeball.
    #[error("the server at {path} gives no answer: {cause}; look at its log")]
    Silent {
        /// Where it is.
        path: PathBuf,
        /// What the system said, or what is wrong with the answer.
        cause: io::Error,
    },
    /// The server says why not.
    #[error("the server says: {0}")]
    Said(String),
}

/// The state of the server at `socket`, or at the first usual place where there is one.
///
/// # Errors
/// [`AskError`].
pub(crate) fn ask(socket: Option<&Path>) -> Result<Report, AskError> {
    match converse(socket, Ask::Status, PATIENCE)? {
        Said::Status(report) => Ok(*report),
        other => Err(unexpected(other)),
    }
}

/// Has that server read its configuration again, or only say what would change.
///
/// # Errors
/// [`AskError`]; [`AskError::Said`] if it goes on with the one it has.
pub(crate) fn ask_reload(socket: Option<&Path>, dry_run: bool) -> Result<Reloaded, AskError> {
    match converse(socket, Ask::Reload { dry_run }, PATIENCE_RELOAD)? {
        Said::Reload(reloaded) => Ok(*reloaded),
        other => Err(unexpected(other)),
    }
}

/// Asks that server for its place; what it answers is still to be read.
///
/// # Errors
/// [`AskError`].
pub(crate) fn ask_take_over(socket: Option<&Path>) -> Result<UnixStream, AskError> {
    let (stream, path) = connect(socket)?;
    let asked = send(&stream, Ask::TakeOver, PATIENCE);
    asked.map(|()| stream).map_err(|cause| AskError::Silent { path, cause })
}

fn unexpected(said: Said) -> AskError {
    AskError::Said(match said {
        Said::Error(error) => error,
        _ => "something that was not asked for".to_owned(),
    })
}

fn connect(socket: Option<&Path>) -> Result<(UnixStream, PathBuf), AskError> {
    let paths = socket.map_or_else(|| usual_paths().collect(), |socket| vec![socket.to_owned()]);
    let mut first = None;
    for path in &paths {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok((stream, path.clone())),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(AskError::NotPermitted(path.clone()));
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    let cause = first.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    Err(AskError::Nobody { paths, cause })
}

fn converse(socket: Option<&Path>, ask: Ask, patience: Duration) -> Result<Said, AskError> {
    let (stream, path) = connect(socket)?;
    let said = say(&stream, ask, patience);
    said.map_err(|cause| AskError::Silent { path, cause })
}

fn send(mut stream: &UnixStream, ask: Ask, patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut line = serde_json::to_vec(&Request { version: VERSION, ask })?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn say(stream: &UnixStream, ask: Ask, patience: Duration) -> io::Result<Said> {
    send(stream, ask, patience)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_MAX)).read_until(b'\n', &mut answer)?;
    Ok(serde_json::from_slice::<Answer>(&answer)?.said)
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(" or ")
}

const PATIENCE: Duration = Duration::from_secs(5);
/// It may have files to read and sockets to open.
const PATIENCE_RELOAD: Duration = Duration::from_secs(60);
/// Far more than a report of as many sources and workers as there can be.
const ANSWER_MAX: u64 = 8 << 20;
