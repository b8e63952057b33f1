//! What was changed, from what, to what: the means to put everything back.
//!
//! A line of JSON for each change, oldest first. The file is replaced whole, and is on the disk before the
//! change it tells of is made.
//!
//! Must never: lose a line, or be behind what was done.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Setting, TuneError};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What was changed.
    pub setting: Setting,
    /// Its value before.
    pub was: String,
    /// Its value after.
    pub set: String,
}

/// All changes not undone yet.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Journal {
    /// The journal at `path`; empty if there is none.
    ///
    /// # Errors
    /// When it cannot be read, or a line makes no sense.
    pub fn open(path: &Path) -> Result<Self, TuneError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(TuneError::File { path: path.to_owned(), source }),
        };
        let entry = |(number, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| TuneError::Journal {
                path: path.to_owned(),
                line: number + 1,
                cause: error.to_string(),
            })
        };
        let entries = text.lines().enumerate().map(entry).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), entries })
    }

    /// The changes, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds a change and keeps it safe.
    ///
    /// # Errors
    /// When it cannot be written: the change must not be made then.
    pub fn push(&mut self, entry: Entry) -> Result<(), TuneError> {
        self.entries.push(entry);
        let saved = self.save();
        if saved.is_err() {
            self.entries.pop();
        }
        saved
    }

    /// Notes what the last change really came to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn amend(&mut self, set: String) -> Result<(), TuneError> {
        if let Some(last) = self.entries.last_mut() {
            last.set = set;
        }
        self.save()
    }

    /// Forgets the last change, because it has been undone or was never made.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn pop(&mut self) -> Result<(), TuneError> {
        self.entries.pop();
        self.save()
    }

    fn save(&self) -> Result<(), TuneError> {
        self.replace().map_err(|source| TuneError::File { path: self.path.clone(), source })
    }

    fn replace(&self) -> io::Result<()> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        if self.entries.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let temporary = self.path.with_extension("new");
        let mut file = File::create(&temporary)?;
        for entry in &self.entries {
            serde_json::to_writer(&mut file, entry)?;
            file.write_all(b"\n")?;
        }
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(directory)?.sync_all()
    }
}
