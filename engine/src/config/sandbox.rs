//! `[sandbox]`: how the server is confined.
//!
//! Must never: be able to take away what dropping privileges alone gives.

use std::fmt;

use toml::de::DeTable;

use super::kind::{Choice, Presence, Section, Setting};
use super::plan::Words;
use super::section::{Document, Noted};

/// How the server is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxMode {
    /// As far as the kernel can.
    On,
    /// Wholly, or not started at all.
    Strict,
    /// Not at all.
    Off,
}

impl fmt::Display for SandboxMode {
    /// What it does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "each thread to the system calls and files it needs, as far as the kernel can",
            Self::Strict => {
                "each thread to the system calls and files it needs, wholly or not start; and end at \
                 the first other call"
            }
            Self::Off => "nothing but capabilities",
        })
    }
}

impl Words for SandboxMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("on", Self::On), ("strict", Self::Strict), ("off", Self::Off)];
}

/// How the server is confined.
pub(super) static SANDBOX: Section = Section {
    name: "sandbox",
    about: "How the server is confined once it has its sockets.",
    presence: Presence::Always,
    settings: &[&MODE],
};

pub(super) static MODE: Setting<Choice<SandboxMode>> = Setting {
    key: "mode",
    about: "\"on\": each thread is kept to the system calls and files it needs, as far as the kernel \
            can; what is not in force is said, and a call that is not on the list fails. \"strict\": \
            the start fails if anything is missing, and such a call ends the server. \"off\": only \
            capabilities are dropped, as they always are.",
    kind: Choice { default: SandboxMode::On },
};

/// The section.
pub(super) fn read_sandbox<'t>(
    document: &Document<'t>,
    root: &DeTable<'t>,
) -> Result<SandboxMode, Noted> {
    document.section(root, &SANDBOX).and_then(|section| Ok(section.choice(&MODE)?.value))
}
