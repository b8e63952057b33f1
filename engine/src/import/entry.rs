//! One line while it is being read: its words, and what is found out about them.
//!
//! Must never: leave a word unread without saying so.

use std::path::Path;
use std::str::FromStr;

use super::finding::{Finding, Place, Verdict};

/// A line being read.
pub(super) struct Entry {
    words: Vec<String>,
    /// The next word to be read.
    at: usize,
    finding: Finding,
}

impl Entry {
    /// The line at `place`, of these words; the first of them, which named the directive, is read already.
    pub(super) fn new(place: Place, words: Vec<String>) -> Self {
        let text = words.join(" ").replace(char::is_control, "\u{FFFD}");
        let finding = Finding { place, text, verdict: Verdict::Honoured, notes: Vec::new() };
        Self { words, at: 1, finding }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> &Place {
        &self.finding.place
    }

    /// The word that the line begins with.
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The next word.
    pub(super) fn next(&mut self) -> Option<String> {
        let word = self.words.get(self.at).cloned();
        self.at += usize::from(word.is_some());
        word
    }

    /// The next word, without reading it.
    pub(super) fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    /// Reads the next word if it is `word`.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        let is = self.peek() == Some(word);
        self.at += usize::from(is);
        is
    }

    /// All words that are left.
    pub(super) fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// The next word, which is to be `what`; without it the line is wrong.
    pub(super) fn expect(&mut self, what: &str) -> Option<String> {
        let word = self.next();
        if word.is_none() {
            let after = self.words.last().cloned().unwrap_or_default();
            self.wrong(format!("`{after}` needs {what} after it"), "add it, or remove the line");
        }
        word
    }

    /// The next word as the path of a file, from where the program runs if it is relative.
    pub(super) fn path(&mut self) -> Option<String> {
        let word = self.expect("a file")?;
        let path = std::path::absolute(&word).ok().filter(|_| !word.ends_with('/'));
        match path {
            Some(path) if Path::new(&word).is_relative() => {
                self.changed(format!("taken for {}, from where this runs", path.display()));
                Some(path.display().to_string())
            }
            Some(_) => Some(word),
            None => {
                self.wrong(format!("{word:?} is not the path of a file"), "write the whole path");
                None
            }
        }
    }

    /// The next word as a number, after the option `of`.
    pub(super) fn number<T: FromStr>(&mut self, of: &str) -> Option<T> {
        let word = self.expect("a number")?;
        let number = word.parse().ok();
        if number.is_none() {
            self.wrong(format!("`{of} {word}`: {word:?} is not the number needed"), "write one");
        }
        number
    }

    /// The next word as a number, if there is one.
    pub(super) fn number_if_there(&mut self) -> Option<f64> {
        let number = self.peek()?.parse().ok()?;
        self.next();
        Some(number)
    }

    /// It is done, and this is worth knowing.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.finding.add(Verdict::Honoured, note);
    }

    /// Something else happens instead.
    pub(super) fn changed(&mut self, note: impl Into<String>) {
        self.finding.add(Verdict::Changed, note);
    }

    /// It is left out on purpose.
    pub(super) fn refused(&mut self, why: impl AsRef<str>, instead: &str) {
        self.finding.add(Verdict::Refused, format!("{}; {instead}", why.as_ref()));
    }

    /// It cannot be meant.
    pub(super) fn wrong(&mut self, cause: impl AsRef<str>, remedy: &str) {
        self.finding.add(Verdict::Wrong, format!("{}; {remedy}", cause.as_ref()));
    }

    /// `word` is none of `known`.
    pub(super) fn unknown(&mut self, word: &str, known: &[&str]) {
        let remedy = match crate::config::nearest(word, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "correct it, or put a # before the line".to_owned(),
        };
        let line = self.name().to_owned();
        self.wrong(format!("`{word}` is no word of a `{line}` line"), &remedy);
    }

    /// The line's finding; words that nobody has read are wrong.
    pub(super) fn finish(mut self) -> Finding {
        if self.finding.verdict != Verdict::Wrong && self.at < self.words.len() {
            let left = self.words[self.at..].join(" ");
            self.wrong(format!("`{left}` is too much"), "remove it");
        }
        self.finding
    }

    /// True if something on it was wrong.
    pub(super) fn is_wrong(&self) -> bool {
        self.finding.verdict == Verdict::Wrong
    }
}
