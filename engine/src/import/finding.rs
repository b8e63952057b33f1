//! What became of one line of an imported file.
//!
//! Must never: be vague: whatever is not honoured as written says how or why.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<PathBuf>,
    /// Its line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What became of a line, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// timeball does what it says.
    Honoured,
    /// timeball does something else instead, or something besides.
    Changed,
    /// Left out on purpose.
    Refused,
    /// It cannot be understood, or contradicts itself.
    Wrong,
}

impl Verdict {
    /// All of them, from best to worst.
    pub const ALL: [Self; 4] = [Self::Honoured, Self::Changed, Self::Refused, Self::Wrong];

    /// The word used in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Wrong => "wrong",
        }
    }
}

/// A line and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it stands.
    pub place: Place,
    /// The line, its words separated by single spaces.
    pub text: String,
    /// The worst that became of any part of it.
    pub verdict: Verdict,
    /// How, why, and what to do instead.
    pub notes: Vec<String>,
}

impl Finding {
    /// `FILE:LINE: notes`, for a line that is wrong.
    pub fn complaint(&self) -> String {
        format!("{}: {}", self.place, self.notes.join("; "))
    }

    /// Adds a note, and `verdict` if it is worse than what is known.
    pub(super) fn add(&mut self, verdict: Verdict, note: impl Into<String>) {
        self.verdict = self.verdict.max(verdict);
        self.notes.push(note.into());
    }
}

impl fmt::Display for Finding {
    /// `FILE:LINE: verdict: line: notes`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.verdict.word(), self.text)?;
        for (index, note) in self.notes.iter().enumerate() {
            write!(f, "{}{note}", if index == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}
