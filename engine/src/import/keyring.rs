//! The symmetric keys of a file: where they are, which of them count, and who is asked with one.
//!
//! Must never: have a server asked without the key that its line demands.

use super::dialect::Dialect;
use super::draft::{Draft, Setting, find, quoted};
use super::entry::Entry;
use super::finding::{Finding, Place, Verdict};

/// What lines have said about keys.
#[derive(Default)]
pub(super) struct Keyring {
    /// The file, and the line that names it.
    file: Option<(String, Place)>,
    /// Numbers of keys that count, first and last; chronyd trusts all of its file.
    trusted: Vec<(u32, u32)>,
    /// The lines that say so.
    trusting: Vec<Place>,
}

/// `keys FILE` and `keyfile FILE`.
pub(super) fn file(draft: &mut Draft, entry: &mut Entry) {
    if let Some(path) = entry.path() {
        draft.keyring.file = Some((path, entry.place().clone()));
    }
}

/// `trustedkey 4 8 (10 ... 19)`.
pub(super) fn trusted(draft: &mut Draft, entry: &mut Entry) {
    if entry.peek().is_none() {
        entry.expect("a key number");
    }
    while entry.peek().is_some() {
        let range = if entry.takes("(") {
            let first = entry.number::<u32>("(");
            let dots = entry.takes("...");
            let last = entry.number::<u32>("...");
            if !dots || !entry.takes(")") {
                return entry.wrong("a range that is not one", "write it as in (10 ... 19)");
            }
            first.zip(last)
        } else {
            entry.number::<u32>("trustedkey").map(|key| (key, key))
        };
        match range {
            Some((first, last)) if (1..=last).contains(&first) => {
                draft.keyring.trusted.push((first, last));
            }
            Some((first, last)) => {
                return entry
                    .wrong(format!("no key is from {first} to {last}"), "write numbers from 1");
            }
            None => return drop(entry.rest()),
        }
    }
    draft.keyring.trusting.push(entry.place().clone());
}

impl Keyring {
    fn counts(&self, key: u32, dialect: Dialect) -> bool {
        let trusted = self.trusted.iter().any(|(first, last)| (*first..=*last).contains(&key));
        self.file.is_some() && (trusted || dialect == Dialect::Chrony)
    }

    /// True if the configuration needs a section for them.
    fn is_used(&self, draft: &Draft) -> bool {
        let wanted = match draft.dialect {
            Dialect::Ntp => !self.trusted.is_empty(),
            Dialect::Chrony => draft.sources.iter().any(|source| source.key.is_some()),
        };
        self.file.is_some() && wanted
    }
}

/// Writes the section if keys are used; leaves out sources whose key cannot be had.
pub(super) fn settle(draft: &mut Draft, findings: &mut [Finding]) {
    let keyring = std::mem::take(&mut draft.keyring);
    let dialect = draft.dialect;
    draft.sources.retain(|source| {
        let had = source.key.is_none_or(|key| keyring.counts(key, dialect));
        if let (false, Some(key)) = (had, source.key) {
            let why = format!(
                "left out rather than asked without key {key}, which is not there or not trusted"
            );
            find(findings, &source.place, |finding| finding.add(Verdict::Refused, why));
        }
        had
    });
    draft.lan.settle(|key| keyring.counts(key, dialect), findings);
    match &keyring.file {
        Some((file, place)) if keyring.is_used(draft) => {
            let format = if dialect == Dialect::Ntp { "ntpd" } else { "chrony" };
            let mut set = |key, value: String, place: &Place| {
                let place = place.clone();
                draft.settings.push(Setting { section: "keys", key, value, place });
            };
            set("file", quoted(file), place);
            set("format", quoted(format), place);
            if let Some(line) = keyring.trusting.first() {
                let range = |(first, last): &(u32, u32)| match first == last {
                    true => format!("\"{first}\""),
                    false => format!("\"{first}-{last}\""),
                };
                let ranges: Vec<_> = keyring.trusted.iter().map(range).collect();
                set("trusted", format!("[{}]", ranges.join(", ")), line);
            }
        }
        Some((_, place)) => {
            let (verdict, note) = match dialect {
                Dialect::Ntp => {
                    (Verdict::Honoured, "no `trustedkey` line: none counts, in ntpd neither")
                }
                Dialect::Chrony => (Verdict::Changed, "left out: no server is asked with a key"),
            };
            find(findings, place, |finding| finding.add(verdict, note));
        }
        None => {
            for place in &keyring.trusting {
                let note = "there is no `keys` line, so there is nothing to trust";
                find(findings, place, |finding| finding.add(Verdict::Changed, note));
            }
        }
    }
}
