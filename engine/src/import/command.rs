//! `timeball import FILE`: the configuration that does what FILE does, and of every line what became of it.
//!
//! Must never: write anywhere but to standard output and standard error.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Dialect, Imported, Verdict};
use crate::config::Machine;
use crate::output;

/// Turn an ntp.conf or chrony.conf into a timeball config.
///
/// The configuration goes to standard output. It begins with a comment for each line of FILE: honoured,
/// changed (how), refused (why, and what instead), or wrong.
///
/// Exit codes: 0 every line was understood, 1 some are wrong (they are left out), 2 FILE could not be read.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The file to import; files that it includes are read too.
    #[arg(value_name = "FILE", required_unless_present = "directives")]
    file: Option<PathBuf>,

    /// Which daemon the file is for; by default that is seen from the file.
    #[arg(long, value_name = "DAEMON")]
    from: Option<Dialect>,

    /// Print configuration and findings as JSON.
    #[arg(long)]
    json: bool,

    /// Print what becomes of each directive of a daemon, as a table in Markdown, and import nothing.
    #[arg(long, value_name = "DAEMON", conflicts_with_all = ["file", "from", "json"])]
    directives: Option<Dialect>,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    if let Some(dialect) = args.directives {
        output::print(&dialect.table());
        return ExitCode::SUCCESS;
    }
    let Some(path) = &args.file else { unreachable!("clap requires one of the two") };
    match Imported::read(path, args.from) {
        Ok(imported) => report(path, &imported, args.json),
        Err(error) => {
            if args.json {
                let error = json!({ "file": path, "problems": [error.to_string()] });
                output::print(&format!("{error:#}\n"));
            } else {
                output::complain(&format!("{error}\n"));
            }
            ExitCode::from(EXIT_UNREADABLE)
        }
    }
}

fn report(path: &Path, imported: &Imported, as_json: bool) -> ExitCode {
    let problems = match imported.plan(&Machine::this()) {
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
        Ok(_) => Vec::new(),
    };
    if as_json {
        output::print(&format!("{:#}\n", to_json(path, imported, &problems)));
    } else {
        output::print(&imported.commented());
        problems.iter().for_each(|problem| output::complain(&format!("{problem}\n")));
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) }
}

impl Imported {
    /// The configuration, with what became of each line as comments above it.
    pub fn commented(&self) -> String {
        let counts = Verdict::ALL.map(|verdict| (self.of(verdict).count(), verdict.word()));
        let counts: Vec<_> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let lines: String = self.findings.iter().map(|finding| format!("# {finding}\n")).collect();
        let remarks: String =
            self.remarks.iter().map(|remark| format!("# Note: {remark}.\n")).collect();
        let daemon = self.dialect.daemon();
        format!(
            "# Imported from a configuration of {daemon}: {}.\n{lines}{remarks}{}",
            counts.join(", "),
            self.toml
        )
    }
}

fn to_json(path: &Path, imported: &Imported, problems: &[String]) -> Value {
    let findings = imported.findings.iter().map(|finding| {
        json!({
            "file": finding.place.file.as_ref(),
            "line": finding.place.line,
            "text": finding.text,
            "verdict": finding.verdict.word(),
            "notes": finding.notes,
        })
    });
    json!({
        "file": path,
        "from": imported.dialect.daemon(),
        "findings": findings.collect::<Vec<_>>(),
        "remarks": imported.remarks,
        "problems": problems,
        "configuration": imported.toml,
    })
}

const EXIT_WRONG: u8 = 1;
const EXIT_UNREADABLE: u8 = 2;
