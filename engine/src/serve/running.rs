//! The server at work: its parts, and what the main thread does while they work.
//!
//! Every part stands by itself and can be replaced while the others go on: `reload.rs` says how.
//!
//! Must never: read or write anything that a worker waits for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use timeball_discipline::Legacy;
use timeball_responder::{Access, Limits, Policy, Totals};
use timeball_sys::{Exits, realtime};
use timeball_time::{Interval, Reader};
use timeball_wire::Keys;

use super::clockwork::{Clockwork, Timekeeper};
use super::cores::Cores;
use super::desk::Desk;
use super::fast_path::Steward;
use super::flood::FloodWatch;
use super::gatekeeper::Gatekeeper;
use super::handover::{Account, Giving, Parting, Word};
use super::lan::{Lan, LanSockets};
use super::listen::Listening;
use super::log::Log;
use super::pilot;
use super::premises::{Premises, discipline_config};
use super::summons::{Call, Summons};
use super::watchdog::{Patient, Watchdog};
use super::workers::Workers;
use super::{EXIT_THREAD_LOST, StartError, manager};
use crate::config::{KeyFile, Plan};
use crate::control::{Control, Demand, Door, Operator};
use crate::given::Given;
use crate::metrics::{MetricsPage, MetricsSockets};
use crate::report::{self, Board, Censuses, Driver, Sandbox, Tally, Witness};
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
    /// What the process may use, as workers go by it; and as it was seen last.
    pub(super) cores: Cores,
    pub(super) cores_seen: Cores,
    pub(super) clockwork: Timekeeper,
    pub(super) lan: Option<Thread>,
    pub(super) fast_path: Steward,
    /// Where all of them get their policy.
    pub(super) desk: Arc<Desk>,
    pub(super) gatekeeper: Gatekeeper,
    pub(super) control: Operator,
    pub(super) page: Option<MetricsPage>,
    /// What replies leave by besides their sockets, and the thread that knows the ways.
    pub(super) exits: Option<Exits>,
    pub(super) pilot: Option<Thread>,
    /// `None` if the system refused another thread for it.
    pub(super) watchdog: Option<Thread>,
    pub(super) witness: Witness,
    pub(super) summons: Summons,
    /// Where the control socket is, and a handle of it.
    pub(super) door: Option<(PathBuf, OwnedFd)>,
    /// To a process that takes this one's place.
    pub(super) giving: Option<Giving>,
}

impl Running {
    /// Starts every thread but those of [`Running::go_public`], and returns when all of them can do their
    /// work.
    ///
    /// # Errors
    /// The first [`StartError`]; the process is then to be ended.
    pub(super) fn start(
        begun: Instant,
        setting: Setting,
        log: Log,
        summons: Summons,
        premises: Premises,
        legacy: Option<&Legacy>,
    ) -> Result<Self, StartError> {
        let Premises { listening, lan, door, exits, whereabouts, mut fast_path, .. } = premises;
        let (exits, pilot) = exits.unzip();
        let Setting { plan, keys, .. } = &setting;
        // A predecessor may have steered meanwhile.
        let clock = legacy.map_or(Ok(premises.clock), |_| discipline_config(plan, &keys.keys))?;
        let estate = door.as_ref().map(estate).transpose()?;
        let board = Arc::new(Board::default());
        let mut clockwork = Clockwork::new(clock, plan, whereabouts, Arc::clone(&board), legacy)
            .map_err(StartError::system("cannot prepare the discipline thread"))?;
        fast_path.take_mirror().into_iter().for_each(|mirror| clockwork.keep_in(mirror));
        let clock = clockwork.reader();
        let mut gatekeeper = Gatekeeper::new(&plan.access, &Gatekeeper::default());
        let cores = Cores::now();
        let shares = listening
            .shares(&cores.at_work(&plan.server.cores), exits.as_ref())
            .map_err(StartError::system("cannot share the sockets"))?;
        let censuses = Censuses::secret().map_err(StartError::system("no randomness"))?;
        let desk = Arc::new(Desk::new(policy(plan, gatekeeper.table(&board), keys, &censuses)));
        fast_path.take_guard().into_iter().for_each(|guard| desk.keep_in(guard));
        let workers = Workers::start(&plan.server, shares, &clock, &desk, &censuses)?;
        let pilot = pilot.map(pilot::start).transpose()?;
        let clockwork =
            clockwork.start().map_err(StartError::system("cannot start the discipline thread"))?;
        let fast_path = fast_path.start()?;
        let lan = prepare_lan(plan, lan, &keys.keys, &desk, &clockwork)
            .and_then(|lan| lan.map(Lan::start).transpose())
            .map_err(StartError::system("cannot start the LAN thread"))?;
        gatekeeper
            .start(&desk, desk.edition(), &board)
            .map_err(StartError::system("cannot start the gatekeeper"))?;
        let heard = (Arc::new(censuses), clock, board, fast_path.driver().cloned());
        let witness = witness(begun, &setting, &listening, &workers, heard);
        let control = start_control(&listening, &witness, door, &desk, &summons)
            .map_err(StartError::system("cannot start the control thread"))?;
        Ok(Self {
            setting,
            log,
            listening,
            workers,
            cores_seen: cores.clone(),
            cores,
            clockwork,
            lan,
            fast_path,
            desk,
            gatekeeper,
            control,
            page: None,
            exits,
            pilot,
            watchdog: None,
            witness,
            summons,
            door: estate,
            giving: None,
        })
    }

    /// Starts the threads by which others learn of the server, its page of metrics on `sockets`: last, so
    /// that they are told what a predecessor has counted too.
    ///
    /// # Errors
    /// When the system refuses a thread or a file descriptor.
    pub(super) fn go_public(&mut self, sockets: Option<MetricsSockets>) -> Result<(), StartError> {
        self.clockwork.count(tallies(&self.workers, self.fast_path.driver()));
        self.page = start_page(&self.setting.plan, sockets, &self.witness)?;
        self.watchdog =
            Some(self.watch().map_err(StartError::system("cannot start the watchdog"))?);
        Ok(())
    }

    /// Has a thread of its own see that all others go on.
    pub(super) fn watch(&self) -> io::Result<Thread> {
        let page = self.page.as_ref().map(MetricsPage::thread);
        let others = [self.lan.as_ref(), page, self.fast_path.thread(), self.pilot.as_ref()];
        let own = [self.clockwork.thread(), self.control.thread()].into_iter();
        let threads = own.chain(others.into_iter().flatten()).map(Patient::of);
        let flood = flood_watch(&self.setting.plan, &self.listening, &self.desk, &self.witness);
        Watchdog::start(self.workers.patients().chain(threads), &self.witness, flood)
    }

    /// Serves alone from here on, and goes public on `page`: the predecessor at the other end of `parting`
    /// ends.
    pub(super) fn come_into_all(&mut self, parting: Parting, page: Option<MetricsSockets>) {
        let server = &self.setting.plan.server;
        // Workers beyond those of the predecessor had nothing to do yet.
        if let Err(error) = self.listening.steer(server, &self.cores.at_work(&server.cores)) {
            tracing::error!("requests are spread as before: {error}");
        }
        self.fast_path.claim();
        if let Some(account) = parting.account() {
            self.inherit(&account);
        }
        if let Err(error) = self.go_public(page) {
            tracing::error!("{error}");
        }
    }

    /// Goes on counting where a predecessor has stopped.
    fn inherit(&mut self, account: &Account) {
        self.workers.succeed(&account.totals());
        self.witness.tallies = self.workers.tallies();
        self.witness.board.inherit(account.reloads, account.lost);
        self.witness.counting_since_unix_s = account.since_unix_s;
        self.control.tell(self.witness.clone());
    }

    /// What has been counted besides the workers' work.
    fn account(&self) -> Account {
        let board = &self.witness.board;
        let overflow = board.overflow();
        let lost = (overflow.queue_full, overflow.held_back);
        Account::new(self.witness.counting_since_unix_s, board.reloads(), lost)
    }

    /// Does what it is called for until it is to end, and ends cleanly.
    pub(super) fn wait(mut self) -> ExitCode {
        loop {
            match self.summons.next(self.giving.as_ref()) {
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
                Ok(Call::Demand(Demand::TakeOver(stream))) => self.begin_giving(stream),
                Ok(Call::Idle) => self.look_for_cores(),
                Ok(Call::Successor) => {
                    if let Some(door) = self.hear_successor() {
                        return self.leave(door);
                    }
                }
                Err(error) => {
                    tracing::error!("main thread: {error}; ending");
                    std::process::exit(EXIT_THREAD_LOST);
                }
            }
        }
        manager::tell(&[sd_notify::NotifyState::Stopping]);
        self.finish(Workers::finish)
    }

    /// Gives a process that wants to take over what it needs for that.
    fn begin_giving(&mut self, stream: UnixStream) {
        if self.giving.is_some() {
            // Its end tells the second one that it comes too late.
            return tracing::warn!("another process is taking over already");
        }
        let door = self.door.as_ref().map(|(path, handle)| (path.as_path(), handle.as_fd()));
        match Giving::begin(stream, &self.listening, door, &self.fast_path.lend()) {
            Ok(giving) => self.giving = Some(giving),
            Err(error) => tracing::warn!("a process that wanted to take over is gone: {error}"),
        }
    }

    /// Goes on with the hand-over; `Some` when the successor serves: with the control socket, or not.
    fn hear_successor(&mut self) -> Option<bool> {
        let giving = self.giving.as_mut()?;
        let outcome = match giving.hear() {
            Ok(None) => return None,
            Ok(Some(Word::Prepared)) => match self.clockwork.pause() {
                Some(legacy) => giving.bequeath(&legacy),
                None => Err(io::Error::other("the discipline thread is stuck")),
            },
            Ok(Some(Word::Ready { pid, door })) if giving.resting => match giving.done(pid) {
                Ok(()) => return Some(door),
                Err(error) => Err(error),
            },
            Ok(Some(Word::Ready { .. })) => Err(io::ErrorKind::InvalidData.into()),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            if giving.resting {
                self.clockwork.resume();
            }
            self.giving = None;
            tracing::warn!("not taken over: {error}; going on");
        }
        None
    }

    /// Leaves everything to the successor, and at the end tells it what was counted.
    fn leave(mut self, door: bool) -> ExitCode {
        tracing::info!("another process has taken over; ending");
        if door {
            self.control.leave_door();
        }
        // It looks after the queues from here on.
        self.watchdog.take().into_iter().for_each(Thread::finish);
        let (account, giving) = (self.account(), self.giving.take());
        self.finish(|workers| {
            let totals = workers.relieve();
            // If it does not take it, it says so itself.
            let _ = giving.map(|giving| giving.account(&account.with_totals(&totals)));
            totals
        })
    }

    /// Ends because the predecessor goes on; with its `door` or not.
    pub(super) fn give_up(self, door: bool) {
        if door {
            self.control.leave_door();
        }
        self.finish(Workers::relieve);
    }

    fn finish(self, end: impl FnOnce(Workers) -> Vec<Totals>) -> ExitCode {
        self.watchdog.into_iter().for_each(Thread::finish);
        // First: what comes from here on is the workers', and they finish what has come.
        self.fast_path.finish();
        self.page.into_iter().for_each(MetricsPage::finish);
        self.control.finish();
        self.lan.into_iter().for_each(Thread::finish);
        // Workers before the discipline: their last answers still come from a living snapshot.
        let totals = end(self.workers);
        self.pilot.into_iter().for_each(Thread::finish);
        self.clockwork.finish();
        let work: Vec<_> = totals.iter().map(report::work).collect();
        eprint!("{}", report::workers_text(&work));
        drop(self.log);
        ExitCode::SUCCESS
    }
}

/// Where the control socket is, and a handle of it for a successor.
fn estate(door: &Door) -> Result<(PathBuf, OwnedFd), StartError> {
    let handle = door.handle().map_err(StartError::system("cannot share a socket"))?;
    Ok((door.path().to_owned(), handle))
}

/// Who counts what is done for clients: the workers and the driver.
pub(super) fn tallies(workers: &Workers, driver: Option<&Driver>) -> Vec<Tally> {
    let driver = driver.cloned().map(Tally::of_driver);
    workers.tallies().into_iter().chain(driver).collect()
}

/// By whom it is told what the server does; `heard` are those who know.
fn witness(
    begun: Instant,
    setting: &Setting,
    listening: &Listening,
    workers: &Workers,
    heard: (Arc<Censuses>, Reader, Arc<Board>, Option<Driver>),
) -> Witness {
    let (censuses, clock, board, driver) = heard;
    Witness {
        started: begun,
        counting_since_unix_s: Interval::from_nanos(realtime().nanos()).as_secs_f64(),
        listening: listening.names(),
        notes: listening.notes.clone(),
        carriers: workers.carriers().map(str::to_owned).collect(),
        sandbox: setting.confined.clone(),
        tallies: workers.tallies(),
        driver,
        censuses,
        clock,
        board,
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

/// The control plane.
fn start_control(
    listening: &Listening,
    witness: &Witness,
    door: Option<Door>,
    desk: &Desk,
    summons: &Summons,
) -> io::Result<Operator> {
    let (sockets, demands) = (listening.control_sockets()?, summons.demands());
    Control::new(witness.clone(), door, sockets, desk.join(), demands)?.start()
}

/// The page of metrics, if there is to be one.
pub(super) fn start_page(
    plan: &Plan,
    sockets: Option<MetricsSockets>,
    witness: &Witness,
) -> Result<Option<MetricsPage>, StartError> {
    let wanted = plan.metrics.as_ref().zip(sockets);
    let start = |(settings, sockets)| MetricsPage::start(settings, sockets, witness.clone());
    wanted.map(start).transpose().map_err(StartError::system("cannot start the metrics thread"))
}

/// Who looks after the queues of the workers.
pub(super) fn flood_watch(
    plan: &Plan,
    listening: &Listening,
    desk: &Desk,
    witness: &Witness,
) -> FloodWatch {
    let groups = listening.places().iter().map(|place| Arc::clone(&place.group));
    let mut remedy = String::new();
    if plan.server.worker_priority.is_none() {
        remedy.push_str("workers have no priority over the network (server.worker_priority); ");
    }
    if listening.receive_buffer_bytes() < plan.server.receive_buffer_bytes {
        remedy.push_str("receive buffers are smaller than asked for (net.core.rmem_max); ");
    }
    remedy.push_str("`timeball-tune check` says what is in the way, a threaded NAPI above all");
    FloodWatch::new(groups, desk.join(), witness, remedy)
}

/// What workers are told of `plan`; they know their clients by the secret of `censuses`.
pub(super) fn policy(plan: &Plan, access: Access, keys: &KeyFile, censuses: &Censuses) -> Policy {
    let limits = Limits::new(&plan.limits, censuses.key());
    Policy { access, keys: keys.keys.clone(), limits, ..Policy::default() }
}
