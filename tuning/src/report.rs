//! Findings for people: one line each in order of effect, then what deserves a word.
//!
//! Must never: hide what could not be seen.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{Check, Finding, Scene, State};

/// What came of looking at a machine.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The network devices looked at.
    pub interfaces: Vec<String>,
    /// Cores of the workers.
    pub worker_cores: Vec<usize>,
    /// Whether timeball runs; its workers are assumed on all cores if not.
    pub timeball_runs: bool,
    /// Everything found, in order of effect.
    pub findings: Vec<Found>,
}

/// A finding and the check it is of.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The check's name.
    pub check: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// 5: all answers, or right ones; 1: a little.
    pub effect: u8,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Report {
    /// Looks at everything that `checks` look at.
    pub fn new(scene: &Scene<'_>, checks: &[&'static Check]) -> Self {
        let found = |check: &&'static Check| {
            let Check { name, title, effect, .. } = **check;
            let findings = check.look(scene).into_iter();
            findings.map(move |finding| Found { check: name, title, effect, finding })
        };
        Self {
            interfaces: scene.interfaces.clone(),
            worker_cores: scene.cores.clone(),
            timeball_runs: scene.worker_priority.is_some(),
            findings: checks.iter().flat_map(found).collect(),
        }
    }

    /// The worst that was found.
    pub fn worst(&self) -> State {
        self.findings.iter().map(|found| found.finding.state).max().unwrap_or(State::Good)
    }
}

/// `report` for people.
pub fn text(report: &Report) -> String {
    let mut text = heading(report);
    let title = |found: &Found| match &found.finding.subject {
        Some(subject) => format!("{}, {subject}", found.title),
        None => found.title.to_owned(),
    };
    let width = report.findings.iter().map(|found| title(found).chars().count()).max().unwrap_or(0);
    for found in &report.findings {
        let bar = "▮".repeat(usize::from(found.effect))
            + &"▯".repeat(usize::from(5 - found.effect.min(5)));
        let _ = writeln!(
            text,
            "  {} {bar} {:<width$}  {}",
            mark(found.finding.state),
            title(found),
            found.finding.found
        );
    }
    for found in &report.findings {
        let finding = &found.finding;
        if finding.why.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{} {}", mark(finding.state), title(found));
        let mut row = |name: &str, value: &str| {
            text.push_str(&wrapped(name, value));
        };
        row("is", &finding.found);
        row("should be", &finding.should);
        row("because", &finding.why);
        if !finding.changes.is_empty() {
            row("do", &format!("timeball-tune apply {}", found.check));
        }
        if let Some(what) = &finding.by_hand {
            row("by hand", what);
        }
    }
    text + &summary(report)
}

fn heading(report: &Report) -> String {
    let interfaces =
        if report.interfaces.is_empty() { "none".to_owned() } else { report.interfaces.join(", ") };
    let cores: Vec<_> = report.worker_cores.iter().map(usize::to_string).collect();
    let cores = cores.join(", ");
    let workers = if report.timeball_runs {
        format!("timeball runs, its workers on cores {cores}")
    } else {
        format!("timeball does not run; its workers are assumed on cores {cores}")
    };
    format!(
        "Network devices: {interfaces}; {workers}.\n\
         ✓ good  · not seen  ! could be better  ✗ harms clients     ▮▮▮▮▮ how much it can cost them\n\n"
    )
}

fn summary(report: &Report) -> String {
    let count = |state| report.findings.iter().filter(|found| found.finding.state == state).count();
    let (good, advice) = (count(State::Good), count(State::Advice));
    let (problems, unseen) = (count(State::Problem), count(State::Unseen));
    let mut text = format!(
        "\n{good} good, {advice} could be better, {problems} harm clients, {unseen} not seen.\n"
    );
    if report.findings.iter().any(|found| !found.finding.changes.is_empty()) {
        text.push_str(
            "`timeball-tune apply --dry-run` shows what can be changed from here, and `undo` \
        takes it back.\n",
        );
    }
    text
}

/// `value` beside `name`, in lines of at most a terminal's width.
fn wrapped(name: &str, value: &str) -> String {
    let mut text = format!("    {name:>9}  ");
    let mut column = 0;
    for word in value.split(' ') {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > WIDTH {
            text.push_str("\n               ");
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += len;
    }
    text.push('\n');
    text
}

const fn mark(state: State) -> char {
    match state {
        State::Good => '✓',
        State::Unseen => '·',
        State::Advice => '!',
        State::Problem => '✗',
    }
}

/// Columns of wrapped text.
const WIDTH: usize = 84;
