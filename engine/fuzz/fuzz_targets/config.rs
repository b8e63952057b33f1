//! Any text as a configuration: ours, ntpd's or chronyd's. It is a plan, or every problem has its place; and
//! what is made of a foreign one is TOML, whatever was in it.
//!
//! Input: 1 octet for whose it is, then the text. Files are not included: they would be this machine's.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use timeball::config::{Machine, Plan};
use timeball::import::{Dialect, Imported};

fuzz_target!(|input: &[u8]| {
    let Some((&whose, bytes)) = input.split_first() else { return };
    let (text, machine) = (String::from_utf8_lossy(bytes), Machine::with_cores(vec![0, 1]));
    let path = Path::new("fuzz.conf");
    let dialect = match whose % 3 {
        0 => return ours(path, &text, &machine),
        1 => Dialect::Ntp,
        _ => Dialect::Chrony,
    };
    let lower = text.to_ascii_lowercase();
    if ["include", "confdir", "sourcedir"].iter().any(|word| lower.contains(word)) {
        return;
    }
    let imported = Imported::from_text(path, &text, dialect);
    assert!(imported.toml.parse::<toml::Table>().is_ok(), "{}", imported.toml);
    for finding in &imported.findings {
        assert!(!finding.to_string().is_empty());
    }
    if let Err(error) = imported.plan(&machine) {
        assert!(!error.to_string().is_empty());
    }
});

fn ours(path: &Path, text: &str, machine: &Machine) {
    let Err(wrong) = Plan::parse(path, text, machine) else { return };
    assert!(!wrong.problems.is_empty());
    let said = wrong.to_string();
    assert!(said.lines().next().is_some_and(|line| line.starts_with("fuzz.conf:")), "{said}");
}
