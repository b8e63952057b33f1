//! What can go wrong with a measurement, and the exit code it gives.
//!
//! Must never: hide the words of the program that failed.

use std::io;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The user asked for something that is not there.
    #[error("{0}")]
    Usage(String),
    /// The machine does not let this user do it.
    #[error("not permitted: {0}")]
    NotPermitted(String),
    /// A program that was run failed.
    #[error("`{command}` failed: {cause}")]
    Program {
        /// The command line.
        command: String,
        /// What it or the system said.
        cause: String,
    },
    /// A server gave no valid answer.
    #[error("{server} does not answer at {address}: {cause}")]
    Silent {
        /// The server's name in the table.
        server: String,
        /// Where it was asked.
        address: std::net::SocketAddr,
        /// What is known of why.
        cause: String,
    },
    /// The generator refused or failed.
    #[error(transparent)]
    Load(#[from] timeball_load::LoadError),
    /// The clients' network is wrong.
    #[error(transparent)]
    Population(#[from] timeball_load::PopulationError),
    /// A file, a socket or a result could not be read or written.
    #[error("{what}: {cause}")]
    Io {
        /// What was attempted.
        what: String,
        /// What the system said.
        cause: io::Error,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    /// The exit code that tells scripts what to do about it.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::NotPermitted(_) => 3,
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}

/// Adds what was attempted to a system error.
pub(crate) trait Attempt<T> {
    /// Names what was attempted.
    fn attempting(self, what: impl FnOnce() -> String) -> Result<T, BenchError>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempting(self, what: impl FnOnce() -> String) -> Result<T, BenchError> {
        self.map_err(|cause| BenchError::Io { what: what(), cause })
    }
}
