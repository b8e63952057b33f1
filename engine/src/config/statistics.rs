//! `[statistics]`: its settings, what they become, and how they are read.
//!
//! Must never: open a file.

use std::path::PathBuf;

use serde_json::{Value, json};
use toml::de::DeTable;

use super::kind::{Choice, Flag, Presence, Section, Setting, Text, Texts};
use super::parse::read_file;
use super::plan::Words;
use super::section::{Document, Noted, SectionReader};

/// Statistics files to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Where; an absolute path.
    pub directory: PathBuf,
    /// Which; none twice.
    pub kinds: Vec<StatisticsKind>,
    /// When another file is begun.
    pub files: FileScheme,
    /// Whether the present file is to be found under the plain name too.
    pub link: bool,
}

impl Statistics {
    /// For programs, by the names of the file.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "directory": self.directory,
            "kinds": self.kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>(),
            "files": self.files.word(),
            "link": self.link,
        })
    }
}

/// A kind of statistics file; its word is its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticsKind {
    /// Each correction of the clock.
    Loop,
    /// Each answer of a source, filtered.
    Peer,
    /// The local clock.
    Clock,
    /// Each answer of a source, as it came.
    Raw,
    /// What was done for clients, each hour.
    Sys,
}

impl Words for StatisticsKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("loopstats", Self::Loop),
        ("peerstats", Self::Peer),
        ("clockstats", Self::Clock),
        ("rawstats", Self::Raw),
        ("sysstats", Self::Sys),
    ];
}

/// When another file is begun (ntpd: filegen type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileScheme {
    /// Never.
    None,
    /// At each start, by the number of the process.
    Pid,
    /// Each day.
    Day,
    /// Each week of the year.
    Week,
    /// Each month.
    Month,
    /// Each year.
    Year,
    /// After each day of running.
    Age,
}

impl Words for FileScheme {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("pid", Self::Pid),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("year", Self::Year),
        ("age", Self::Age),
    ];
}

/// Statistics files.
pub(super) static STATISTICS: Section = Section {
    name: "statistics",
    about: "Statistics files as ntpd writes them. They are written beside all else: a full disk \
            costs them, not the service.",
    presence: Presence::Optional,
    settings: &[&DIRECTORY, &KINDS, &FILES, &LINK],
};

pub(super) static DIRECTORY: Setting<Text> = Setting {
    key: "directory",
    about: "Where they are written; it has to be there, and the server's user has to be allowed to.",
    kind: Text { form: "an absolute path", absent: "required", example: "/var/log/timeball" },
};

pub(super) static KINDS: Setting<Texts> = Setting {
    key: "kinds",
    about: "Which: \"loopstats\" each correction of the clock, \"peerstats\" and \"rawstats\" each \
            answer of a source, \"clockstats\" the local clock, \"sysstats\" what was done for \
            clients in each hour.",
    kind: Texts {
        form: "of the five",
        count: 1..=5,
        absent: "default: \"loopstats\" and \"peerstats\"",
        example: &["loopstats", "peerstats", "clockstats", "rawstats", "sysstats"],
    },
};

pub(super) static FILES: Setting<Choice<FileScheme>> = Setting {
    key: "files",
    about: "When another file is begun, which is then part of its name.",
    kind: Choice { default: FileScheme::Day },
};

pub(super) static LINK: Setting<Flag> = Setting {
    key: "link",
    about: "Whether the present file is to be found under the plain name too, as a hard link.",
    kind: Flag { default: true },
};

/// The section, if it is there.
pub(super) fn read_statistics<'t>(
    document: &Document<'t>,
    root: &DeTable<'t>,
) -> Result<Option<Statistics>, Noted> {
    let section = document.section(root, &STATISTICS)?;
    if !root.contains_key(STATISTICS.name) {
        return Ok(None);
    }
    let (directory, kinds) = (read_file(&section, &DIRECTORY), read_kinds(&section));
    let (files, link) = (section.choice(&FILES), section.flag(&LINK));
    let Some(directory) = directory? else {
        let remedy = format!("add `directory = {:?}`", DIRECTORY.kind.example);
        return Err(section.note(section.position, "[statistics] without `directory`", remedy));
    };
    Ok(Some(Statistics { directory, kinds: kinds?, files: files?.value, link: link?.value }))
}

fn read_kinds(section: &SectionReader<'_, '_>) -> Result<Vec<StatisticsKind>, Noted> {
    let Some(listed) = section.texts(&KINDS)? else {
        return Ok(vec![StatisticsKind::Loop, StatisticsKind::Peer]);
    };
    let mut kinds = Vec::new();
    let mut flaw = None;
    for entry in listed.value {
        match StatisticsKind::WORDS.iter().find(|(word, _)| *word == entry.value) {
            Some((_, kind)) if !kinds.contains(kind) => kinds.push(*kind),
            Some(_) => {}
            None => {
                let words: Vec<_> =
                    StatisticsKind::WORDS.iter().map(|(word, _)| format!("{word:?}")).collect();
                let cause = format!("{:?} is no kind of statistics", entry.value);
                flaw = Some(section.note(
                    entry.position,
                    cause,
                    format!("write {}", words.join(", ")),
                ));
            }
        }
    }
    flaw.map_or(Ok(kinds), Err)
}
