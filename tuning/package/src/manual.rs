//! Manual pages: one for each command of each program, and one for the configuration file.
//!
//! All but files and environment is taken from the command lines and the table of settings, so that a page
//! cannot say what the program does not do.
//!
//! Must never: describe an option by hand.

use std::io;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::error::PackageError;
use crate::exit_codes::{self, ExitCode};
use crate::files;
use crate::programs::Program;

/// Writes the pages of `program`, of the given date, into `directory`.
pub(crate) fn write(program: &Program, date: &str, directory: &Path) -> Result<(), PackageError> {
    let pages = page_names(&program.command);
    write_command(&Book { program, date, pages }, &program.command, &[], directory)
}

/// Writes the page about the configuration file, of the given date, into `directory`.
pub(crate) fn write_configuration(date: &str, directory: &Path) -> Result<(), PackageError> {
    let mut page = title("timeball.toml", "5", date);
    page.control("SH", ["NAME"])
        .text([roman("timeball.toml - configuration of the NTP server timeball")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(CONFIGURATION)]);
    page.control("SH", ["SETTINGS"]).control("nf", []);
    for line in timeball::config::example().lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"])
        .text([roman("timeball(1), timeball-check(1), timeball-import(1)")]);
    files::write(&directory.join("timeball.toml.5"), page.render(), 0o644)
}

/// What all pages of a program have in common.
struct Book<'a> {
    program: &'a Program,
    date: &'a str,
    /// Their names.
    pages: Vec<String>,
}

/// Writes the page of `command`, whose program has `general` exit codes, and those of its own commands.
fn write_command(
    book: &Book<'_>,
    command: &Command,
    general: &[ExitCode],
    directory: &Path,
) -> Result<(), PackageError> {
    let long = command.get_long_about().or_else(|| command.get_about());
    let (about, mut codes) = exit_codes::split(&long.map(ToString::to_string).unwrap_or_default());
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (notes, more) = exit_codes::split(&after);
    codes.extend(more);
    let codes = if codes.is_empty() { general } else { &codes };
    let name = page_name(command);
    let end = end(book, &name, &notes, codes);
    let described = command.clone().long_about(about.join("\n\n"));
    let path = directory.join(format!("{name}.1"));
    let text = page(book, described, &end).map_err(files::at(&path))?;
    files::write(&path, text, 0o644)?;
    shown(command).try_for_each(|sub| write_command(book, sub, codes, directory))
}

/// The page of `command`, with `end` as its last sections.
fn page(book: &Book<'_>, command: Command, end: &Roff) -> io::Result<Vec<u8>> {
    let name = page_name(&command);
    let has_commands = shown(&command).next().is_some();
    let man = Man::new(command);
    let mut text = Vec::new();
    title(&name, "1", book.date).to_writer(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    end.to_writer(&mut text)?;
    Ok(text)
}

/// What the command line cannot tell, or tells elsewhere. Files and environment are told once, with the
/// program.
fn end(book: &Book<'_>, name: &str, notes: &[String], codes: &[ExitCode]) -> Roff {
    let mut page = Roff::new();
    let mut notes = notes.iter().filter(|note| !note.is_empty()).peekable();
    if notes.peek().is_some() {
        page.control("SH", ["NOTES"]);
    }
    for note in notes {
        let words: Vec<_> = note.split_whitespace().collect();
        page.text([roman(words.join(" "))]).control("sp", []);
    }
    let codes: Vec<_> =
        codes.iter().map(|code| (code.code.as_str(), code.meaning.as_str())).collect();
    entries(&mut page, "EXIT STATUS", &codes);
    if book.pages.first().is_some_and(|first| first == name) {
        entries(&mut page, "FILES", book.program.files);
        entries(&mut page, "ENVIRONMENT", book.program.environment);
    }
    let own = book.pages.iter().filter(|page| *page != name).map(|page| format!("{page}(1)"));
    let others = book.program.see_also.iter().map(|page| (*page).to_owned());
    let all: Vec<_> = own.chain(others).collect();
    page.control("SH", ["SEE ALSO"]).text([roman(all.join(", "))]);
    page
}

fn title(name: &str, section: &str, date: &str) -> Roff {
    let mut page = Roff::new();
    let version = concat!("timeball ", env!("CARGO_PKG_VERSION"));
    page.control("TH", [name, section, date, version, "timeball"]);
    page
}

fn entries(page: &mut Roff, title: &str, list: &[(&str, &str)]) {
    if list.is_empty() {
        return;
    }
    page.control("SH", [title]);
    for (name, what) in list {
        page.control("TP", []).text([bold(*name)]).text([roman(*what)]);
    }
}

fn page_names(command: &Command) -> Vec<String> {
    let mut names = vec![page_name(command)];
    names.extend(shown(command).flat_map(page_names));
    names
}

/// `timeball query` is described in `timeball-query`.
fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

const CONFIGURATION: &str = "\
The file is TOML. Each setting below has its default, or an example where there is none, behind a comment \
sign; what is in brackets above it are its unit, its range and what holds if it is left out. A setting that \
is not known, or not in its range, is an error with its line: timeball check tells all of them at once.";
