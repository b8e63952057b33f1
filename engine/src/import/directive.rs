//! The tables of directives: what a line may begin with, and what is then done.
//!
//! The same tables are printed into docs/src/migrating.md, so what a directive becomes is said here once.
//!
//! Must never: have a row without words for the operator.

use super::draft::Draft;
use super::entry::Entry;

/// What a line may begin with.
pub(super) struct Directive {
    pub(super) name: &'static str,
    pub(super) rule: Rule,
}

/// What is done with the line.
pub(super) enum Rule {
    /// Its words are read; `becomes` says what of them.
    Map { becomes: &'static str, read: fn(&mut Draft, &mut Entry) },
    /// It asks for what is the case anyway.
    Keep(&'static str),
    /// Something else happens instead.
    Change(&'static str),
    /// It is left out: why, and what instead.
    Refuse(&'static str, &'static str),
    /// It names other files, which the reader follows.
    Include(&'static str),
}

impl Rule {
    /// What the table in the documentation says: a verdict and its explanation.
    pub(super) fn described(&self) -> (&'static str, String) {
        match self {
            Self::Map { becomes, .. } => ("mapped", (*becomes).to_owned()),
            Self::Include(becomes) => ("mapped", (*becomes).to_owned()),
            Self::Keep(why) => ("honoured", (*why).to_owned()),
            Self::Change(how) => ("changed", (*how).to_owned()),
            Self::Refuse(why, instead) => ("refused", format!("{why}; {instead}")),
        }
    }
}

/// The table for the documentation, in Markdown.
pub(super) fn table(directives: &[Directive]) -> String {
    let mut text = String::from("| directive | | what becomes of it |\n|---|---|---|\n");
    for Directive { name, rule } in directives {
        let (verdict, words) = rule.described();
        text += &format!("| `{name}` | {verdict} | {words} |\n");
    }
    text
}
