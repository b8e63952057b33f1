//! Reads the list of leap seconds, and reads it again when it has changed.
//!
//! The list is renewed twice a year by whoever keeps the machine's packages up to date, long after this
//! program has started. A list that cannot be used costs nothing but itself: the old one, or the sources, go
//! on being believed, and the operator is told with file and line.
//!
//! Must never: keep the discipline thread waiting for a disk.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use timeball_discipline::{LeapTable, LeapTableError};
use timeball_sys::sandbox::{Role, confine};
use timeball_sys::{Waker, realtime};
use timeball_time::{Interval, Served};

/// The listening end of the thread that watches the list.
#[derive(Debug)]
pub(super) struct Almanac {
    tables: Receiver<LeapTable>,
    /// Has the thread look at once; closing it ends the thread.
    look: Sender<()>,
}

impl Almanac {
    /// Starts watching the list at `path`, of which `known` was read already; `waker` tells of a new one.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub(super) fn start(path: PathBuf, known: &List, waker: Waker) -> io::Result<Self> {
        let (outbox, tables) = bounded(1);
        let (look, looks) = bounded(1);
        let mut known = known.clone();
        thread::Builder::new().name("almanac".to_owned()).spawn(move || {
            if let Err(error) = confine(Role::Reader, &[]) {
                tracing::error!("{error}; {} will not be read again", path.display());
                return;
            }
            while looks.recv_timeout(LOOK_GAP) != Err(RecvTimeoutError::Disconnected) {
                if !known.look_again(&path) {
                    continue;
                }
                if let Some(table) = known.table.clone()
                    && outbox.try_send(table).is_ok()
                {
                    waker.wake();
                }
            }
        })?;
        Ok(Self { tables, look })
    }

    /// Has the list looked at now, whatever the hour.
    pub(super) fn look_now(&self) {
        // One look is as good as two.
        let _ = self.look.try_send(());
    }

    /// A new list, if there is one.
    pub(super) fn table(&self) -> Option<LeapTable> {
        self.tables.try_recv().ok()
    }
}

/// A list as it was last read.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    /// The last good one.
    pub(super) table: Option<LeapTable>,
    /// Of the file last looked at, good or not: its length and when it was written.
    seen: Option<(u64, Option<SystemTime>)>,
    told: Option<Age>,
}

impl List {
    /// The list at `path`, with a line in the log about what is wrong with it or how long it is good.
    pub(super) fn read(path: &Path) -> Self {
        let mut list = Self::default();
        list.look_again(path);
        list
    }

    /// Reads the file if it has changed; true if there is a new list.
    fn look_again(&mut self, path: &Path) -> bool {
        let mark = fs::metadata(path).ok().map(|file: Metadata| (file.len(), file.modified().ok()));
        let changed = mark.is_none() || mark != self.seen;
        let fresh = changed && self.read_again(path, self.seen.is_some() && mark.is_none());
        self.seen = mark;
        self.tell_age(path);
        fresh
    }

    /// `known_missing` keeps a file that stays away from being told of each time.
    fn read_again(&mut self, path: &Path, known_missing: bool) -> bool {
        match load(path) {
            Ok(table) => {
                self.table = Some(table);
                self.told = None;
                true
            }
            Err(problem) => {
                if !known_missing {
                    let instead = if self.table.is_some() { "the last one" } else { "none" };
                    tracing::warn!("{problem}; going on with {instead}");
                }
                false
            }
        }
    }

    fn tell_age(&mut self, path: &Path) {
        let Some(table) = &self.table else { return };
        // The kernel clock may be wrong; then so is a line in the log, and nothing else.
        let left = table.expires() - realtime().reinterpret::<Served>();
        let age = Age::with(left);
        if self.told == Some(age) {
            return;
        }
        self.told = Some(age);
        let (path, days) = (path.display(), left.nanos().abs() / DAY.nanos());
        match age {
            Age::Good => tracing::info!("{path}: leap seconds known for {days} days from now"),
            Age::Old => tracing::warn!("{path}: expires in {days} days; fetch a new list"),
            Age::Expired => tracing::warn!(
                "{path}: expired {days} days ago and is not believed any more; fetch a new list"
            ),
        }
    }
}

/// How much longer a list is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Age {
    Good,
    /// Less than [`OLD`].
    Old,
    Expired,
}

impl Age {
    /// Of a list with so much time `left`.
    pub(crate) fn with(left: Interval) -> Self {
        match left {
            left if left <= Interval::ZERO => Self::Expired,
            left if left < OLD => Self::Old,
            _ => Self::Good,
        }
    }
}

/// The list at `path`.
///
/// # Errors
/// What is wrong with it, with its line, and what to do about it.
pub(crate) fn load(path: &Path) -> Result<LeapTable, ListError> {
    let shown = || path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|cause| ListError::Unreadable { path: shown(), cause })?;
    LeapTable::parse(&text).map_err(|error| ListError::Wrong { path: shown(), error })
}

/// Why a list of leap seconds cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// It cannot be had.
    #[error("{path}: {cause}; check `leap_file`")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
    /// It is none.
    #[error("{path}:{}: {error}; fetch it again", error.line)]
    Wrong {
        /// The file.
        path: String,
        /// What is wrong, and where.
        error: LeapTableError,
    },
}

/// A list is out half a year before it is needed.
const LOOK_GAP: Duration = Duration::from_secs(3600);
const OLD: Interval = Interval::from_secs(28 * 86_400);
const DAY: Interval = Interval::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "#@ 5000000000\n2272060800 10\n2287785600 11\n";

    #[test]
    fn a_list_is_read_again_when_it_has_changed_and_a_damaged_one_changes_nothing() {
        let directory = std::env::temp_dir().join(format!("timeball-leap-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("leap-seconds.list");
        let mut list = List::read(&path);
        assert_eq!(list.table, None, "not there yet");
        fs::write(&path, LIST).unwrap();
        assert!(list.look_again(&path));
        assert!(!list.look_again(&path), "as before");
        let first = list.table.clone();
        fs::write(&path, "2272060800 ten\n").unwrap();
        assert!(!list.look_again(&path));
        assert_eq!(list.table, first);
        let told = load(&path).unwrap_err().to_string();
        assert!(
            told.contains("leap-seconds.list:1: ") && told.ends_with("fetch it again"),
            "{told}"
        );
        fs::remove_dir_all(&directory).unwrap();
        assert!(!list.look_again(&path));
        assert_eq!(list.table, first);
    }

    #[test]
    fn a_list_grows_old_before_it_expires() {
        let days = |days: i64| Age::with(Interval::from_secs(days * 86_400));
        assert_eq!(
            [days(100), days(20), days(0), days(-3)],
            [Age::Good, Age::Old, Age::Expired, Age::Expired]
        );
    }
}
