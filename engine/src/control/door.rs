//! The control socket: where it is, who may use it, and its clients.
//!
//! Its owner is the user the server runs as and its mode 0660, so that an administrator decides by group
//! who may ask. Without a setting it is in a directory `timeball` below the usual places for such things,
//! and doing without one is no reason not to serve.
//!
//! Must never: take a socket away from a server that is alive.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use timeball_sys::User;
use timeball_time::{Interval, Monotonic, Timestamp};

use super::connection::{Connection, Reply};
use super::demand::Ticket;

/// The control socket and those who have come to it.
#[derive(Debug)]
pub(crate) struct Door {
    listener: UnixListener,
    path: PathBuf,
    connections: Vec<Connection>,
    /// Another process goes on with it.
    left: bool,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    /// Another server answers at this path.
    #[error("{0}: another server has this control socket; give each its own control_socket")]
    Taken(PathBuf),
    /// The system refuses it.
    #[error("{path}: cannot make the control socket: {cause}; name a place in control_socket")]
    Refused {
        /// Where it should have been.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl Door {
    /// Opens the socket at `path`, for `user` if it is to be another than the present one.
    ///
    /// # Errors
    /// [`DoorError`].
    pub(crate) fn open(path: &Path, user: Option<&User>) -> Result<Self, DoorError> {
        let refused = |cause| DoorError::Refused { path: path.to_owned(), cause };
        make_directory(path, user).map_err(refused)?;
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if UnixStream::connect(path).is_ok() {
                    return Err(DoorError::Taken(path.to_owned()));
                }
                // Left behind by a server that was killed.
                fs::remove_file(path).and_then(|()| UnixListener::bind(path))
            }
            other => other,
        };
        let listener = listener.map_err(refused)?;
        let door = Self { listener, path: path.to_owned(), connections: Vec::new(), left: false };
        door.listener.set_nonblocking(true).map_err(refused)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(refused)?;
        give(path, user).map_err(refused)?;
        Ok(door)
    }

    /// Opens the socket at the first of the [`usual_paths`] where that is possible.
    ///
    /// # Errors
    /// The first [`DoorError`].
    pub(crate) fn open_usual(user: Option<&User>) -> Result<Self, DoorError> {
        let mut first = None;
        for path in usual_paths() {
            match Self::open(&path, user) {
                Ok(door) => return Ok(door),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.expect("there is at least one usual path"))
    }

    /// The socket at `path`, which another process has opened.
    pub(crate) fn adopt(listener: UnixListener, path: PathBuf) -> Self {
        Self { listener, path, connections: Vec::new(), left: false }
    }

    /// Another handle of the socket itself.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub(crate) fn handle(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    /// Leaves it to another process.
    pub(super) fn leave(&mut self) {
        self.left = true;
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What to wait for: new clients and the present ones.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        // One that has not taken its last answer yet is looked at by the clock.
        let waiting = self.connections.iter().filter(|connection| connection.is_asking());
        std::iter::once(self.listener.as_fd()).chain(waiting.map(AsFd::as_fd))
    }

    /// When to look at the clients again if they say nothing.
    pub(super) fn wakeup(&self, now: Timestamp<Monotonic>) -> Timestamp<Monotonic> {
        let wakeups = self.connections.iter().map(|connection| connection.wakeup(now));
        wakeups.fold(now + IDLE, Ord::min)
    }

    /// Gives `answer` to whoever waits for it, if they still do.
    pub(super) fn give(&mut self, ticket: Ticket, answer: Vec<u8>, now: Timestamp<Monotonic>) {
        let waiting = self.connections.iter_mut().find(|connection| connection.has(ticket));
        if let Some(connection) = waiting {
            connection.give(answer, now);
        }
    }

    /// Lets new clients in and goes on with each.
    pub(super) fn turn(
        &mut self,
        now: Timestamp<Monotonic>,
        answer: &mut dyn FnMut(&[u8], &UnixStream) -> Reply,
    ) {
        for _ in 0..CONNECTIONS_MAX {
            let Ok((stream, _)) = self.listener.accept() else { break };
            if self.connections.len() == CONNECTIONS_MAX {
                // In order of arrival: the first has had most of its time.
                self.connections.remove(0);
            }
            self.connections.extend(Connection::new(stream, now));
        }
        self.connections.retain_mut(|connection| connection.turn(now, answer));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        // After a change of user the directory may be somebody else's: the next start clears it up.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where a control socket is if nothing was said: below the service manager's directory for us, that of
/// the system, that of the user.
pub(super) fn usual_paths() -> impl Iterator<Item = PathBuf> {
    let service = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(|base| Path::new(&base).join("timeball"));
    let directories = [service, Some("/run/timeball".into()), user];
    directories.into_iter().flatten().map(|directory| directory.join("control.sock"))
}

/// Makes the directory of `path` if it is not there.
fn make_directory(path: &Path, user: Option<&User>) -> io::Result<()> {
    let Some(directory) = path.parent() else { return Ok(()) };
    match fs::DirBuilder::new().mode(0o755).create(directory) {
        Ok(()) => give(directory, user),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn give(path: &Path, user: Option<&User>) -> io::Result<()> {
    user.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
}

/// Clients at a time; for one more the first has to go.
const CONNECTIONS_MAX: usize = 16;
const IDLE: Interval = Interval::from_secs(60);
