//! The cache lines that each of two workers read and wrote, from the trace that valgrind's lackey writes.
//!
//! Must never: leave an access out because it is not understood.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::valgrind::{REMEDY, valgrind};

/// Who touched a line, and who wrote it: a bit for each worker.
#[derive(Clone, Copy, Debug, Default)]
struct Touch {
    by: u8,
    written_by: u8,
}

/// What two workers did.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: HashMap<u64, Touch>,
    /// Loads and stores of each.
    accesses: [u64; 2],
}

/// Where marks are, and whose accesses are being read.
#[derive(Default)]
struct Place {
    marks: Option<(u64, u64)>,
    at_work: Option<usize>,
}

impl Trace {
    /// Has two workers traced that carry by `backend`, and have `together` in common.
    pub(crate) fn record(backend: &str, together: &str) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = valgrind()
            .args(["--tool=lackey", "--trace-mem=yes", "--"])
            .arg(own)
            .args(["run", backend, together])
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("valgrind: {error}; {REMEDY}"))?;
        let stderr = child.stderr.take().ok_or("no trace")?;
        let (mut trace, mut place, mut said) = (Self::default(), Place::default(), String::new());
        for line in BufReader::with_capacity(1 << 20, stderr).split(b'\n') {
            let line = line.map_err(|error| error.to_string())?;
            if !trace.read(&mut place, &line) && said.len() < SAID_MAX {
                said.push_str(&String::from_utf8_lossy(&line));
                said.push('\n');
            }
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        let complaint =
            said.lines().find(|line| line.contains("panicked") || line.contains("Error"));
        if status.success() { Ok(trace) } else { Err(complaint.unwrap_or(&said).to_owned()) }
    }

    /// Takes one line of the trace; false if it is none.
    fn read(&mut self, place: &mut Place, line: &[u8]) -> bool {
        let (kind, rest) = match line {
            [b'I', ..] => return true,
            [b' ', kind @ (b'L' | b'S' | b'M'), b' ', rest @ ..] => (*kind, rest),
            [b'm', b'a', b'r', b'k', b's', b' ', rest @ ..] => {
                place.marks = pair(rest, b' ');
                return true;
            }
            _ => return false,
        };
        let Some((address, len)) = pair(rest, b',') else { return false };
        let Some((marks, marks_len)) = place.marks else { return true };
        if (marks..marks + marks_len).contains(&address) {
            // Worker by worker: a mark where it begins, one where it ends.
            let mark = ((address - marks) / (marks_len / 4)) as usize;
            place.at_work = mark.is_multiple_of(2).then_some(mark / 2);
            return true;
        }
        let Some(worker) = place.at_work else { return true };
        self.accesses[worker] += 1;
        for number in address / LINE..=(address + len.max(1) - 1) / LINE {
            let touch = self.lines.entry(number).or_default();
            touch.by |= 1 << worker;
            touch.written_by |= u8::from(kind != b'L') << worker;
        }
        true
    }

    /// Whether both workers did what a worker does.
    pub(crate) fn is_sound(&self) -> bool {
        self.accesses.iter().all(|&accesses| accesses > ACCESSES_MIN)
    }

    /// Lines that one wrote and the other touched.
    pub(crate) fn shared(&self) -> usize {
        self.shared_lines().len()
    }

    /// Their addresses, in order.
    fn shared_lines(&self) -> Vec<u64> {
        let shared = self.lines.iter().filter(|(_, touch)| touch.by == 3 && touch.written_by != 0);
        let mut lines: Vec<u64> = shared.map(|(number, _)| number * LINE).collect();
        lines.sort_unstable();
        lines
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = self.lines.values().filter(|touch| touch.written_by != 0).count();
        let shared = self.shared_lines();
        write!(f, "{written:>9} {:>9} {:>8}", self.lines.len(), shared.len())?;
        shared.iter().take(8).try_for_each(|line| write!(f, " {line:#x}"))
    }
}

/// An address in hexadecimal, `separator`, and a length in octets.
fn pair(text: &[u8], separator: u8) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (address, number) = text.split_once(char::from(separator))?;
    let address = u64::from_str_radix(address.trim(), 16).ok()?;
    Some((address, number.trim().parse().ok()?))
}

/// Octets that cores hand to one another at once.
const LINE: u64 = 64;
/// A turn takes hundreds of them for each request.
const ACCESSES_MIN: u64 = 10_000;
/// What is kept of what is no trace.
const SAID_MAX: usize = 20_000;
