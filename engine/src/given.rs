//! The configuration that a command was given: timeball's own, an ntp.conf, or none.
//!
//! Must never: let a message name a place in the imported text, which the operator has never seen, when the
//! line it was made from is known.

use std::path::{Path, PathBuf};

use crate::config::{ConfigError, KeyFile, Machine, Plan, Problem, Problems};
use crate::import::{Dialect, Imported};

/// Which configuration, on the command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Given {
    /// Configuration file (TOML); see `timeball check --example`.
    #[arg(value_name = "CONFIG")]
    pub config: Option<PathBuf>,

    /// An ntp.conf to go by instead, as it is; what `timeball import` makes of it is what counts.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub ntp_conf: Option<PathBuf>,
}

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file; empty if there is none.
    pub path: PathBuf,
    /// What it comes to.
    pub plan: Plan,
    /// Where it was imported from, if it was.
    pub imported: Option<Imported>,
}

impl Given {
    /// Reads it and plans for `machine`.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being read, or everything that is wrong in it.
    pub fn load(&self, machine: &Machine) -> Result<Loaded, ConfigError> {
        if let Some(path) = &self.ntp_conf {
            let imported = Imported::read(path, Some(Dialect::Ntp))?;
            let plan = imported.plan(machine)?;
            return Ok(Loaded { path: path.clone(), plan, imported: Some(imported) });
        }
        let path = self.config.clone().unwrap_or_default();
        let plan = match &self.config {
            Some(path) => Plan::load(path, machine)?,
            None => Plan::without_file(machine),
        };
        Ok(Loaded { path, plan, imported: None })
    }
}

impl Loaded {
    /// The keys of the plan.
    ///
    /// # Errors
    ///
    /// As [`Plan::load_keys`].
    pub fn keys(&self) -> Result<KeyFile, ConfigError> {
        self.traced(self.plan.load_keys(&self.path))
    }

    /// The same with keys read before.
    ///
    /// # Errors
    ///
    /// As [`Plan::with_keys`].
    pub fn with_keys(&self, keys: KeyFile) -> Result<KeyFile, ConfigError> {
        self.traced(self.plan.with_keys(keys, &self.path))
    }

    fn traced(&self, keys: Result<KeyFile, ConfigError>) -> Result<KeyFile, ConfigError> {
        match (keys, &self.imported) {
            (Err(ConfigError::Wrong(wrong)), Some(imported)) if wrong.path == self.path => {
                Err(imported.blame(&wrong.problems))
            }
            (keys, _) => keys,
        }
    }

    /// The error for `problems` of the configuration, of which there is at least one.
    pub fn blame(&self, problems: Vec<Problem>) -> ConfigError {
        match &self.imported {
            Some(imported) => imported.blame(&problems),
            None => Problems::new(&self.path, problems).into(),
        }
    }
}

impl From<&Path> for Given {
    /// The configuration at `path`.
    fn from(path: &Path) -> Self {
        Self { config: Some(path.to_owned()), ntp_conf: None }
    }
}
