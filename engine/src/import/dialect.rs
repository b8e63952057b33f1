//! Which daemon a file was written for.
//!
//! Must never: say what a directive means; that is for the tables.

use super::{chrony, directive, ntp};

/// The grammar of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// ntp.conf, of ntp.org's ntpd and of NTPsec's.
    Ntp,
    /// chrony.conf.
    Chrony,
}

impl Dialect {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ntp, Self::Chrony];

    /// What becomes of each of its directives, as a table in Markdown.
    pub fn table(self) -> String {
        directive::table(match self {
            Self::Ntp => ntp::DIRECTIVES,
            Self::Chrony => chrony::DIRECTIVES,
        })
    }

    /// The daemon, for messages.
    pub const fn daemon(self) -> &'static str {
        match self {
            Self::Ntp => "ntpd",
            Self::Chrony => "chronyd",
        }
    }
}
