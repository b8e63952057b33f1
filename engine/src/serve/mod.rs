//! `timeball serve`: the server itself, from the config file to the last answer.
//!
//! The order of starting is the order of what can fail, and each step ends with everything it needs in
//! hand: config → sockets → privileges → threads → ready. Nothing is half started: an error at any step ends
//! the process before the next, with cause and remedy on one line.
//!
//! Must never: say it is ready before every worker can answer, or leave a socket open without a worker.

mod almanac;
mod banner;
mod clockwork;
mod cores;
mod desk;
mod fast_path;
mod fixed;
mod flood;
mod gatekeeper;
mod handover;
mod keeper;
mod kernel;
mod lan;
mod listen;
mod log;
mod manager;
mod memory;
mod pilot;
mod plan;
mod premises;
mod reload;
mod resolver;
mod running;
mod sandbox;
mod shortage;
mod state_file;
mod summons;
mod watchdog;
mod whereabouts;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use timeball_sys::sandbox::SandboxError;
use timeball_sys::{
    ListenError, PrivilegeError, SteerError, drop_privileges, passed, raise_open_files,
};

use crate::config::{ConfigError, KeyFile, Machine, Plan};
use crate::control::{Door, DoorError};
use crate::given::Given;
use crate::import::{Imported, Verdict};
use crate::metrics::MetricsError;
pub(crate) use almanac::{Age, load as load_leap_table};
use banner::Banner;
pub(crate) use fast_path::notes as fast_path_notes;
use handover::{Succession, kept};
use log::Log;
use premises::Premises;
use running::{Running, Setting};
use summons::Summons;

/// Serve time. Without a config: port 123 if allowed, else 11123, from this machine's own clock.
///
/// Exit codes: 0 ended by SIGTERM or SIGINT; 1 the config is wrong; 2 it cannot be read; 3 an address cannot
/// be listened on; 4 something else needed at the start was refused; 70 a thread was lost.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    given: Given,

    /// Take the place of the server that runs here: its sockets and its time, without losing a request.
    #[arg(long)]
    take_over: bool,
}

/// Runs the command: returns when told to end by a signal.
pub fn run(args: &Args) -> ExitCode {
    match start(args) {
        Ok(running) => running.wait(),
        Err(error) => {
            eprintln!("timeball serve: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Why the server did not start, or goes on with the configuration it has.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(
        "not permitted to listen on {0}: the right to ports below 1024 (CAP_NET_BIND_SERVICE) was given up \
         once the server ran; hand over to a new process, which loses no request: timeball serve --take-over"
    )]
    GivenUp(SocketAddr),
    #[error(
        "{path} is out of reach: the server was confined at its start to what was configured then; \
         hand over to a new process, which loses no request: timeball serve --take-over"
    )]
    OutOfReach {
        /// What was configured since.
        path: PathBuf,
    },
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Steering(#[from] SteerError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error(
        "{0} cannot be opened beside the sockets for broadcasts, which have its port: restart the server"
    )]
    BesideBroadcasts(SocketAddr),
    #[error(
        "file descriptor {number} ({name}), passed on by the service manager, cannot be served from: \
         {fault}; let its socket unit and the configuration agree"
    )]
    Passed { number: i32, name: String, fault: String },
    #[error("cannot take over: {0}")]
    TakeOver(String),
    #[error("a new process is taking over: it reads the configuration")]
    BeingTakenOver,
    #[error(transparent)]
    Worker(#[from] workers::StartError),
    #[error("{step}: {cause}")]
    System { step: &'static str, cause: io::Error },
}

impl StartError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(ConfigError::Wrong(_) | ConfigError::Imported(_)) => 1,
            Self::Config(ConfigError::Unreadable { .. }) => 2,
            Self::Listen(_) | Self::GivenUp(_) | Self::Passed { .. } | Self::Metrics(_) => 3,
            _ => 4,
        }
    }

    fn system(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::System { step, cause }
    }
}

/// Starts the server: returns when it can answer.
fn start(args: &Args) -> Result<Running, StartError> {
    let begun = Instant::now();
    // First: what was passed on is known by the numbers of its descriptors.
    let passed = passed().map_err(StartError::system("what LISTEN_FDS promises"))?;
    raise_open_files().map_err(StartError::system("cannot raise the limit of open files"))?;
    // From here on a signal waits until the server has started.
    let summons = Summons::new().map_err(StartError::system("cannot catch signals"))?;
    let loaded = args.given.load(&Machine::this())?;
    let mut log = Log::start(loaded.plan.log_level);
    loaded.imported.iter().for_each(log_import);
    let keys = loaded.keys()?;
    log_key_warnings(&loaded.plan, &keys);
    let socket = loaded.plan.control.socket.as_deref();
    let predecessor = args.take_over.then(|| Succession::begin(socket)).transpose()?;
    let (succession, inheritance) = predecessor.unzip();
    let mut premises = Premises::open(&loaded.plan, &keys, passed, inheritance)?;
    let door = premises.door.as_ref().map(Door::path);
    let confined = sandbox::enter(&loaded, door)?;
    log.write().map_err(StartError::system("cannot start the thread that writes the log"))?;
    let page = premises.page.take();
    let (driver, exits) = (premises.fast_path.driver(), premises.exits.is_some());
    let listening = &premises.listening;
    let banner =
        Banner::new(&loaded.plan, listening, door, &confined, page.as_ref(), driver, exits);
    let legacy = succession.as_ref().map(Succession::legacy).transpose()?;
    let (given, inherited) = (args.given.clone(), premises.has_door);
    let before = premises.inherited.clone();
    let setting = Setting { given, plan: loaded.plan, keys, confined };
    let mut running = Running::start(begun, setting, log, summons, premises, legacy.as_ref())?;
    if let Some(succession) = succession {
        match succession.ready(inherited) {
            Ok(parting) => running.come_into_all(parting, page),
            Err(error) => {
                running.give_up(inherited);
                return Err(error);
            }
        }
    } else {
        running.go_public(page)?;
    }
    // The threads have what they need; this one needs nothing more.
    drop_privileges(None, &[])?;
    banner.print(running.workers.carriers(), begun.elapsed());
    kept::keep(&running.listening, &before);
    manager::tell(&[sd_notify::NotifyState::Ready]);
    Ok(running)
}

/// Says what became of each line that is not honoured as it was written.
fn log_import(imported: &Imported) {
    for finding in imported.of(Verdict::Changed) {
        tracing::info!("{finding}");
    }
    for finding in imported.of(Verdict::Refused) {
        tracing::warn!("{finding}");
    }
    for remark in &imported.remarks {
        tracing::warn!("{remark}");
    }
}

/// Says what could be better about the key file.
fn log_key_warnings(plan: &Plan, keys: &KeyFile) {
    if let Some(settings) = &plan.keys {
        for warning in &keys.warnings {
            tracing::warn!("{}:{warning}", settings.file.display());
        }
    }
}

/// Exit code when a worker or the discipline thread cannot go on.
const EXIT_THREAD_LOST: i32 = 70;
