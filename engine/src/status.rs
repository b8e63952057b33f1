//! `timeball status`: what the server running here is doing.
//!
//! Must never: ask for more than the server's report, or change anything.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crate::control::ask;
use crate::output;
use crate::report::{Report, text};

/// Show what the server running here is doing.
///
/// Exit codes: 0 the server answered; 4 no server answered, with the reason on standard error.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Control socket of the server; the usual places are tried otherwise.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
    /// Show it anew each second, until interrupted or the server ends.
    #[arg(long)]
    watch: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    loop {
        match ask(args.socket.as_deref()) {
            Ok(report) if args.watch => {
                if show_again(args, &report).is_err() {
                    return ExitCode::SUCCESS;
                }
            }
            Ok(report) => {
                output::print(&shown(args, &report));
                return ExitCode::SUCCESS;
            }
            Err(error) => {
                output::complain(&format!("timeball status: {error}\n"));
                return ExitCode::from(EXIT_NO_SERVER);
            }
        }
        thread::sleep(Duration::from_secs(1));
    }
}

fn shown(args: &Args, report: &Report) -> String {
    if args.json {
        let line = if args.watch {
            serde_json::to_string(report)
        } else {
            serde_json::to_string_pretty(report)
        };
        return line.expect("plain values only") + "\n";
    }
    text(report)
}

/// Over the last one on a terminal, below it elsewhere; an error when nobody reads on.
fn show_again(args: &Args, report: &Report) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let text = shown(args, report);
    if stdout.is_terminal() && !args.json {
        // To the top left, each line cleared to its end, and what is left below it.
        let lines = text.replace('\n', "\x1b[K\n");
        write!(stdout, "\x1b[H{lines}\x1b[J")?;
    } else {
        write!(stdout, "{text}")?;
    }
    stdout.flush()
}

const EXIT_NO_SERVER: u8 = 4;
