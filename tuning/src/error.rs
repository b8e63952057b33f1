//! What can go wrong, whose fault it is, and what to do.
//!
//! Must never: hide how much was done before it went wrong.

use std::io;
use std::path::PathBuf;

use crate::Unseen;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// No check is called so.
    #[error("no check is called \"{name}\"; there are: {known}")]
    UnknownCheck {
        /// What was asked for.
        name: String,
        /// All that exist.
        known: String,
    },
    /// A network device that is not there.
    #[error("no network device is called \"{name}\"; there are: {known}")]
    UnknownInterface {
        /// What was asked for.
        name: String,
        /// All that exist.
        known: String,
    },
    /// A recording that is none.
    #[error("{name}:{line}: {cause}; was it written by `timeball-tune record`?")]
    Recording {
        /// The recording's file.
        name: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// A file of ours.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of the journal that cannot be understood.
    #[error("{path}:{line}: {cause}; nothing was undone. Repair or remove the line")]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// What cannot be read cannot be put back.
    #[error(
        "{setting} was not changed, because its value now is not known, so it could not be undone: {why}"
    )]
    NotUndoable {
        /// What was to be changed.
        setting: String,
        /// Why it cannot be read.
        why: Unseen,
    },
    /// The machine refused a change.
    #[error("{setting} could not be set to \"{value}\": {why}")]
    Refused {
        /// What was to be changed.
        setting: String,
        /// To what.
        value: String,
        /// What the machine said.
        why: Unseen,
    },
    /// Somebody else has changed it since.
    #[error(
        "{setting} is now \"{now}\" and not \"{set}\", as it was left: somebody has changed it since. \
         Nothing more was undone; `undo --force` sets it back to \"{was}\" all the same"
    )]
    ChangedSince {
        /// Which setting.
        setting: String,
        /// Its value before we changed it.
        was: String,
        /// Its value after we changed it.
        set: String,
        /// Its value now.
        now: String,
    },
}
