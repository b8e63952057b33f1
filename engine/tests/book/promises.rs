//! Every promise of the book, and every row of its table of threats, names tests that there are.

use std::fs;
use std::path::{Path, PathBuf};

use super::page::{Page, root};

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all functions that are run as tests.
fn tests() -> Vec<String> {
    let mut files = Vec::new();
    for top in ["engine", "loadgen", "bench", "tuning"] {
        rust_files(&root().join(top), &mut files);
    }
    let mut names = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            marked |= line == "#[test]";
            if let Some(rest) = line.strip_prefix("fn ") {
                let name = rest.split_once('(').map(|(name, _)| name.to_owned());
                names.extend(name.filter(|_| marked));
                marked = false;
            }
        }
    }
    names
}

/// The tests named in the last of the `columns` columns of each table of `page`: row by row.
fn kept_by(page: &Page, columns: usize) -> Vec<(String, Vec<String>)> {
    let rows = page.text.lines().filter(|line| line.starts_with('|'));
    let rows =
        rows.filter(|line| line.matches(" |").count() >= columns && !line.contains("kept by"));
    rows.map(|row| {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names = last.split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        (row.to_owned(), names)
    })
    .collect()
}

/// Fails where a row of `path` names a test that there is not, or there are fewer rows or tests than that.
fn assert_kept(path: &str, columns: usize, rows_min: usize, tests_min: usize) {
    let (tests, rows) = (tests(), kept_by(&Page::read(path), columns));
    for (row, names) in &rows {
        let missing: Vec<_> = names.iter().filter(|name| !tests.contains(name)).collect();
        assert!(missing.is_empty(), "no such test as {missing:?}: {row}");
    }
    let named: usize = rows.iter().map(|(_, names)| names.len()).sum();
    assert!(rows.len() >= rows_min && named >= tests_min, "{} rows, {named} tests", rows.len());
}

#[test]
fn every_row_of_the_table_of_threats_is_kept_by_a_test_there_is() {
    assert_kept("docs/src/threats.md", 4, 30, 45);
}

#[test]
fn every_promise_of_the_specification_is_kept_by_a_test_there_is() {
    assert_kept("docs/src/specification.md", 2, 60, 100);
}
