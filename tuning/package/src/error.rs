//! What can go wrong, and what to do.
//!
//! Must never: leave out which file or which tool it was.

use std::io;
use std::path::PathBuf;

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A tool that is not there.
    #[error("{tool} does not start: {source}; it is in Debian's package {package}")]
    NoTool {
        /// Its name.
        tool: String,
        /// Where it comes from.
        package: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A tool that failed.
    #[error("{tool} failed: {said}")]
    Tool {
        /// Its name.
        tool: String,
        /// What it wrote to standard error.
        said: String,
    },
    /// The description of the package is not as it should be.
    #[error("[package.metadata.deb] of engine/Cargo.toml: {0}")]
    Metadata(String),
    /// No time to give the files.
    #[error(
        "no commit to take the time of the files from ({0}); set SOURCE_DATE_EPOCH to one, in seconds"
    )]
    NoDate(String),
}
