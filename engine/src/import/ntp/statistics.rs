//! `statsdir`, `statistics` and `filegen`: which statistics files, where, and when another is begun.
//!
//! ntpd writes nothing unless a kind is named, and ours have one scheme for all kinds: what the lines say
//! is put together at the end.
//!
//! Must never: turn statistics on that ntpd would not write.

use super::super::draft::{Draft, Setting, find, quoted};
use super::super::entry::Entry;
use super::super::finding::{Finding, Place, Verdict};
use crate::config::{FileScheme, StatisticsKind, Words};

/// What the lines have said so far.
#[derive(Default)]
pub(in super::super) struct Wanted {
    directory: Option<(String, Place)>,
    kinds: Vec<(String, Place)>,
}

pub(super) fn directory(draft: &mut Draft, entry: &mut Entry) {
    let Some(word) = entry.expect("a directory") else { return };
    if !word.starts_with('/') {
        entry.changed("only a whole path says where: statistics files are not written");
        return;
    }
    if !word.ends_with('/') {
        entry.changed("it is a directory here, not the beginning of each file's name");
    }
    let path = word.trim_end_matches('/').to_owned();
    draft.statistics.directory = Some((path, entry.place().clone()));
}

pub(super) fn kinds(draft: &mut Draft, entry: &mut Entry) {
    if entry.peek().is_none() {
        entry.expect("a kind of statistics");
    }
    while let Some(word) = entry.next() {
        add(draft, entry, &word);
    }
}

pub(super) fn filegen(draft: &mut Draft, entry: &mut Entry) {
    let Some(kind) = entry.expect("a kind of statistics") else { return };
    while let Some(word) = entry.next() {
        match word.as_str() {
            "file" => {
                if entry.expect("a file").is_some_and(|file| file != kind) {
                    entry.changed(format!("the file is called {kind}"));
                }
            }
            "type" => {
                let schemes = words::<FileScheme>();
                match entry.expect("a type") {
                    Some(scheme) if schemes.contains(&scheme.as_str()) => {
                        draft.set(entry, SECTION, "files", quoted(&scheme));
                    }
                    Some(other) => entry.unknown(&other, &schemes),
                    None => {}
                }
            }
            "link" | "nolink" => draft.set(entry, SECTION, "link", (word == "link").to_string()),
            "enable" => add(draft, entry, &kind),
            "disable" => draft.statistics.kinds.retain(|(other, _)| *other != kind),
            other => entry.unknown(other, &["file", "type", "link", "nolink", "enable", "disable"]),
        }
    }
}

fn add(draft: &mut Draft, entry: &mut Entry, kind: &str) {
    if !words::<StatisticsKind>().contains(&kind) {
        match OTHERS.iter().find(|(other, ..)| *other == kind) {
            Some((_, why, instead)) => entry.refused(format!("`{kind}`: {why}"), instead),
            None => entry.unknown(kind, &words::<StatisticsKind>()),
        }
    } else if !draft.statistics.kinds.iter().any(|(other, _)| other == kind) {
        draft.statistics.kinds.push((kind.to_owned(), entry.place().clone()));
    }
}

fn words<T: Words>() -> Vec<&'static str> {
    T::WORDS.iter().map(|(word, _)| *word).collect()
}

/// Makes settings of it all.
pub(in super::super) fn settle(draft: &mut Draft, findings: &mut [Finding]) {
    let Wanted { directory, kinds } = std::mem::take(&mut draft.statistics);
    let Some((_, place)) = kinds.first().cloned() else {
        draft.settings.retain(|setting| setting.section != SECTION);
        if let Some((_, place)) = directory {
            find(findings, &place, |finding| finding.add(Verdict::Honoured, "no kind is written"));
        }
        return;
    };
    let Some((path, at)) = directory else {
        draft.settings.retain(|setting| setting.section != SECTION);
        for (_, place) in &kinds {
            find(findings, place, |finding| finding.add(Verdict::Changed, NOWHERE));
        }
        return;
    };
    let setting = |key, value, place| Setting { section: SECTION, key, value, place };
    draft.settings.push(setting("directory", quoted(&path), at));
    let words: Vec<_> = kinds.iter().map(|(kind, _)| quoted(kind)).collect();
    draft.settings.push(setting("kinds", format!("[{}]", words.join(", ")), place));
}

const SECTION: &str = "statistics";
/// What ntpd has besides: why it is not written, and what there is instead.
const OTHERS: [(&str, &str, &str); 4] = [
    (
        "cryptostats",
        "ntpd writes it for Autokey alone, which is refused",
        "what becomes of keys is in the log and in `timeball status`",
    ),
    ("protostats", "events of servers and of the clock are not written to it", "read the log"),
    ("timingstats", "it is for debugging ntpd", "use perf(1)"),
    ("usestats", "what the process uses is not written to it", "ask the service manager"),
];
const NOWHERE: &str = "no `statsdir` says where, so statistics files are not written";
