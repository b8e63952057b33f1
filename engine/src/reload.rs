//! `timeball reload`: has the server that runs here read its configuration again.
//!
//! Must never: say that something is in force which is not.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::control::{AskError, Reloaded, ask_reload};
use crate::output;

/// Have the server running here read its configuration again.
///
/// Exit codes: 0 the configuration is in force, or would be; 1 it is not, and the server goes on with the
/// one it had: the reason is on standard error; 3 it is in force but for settings that need a restart; 4
/// no server answered.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Control socket of the server; the usual places are tried otherwise.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match ask_reload(args.socket.as_deref(), args.dry_run) {
        Ok(reloaded) if args.json => {
            let json = serde_json::to_string_pretty(&reloaded).expect("plain values only");
            output::print(&(json + "\n"));
            exit_code(&reloaded)
        }
        Ok(reloaded) => {
            output::print(&text(&reloaded));
            exit_code(&reloaded)
        }
        Err(AskError::Said(error)) => {
            output::complain(&format!("{error}\ntimeball reload: nothing has changed\n"));
            ExitCode::from(EXIT_REFUSED)
        }
        Err(error) => {
            output::complain(&format!("timeball reload: {error}\n"));
            ExitCode::from(EXIT_NO_SERVER)
        }
    }
}

fn exit_code(reloaded: &Reloaded) -> ExitCode {
    if reloaded.kept.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_KEPT) }
}

fn text(reloaded: &Reloaded) -> String {
    let Reloaded { applied, differences, kept, notes } = reloaded;
    let mut text = String::new();
    // Writing to a String cannot fail.
    for difference in differences {
        let _ = writeln!(text, "{difference}");
    }
    for difference in kept {
        let _ = writeln!(text, "{difference}, needs a restart: `timeball serve --take-over`");
    }
    for note in notes {
        let _ = writeln!(text, "note: {note}");
    }
    let count = match differences.len() {
        0 => "no change".to_owned(),
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    };
    let _ = match (*applied, kept.is_empty()) {
        (true, true) => writeln!(text, "{count}, in force"),
        (true, false) => writeln!(text, "{count}, in force; the rest stays as it was"),
        (false, _) => writeln!(text, "{count}, nothing done"),
    };
    text
}

const EXIT_REFUSED: u8 = 1;
const EXIT_KEPT: u8 = 3;
const EXIT_NO_SERVER: u8 = 4;
