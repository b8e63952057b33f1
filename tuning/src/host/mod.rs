//! What can be seen of a machine: its files under `/proc` and `/sys`, and what its own tools say.
//!
//! Must never: be gone around; a check that looks elsewhere cannot be tested on a recording.

mod live;
mod recorded;

use std::fmt;

pub use live::LiveHost;
pub use recorded::{RecordedHost, Recorder};

/// A machine to be looked at, and changed.
pub trait Host {
    /// The text of a file, without white space at its ends.
    ///
    /// # Errors
    /// Why it cannot be seen.
    fn read(&self, path: &str) -> Result<String, Unseen>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// Why it cannot be seen.
    fn list(&self, path: &str) -> Result<Vec<String>, Unseen>;

    /// Where a symbolic link leads, as it is written in the link.
    ///
    /// # Errors
    /// Why it cannot be seen.
    fn link(&self, path: &str) -> Result<String, Unseen>;

    /// What a tool prints; it is called without a shell, and with English messages.
    ///
    /// # Errors
    /// Why there is nothing to see: not installed, or what the tool complains of.
    fn ask(&self, command: &[&str]) -> Result<String, Unseen>;

    /// Writes one value to a file that exists.
    ///
    /// # Errors
    /// Why it could not be written.
    fn write(&self, path: &str, value: &str) -> Result<(), Unseen>;

    /// Lets a tool change something, fed with `input`.
    ///
    /// # Errors
    /// Why it did not.
    fn run(&self, command: &[&str], input: &str) -> Result<(), Unseen>;
}

/// Why something cannot be seen or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// There is no such thing on this machine.
    Absent(String),
    /// Only a more privileged user may.
    Denied(String),
    /// The tool that could tell is not installed.
    NotInstalled(String),
    /// The tool or the kernel said this.
    Failed(String),
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(what) => write!(f, "{what} does not exist here"),
            Self::Denied(what) => {
                write!(f, "{what} may not be touched by this user; run it as root")
            }
            Self::NotInstalled(tool) => write!(f, "{tool} is not installed (apt install {tool})"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Numbers of a list as the kernel writes it, such as `0-3,8`; empty for anything else.
pub(crate) fn number_list(text: &str) -> Vec<usize> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().take(NUMBERS_MAX).collect()
}

/// More cores than any machine has; keeps a nonsensical range from filling memory.
const NUMBERS_MAX: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read_as_the_kernel_writes_them() {
        assert_eq!(number_list("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(number_list("5"), [5]);
        assert_eq!(number_list("").len() + number_list("none").len(), 0);
        assert_eq!(number_list("0-18446744073709551614").len(), NUMBERS_MAX);
    }
}
