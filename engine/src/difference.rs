//! What differs between two plans, setting by setting, in the words of the file.
//!
//! Both plans are compared as they are shown to programs, so a setting that `timeball check --json` knows is
//! a setting that is compared; where it stands in the file makes no difference. Entries of sections that are
//! repeated are the same if they are about the same: a source by its address, a rule by its network.
//!
//! Must never: show a key.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check::plan_json;
use crate::config::{KeyFile, Plan};

/// One setting that differs, or one entry of a repeated section that is in one plan only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Difference {
    /// The section, as in the file: `server`, `source`.
    pub section: String,
    /// Which of them, if the section is repeated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entry: Option<String>,
    /// The setting; `None` if all of it is there on one side only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub setting: Option<String>,
    /// Its value before; `None`: it was not there.
    pub was: Option<Value>,
    /// Its value now; `None`: it is no more.
    pub is: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(f, "[[{}]] {entry}", self.section)?,
            None => write!(f, "[{}]", self.section)?,
        }
        if let Some(setting) = &self.setting {
            write!(f, " {setting}")?;
        }
        match (&self.was, &self.is) {
            (Some(was), Some(is)) => write!(f, ": {} → {}", shown(was), shown(is)),
            (None, Some(_)) => f.write_str(" added"),
            (Some(_), None) => f.write_str(" removed"),
            (None, None) => f.write_str(" changed"),
        }
    }
}

impl Difference {
    /// Whether it is about `setting` of `section`.
    pub(crate) fn is_of(&self, section: &str, setting: &str) -> bool {
        self.section == section && self.setting.as_deref() == Some(setting)
    }
}

/// Everything in which `new` differs from `old`, with their keys.
pub(crate) fn differences(old: (&Plan, &KeyFile), new: (&Plan, &KeyFile)) -> Vec<Difference> {
    let (before, after) = (sections(old), sections(new));
    let mut found = Vec::new();
    for (section, was) in &before {
        compare_section(section, was, after.get(section).unwrap_or(&Value::Null), &mut found);
    }
    for (section, is) in after.iter().filter(|(section, _)| !before.contains_key(*section)) {
        compare_section(section, &Value::Null, is, &mut found);
    }
    // That a secret has changed cannot be shown, but has to be said.
    let ids = |keys: &KeyFile| keys.keys.iter().map(|one| one.key.id()).collect::<Vec<_>>();
    if old.1.keys != new.1.keys && ids(old.1) == ids(new.1) {
        let changed = old.1.keys.iter().zip(new.1.keys.iter()).filter(|(was, is)| was != is);
        found.extend(changed.map(|(was, _)| Difference {
            section: "keys".to_owned(),
            entry: None,
            setting: Some(format!("key {}", was.key.id())),
            was: None,
            is: None,
        }));
    }
    found
}

/// The sections of a plan, those of the broadcast family among the others.
fn sections((plan, keys): (&Plan, &KeyFile)) -> Map<String, Value> {
    let Value::Object(mut sections) = plan_json(plan, keys, &[]) else { return Map::new() };
    if let Some(Value::Object(lan)) = sections.remove("lan") {
        sections.extend(lan);
    }
    sections
}

fn compare_section(section: &str, was: &Value, is: &Value, found: &mut Vec<Difference>) {
    let whole = |was: Option<&Value>, is: Option<&Value>| Difference {
        section: section.to_owned(),
        entry: None,
        setting: None,
        was: was.cloned(),
        is: is.cloned(),
    };
    match (was, is) {
        (was, is) if was == is => {}
        (Value::Array(was), Value::Array(is)) => compare_entries(section, was, is, found),
        (Value::Object(was), Value::Object(is)) => {
            compare_settings(section, None, was, is, found);
        }
        (Value::Null, is) => found.push(whole(None, Some(is))),
        (was, Value::Null) => found.push(whole(Some(was), None)),
        (was, is) => found.push(whole(Some(was), Some(is))),
    }
}

fn compare_entries(section: &str, was: &[Value], is: &[Value], found: &mut Vec<Difference>) {
    let entry = |name: &str, was: Option<&Value>, is: Option<&Value>| Difference {
        section: section.to_owned(),
        entry: Some(name.to_owned()),
        setting: None,
        was: was.cloned(),
        is: is.cloned(),
    };
    for old in was {
        let name = name_of(old);
        match is.iter().find(|new| name_of(new) == name) {
            None => found.push(entry(&name, Some(old), None)),
            Some(new) => {
                if let (Value::Object(old), Value::Object(new)) = (old, new) {
                    compare_settings(section, Some(&name), old, new, found);
                }
            }
        }
    }
    let known: Vec<_> = was.iter().map(name_of).collect();
    for new in is {
        let name = name_of(new);
        if !known.contains(&name) {
            found.push(entry(&name, None, Some(new)));
        }
    }
}

/// What an entry is about.
fn name_of(entry: &Value) -> String {
    let about = entry.get("address").or_else(|| entry.get("network")).and_then(Value::as_str);
    let port = if entry["from_port_123"] == true { " from port 123" } else { "" };
    about.unwrap_or_default().to_owned() + port
}

fn compare_settings(
    section: &str,
    entry: Option<&str>,
    was: &Map<String, Value>,
    is: &Map<String, Value>,
    found: &mut Vec<Difference>,
) {
    let names = was.keys().chain(is.keys().filter(|name| !was.contains_key(*name)));
    for name in names.filter(|name| !DERIVED.contains(&name.as_str())) {
        let value = |side: &Map<String, Value>| side.get(name).cloned().unwrap_or_default();
        let (old, new) = (value(was), value(is));
        if old != new {
            found.push(Difference {
                section: section.to_owned(),
                entry: entry.map(str::to_owned),
                setting: Some(name.clone()),
                was: Some(old),
                is: Some(new),
            });
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        other => other.to_string(),
    }
}

/// What is shown with a plan and is no setting.
const DERIVED: [&str; 4] = ["resolved", "warnings", "listen_if_not_permitted", "workers"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Machine;

    fn told(old: &str, new: &str) -> Vec<String> {
        let plan = |text| {
            Plan::parse(Path::new("t.toml"), text, &Machine::with_cores(vec![0, 1])).unwrap()
        };
        let none = KeyFile::default();
        let found = differences((&plan(old), &none), (&plan(new), &none));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn settings_are_told_by_name_with_both_values_and_lines_do_not_matter() {
        assert_eq!(told("", "\n\n"), [""; 0]);
        assert_eq!(
            told("[log]\nlevel = \"warn\"\n", "[clock]\nstep_limit = 3\n"),
            ["[clock] step_limit: -1 → 3", "[log] level: \"warn\" → \"info\""]
        );
        assert_eq!(
            told("", "[statistics]\ndirectory = \"/var/log/ntp\"\n"),
            ["[statistics] added"]
        );
        assert_eq!(told("[broadcast_client]\n", "[local]\n").len(), 2);
    }

    #[test]
    fn entries_are_known_by_what_they_are_about() {
        let source = |name: &str, more: &str| format!("[[source]]\naddress = \"{name}\"\n{more}");
        let old = source("a.example", "") + &source("b.example", "min_poll = 4\n");
        let new = source("c.example", "") + &source("b.example", "") + &source("a.example", "");
        let text = told(&old, &new);
        assert_eq!(
            text,
            ["[[source]] b.example:123 min_poll: 4 → 6", "[[source]] c.example:123 added"]
        );
        let rule = |port: &str| format!("[[access]]\nnetwork = \"10.0.0.0/8\"\n{port}");
        assert_eq!(
            told(&rule(""), &rule("from_port_123 = true\n")),
            ["[[access]] 10.0.0.0/8 removed", "[[access]] 10.0.0.0/8 from port 123 added"]
        );
    }
}
