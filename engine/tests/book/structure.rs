//! The book hangs together: whatever is in its directory is in its contents, and links lead somewhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::common::{Scratch, text};
use super::page::{Page, book, files, others, root};

/// What a block may be, see the top of `main.rs`.
const WORDS: [&str; 12] = [
    "sh", "text", "toml", "conf", "json", "yaml", "said", "stays", "host", "long", "exit-1",
    "exit-3",
];

#[test]
fn every_page_is_in_the_contents_once_and_nothing_lies_about() {
    let summary = Page::read("docs/src/SUMMARY.md");
    let listed: Vec<_> = summary.links().into_iter().map(|(_, link)| link).collect();
    let unique: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(unique.len(), listed.len(), "a page is listed twice");
    let shown: BTreeSet<_> =
        book().iter().chain(&others()).flat_map(Page::links).map(|(_, link)| link).collect();
    for name in files() {
        if name.ends_with(".md") {
            assert!(name == "SUMMARY.md" || unique.contains(&name), "{name} is not in SUMMARY.md");
        } else {
            let used = shown.iter().any(|link| link.trim_start_matches("docs/src/") == name);
            assert!(used, "no page shows {name}");
            let octets = root().join("docs/src").join(&name).metadata().unwrap().len();
            assert!(octets <= PICTURE_MAX, "{name}: {octets} octets are too many");
        }
    }
}

#[test]
fn every_link_leads_to_a_page_and_a_heading_that_there_are() {
    let mut wrong = Vec::new();
    let book = book().into_iter().chain([Page::read("docs/src/SUMMARY.md")]);
    for page in book.chain(others()) {
        let directory = Path::new(&page.path).parent().unwrap();
        for (line, link) in page.links().iter().filter(|(_, link)| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.path.clone(),
                file => directory.join(file).to_str().unwrap().to_owned(),
            };
            // The book is read where the rest of the project is not.
            let leaves = page.path.starts_with("docs/src") && file.contains('/');
            let found = !leaves && root().join(&target).exists();
            if !found || !heading.is_empty() && !has_heading(&target, heading) {
                wrong.push(format!("{}:{line}: {link}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "these lead nowhere:\n{}", wrong.join("\n"));
}

fn has_heading(path: &str, name: &str) -> bool {
    Page::read(path).anchors().iter().any(|anchor| anchor == name)
}

#[test]
fn every_block_says_what_it_is() {
    let mut wrong = Vec::new();
    for page in book().iter().chain(&others()) {
        for block in page.blocks() {
            // A block without a word is a drawing, or a form.
            let known = |word: &String| word.is_empty() || WORDS.contains(&word.as_str());
            if !block.words.iter().all(known) {
                wrong.push(format!("{}:{}: {:?}", page.path, block.line, block.words));
            }
        }
    }
    assert!(wrong.is_empty(), "nobody knows what these are:\n{}", wrong.join("\n"));
}

#[test]
fn mdbook_builds_it_without_a_word_of_warning() {
    let directory = Scratch::file("book", "");
    let built = directory.path.with_file_name("html");
    let mut command = Command::new("mdbook");
    command.arg("build").arg(root().join("docs")).arg("--dest-dir").arg(&built);
    let Ok(output) = command.output() else {
        eprintln!("skipped: no mdbook here; `cargo install mdbook --locked` brings it");
        return;
    };
    let said = text(&output);
    assert!(output.status.success() && !said.contains("WARN") && !said.contains("ERROR"), "{said}");
    for page in book() {
        let name = page.path.trim_start_matches("docs/src/").replace(".md", ".html");
        assert!(built.join(&name).exists(), "{name} was not made:\n{said}");
    }
}

/// A picture is a drawing, not a photograph.
const PICTURE_MAX: u64 = 100_000;
