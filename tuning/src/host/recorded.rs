//! A machine's view kept in one text file: what was asked of it, and what it answered.
//!
//! Such a file can be read, mailed and edited. Each answer stands under a line that opens with `== `:
//!
//! ```text
//! == read /proc/sys/kernel/osrelease
//! 6.1.0-18-amd64
//! == list /sys/class/net
//! eth0
//! lo
//! == link /sys/class/net/eth0/device/driver
//! ../../../../bus/pci/drivers/ice
//! == ask ethtool -g eth0
//! Ring parameters for eth0:
//! == denied read /proc/1/ns/time
//! == missing ask nft list ruleset
//! nft
//! ```
//!
//! What a recording does not mention is absent.
//!
//! Must never: be mistaken for the machine itself: what is written stays in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Host, Unseen};
use crate::TuneError;

type Answer = Result<String, Unseen>;

/// A machine as it was when somebody recorded it.
#[derive(Clone, Debug, Default)]
pub struct RecordedHost {
    answers: RefCell<BTreeMap<String, Answer>>,
    commands: RefCell<Vec<String>>,
}

impl RecordedHost {
    /// Reads a recording; `name` is what an error calls it.
    ///
    /// # Errors
    /// A line before the first heading, or a heading of no known kind, with its place.
    pub fn parse(name: &str, text: &str) -> Result<Self, TuneError> {
        let wrong =
            |line: usize, cause| TuneError::Recording { name: name.to_owned(), line, cause };
        let mut answers = BTreeMap::new();
        let mut current: Option<(String, &str, String)> = None;
        for (number, line) in text.lines().enumerate() {
            if let Some(heading) = line.strip_prefix(HEADING) {
                answers.extend(current.take().map(finish));
                let (kind, question) = kind_of(heading)
                    .ok_or_else(|| wrong(number + 1, "a heading of no known kind"))?;
                current = Some((question.to_owned(), kind, String::new()));
            } else if let Some((_, _, body)) = &mut current {
                body.push_str(line);
                body.push('\n');
            } else if !line.is_empty() && !line.starts_with('#') {
                return Err(wrong(number + 1, "a line before the first heading"));
            }
        }
        answers.extend(current.map(finish));
        Ok(Self { answers: RefCell::new(answers), commands: RefCell::default() })
    }

    /// The commands that were to change something, in order.
    pub fn commands(&self) -> Vec<String> {
        self.commands.borrow().clone()
    }

    fn answer(&self, question: &str, what: &str) -> Answer {
        let known = self.answers.borrow().get(question).cloned();
        known.unwrap_or_else(|| Err(Unseen::Absent(what.to_owned())))
    }
}

impl Host for RecordedHost {
    fn read(&self, path: &str) -> Answer {
        self.answer(&format!("read {path}"), path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Unseen> {
        let names = self.answer(&format!("list {path}"), path)?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    fn link(&self, path: &str) -> Answer {
        self.answer(&format!("link {path}"), path)
    }

    fn ask(&self, command: &[&str]) -> Answer {
        let command = command.join(" ");
        self.answer(&format!("ask {command}"), &command)
    }

    fn write(&self, path: &str, value: &str) -> Result<(), Unseen> {
        self.read(path)?;
        self.answers.borrow_mut().insert(format!("read {path}"), Ok(value.to_owned()));
        Ok(())
    }

    fn run(&self, command: &[&str], _input: &str) -> Result<(), Unseen> {
        self.commands.borrow_mut().push(command.join(" "));
        Ok(())
    }
}

/// Passes every question on to a machine, and keeps the answers.
#[derive(Debug)]
pub struct Recorder<'a, H> {
    host: &'a H,
    answers: RefCell<BTreeMap<String, Answer>>,
}

impl<'a, H: Host> Recorder<'a, H> {
    /// A recorder of `host`.
    pub const fn new(host: &'a H) -> Self {
        Self { host, answers: RefCell::new(BTreeMap::new()) }
    }

    /// What was asked and answered so far, as a recording.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (question, answer) in self.answers.borrow().iter() {
            let (mark, body) = match answer {
                Ok(body) => ("", body.as_str()),
                // The default; kept out, so that a recording stays short.
                Err(Unseen::Absent(_)) => continue,
                Err(Unseen::Denied(what)) => ("denied ", what.as_str()),
                Err(Unseen::NotInstalled(what)) => ("missing ", what.as_str()),
                Err(Unseen::Failed(why)) => ("failed ", why.as_str()),
            };
            let _ = writeln!(text, "{HEADING}{mark}{question}\n{body}");
        }
        text
    }

    fn keep(&self, question: String, answer: &Answer) {
        self.answers.borrow_mut().insert(question, answer.clone());
    }
}

impl<H: Host> Host for Recorder<'_, H> {
    fn read(&self, path: &str) -> Answer {
        let answer = self.host.read(path);
        self.keep(format!("read {path}"), &answer);
        answer
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Unseen> {
        let answer = self.host.list(path);
        let text = answer.clone().map(|names| names.join("\n"));
        self.keep(format!("list {path}"), &text);
        answer
    }

    fn link(&self, path: &str) -> Answer {
        let answer = self.host.link(path);
        self.keep(format!("link {path}"), &answer);
        answer
    }

    fn ask(&self, command: &[&str]) -> Answer {
        let answer = self.host.ask(command);
        self.keep(format!("ask {}", command.join(" ")), &answer);
        answer
    }

    fn write(&self, path: &str, value: &str) -> Result<(), Unseen> {
        self.host.write(path, value)
    }

    fn run(&self, command: &[&str], input: &str) -> Result<(), Unseen> {
        self.host.run(command, input)
    }
}

/// `read PATH`, `list PATH`, `link PATH` or `ask COMMAND`, perhaps after a mark that it was not answered.
fn kind_of(heading: &str) -> Option<(&'static str, &str)> {
    let (mark, question) = MARKS
        .iter()
        .find_map(|mark| Some((*mark, heading.strip_prefix(mark)?.strip_prefix(' ')?)))
        .unwrap_or(("", heading));
    let known = ["read /", "list /", "link /", "ask "];
    known.iter().any(|kind| question.starts_with(kind)).then_some((mark, question))
}

fn finish((question, mark, body): (String, &str, String)) -> (String, Answer) {
    let body = body.trim().to_owned();
    let what = if body.is_empty() { question.clone() } else { body.clone() };
    let answer = match mark {
        "denied" => Err(Unseen::Denied(what)),
        "missing" => Err(Unseen::NotInstalled(what)),
        "failed" => Err(Unseen::Failed(what)),
        _ => Ok(body),
    };
    (question, answer)
}

const HEADING: &str = "== ";
const MARKS: [&str; 3] = ["denied", "missing", "failed"];

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDING: &str = "# a small machine\n\n== read /proc/sys/kernel/osrelease\n6.1.0\n\
        == list /sys/class/net\neth0\nlo\n== denied link /proc/1/ns/time\n/proc/1/ns/time\n\
        == missing ask nft list ruleset\nnft\n== failed ask ethtool -g eth0\nno such device\n";

    fn recorded() -> RecordedHost {
        RecordedHost::parse("a.host", RECORDING).unwrap()
    }

    #[test]
    fn a_recording_answers_as_the_machine_did() {
        let host = recorded();
        assert_eq!(host.read("/proc/sys/kernel/osrelease").unwrap(), "6.1.0");
        assert_eq!(host.list("/sys/class/net").unwrap(), ["eth0", "lo"]);
        let denied = Unseen::Denied("/proc/1/ns/time".into());
        assert_eq!(host.link("/proc/1/ns/time"), Err(denied));
        let missing = Unseen::NotInstalled("nft".into());
        assert_eq!(host.ask(&["nft", "list", "ruleset"]), Err(missing));
        assert_eq!(host.read("/proc/1"), Err(Unseen::Absent("/proc/1".into())));
    }

    #[test]
    fn a_recording_of_a_recording_is_the_same() {
        let host = recorded();
        let recorder = Recorder::new(&host);
        let _ = recorder.read("/proc/sys/kernel/osrelease");
        let _ = recorder.list("/sys/class/net");
        let _ = recorder.link("/proc/1/ns/time");
        let _ = recorder.ask(&["nft", "list", "ruleset"]);
        let _ = recorder.ask(&["ethtool", "-g", "eth0"]);
        let again = RecordedHost::parse("b.host", &recorder.text()).unwrap();
        assert_eq!(*again.answers.borrow(), *host.answers.borrow());
    }

    #[test]
    fn a_damaged_recording_is_refused_with_its_place() {
        let error = |text| RecordedHost::parse("a.host", text).unwrap_err().to_string();
        assert!(error("eth0\n").contains("a.host:1"), "{}", error("eth0\n"));
        assert!(error("# note\n== look /proc\n").contains("a.host:2"));
    }

    #[test]
    fn only_what_exists_can_be_written() {
        let host = recorded();
        host.write("/proc/sys/kernel/osrelease", "7").unwrap();
        assert_eq!(host.read("/proc/sys/kernel/osrelease").unwrap(), "7");
        assert!(host.write("/proc/sys/other", "7").is_err());
    }
}
