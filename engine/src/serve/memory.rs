//! What the last run of the program left for this one: the drift file and the state file.
//!
//! Must never: keep the server from starting. A file that is missing, damaged or outdated costs the head
//! start and a line in the log, nothing else.

use std::fs;
use std::io;
use std::path::Path;

use timeball_discipline::drift;
use timeball_discipline::state::{self, State, StateError};
use timeball_time::Rate;

/// The frequency kept in the drift file at `path`.
pub(super) fn drift(path: &Path) -> Option<Rate> {
    let text = text_of(path)?;
    drift::parse(&text).inspect_err(|error| without(path, error)).ok()
}

/// What the state file at `path` has: everything in the boot called `boot`, else the frequency.
pub(super) fn state(path: &Path, boot: u128) -> Remembered {
    let Some(text) = text_of(path) else { return Remembered::default() };
    match state::parse(&text, boot) {
        Ok(state) => {
            Remembered { frequency: Some(Rate::from_ratio(state.frequency)), state: Some(state) }
        }
        Err(StateError::Boot(frequency)) => {
            tracing::info!("{}: {}", path.display(), StateError::Boot(frequency));
            Remembered { frequency: Some(frequency), state: None }
        }
        Err(error) => {
            without(path, &error);
            Remembered::default()
        }
    }
}

/// What a state file had.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Frequency of truth against the free clock.
    pub(super) frequency: Option<Rate>,
    /// All of it, if it is of this boot.
    pub(super) state: Option<State>,
}

/// What this boot of the machine is called; zero if it has no name, which then never changes.
pub(super) fn boot() -> u128 {
    let name = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&name.trim().replace('-', ""), 16).unwrap_or(0)
}

fn text_of(path: &Path) -> Option<String> {
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            without(path, &error);
            None
        }
    }
}

fn without(path: &Path, error: &dyn std::error::Error) {
    tracing::warn!("{}: {error}; starting without it", path.display());
}
