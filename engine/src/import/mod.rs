//! ntp.conf and chrony.conf in, a timeball configuration out, and of every line what became of it.
//!
//! What comes out is text, the same TOML that an operator would write, and is read like any other: there is
//! one place where a configuration is checked, and `serve --ntp-conf` runs what `import` prints.
//!
//! Must never: pass over a line in silence, or guess at a word it does not know.

mod chrony;
mod command;
mod dialect;
mod directive;
mod draft;
mod entry;
mod finding;
mod instead;
mod keyring;
mod lan;
mod ntp;
mod numbers;
mod reader;
mod toml;
mod upstream;
mod words;

use std::path::Path;
use std::sync::Arc;

pub use command::{Args, run};
pub use dialect::Dialect;
pub use finding::{Finding, Place, Verdict};

use crate::config::{ConfigError, Machine, Plan, Problem};
use draft::Draft;
use reader::Reader;

/// A file that was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// How it was read.
    pub dialect: Dialect,
    /// One for each line that says something, in the order in which they were read; included files stand
    /// where they are included.
    pub findings: Vec<Finding>,
    /// What the file does not say, but its daemon does or does not do.
    pub remarks: Vec<String>,
    /// The configuration, without what was refused or wrong.
    pub toml: String,
    /// Where each line of `toml` comes from.
    origins: Vec<Option<Place>>,
}

impl Imported {
    /// Reads the file at `path` and those it includes; without a dialect, in the one that fits it better.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreadable`] if that file cannot be had; whatever else is wrong is a finding.
    pub fn read(path: &Path, dialect: Option<Dialect>) -> Result<Self, ConfigError> {
        let text = reader::text(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        if let Some(dialect) = dialect {
            return Ok(Self::from_text(path, &text, dialect));
        }
        let [ntp, chrony] = Dialect::ALL.map(|dialect| Self::from_text(path, &text, dialect));
        let wrong = |imported: &Self| imported.of(Verdict::Wrong).count();
        let named = path.to_string_lossy().contains("chrony");
        let is_chrony = wrong(&chrony) < wrong(&ntp) || (wrong(&chrony) == wrong(&ntp) && named);
        Ok(if is_chrony { chrony } else { ntp })
    }

    /// Reads `text`, which `path` only names in findings, and the files it includes.
    pub fn from_text(path: &Path, text: &str, dialect: Dialect) -> Self {
        let mut draft = Draft::new(dialect, Place { file: Arc::new(path.to_owned()), line: 1 });
        let mut reader = Reader::new(dialect);
        reader.read(path, text, &mut draft);
        let mut findings = reader.findings;
        draft.settle(&mut findings);
        let (toml, origins) = draft.toml();
        Self { dialect, findings, remarks: draft.remarks, toml, origins }
    }

    /// The plan for `machine`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Imported`] with everything that is wrong.
    pub fn plan(&self, machine: &Machine) -> Result<Plan, ConfigError> {
        let wrong: Vec<_> = self.of(Verdict::Wrong).map(Finding::complaint).collect();
        match Plan::parse(Path::new(""), &self.toml, machine) {
            Ok(plan) if wrong.is_empty() => Ok(plan),
            Ok(_) => Err(ConfigError::Imported(wrong)),
            Err(problems) => {
                let problems = problems.problems.iter().map(|problem| self.trace(problem));
                Err(ConfigError::Imported(wrong.into_iter().chain(problems).collect()))
            }
        }
    }

    /// The error for `problems`, which were found in the configuration made here.
    pub fn blame(&self, problems: &[Problem]) -> ConfigError {
        ConfigError::Imported(problems.iter().map(|problem| self.trace(problem)).collect())
    }

    /// `problem` in terms of the file that the configuration was made from.
    fn trace(&self, problem: &Problem) -> String {
        let Problem { position, cause, remedy } = problem;
        match self.origins.get(position.line - 1) {
            Some(Some(place)) => format!("{place}: {cause}; {remedy}"),
            _ => format!("imported configuration, line {}: {cause}; {remedy}", position.line),
        }
    }

    /// The findings of one kind.
    pub fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.verdict == verdict)
    }
}
