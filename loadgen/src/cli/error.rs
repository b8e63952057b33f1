//! How a command ends, and the exit code that tells scripts.
//!
//! Must never: give one code to two things a script would treat differently.

use std::io;
use std::path::PathBuf;

use crate::{DamagedHistogram, Document, DocumentError, LoadError};

/// How a command that measured something ended; its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As asked.
    Measured = 0,
    /// Not one valid answer came.
    Unanswered = 4,
    /// No rate met the service level asked for.
    LevelNotMet = 5,
    /// Ended from outside; there is a report of what was counted until then.
    Interrupted = 130,
}

impl Ending {
    /// What `document` says about how it was made.
    pub(super) fn of(document: &Document) -> Self {
        if document.was_interrupted() {
            Self::Interrupted
        } else if document.answered() == 0 {
            Self::Unanswered
        } else {
            Self::Measured
        }
    }
}

/// Why a command did nothing, or not what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The load could not be offered.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What was asked makes no sense together; the message says what does.
    #[error("{0}")]
    Usage(String),
    /// A stored result cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A stored histogram cannot be used.
    #[error(transparent)]
    Histogram(#[from] DamagedHistogram),
    /// A file cannot be written.
    #[error("{path}: cannot be written: {cause}; choose another place")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Signals cannot be handled.
    #[error("cannot handle signals: {0}")]
    Signals(io::Error),
}

impl CommandError {
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Load(LoadError::Option(_) | LoadError::Behaviour(_)) => 2,
            Self::Load(LoadError::OutOfScope(_)) => 3,
            Self::Load(
                LoadError::Refused(_) | LoadError::Silent(_) | LoadError::Unreachable { .. },
            ) => Ending::Unanswered as u8,
            _ => 1,
        }
    }
}
