//! What a reader is told to type is typed here, and what the book says comes of it comes of it.
//!
//! Must never: pass over a command that could be run.

use std::process::{Command, Stdio};

use super::common::{Daemon, text};
use super::host::{Machine, program};
use super::page::{Block, Page, book, others};

/// The programs of this project that readers are told to run.
pub(crate) const PROGRAMS: [&str; 5] =
    ["timeball", "timeball-load", "timeball-tune", "timeball-bench", "timeball-sim"];

/// Runs what a page shows, in its order, and collects what is not as it says.
fn follow(page: &Page) -> Vec<String> {
    let machine = Machine::new();
    let (mut running, mut said, mut wrong) = (None::<Daemon>, String::new(), Vec::new());
    for block in page.blocks() {
        let at = format!("{}:{}", page.path, block.line);
        if let Some(path) = block.file() {
            machine.put(path, &block.text);
        } else if block.is("stays") {
            if let Some(before) = running.take() {
                before.signal("TERM");
                before.finish();
            }
            let mut daemon = Daemon::start(machine.shell(&format!("exec {}", block.text)));
            let stays = daemon.is_up();
            said = daemon.so_far().join("\n");
            if !stays {
                // Whatever follows would wait for it.
                return [wrong, vec![format!("{at}: it does not stay:\n{said}")]].concat();
            }
            running = Some(daemon);
        } else if is_run(&block) {
            let output = machine.shell(&block.text).stdin(Stdio::null()).output().unwrap();
            said = text(&output);
            let expected = i32::from(block.is("exit-1")) + 3 * i32::from(block.is("exit-3"));
            if output.status.code() != Some(expected) {
                wrong.push(format!("{at}: {} instead of {expected}:\n{said}", output.status));
            }
        } else if block.is("said")
            && let Some(line) = first_unsaid(&block.text, &said)
        {
            wrong.push(format!("{at}: nothing said {line:?}, but this:\n{said}"));
        }
    }
    wrong
}

fn is_run(block: &Block) -> bool {
    block.is("sh") && !block.is("host") && !block.is("long")
}

/// The first line of `shown` that is not in `said` behind the lines before it. `…` stands for anything.
fn first_unsaid<'s>(shown: &'s str, said: &str) -> Option<&'s str> {
    let mut lines = said.lines().map(shape);
    let mut shown = shown.lines().filter(|line| !line.trim().is_empty() && line.trim() != "…");
    shown.find(|line| !lines.any(|said| said == shape(line)))
}

/// A line without what differs from run to run: figures, their units and signs, and how far apart words are.
fn shape(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let word = match word {
            _ if word.contains(|letter: char| letter.is_ascii_digit()) => "#",
            "ns" | "µs" | "ms" | "s" => "s",
            "+" | "*" | "-" => "+",
            "fast" | "slow" => "fast",
            word => word,
        };
        if !(word == "#" && words.last() == Some(&"#")) {
            words.push(word);
        }
    }
    words.join(" ")
}

#[test]
fn what_readers_are_told_to_type_does_what_they_are_told() {
    let pages = book();
    let pages: Vec<_> = pages.iter().filter(|page| page.blocks().iter().any(is_run)).collect();
    let wrong: Vec<_> = std::thread::scope(|scope| {
        let following: Vec<_> = pages.iter().map(|page| scope.spawn(|| follow(page))).collect();
        following.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pages.len() >= 6, "pages with commands: {}", pages.len());
}

#[test]
fn what_is_too_long_to_be_run_is_at_least_what_the_programs_take() {
    let mut looked_at = 0;
    for page in book().iter().chain(&others()) {
        let readme = !page.path.starts_with("docs/");
        for block in page.blocks() {
            if !block.is("sh") || is_run(&block) && !readme {
                continue;
            }
            for line in block.text.replace("\\\n", " ").lines() {
                let Some((name, arguments)) = ours(line) else { continue };
                let mut command = Command::new(program(name));
                // Everything before it is read first, and refused if it is not known.
                let output = command.args(arguments).arg("--help").output().unwrap();
                let at = format!("{}:{}", page.path, block.line);
                assert!(output.status.success(), "{at}: {line}\n{}", text(&output));
                looked_at += 1;
            }
        }
    }
    assert!(looked_at >= 50, "{looked_at} commands");
}

/// The program of ours that `line` runs, and with what; by cargo or by itself.
fn ours(line: &str) -> Option<(&'static str, Vec<String>)> {
    let plain = line.split(" #").next()?.split([';', '|', '>']).next()?;
    let mut words: Vec<_> = plain.split_whitespace().map(|word| word.trim_matches('"')).collect();
    if words.first() == Some(&"cargo") && words.get(1) == Some(&"run") {
        let package = words.iter().position(|word| *word == "-p").map(|at| words[at + 1]);
        let behind = words.iter().position(|word| *word == "--").map_or(words.len(), |at| at + 1);
        words =
            [package.unwrap_or("timeball")].into_iter().chain(words.split_off(behind)).collect();
    }
    let name = words.first()?.rsplit('/').next()?;
    let name = PROGRAMS.into_iter().find(|program| *program == name)?;
    Some((name, words[1..].iter().map(|word| (*word).to_owned()).collect()))
}

#[test]
fn every_configuration_is_accepted() {
    let machine = Machine::new();
    let mut looked_at = 0;
    for page in book().iter().chain(&others()) {
        for block in page.blocks().into_iter().filter(|block| block.is("toml")) {
            // Keys have a file, as the book's own example makes it.
            machine.put("/etc/timeball/keys", "7 AES128 000102030405060708090a0b0c0d0e0f\n");
            machine.put("/etc/timeball/looked-at.toml", &block.text);
            let output =
                machine.shell("timeball check /etc/timeball/looked-at.toml").output().unwrap();
            assert!(output.status.success(), "{}:{}: {}", page.path, block.line, text(&output));
            looked_at += 1;
        }
    }
    assert!(looked_at >= 8, "{looked_at} configurations");
}
