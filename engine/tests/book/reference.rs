//! The reference is what the programs themselves say: every setting, every command.
//!
//! `TIMEBALL_BOOK=write cargo test -p timeball --test book` puts it into the pages.
//! Must never: describe anything in words of its own.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use timeball::config::example;

use super::common::text;
use super::host::program;
use super::page::{Page, root};

/// Where the printed part of a page begins.
const MARK: &str = "<!-- printed by the programs from here on -->\n";

/// Compares the printed part of `path` with `printed`, or writes it.
fn assert_printed(path: &str, printed: &str) {
    let page = Page::read(path);
    let (written, there) = page.text.split_once(MARK).expect("the page has the mark");
    if std::env::var_os("TIMEBALL_BOOK").is_some_and(|word| word == "write") {
        fs::write(root().join(path), format!("{written}{MARK}{printed}")).unwrap();
        return;
    }
    let differs = there.lines().zip(printed.lines()).find(|(there, printed)| there != printed);
    let remedy = "TIMEBALL_BOOK=write cargo test -p timeball --test book";
    assert!(there == printed, "{path} is not what the programs print ({differs:?}): run {remedy}");
}

/// The shipped example as a chapter: a heading a section, and a setting.
fn settings() -> String {
    let (mut chapter, mut about) = (String::new(), Vec::new());
    // What the file says about itself as a whole is said by the page.
    let sections = example();
    let (_, sections) = sections.split_once("\n\n").unwrap();
    for line in sections.lines() {
        if let Some(more) = line.strip_prefix("# ") {
            about.push(more);
        } else if let Some((key, value)) = line.trim_start_matches('#').split_once(" = ") {
            // The limits are the line in brackets at the end, and what it goes on in.
            let limits = about.iter().rposition(|line: &&str| line.starts_with('(')).unwrap();
            let (meaning, limits) = about.split_at(limits);
            let (meaning, limits) = (meaning.join(" "), limits.join(" "));
            let limits = limits.trim_start_matches('(').trim_end_matches(')');
            let _ = write!(chapter, "\n### `{key}`\n\n{meaning}\n\n");
            let _ = writeln!(chapter, "`{key} = {value}`: {limits}.");
            about.clear();
        } else if !line.is_empty() {
            let header = line.trim_start_matches('#');
            let _ = writeln!(chapter, "\n## `{header}`\n\n{}", about.join(" "));
            about.clear();
        }
    }
    chapter
}

#[test]
fn the_chapter_of_settings_is_what_the_program_reads() {
    assert_printed("docs/src/settings.md", &settings());
}

/// What `program arguments --help` says.
fn help(name: &str, arguments: &[String]) -> String {
    let output = Command::new(program(name)).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .fold(String::new(), |all, line| all + line.trim_end() + "\n")
}

/// The sub-commands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let list = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

fn command_line() -> String {
    let mut chapter = String::new();
    for name in super::commands::PROGRAMS {
        let whole = help(name, &[]);
        let _ = writeln!(chapter, "\n## {name}\n\n```text\n{whole}```");
        for command in subcommands(&whole) {
            let part = help(name, std::slice::from_ref(&command));
            let _ = writeln!(chapter, "\n### {name} {command}\n\n```text\n{part}```");
        }
    }
    chapter
}

#[test]
fn the_chapter_of_commands_is_what_the_programs_say() {
    assert_printed("docs/src/commands.md", &command_line());
}
