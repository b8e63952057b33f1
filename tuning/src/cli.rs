//! The command line.
//!
//! Must never: change anything in `check`, `record` or a dry run.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{
    Applied, Change, Host, Journal, LiveHost, RecordedHost, Recorder, Report, Scene, State,
    TuneError, Unseen, apply, look, text, undo,
};

/// Looks at a host that is to serve time: what costs its clients most, why, and how to mend it.
#[derive(Debug, clap::Parser)]
#[command(name = "timeball-tune", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Look at this machine, in order of what it costs clients; changes nothing.
    Check(CheckArgs),
    /// Change what is asked for by the names of its checks, and keep a journal.
    Apply(ApplyArgs),
    /// Take back everything in the journal, the latest first.
    Undo(UndoArgs),
    /// Write all that the checks see into one text file, to be looked at elsewhere with `check --recorded`.
    ///
    /// It holds the names of this machine's processes, network devices and firewall rules.
    Record {
        /// The file to write.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, clap::Args)]
struct Target {
    /// Network device to look at; may be given several times [default: those with hardware behind them]
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Names of checks [default: all]
    checks: Vec<String>,
    #[command(flatten)]
    target: Target,
    /// Look at another machine, as `record` wrote it down
    #[arg(long, value_name = "FILE")]
    recorded: Option<PathBuf>,
    /// Print JSON for programs instead of text for people
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ApplyArgs {
    /// Names of checks, whose changes are made
    #[arg(required_unless_present = "dry_run")]
    checks: Vec<String>,
    #[command(flatten)]
    target: Target,
    /// Say what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Where to note how to undo it
    #[arg(long, value_name = "FILE", default_value = JOURNAL)]
    journal: PathBuf,
}

#[derive(Debug, clap::Args)]
struct UndoArgs {
    /// Say what would be taken back, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take back even what somebody else has changed since
    #[arg(long)]
    force: bool,
    /// Where it was noted
    #[arg(long, value_name = "FILE", default_value = JOURNAL)]
    journal: PathBuf,
}

impl Cli {
    /// Runs the command given; the exit codes are told by `--help`.
    pub fn run(&self) -> ExitCode {
        let done = match &self.command {
            Command::Check(args) => check(args),
            Command::Apply(args) => change(args),
            Command::Undo(args) => take_back(args),
            Command::Record { file, target } => record(file, target),
        };
        done.unwrap_or_else(|error| {
            eprintln!("timeball-tune: {error}");
            ExitCode::from(match error {
                TuneError::UnknownCheck { .. } | TuneError::UnknownInterface { .. } => WRONG_USAGE,
                _ => FAILED,
            })
        })
    }
}

fn check(args: &CheckArgs) -> Result<ExitCode, TuneError> {
    let checks = look(&args.checks)?;
    let recorded = args.recorded.as_deref().map(read_recording).transpose()?;
    let host: &dyn Host = recorded.as_ref().map_or(&LiveHost, |recorded| recorded as &dyn Host);
    let report = Report::new(&Scene::new(host, &args.target.interfaces)?, &checks);
    if args.json {
        let json = serde_json::to_string_pretty(&report).expect("a report is plain data");
        print(&format!("{json}\n"));
    } else {
        print(&text(&report));
    }
    Ok(match report.worst() {
        State::Good | State::Unseen => ExitCode::SUCCESS,
        State::Advice => ExitCode::from(ADVICE),
        State::Problem => ExitCode::from(PROBLEM),
    })
}

fn change(args: &ApplyArgs) -> Result<ExitCode, TuneError> {
    let checks = look(&args.checks)?;
    let scene = Scene::new(&LiveHost, &args.target.interfaces)?;
    let mut journal = Journal::open(&args.journal)?;
    let mut asked = 0;
    for found in Report::new(&scene, &checks).findings {
        for change in &found.finding.changes {
            asked += 1;
            if args.dry_run {
                would(change);
            } else {
                tell(&change.setting.to_string(), &apply(&LiveHost, &mut journal, change)?);
            }
        }
        if let (Some(what), false) = (&found.finding.by_hand, args.checks.is_empty()) {
            print(&format!("by hand: {what}\n"));
        }
    }
    if asked == 0 {
        print(
            "Nothing to change: all is as it should be, or can only be changed by hand (see check).\n",
        );
    } else if args.dry_run {
        print("Nothing was changed.\n");
    } else {
        print(&format!("`timeball-tune undo` takes it back ({}).\n", args.journal.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn would(change: &Change) {
    let line = match change.setting.read(&LiveHost) {
        Ok(now) if now == change.value => format!("{} is {now} already", change.setting),
        Ok(now) => format!("{} from {now} to {}", change.setting, change.value),
        Err(Unseen::Absent(_)) => {
            format!("{} to {}, once they are there", change.setting, change.value)
        }
        Err(why) => format!("{} to {}, but could not: {why}", change.setting, change.value),
    };
    print(&format!("would set {line}\n"));
}

fn take_back(args: &UndoArgs) -> Result<ExitCode, TuneError> {
    let mut journal = Journal::open(&args.journal)?;
    if journal.entries().is_empty() {
        print(&format!("Nothing to undo: {} has no entries.\n", args.journal.display()));
    }
    if args.dry_run {
        for entry in journal.entries().iter().rev() {
            print(&format!(
                "would set {} from {} back to {}\n",
                entry.setting, entry.set, entry.was
            ));
        }
        return Ok(ExitCode::SUCCESS);
    }
    while let Some((entry, applied)) = undo(&LiveHost, &mut journal, args.force)? {
        tell(&entry.setting.to_string(), &applied);
    }
    Ok(ExitCode::SUCCESS)
}

fn record(file: &Path, target: &Target) -> Result<ExitCode, TuneError> {
    let recorder = Recorder::new(&LiveHost);
    let scene = Scene::new(&recorder, &target.interfaces)?;
    let report = Report::new(&scene, &look(&[])?);
    let header = "# What `timeball-tune record` saw; look at it with `timeball-tune check --recorded \
    FILE`.\n";
    fs::write(file, format!("{header}{}", recorder.text()))
        .map_err(|source| TuneError::File { path: file.to_owned(), source })?;
    print(&format!(
        "{} findings' worth of this machine is in {}\n",
        report.findings.len(),
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn read_recording(file: &Path) -> Result<RecordedHost, TuneError> {
    let text = fs::read_to_string(file)
        .map_err(|source| TuneError::File { path: file.to_owned(), source })?;
    RecordedHost::parse(&file.display().to_string(), &text)
}

fn tell(setting: &str, applied: &Applied) {
    print(&match applied {
        Applied::Already => format!("{setting} is so already\n"),
        Applied::Gone => format!("{setting}: gone, and with it what was set\n"),
        Applied::Set { was, set } => format!("{setting} set from {was} to {set}\n"),
    });
}

/// Nobody reading on is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Gone at the next start of the machine, like the changes it tells of.
const JOURNAL: &str = "/run/timeball-tune.journal";
const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const ADVICE: u8 = 10;
const PROBLEM: u8 = 11;
const EXIT_CODES: &str = "\
Exit codes:
    0  done; for check: nothing to mend in what could be seen
    1  something failed; stderr says what, and what to do
    2  wrong usage, no check or network device of that name
   10  check: something could be better
   11  check: something harms clients";
