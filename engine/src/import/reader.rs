//! Reads a file and those it includes, line by line.
//!
//! Must never: follow includes in a circle or deeper than [`DEPTH_MAX`], or read a file of any size.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dialect::Dialect;
use super::directive::{Directive, Rule};
use super::draft::Draft;
use super::entry::Entry;
use super::finding::{Finding, Place};
use super::words::Words;
use super::{chrony, ntp};
use crate::config::permit;

/// Reads files of one dialect.
pub(super) struct Reader {
    dialect: Dialect,
    directives: &'static [Directive],
    /// What became of each line so far.
    pub(super) findings: Vec<Finding>,
    /// The files being read, the outermost first.
    open: Vec<PathBuf>,
}

impl Reader {
    pub(super) fn new(dialect: Dialect) -> Self {
        let directives = match dialect {
            Dialect::Ntp => ntp::DIRECTIVES,
            Dialect::Chrony => chrony::DIRECTIVES,
        };
        Self { dialect, directives, findings: Vec::new(), open: Vec::new() }
    }

    /// Reads `text`, the contents of `path`, into `draft`.
    pub(super) fn read(&mut self, path: &Path, text: &str, draft: &mut Draft) {
        self.open.push(path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        let file = Arc::new(path.to_owned());
        for (index, line) in text.lines().enumerate() {
            let place = Place { file: Arc::clone(&file), line: index + 1 };
            match Words::of(line, self.dialect) {
                Ok(words) if words.0.is_empty() => {}
                Ok(words) => self.line(Entry::new(place, words.0), draft),
                Err(cause) => {
                    let mut entry = Entry::new(place, vec![line.trim().to_owned()]);
                    entry.wrong(format!("the line {cause}"), "close it");
                    self.findings.push(entry.finish());
                }
            }
        }
        self.open.pop();
    }

    fn line(&mut self, mut entry: Entry, draft: &mut Draft) {
        let name = match self.dialect {
            Dialect::Ntp => entry.name().to_owned(),
            Dialect::Chrony => entry.name().to_ascii_lowercase(),
        };
        let Some(directive) = self.directives.iter().find(|directive| directive.name == name)
        else {
            let names = self.directives.iter().map(|directive| directive.name);
            let remedy = match crate::config::nearest(&name, names) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "put a # before it if it is a comment, or remove it".to_owned(),
            };
            entry.wrong(format!("{} has no directive `{name}`", self.dialect.daemon()), &remedy);
            entry.rest();
            return self.findings.push(entry.finish());
        };
        match &directive.rule {
            Rule::Include(_) => return self.include(entry, draft),
            Rule::Map { read, .. } => read(draft, &mut entry),
            Rule::Keep(why) => entry.note(*why),
            Rule::Change(how) => entry.changed(*how),
            Rule::Refuse(why, instead) => entry.refused(why, instead),
        }
        if !matches!(directive.rule, Rule::Map { .. }) {
            entry.rest();
        }
        self.findings.push(entry.finish());
    }

    /// Reads what `entry` includes; its own finding goes before theirs.
    fn include(&mut self, mut entry: Entry, draft: &mut Draft) {
        let from = Arc::clone(&entry.place().file);
        let mut files = Vec::new();
        match (entry.name().to_ascii_lowercase().as_str(), entry.peek()) {
            (_, None) => {
                entry.expect("a file");
            }
            ("confdir", _) => in_directories(&entry.rest(), "conf", &mut files),
            ("sourcedir", _) => in_directories(&entry.rest(), "sources", &mut files),
            (_, Some(_)) => {
                let named = entry.next().unwrap_or_default();
                files = self.named(&named, &from, &mut entry);
            }
        }
        let mut texts = Vec::new();
        for file in files {
            if let Some(text) = self.open_one(&file, &mut entry) {
                texts.push((file, text));
            }
        }
        if texts.is_empty() && !entry.is_wrong() {
            entry.changed("there is no such file: nothing is included");
        }
        self.findings.push(entry.finish());
        for (file, text) in texts {
            self.read(&file, &text, draft);
        }
    }

    /// The files that the word of an include line names.
    fn named(&self, named: &str, from: &Path, entry: &mut Entry) -> Vec<PathBuf> {
        let path = Path::new(named);
        let beside = from.parent().unwrap_or(Path::new("")).join(path);
        // ntpd and chronyd look from where they were started, NTPsec from the file that includes.
        let path = match self.dialect {
            Dialect::Ntp if path.is_relative() && !path.exists() && beside.exists() => {
                entry.note(format!("found beside {}, as NTPsec does", from.display()));
                beside
            }
            _ => path.to_owned(),
        };
        if self.dialect == Dialect::Ntp && path.is_dir() {
            return with_ending(&path, "conf");
        }
        match (self.dialect, path.file_name().and_then(|name| name.to_str())) {
            (Dialect::Chrony, Some(pattern)) if pattern.contains(['*', '?']) => {
                let directory = path.parent().unwrap_or(Path::new(""));
                files_in(directory, |name| matches(pattern.as_bytes(), name.as_bytes()))
            }
            _ => vec![path],
        }
    }

    /// The text of an included file; what keeps it from being read is said in `entry`.
    fn open_one(&self, file: &Path, entry: &mut Entry) -> Option<String> {
        let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        if let Some(at) = self.open.iter().position(|open| *open == real) {
            let circle: Vec<_> = self.open[at..].iter().chain([&real]).collect();
            let circle: Vec<_> = circle.iter().map(|path| path.display().to_string()).collect();
            let cause = format!("includes go in a circle: {}", circle.join(" → "));
            entry.wrong(cause, "remove one of these lines");
            return None;
        }
        if self.open.len() > DEPTH_MAX {
            let cause = format!("includes are nested more than {DEPTH_MAX} deep");
            entry.wrong(cause, "include this file further out");
            return None;
        }
        match text(file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let cause = format!("{} cannot be read: {error}", file.display());
                entry.wrong(cause, permit());
                None
            }
        }
    }
}

/// The text of the file at `path`; octets that are not UTF-8 are in comments, or make unknown words.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Files of `directories` with this ending; of several of one name, the first directory's counts.
fn in_directories(directories: &[String], ending: &str, files: &mut Vec<PathBuf>) {
    for directory in directories {
        for file in with_ending(Path::new(directory), ending) {
            if !files.iter().any(|known| known.file_name() == file.file_name()) {
                files.push(file);
            }
        }
    }
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
}

fn with_ending(directory: &Path, ending: &str) -> Vec<PathBuf> {
    files_in(directory, |name| name.rsplit_once('.').is_some_and(|(_, last)| last == ending))
}

/// The files of `directory` whose names are `wanted`, in the order of their names.
fn files_in(directory: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let directory = if directory == Path::new("") { Path::new(".") } else { directory };
    let entries = directory.read_dir().into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(&wanted));
    let mut files: Vec<_> = named.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Whether `name` fits `pattern`, in which * stands for anything and ? for one character.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], name) => name.is_empty(),
        ([b'*', pattern @ ..], name) => (0..=name.len()).any(|n| matches(pattern, &name[n..])),
        ([b'?', pattern @ ..], [_, name @ ..]) => matches(pattern, name),
        ([p, pattern @ ..], [n, name @ ..]) => p == n && matches(pattern, name),
        _ => false,
    }
}

/// As in ntpd.
const DEPTH_MAX: usize = 5;
/// A configuration is a few kilobytes; this keeps a device from being read for ever.
const FILE_BYTES_MAX: u64 = 4 << 20;
