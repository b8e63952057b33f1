//! `[fast_path]`: its settings, what they become, and how they are read.
//!
//! Must never: look for an interface; what this machine has is not the file's matter.

use std::fmt;

use serde_json::{Value, json};
use toml::de::DeTable;

use super::plan::Words;
use super::section::{Document, Noted, SectionReader};
use super::settings::{DRIVER_MODE, FAST_PATH, INTERFACES, REPLACE_FOREIGN};

/// Where requests are answered in the driver, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FastPath {
    /// On these interfaces, none of them twice; empty: nowhere.
    pub interfaces: Vec<String>,
    /// Where the program runs.
    pub mode: DriverMode,
    /// Whether another program is taken off at the start.
    pub replace_foreign: bool,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverMode {
    /// In the driver.
    Native,
    /// In the kernel, behind the driver.
    Generic,
}

impl Words for DriverMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("native", Self::Native), ("generic", Self::Generic)];
}

impl FastPath {
    /// Whether anything is to be answered in a driver.
    pub fn is_on(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// For programs, by the names of the file.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "interfaces": self.interfaces,
            "mode": self.mode.word(),
            "replace_foreign": self.replace_foreign,
        })
    }
}

impl fmt::Display for FastPath {
    /// As in `timeball check`: what is answered where.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.mode {
            DriverMode::Native => "in the driver of",
            DriverMode::Generic => "in the kernel behind the driver of",
        };
        write!(f, "plain requests {place} {}", self.interfaces.join(", "))?;
        let foreign = self.replace_foreign.then_some(", in the place of any program there");
        f.write_str(foreign.unwrap_or_default())
    }
}

/// The section.
pub(super) fn read_fast_path<'t>(
    document: &Document<'t>,
    root: &DeTable<'t>,
) -> Result<FastPath, Noted> {
    let section = document.section(root, &FAST_PATH)?;
    let (interfaces, mode) = (read_interfaces(&section), section.choice(&DRIVER_MODE));
    let replace_foreign = section.flag(&REPLACE_FOREIGN);
    Ok(FastPath {
        interfaces: interfaces?,
        mode: mode?.value,
        replace_foreign: replace_foreign?.value,
    })
}

fn read_interfaces(section: &SectionReader<'_, '_>) -> Result<Vec<String>, Noted> {
    let Some(listed) = section.texts(&INTERFACES)? else { return Ok(Vec::new()) };
    let (mut interfaces, mut flaw) = (Vec::<String>::new(), None);
    for entry in listed.value {
        let name = entry.value;
        // As the kernel has it (dev_valid_name): 15 octets, no slash, colon or space.
        let is_name = (1..=NAME_OCTETS_MAX).contains(&name.len())
            && !matches!(name, "." | "..")
            && !name
                .contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
        if !is_name {
            let cause = format!("{name:?} is no name of an interface");
            let remedy = "write names as `ip link` shows them";
            flaw = Some(section.note(entry.position, cause, remedy));
        } else if interfaces.iter().any(|known| known == name) {
            let cause = format!("{name:?} is listed twice");
            flaw = Some(section.note(entry.position, cause, "keep one of them"));
        } else {
            interfaces.push(name.to_owned());
        }
    }
    flaw.map_or(Ok(interfaces), Err)
}

const NAME_OCTETS_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::plan::{Machine, Plan};
    use super::*;

    fn parse(text: &str) -> Result<FastPath, String> {
        let plan = Plan::parse(Path::new("t.toml"), text, &Machine::with_cores(vec![0]));
        plan.map(|plan| plan.fast_path).map_err(|problems| problems.to_string())
    }

    #[test]
    fn nothing_is_answered_in_a_driver_unless_it_is_named() {
        for text in ["", "[fast_path]\n", "[fast_path]\nmode = \"generic\"\n"] {
            assert!(!parse(text).unwrap().is_on(), "{text}");
        }
        let two = parse("[fast_path]\ninterfaces = [\"eth0\", \"enp1s0f0np0\"]\n").unwrap();
        assert_eq!(two.interfaces, ["eth0", "enp1s0f0np0"]);
        assert_eq!((two.mode, two.replace_foreign), (DriverMode::Native, false));
        assert_eq!(two.to_string(), "plain requests in the driver of eth0, enp1s0f0np0");
    }

    #[test]
    fn what_no_interface_can_be_called_is_a_problem_with_its_place() {
        for (names, said) in [
            ("\"eth0\", \"eth0\"", "listed twice"),
            ("\"\"", "no name of an interface"),
            ("\"eth0:1\"", "no name of an interface"),
            ("\"a/b\"", "no name of an interface"),
            ("\"sixteen-octets-x\"", "no name of an interface"),
            ("\"..\"", "no name of an interface"),
        ] {
            let error = parse(&format!("[fast_path]\ninterfaces = [{names}]\n")).unwrap_err();
            assert!(error.contains("t.toml:2:") && error.contains(said), "{names}: {error}");
        }
    }
}
