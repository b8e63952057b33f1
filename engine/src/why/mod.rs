//! `timeball why`: why is this server serving the time, or why not, and what do its clients make of it?
//!
//! The first question of everybody whose clients say *no server suitable for synchronization found*. All is
//! concluded from the server's [`Report`]: what holds it up is in `gates`, the rules of known clients
//! are in `judges`.
//!
//! Must never: guess; what the report does not say is not said here.

mod gates;
mod judges;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::control::ask;
use crate::output;
use crate::report::Report;

pub(crate) use gates::reasons;

/// Say why the server running here is serving the time, or why not.
///
/// Exit codes: 0 it is serving; 1 it is not; 4 no server answered, with the reason on standard error.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Control socket of the server; the usual places are tried otherwise.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let report = match ask(args.socket.as_deref()) {
        Ok(report) => report,
        Err(error) => {
            output::complain(&format!("timeball why: {error}\n"));
            return ExitCode::from(EXIT_NO_SERVER);
        }
    };
    let explanation = Explanation::of(&report);
    output::print(&if args.json {
        serde_json::to_string_pretty(&explanation).expect("plain values only") + "\n"
    } else {
        explanation.text()
    });
    if explanation.serving { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_SERVING) }
}

/// The answer.
#[derive(Debug, Serialize)]
struct Explanation {
    /// Whether a client may believe what it is told now.
    serving: bool,
    /// In one line.
    state: String,
    /// What it rests on, or what is in the way; the first is the one that decides.
    reasons: Vec<String>,
    /// What else an operator should know.
    notes: Vec<String>,
    /// What clients conclude that ask now.
    clients: Vec<judges::Verdict>,
}

impl Explanation {
    fn of(report: &Report) -> Self {
        let header = &report.header;
        let state = if report.is_serving() {
            format!(
                "serving at stratum {} from {}, right within {:.6} s",
                header.stratum, header.reference_id, header.root_distance_s
            )
        } else {
            format!("not serving: it says leap 3, stratum 0, {}", header.reference_id)
        };
        let stuck = report.stuck.iter().map(|name| format!("{name} is stuck: restart the server"));
        Self {
            serving: report.is_serving(),
            state,
            reasons: reasons(report),
            notes: stuck.chain(report.notes.iter().cloned()).collect(),
            clients: judges::verdicts(header),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.state);
        for reason in &self.reasons {
            text += &format!("  because {reason}\n");
        }
        for note in &self.notes {
            text += &format!("  note: {note}\n");
        }
        text += "a client that asks now:\n";
        for verdict in &self.clients {
            let mark = if verdict.accepts { "takes it" } else { "refuses" };
            text += &format!("  {:18} {mark}: {}\n", verdict.client, verdict.says);
        }
        text
    }
}

const EXIT_NOT_SERVING: u8 = 1;
const EXIT_NO_SERVER: u8 = 4;
