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
mod gatekeeper;
mod keeper;
mod kernel;
mod lan;
mod listen;
mod log;
mod memory;
mod plan;
mod resolver;
mod state_file;
mod watchdog;
mod whereabouts;
mod workers;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use timeball_discipline as discipline;
use timeball_responder::{Policy, PolicySender, policy_exchange};
use timeball_sys::{
    Capability, KernelClock, ListenError, PrivilegeError, ReadClock, SteerError, User,
    drop_privileges,
};
use timeball_wire::Keys;

use crate::config::{ConfigError, Machine, Plan, Steering};
use crate::control::{Control, Door, DoorError};
use crate::given::{Given, Loaded};
use crate::import::{Imported, Verdict};
use crate::report::{self, Board, Witness};
use crate::thread::Thread;
pub(crate) use almanac::{Age, load as load_leap_table};
use banner::Banner;
use clockwork::Clockwork;
use gatekeeper::{Gatekeeper, first_table};
use lan::{Lan, LanSockets};
use listen::Listening;
use log::Log;
use watchdog::{Patient, Watchdog};
use whereabouts::Whereabouts;
use workers::Workers;

/// Serve time.
///
/// Exit codes: 0 ended by SIGTERM or SIGINT; 1 the config is wrong; 2 it cannot be read; 3 an address cannot
/// be listened on; 4 something else needed at the start was refused; 70 a thread was lost.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    given: Given,
}

/// Runs the command: returns when told to end by a signal.
pub fn run(args: &Args) -> ExitCode {
    match Running::start(args) {
        Ok(running) => running.wait(),
        Err(error) => {
            eprintln!("timeball serve: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    #[error(transparent)]
    Steering(#[from] SteerError),
    #[error(transparent)]
    Door(#[from] DoorError),
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
            Self::Listen(_) => 3,
            _ => 4,
        }
    }

    fn system(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::System { step, cause }
    }
}

/// The server at work.
struct Running {
    workers: Workers,
    clockwork: Thread,
    lan: Option<Thread>,
    _gatekeeper: Option<Gatekeeper>,
    control: Thread,
    watchdog: Thread,
    witness: Witness,
    signals: Signals,
    log: Log,
}

impl Running {
    fn start(args: &Args) -> Result<Self, StartError> {
        let begun = Instant::now();
        // Caught from here on: a signal during the start ends the server as soon as it has started.
        let signals = Signals::new([SIGTERM, SIGINT, SIGUSR1])
            .map_err(StartError::system("cannot catch signals"))?;
        let loaded = args.given.load(&Machine::this())?;
        let plan = &loaded.plan;
        let mut log = Log::start(plan.log_level);
        loaded.imported.iter().for_each(log_import);
        let keys = load_keys(&loaded)?;
        let spread_key = getrandom::u32().map_err(io::Error::other);
        let spread_key = spread_key.map_err(StartError::system("no randomness"))?;
        let mut listening = Listening::open(&plan.server, spread_key)?;
        let clock = discipline_config(plan, &keys)?;
        let whereabouts = Whereabouts::new(listening.addresses());
        let lan = LanSockets::open(&plan.lan, &listening.addresses().collect::<Vec<_>>())?;
        let user = plan.server.user.as_deref().map(User::named).transpose()?;
        let door = open_door(plan, user.as_ref(), &mut listening.notes)?;
        drop_privileges(user.as_ref(), &needed_capabilities(plan))?;

        log.write().map_err(StartError::system("cannot start the thread that writes the log"))?;
        let banner = Banner::new(plan, &listening, door.as_ref().map(Door::path));
        let addresses = listening.names();
        let sockets = listening.control_sockets();
        let notes = std::mem::take(&mut listening.notes);
        let board = Arc::new(Board::default());
        let clockwork = Clockwork::new(clock, plan, whereabouts, Arc::clone(&board))
            .map_err(StartError::system("cannot prepare the discipline thread"))?;
        let policy = Arc::new(Policy { access: first_table(&plan.access), keys });
        // One for each worker, and one for the control thread, which answers queries.
        let (query_sender, query_policy) = policy_exchange(Arc::clone(&policy));
        let exchanges = (0..plan.server.workers()).map(|_| policy_exchange(Arc::clone(&policy)));
        let (mut senders, receivers): (Vec<_>, _) = exchanges.unzip();
        senders.push(query_sender);
        let lan = start_lan(plan, lan, &policy, &mut senders, &clockwork)
            .map_err(StartError::system("cannot start the LAN thread"))?;
        let workers =
            Workers::start(&plan.server, listening.sockets(), clockwork.publisher(), receivers)?;
        let _gatekeeper = Gatekeeper::start(&plan.access, &policy, senders, Arc::clone(&board))
            .map_err(StartError::system("cannot start the gatekeeper"))?;
        let witness = Witness {
            started: begun,
            listening: addresses,
            notes,
            carriers: workers.carriers().map(str::to_owned).collect(),
            names: plan.source_names(),
            counters: workers.counters(),
            clock: clockwork.publisher().reader(),
            board,
        };
        clockwork.count(&witness.counters);
        let clockwork =
            clockwork.start().map_err(StartError::system("cannot start the discipline thread"))?;
        let control = Control::new(witness.clone(), door, sockets, query_policy)
            .and_then(Control::start)
            .map_err(StartError::system("cannot start the control thread"))?;
        let others = [&clockwork, &control].into_iter().chain(&lan).map(Patient::of);
        let watchdog = Watchdog::start(workers.patients().chain(others), &witness)
            .map_err(StartError::system("cannot start the watchdog"))?;
        // The threads have what they need; this one needs nothing more.
        drop_privileges(None, &[])?;
        banner.print(workers.carriers(), begun.elapsed());
        tell_service_manager(&[sd_notify::NotifyState::Ready]);
        Ok(Self { workers, clockwork, lan, _gatekeeper, control, watchdog, witness, signals, log })
    }

    /// Waits for the signal to end, and ends cleanly.
    fn wait(mut self) -> ExitCode {
        for signal in self.signals.forever() {
            if signal == SIGUSR1 {
                let report = self.witness.report();
                eprint!("{}", report.as_ref().map(report::text).unwrap_or_default());
                continue;
            }
            break;
        }
        tell_service_manager(&[sd_notify::NotifyState::Stopping]);
        self.watchdog.finish();
        self.control.finish();
        self.lan.into_iter().for_each(Thread::finish);
        // Workers before the discipline: their last answers still come from a living snapshot.
        let totals = self.workers.finish();
        self.clockwork.finish();
        let work: Vec<_> = totals.iter().map(report::work).collect();
        eprint!("{}", report::workers_text(&work));
        drop(self.log);
        ExitCode::SUCCESS
    }
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

/// The LAN thread, if there is anything for it to do.
fn start_lan(
    plan: &Plan,
    sockets: LanSockets,
    policy: &Arc<Policy>,
    senders: &mut Vec<PolicySender>,
    clockwork: &Clockwork,
) -> io::Result<Option<Thread>> {
    if plan.lan.is_idle() {
        return Ok(None);
    }
    let (sender, receiver) = policy_exchange(Arc::clone(policy));
    senders.push(sender);
    let clock = clockwork.publisher().reader();
    let lan = Lan::new(&plan.lan, sockets, &policy.keys, clock, receiver, clockwork.ear())?;
    lan.start().map(Some)
}

/// The control socket: where it was asked for, or wherever there can be one.
fn open_door(
    plan: &Plan,
    user: Option<&User>,
    notes: &mut Vec<String>,
) -> Result<Option<Door>, DoorError> {
    if let Some(path) = &plan.control.socket {
        return Door::open(path, user).map(Some);
    }
    Ok(Door::open_usual(user)
        .inspect_err(|error| notes.push(format!("no `timeball status` here: {error}")))
        .ok())
}

/// The keys of the plan; what could be better about their file is said in the log.
fn load_keys(loaded: &Loaded) -> Result<Keys, ConfigError> {
    let found = loaded.keys()?;
    if let Some(settings) = &loaded.plan.keys {
        for warning in &found.warnings {
            tracing::warn!("{}:{warning}", settings.file.display());
        }
    }
    Ok(found.keys)
}

/// What the discipline is told of the plan.
fn discipline_config(plan: &Plan, keys: &Keys) -> Result<discipline::Config, StartError> {
    let steering = match plan.clock.steering {
        Steering::Virtual => discipline::Steering::Virtual,
        Steering::Kernel => {
            let able = caps::has_cap(None, caps::CapSet::Effective, Capability::CAP_SYS_TIME);
            if !able.unwrap_or(false) {
                return Err(SteerError::MissingCapability.into());
            }
            discipline::Steering::Kernel { frequency: KernelClock::new().state()?.frequency }
        }
    };
    Ok(plan.discipline(steering, keys))
}

/// What the threads still have to do that needs a privilege; each of them drops the rest.
fn needed_capabilities(plan: &Plan) -> Vec<Capability> {
    let steering = plan.clock.steering == Steering::Kernel;
    let priority = plan.server.worker_priority.is_some();
    let time = steering.then_some(Capability::CAP_SYS_TIME);
    time.into_iter().chain(priority.then_some(Capability::CAP_SYS_NICE)).collect()
}

/// Tells systemd, if it started us; anything else is no reason to fail.
fn tell_service_manager(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("sd_notify: {error}");
    }
}

/// Exit code when a worker or the discipline thread cannot go on.
const EXIT_THREAD_LOST: i32 = 70;
