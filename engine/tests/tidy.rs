//! House rules that a machine can check, over every Rust file of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

struct Source {
    /// Relative to the workspace, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// The lines before the unit tests at the end of the file, counted from 1.
    fn program(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        lines.take_while(|(_, line)| {
            !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test")
        })
    }

    fn is_test(&self) -> bool {
        ["/tests/", "/benches/", "/examples/", "/fuzz/"].iter().any(|part| self.path.contains(part))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let mut found = Vec::new();
    for top in ["engine", "loadgen", "bench", "tuning"] {
        collect(&root.join(top), &mut found);
    }
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/"),
        text: fs::read_to_string(&path).unwrap(),
    };
    let sources: Vec<_> = found.into_iter().map(read).collect();
    assert!(sources.len() > 30, "the walk must find the tree");
    sources
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Fails with every place where `wrong` says so.
fn check(rule: &str, wrong: impl Fn(&Source) -> Vec<String>) {
    let found: Vec<_> = sources().iter().flat_map(wrong).collect();
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

fn lines_with<'a>(source: &'a Source, words: &'a [&str]) -> Vec<String> {
    let hit = |line: &str| words.iter().any(|word| line.contains(word));
    let code = source.program().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter(|(_, line)| hit(line))
        .map(|(n, line)| format!("{}:{n}: {line}", source.path))
        .collect()
}

#[test]
fn every_file_says_what_it_is() {
    check("a file opens with //!", |source| {
        let opens = source.text.starts_with("//!") || source.path.ends_with("build.rs");
        if opens { Vec::new() } else { vec![source.path.clone()] }
    });
}

#[test]
fn unsafe_code_lives_in_one_crate() {
    check("unsafe only in engine/sys", |source| {
        if source.path.starts_with("engine/sys/") || source.path == "engine/tests/tidy.rs" {
            return Vec::new();
        }
        lines_with(source, &["unsafe {", "unsafe fn", "unsafe impl"])
    });
}

#[test]
fn every_unsafe_block_is_justified() {
    check("JUSTIFICATION and SAFETY above unsafe", |source| {
        if !source.path.starts_with("engine/sys/src") {
            return Vec::new();
        }
        let lines: Vec<_> = source.program().map(|(_, line)| line).collect();
        let explained = |n: usize| {
            let above = lines[n.saturating_sub(10)..n].join("\n");
            above.contains("JUSTIFICATION:") && above.contains("SAFETY:")
        };
        let code = |line: &str| !line.trim_start().starts_with("//");
        let blocks =
            lines.iter().enumerate().filter(|(_, line)| code(line) && line.contains("unsafe {"));
        blocks
            .filter(|(n, _)| !explained(*n))
            .map(|(n, _)| format!("{}:{}", source.path, n + 1))
            .collect()
    });
}

#[test]
fn time_and_randomness_are_arguments() {
    const PURE: [&str; 5] = [
        "engine/time/",
        "engine/wire/",
        "engine/responder/",
        "engine/discipline/",
        "engine/sim/src/",
    ];
    const AMBIENT: [&str; 6] = [
        "SystemTime",
        "Instant::now",
        "getrandom",
        "rand::",
        "clock_gettime",
        "std::net::UdpSocket",
    ];
    check("no clock, randomness or socket in the pure crates", |source| {
        let pure = PURE.iter().any(|prefix| source.path.starts_with(prefix));
        if pure && !source.is_test() { lines_with(source, &AMBIENT) } else { Vec::new() }
    });
}

#[test]
fn nothing_on_the_packet_path_can_lock() {
    const PACKET_PATH: [&str; 10] = [
        "engine/time/src/",
        "engine/wire/src/",
        "engine/responder/src/",
        "engine/sys/src/uring/",
        "engine/sys/src/mmsg.rs",
        "engine/sys/src/batch.rs",
        "engine/sys/src/carrier.rs",
        "engine/sys/src/departure.rs",
        "engine/sys/src/frame.rs",
        "engine/sys/src/cmsg.rs",
    ];
    check("no lock, condition or channel among what a worker runs", |source| {
        let on_path = PACKET_PATH.iter().any(|prefix| source.path.starts_with(prefix));
        if !on_path {
            return Vec::new();
        }
        lines_with(
            source,
            &["Mutex", "RwLock", "Condvar", "channel", "OnceLock", "LazyLock", "park("],
        )
    });
}

#[test]
fn nothing_is_left_lying_about() {
    check("no leftovers", |source| {
        if source.path == "engine/tests/tidy.rs" {
            return Vec::new();
        }
        lines_with(source, &["FIXME", "XXX", "dbg!(", "todo!(", "unimplemented!(", "#[allow("])
    });
}

#[test]
fn files_and_functions_can_be_read_at_a_sitting() {
    check("at most 500 lines a file and 100 columns, before its tests", |source| {
        let mut wrong = Vec::new();
        if !source.is_test() && source.program().count() > 500 {
            wrong.push(format!("{}: {} lines", source.path, source.program().count()));
        }
        let wide = source.text.lines().enumerate().filter(|(_, line)| line.chars().count() > 110);
        wrong.extend(wide.map(|(n, _)| format!("{}:{}: too wide", source.path, n + 1)));
        wrong
    });
    check("at most 70 lines a function", |source| {
        let mut wrong = Vec::new();
        if source.is_test() {
            // A test that is a table of cases is read by the row.
            return wrong;
        }
        let mut open: Option<(usize, String)> = None;
        for (n, line) in source.program() {
            let indent = line.len() - line.trim_start().len();
            let body = line.trim_start();
            let starts = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "pub const fn ",
                "const fn ",
            ];
            if open.is_none()
                && starts.iter().any(|start| body.starts_with(start))
                && !line.ends_with(';')
            {
                open = Some((n, format!("{}}}", " ".repeat(indent))));
            }
            if let Some((first, _)) = open.take_if(|(_, end)| line == end.as_str())
                && n - first > 70
            {
                wrong.push(format!("{}:{first}: {} lines", source.path, n - first));
            }
        }
        wrong
    });
}
