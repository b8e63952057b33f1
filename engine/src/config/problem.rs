//! What is wrong with a configuration: where, why, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no plan. Always the file's fault or the caller's, never the program's.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read at all: nothing is known about what is in it.
    #[error("{}: {cause}; {remedy}", path.display())]
    Unreadable {
        /// The file asked for.
        path: PathBuf,
        /// What stood in the way.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The file was read and says something that cannot be done.
    #[error(transparent)]
    Wrong(#[from] Problems),
    /// The same of a file that was written for another program: a line for each problem, `FILE:LINE: cause;
    /// remedy`; never empty.
    #[error("{}", .0.join("\n"))]
    Imported(Vec<String>),
}

impl ConfigError {
    /// The error for a file that `error` kept from being read.
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        let (cause, remedy) = match error.kind() {
            io::ErrorKind::NotFound => ("no such file".into(), "check the path"),
            io::ErrorKind::PermissionDenied => ("permission denied".into(), permit()),
            io::ErrorKind::IsADirectory => ("is a directory".into(), "name a file in it"),
            _ => (format!("cannot be read: {error}"), "check the file and the disk it is on"),
        };
        Self::Unreadable { path: path.to_owned(), cause, remedy }
    }
}

/// What to do about a file that may not be read.
pub(crate) fn permit() -> &'static str {
    if timeball_sys::sandbox::places().is_some() {
        "make it readable for this user; a file that is new, or was replaced, may be out of reach of the \
         sandbox: hand over to a new process (timeball serve --take-over)"
    } else {
        "make it readable for this user"
    }
}

/// Every problem found in one file, in the order of its lines; at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// The problems; never empty.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// The problems of `path`, put in the order of its lines.
    pub(crate) fn new(path: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.position);
        Self { path: path.to_owned(), problems }
    }
}

impl fmt::Display for Problems {
    /// One line for each: `FILE:LINE:COLUMN: cause; remedy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{problem}", self.path.display())?;
        }
        Ok(())
    }
}

/// One thing that is wrong, for one line of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is written.
    pub position: Position,
    /// What is wrong.
    pub cause: String,
    /// What to write instead, or what else to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.position, self.cause, self.remedy)
    }
}

/// A place in a file: line and column count from 1, a column is one character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Character in the line.
    pub column: usize,
}

impl Position {
    /// The first character of a file.
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// Where the byte at `offset` stands in `text`; an offset within a character means that
    /// character.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        Self::in_lines(text, &line_starts(text), offset)
    }

    /// The same, with the [`line_starts`] of `text` at hand.
    pub(super) fn in_lines(text: &str, starts: &[usize], offset: usize) -> Self {
        let offset = text.floor_char_boundary(offset);
        let line = starts.partition_point(|&start| start <= offset);
        Self { line, column: text[starts[line - 1]..offset].chars().count() + 1 }
    }
}

/// Where each line of `text` begins.
pub(super) fn line_starts(text: &str) -> Vec<usize> {
    let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(newlines).collect()
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let text = "é = 1\nab = 2\n";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 3), Position { line: 1, column: 3 });
        assert_eq!(Position::of(text, 7), Position { line: 2, column: 1 });
        assert_eq!(Position::of(text, 99), Position { line: 3, column: 1 });
    }
}
