//! The server at work: its parts, and what the main thread does while they work.
//!
//! Every part stands by itself and can be replaced while the others go on: `reload.rs` says how.
//!
//! Must never: read or write anything that a worker waits for.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use timeball_responder::Policy;
use timeball_wire::Keys;

use super::clockwork::{Clockwork, Timekeeper};
use super::desk::Desk;
use super::gatekeeper::Gatekeeper;
use super::lan::{Lan, LanSockets};
use super::listen::Listening;
use super::log::Log;
use super::premises::Premises;
use super::summons::{Call, Summons};
use super::watchdog::{Patient, Watchdog};
use super::workers::Workers;
use super::{EXIT_THREAD_LOST, StartError, tell_service_manager};
use crate::config::{KeyFile, Plan};
use crate::control::{Control, Demand, Operator};
use crate::given::Given;
use crate::report::{self, Board, Sandbox, Witness};
use crate::thread::Thread;

/// What the server goes by.
pub(super) struct Setting {
    /// Where the configuration is.
    pub(super) given: Given,
    /// What it says.
    pub(super) plan: Plan,
    /// The keys it names.
    pub(super) keys: KeyFile,
    /// How the process was confined when it started.
    pub(super) confined: Sandbox,
}

/// The parts.
pub(super) struct Running {
    pub(super) setting: Setting,
    pub(super) log: Log,
    /// The sockets, of which others have handles.
    pub(super) listening: Listening,
    pub(super) workers: Workers,
    pub(super) clockwork: Timekeeper,
    pub(super) lan: Option<Thread>,
    /// Where all of them get their policy.
    pub(super) desk: Arc<Desk>,
    pub(super) gatekeeper: Gatekeeper,
    pub(super) control: Operator,
    /// `None` if the system refused another thread for it.
    pub(super) watchdog: Option<Thread>,
    pub(super) witness: Witness,
    pub(super) summons: Summons,
}

impl Running {
    /// Starts every thread, and returns when all of them can do their work.
    ///
    /// # Errors
    /// The first [`StartError`]; the process is then to be ended.
    pub(super) fn start(
        begun: Instant,
        setting: Setting,
        log: Log,
        summons: Summons,
        premises: Premises,
    ) -> Result<Self, StartError> {
        let Premises { listening, lan, door, whereabouts, clock } = premises;
        let Setting { plan, keys, .. } = &setting;
        let board = Arc::new(Board::default());
        let clockwork = Clockwork::new(clock, plan, whereabouts, Arc::clone(&board))
            .map_err(StartError::system("cannot prepare the discipline thread"))?;
        let clock = clockwork.reader();
        let mut gatekeeper = Gatekeeper::new(&plan.access, &Gatekeeper::default());
        let access = gatekeeper.table(&board);
        let desk =
            Arc::new(Desk::new(Policy { access, keys: keys.keys.clone(), ..Policy::default() }));
        let shares = listening.shares().map_err(StartError::system("cannot share the sockets"))?;
        let workers = Workers::start(&plan.server, shares, &clock, &desk)?;
        let clockwork =
            clockwork.start().map_err(StartError::system("cannot start the discipline thread"))?;
        clockwork.count(workers.tallies());
        let lan = prepare_lan(plan, lan, &keys.keys, &desk, &clockwork)
            .and_then(|lan| lan.map(Lan::start).transpose())
            .map_err(StartError::system("cannot start the LAN thread"))?;
        gatekeeper
            .start(&desk, desk.edition(), &board)
            .map_err(StartError::system("cannot start the gatekeeper"))?;
        let witness = Witness {
            started: begun,
            listening: listening.names(),
            notes: listening.notes.clone(),
            carriers: workers.carriers().map(str::to_owned).collect(),
            sandbox: setting.confined.clone(),
            tallies: workers.tallies(),
            clock,
            board,
        };
        let demands = summons.demands();
        let control = listening
            .control_sockets()
            .and_then(|sockets| Control::new(witness.clone(), door, sockets, desk.join(), demands))
            .and_then(Control::start)
            .map_err(StartError::system("cannot start the control thread"))?;
        let watchdog = watch(&workers, &clockwork, &control, lan.as_ref(), &witness)
            .map_err(StartError::system("cannot start the watchdog"))?;
        let watchdog = Some(watchdog);
        Ok(Self {
            setting,
            log,
            listening,
            workers,
            clockwork,
            lan,
            desk,
            gatekeeper,
            control,
            watchdog,
            witness,
            summons,
        })
    }

    /// Does what it is called for until it is to end, and ends cleanly.
    pub(super) fn wait(mut self) -> ExitCode {
        loop {
            match self.summons.next() {
                Ok(Call::End) => break,
                Ok(Call::Report) => {
                    let report = self.witness.report();
                    eprint!("{}", report.as_ref().map(report::text).unwrap_or_default());
                }
                // What comes of it is in the log.
                Ok(Call::Reload) => drop(self.reload(false)),
                Ok(Call::Demand(Demand::Reload { ticket, dry_run })) => {
                    let outcome = self.reload(dry_run);
                    self.control.answer(ticket, outcome.map_err(|error| error.to_string()));
                }
                Err(error) => {
                    tracing::error!("main thread: {error}; ending");
                    std::process::exit(EXIT_THREAD_LOST);
                }
            }
        }
        self.finish()
    }

    fn finish(self) -> ExitCode {
        tell_service_manager(&[sd_notify::NotifyState::Stopping]);
        self.watchdog.into_iter().for_each(Thread::finish);
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

/// The LAN thread, if there is anything for it to do.
pub(super) fn prepare_lan(
    plan: &Plan,
    sockets: LanSockets,
    keys: &Keys,
    desk: &Desk,
    clockwork: &Timekeeper,
) -> io::Result<Option<Lan>> {
    if plan.lan.is_idle() {
        return Ok(None);
    }
    let (clock, ear) = (clockwork.reader(), clockwork.ear());
    Lan::new(&plan.lan, sockets, keys, clock, desk.join(), ear).map(Some)
}

/// Has a thread of its own see that all others go on.
pub(super) fn watch(
    workers: &Workers,
    clockwork: &Timekeeper,
    control: &Operator,
    lan: Option<&Thread>,
    witness: &Witness,
) -> io::Result<Thread> {
    let others = [clockwork.thread(), control.thread()].into_iter().chain(lan).map(Patient::of);
    Watchdog::start(workers.patients().chain(others), witness)
}
