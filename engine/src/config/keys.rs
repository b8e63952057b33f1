//! Reading `[keys]`, and the `key` of whoever uses one.
//!
//! Must never: open the key file; a plan is made of the configuration alone.

use std::ops::RangeInclusive;

use timeball_wire::KeyId;
use toml::de::DeTable;

use super::parse::read_file;
use super::plan::{KeySettings, KeyUse, Plan};
use super::section::{Document, Noted, SectionReader};
use super::settings::{KEY, KEY_FILE, KEY_FORMAT, KEYS, TRUSTED};

/// The section, if it is there.
pub(super) fn read_keys<'t>(
    document: &Document<'t>,
    root: &DeTable<'t>,
) -> Result<Option<KeySettings>, Noted> {
    let section = document.section(root, &KEYS)?;
    if !root.contains_key(KEYS.name) {
        return Ok(None);
    }
    let (file, format, trusted) =
        (read_file(&section, &KEY_FILE), section.choice(&KEY_FORMAT), read_trusted(&section));
    let Some(file) = file? else {
        let remedy = format!("add `file = {:?}`", KEY_FILE.kind.example);
        return Err(section.note(section.position, "[keys] without `file`", remedy));
    };
    Ok(Some(KeySettings { file, format: format?.value, trusted: trusted? }))
}

fn read_trusted(
    section: &SectionReader<'_, '_>,
) -> Result<Option<Vec<RangeInclusive<u32>>>, Noted> {
    let Some(entries) = section.texts(&TRUSTED)? else { return Ok(None) };
    let mut ranges = Vec::new();
    let mut flaw = None;
    for entry in entries.value {
        match range(entry.value) {
            Some(range) => ranges.push(range),
            None => {
                let cause = format!("{:?} is neither a key number nor a range", entry.value);
                flaw = Some(section.note(entry.position, cause, "write \"8\", or \"10-19\""));
            }
        }
    }
    flaw.map_or(Ok(Some(ranges)), Err)
}

fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let number = |text: &str| text.trim().parse().ok().filter(|number| *number >= 1);
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (number(from)?, number(to)?);
    (from <= to).then_some(from..=to)
}

/// The `key` of a section, if it has one.
pub(super) fn read_key(section: &SectionReader<'_, '_>) -> Result<Option<KeyUse>, Noted> {
    let key = section.whole(&KEY)?;
    let id = KeyId(key.value as u32);
    Ok(key.position.filter(|_| id.0 != 0).map(|position| KeyUse { id, position }))
}

/// Notes each use of a key that cannot be had because there are none, or it is not trusted.
pub(super) fn require_keys(document: &Document<'_>, plan: &Plan) -> Result<(), Noted> {
    let mut flaw = Ok(());
    for KeyUse { id, position } in plan.key_uses() {
        let trusted = plan.keys.as_ref().and_then(|keys| keys.trusted.as_ref());
        if plan.keys.is_none() {
            let cause = format!("key {id} is wanted, and there is no [keys]");
            let remedy = format!("add [keys] with `file = {:?}`", KEY_FILE.kind.example);
            flaw = Err(document.note(position, cause, remedy));
        } else if trusted.is_some_and(|all| !all.iter().any(|range| range.contains(&id.0))) {
            let cause = format!("key {id} is not among `{}`", TRUSTED.key);
            flaw = Err(document.note(position, cause, "add it there, or use another"));
        }
    }
    flaw
}
