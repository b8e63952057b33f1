//! A page of the book as it stands in its file, and what is in it.
//!
//! Must never: know what a page is about.

use std::fs;
use std::path::{Path, PathBuf};

/// A document in Markdown.
pub(crate) struct Page {
    /// Where it is, from the root of the project.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// Its first line, the fence, counted from 1.
    pub(crate) line: usize,
    /// The words behind the fence: what it is.
    pub(crate) words: Vec<String>,
    /// The last line of text before it.
    pub(crate) introduction: String,
    /// What is between the fences.
    pub(crate) text: String,
}

impl Block {
    /// Whether `word` is among those behind the fence.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.words.iter().any(|one| one == word)
    }

    /// The file that a reader is told to put it into.
    pub(crate) fn file(&self) -> Option<&str> {
        let rest = self.introduction.strip_suffix("`:")?;
        let (before, path) = rest.rsplit_once('`')?;
        (before.ends_with("into ") && path.starts_with('/')).then_some(path)
    }
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file in the book's directory, by name.
pub(crate) fn files() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs/src")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every page of the book but its list of contents.
pub(crate) fn book() -> Vec<Page> {
    let pages = files().into_iter().filter(|name| name.ends_with(".md") && name != "SUMMARY.md");
    pages.map(|name| Page::read(&format!("docs/src/{name}"))).collect()
}

/// The pages outside of the book that send readers into it, or show commands.
pub(crate) fn others() -> Vec<Page> {
    ["README.md", "tuning/README.md", "tuning/monitoring/README.md"].map(Page::read).into()
}

impl Page {
    /// Reads the file at `path`, from the root of the project.
    pub(crate) fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path));
        Self { path: path.to_owned(), text: text.unwrap_or_else(|error| panic!("{path}: {error}")) }
    }

    /// Its fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut open, mut last) = (Vec::new(), None::<Block>, String::new());
        for (index, line) in self.text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.text += &format!("{line}\n"),
                (None, Some(words)) => {
                    let words = words.split(',').map(|word| word.trim().to_owned()).collect();
                    let (line, introduction) = (index + 1, std::mem::take(&mut last));
                    open = Some(Block { line, words, introduction, text: String::new() });
                }
                (None, None) if !line.trim().is_empty() => last = line.trim_end().to_owned(),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.path);
        blocks
    }

    /// Its lines outside of fenced blocks, with their numbers.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut fenced = false;
        let lines = self.text.lines().enumerate().filter(|(_, line)| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        });
        lines.map(|(index, line)| (index + 1, line)).collect()
    }

    /// What its links and pictures lead to, with their lines.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (line, text) in self.prose() {
            // Code is no link, whatever it looks like.
            let plain: String = text.split('`').step_by(2).collect::<Vec<_>>().join("``");
            let targets = plain.split("](").skip(1);
            links.extend(targets.filter_map(|rest| Some((line, rest.split_once(')')?.0.into()))));
        }
        links
    }

    /// The names of its headings, as a browser finds them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for (_, line) in self.prose() {
            let Some(heading) = line.strip_prefix('#') else { continue };
            let name = anchor(heading.trim_start_matches('#').trim());
            let alike = anchors.iter().filter(|one| **one == name).count();
            anchors.push(if alike == 0 { name } else { format!("{name}-{alike}") });
        }
        anchors
    }
}

/// What mdBook and others make of a heading: small letters, and a hyphen for a blank.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter => letter.is_alphanumeric().then_some(letter),
    });
    kept.flat_map(char::to_lowercase).collect()
}
