//! What the cases cost when somebody last looked and agreed.
//!
//! Must never: be judged against another build's counts.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Instructions of a turn of each case, and the build they are of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// The compiler, as it calls itself.
    compiler: String,
    /// The processor's architecture.
    architecture: String,
    instructions: BTreeMap<String, f64>,
}

/// How a case stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// As before, within the tolerance.
    Same { was: f64, now: f64 },
    /// Cheaper by more than the tolerance.
    Less { was: f64, now: f64 },
    /// Dearer by more than the tolerance.
    More { was: f64, now: f64 },
    /// Not in the baseline.
    New { now: f64 },
    /// In the baseline only.
    Gone { was: f64 },
}

impl Baseline {
    /// Without cases, of the compiler at hand.
    pub(crate) fn of_this_build() -> Result<Self, String> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc).arg("--version").output();
        let output = output.map_err(|error| format!("rustc --version: {error}"))?;
        Ok(Self {
            compiler: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            instructions: BTreeMap::new(),
        })
    }

    /// The kept one.
    pub(crate) fn read() -> Result<Self, String> {
        let text = fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
        toml::from_str(&text).map_err(|error| format!("{FILE}: {error}"))
    }

    /// Keeps this one.
    pub(crate) fn write(&self) -> Result<(), String> {
        let text = toml::to_string(self).map_err(|error| error.to_string())?;
        fs::write(FILE, format!("{HEADER}{text}")).map_err(|error| format!("{FILE}: {error}"))
    }

    /// Adds a case.
    pub(crate) fn insert(&mut self, name: &str, instructions: f64) {
        self.instructions.insert(name.to_owned(), instructions);
    }

    /// In what the two builds differ, if they do.
    pub(crate) fn made_otherwise(&self, kept: &Self) -> Option<String> {
        let pairs = [(&kept.compiler, &self.compiler), (&kept.architecture, &self.architecture)];
        let differing = pairs.iter().find(|(kept, own)| kept != own);
        differing.map(|(kept, own)| format!("{kept}, not {own}"))
    }

    /// How every case stands against `kept`.
    pub(crate) fn against(&self, kept: &Self) -> Vec<(String, Verdict)> {
        let own = self.instructions.iter().map(|(name, &now)| {
            let was = kept.instructions.get(name).copied();
            (name.clone(), was.map_or(Verdict::New { now }, |was| Verdict::of(was, now)))
        });
        let gone =
            kept.instructions.iter().filter(|(name, _)| !self.instructions.contains_key(*name));
        own.chain(gone.map(|(name, &was)| (name.clone(), Verdict::Gone { was }))).collect()
    }
}

impl Verdict {
    fn of(was: f64, now: f64) -> Self {
        if now > was * (1.0 + TOLERANCE) {
            Self::More { was, now }
        } else if now < was * (1.0 - TOLERANCE) {
            Self::Less { was, now }
        } else {
            Self::Same { was, now }
        }
    }

    /// Whether it must not pass: dearer, or without a baseline.
    pub(crate) const fn fails(self) -> bool {
        matches!(self, Self::More { .. } | Self::New { .. } | Self::Gone { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Same { was, now } | Self::Less { was, now } | Self::More { was, now } => {
                let change = (now / was - 1.0) * 100.0;
                let mark = if self.fails() { "  TOO MUCH" } else { "" };
                write!(f, "{was:>10.1} {now:>10.1} {change:>+7.2} %{mark}")
            }
            Self::New { now } => write!(f, "{:>10} {now:>10.1}  NOT IN THE BASELINE", "-"),
            Self::Gone { was } => write!(f, "{was:>10.1} {:>10}  IN THE BASELINE ONLY", "-"),
        }
    }
}

/// A turn may grow by this much unseen.
const TOLERANCE: f64 = 0.02;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml");
const HEADER: &str = "\
# Instructions of a turn of everything on the packet path (callgrind), as somebody last agreed to.
# Compare:  cargo bench -p timeball-bench --bench instructions
# Agree:    cargo bench -p timeball-bench --bench instructions -- accept
";
