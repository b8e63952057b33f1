//! The table of threats names tests that exist.

use std::fs;
use std::path::{Path, PathBuf};

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

#[test]
fn every_row_of_the_table_of_threats_is_kept_by_a_test_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let table = fs::read_to_string(root.join("docs/src/threats.md")).unwrap();
    let mut files = Vec::new();
    rust_files(&root.join("engine"), &mut files);
    let code: Vec<_> = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let is_there = |name: &str| {
        let beginning = format!("fn {name}(");
        code.iter().any(|text| text.contains(&beginning))
    };
    let (mut rows, mut tests) = (0, 0);
    // Rows of four columns are threats; the last names their tests.
    for row in table.lines().filter(|line| line.starts_with('|') && line.matches(" |").count() >= 4)
    {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        if last == "kept by" {
            continue;
        }
        let names: Vec<_> = last.split(", ").map(|name| name.trim_matches('`')).collect();
        assert!(names.iter().all(|name| is_there(name)), "no such test: {row}");
        (rows, tests) = (rows + 1, tests + names.len());
    }
    assert!(rows >= 30 && tests >= 45, "{rows} rows, {tests} tests");
}
