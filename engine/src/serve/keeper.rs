//! Keeps the clock's frequency on disk, beside the discipline thread, which must never wait for one.
//!
//! A disk that hangs costs the file, not the time: while one write is under way the next waits in a queue
//! of one, and what comes after that is dropped. There will be another in an hour.
//!
//! Must never: block whoever gives it something to keep.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use timeball_sys::sandbox::{Role, confine};

use super::state_file;

/// The giving end.
#[derive(Debug)]
pub(super) struct Keeper {
    inbox: Sender<String>,
    /// Closed when the thread has written everything.
    done: Receiver<()>,
}

impl Keeper {
    /// Starts the thread that writes `path`.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub(super) fn start(path: PathBuf) -> io::Result<Self> {
        let (inbox, contents) = bounded::<String>(1);
        let (writing, done) = bounded::<()>(0);
        thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            let _writing = writing;
            if let Err(error) = confine(Role::Writer, &[]) {
                tracing::error!("{error}; {} will not be written", path.display());
                return;
            }
            // Ends when the giving end is dropped.
            for contents in contents {
                if let Err(error) = state_file::replace(&path, &contents) {
                    tracing::warn!("{}: {error}; the next start will be slower", path.display());
                }
            }
        })?;
        Ok(Self { inbox, done })
    }

    /// Has `contents` written soon, unless the disk is far behind.
    pub(super) fn keep(&self, contents: String) {
        let _ = self.inbox.try_send(contents);
    }

    /// Waits until all of `keepers` have written everything, or for [`FINISH_MAX`].
    pub(super) fn finish(keepers: impl IntoIterator<Item = Self>) {
        let deadline = Instant::now() + FINISH_MAX;
        // Every inbox is closed before the first is waited for.
        let done: Vec<_> = keepers.into_iter().map(|keeper| keeper.done).collect();
        for done in done {
            let _ = done.recv_deadline(deadline);
        }
    }
}

/// What the end of the program may take for the sake of the disk.
const FINISH_MAX: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_last_is_on_disk_at_the_end() {
        let directory =
            std::env::temp_dir().join(format!("timeball-keeper-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("drift");
        let keeper = Keeper::start(path.clone()).unwrap();
        keeper.keep("-1.250000\n".to_owned());
        Keeper::finish([keeper]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "-1.250000\n");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
