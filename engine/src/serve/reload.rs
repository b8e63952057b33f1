//! Another configuration while the server runs.
//!
//! In two steps: first everything that can fail is done beside what is in force (the file read, keys
//! read, sockets opened, workers started on them), then each part takes up what is new for it. An error
//! in the first step leaves nothing behind; the second cannot fail.
//!
//! Nobody who asks for the time notices. Access, keys and limits are a policy that workers take between
//! two batches. When addresses come or go there are new workers, on the same sockets and on the new ones,
//! and when they can answer the old ones finish the batch they have and leave: what waits in a socket is
//! taken by one or the other.
//!
//! Must never: close a socket that both configurations have, or be half done.

use std::io;
use std::sync::Arc;

use timeball_responder::{Policy, Totals};
use timeball_sys::{ControlSocket, ListenError};

use super::clockwork::Change;
use super::cores::{Cores, named};
use super::fast_path::Wanted;
use super::gatekeeper::Gatekeeper;
use super::handover::kept;
use super::lan::{Lan, LanSockets};
use super::listen::Listening;
use super::premises::{discipline_config, open_door, open_page};
use super::running::Running;
use super::running::{policy, prepare_lan, start_page, tallies};
use super::whereabouts::Whereabouts;
use super::workers::Workers;
use super::{StartError, fixed, log_import, log_key_warnings, manager, sandbox};
use crate::config::{ConfigError, KeyFile, Machine, Plan, Server};
use crate::control::{Door, Reloaded};
use crate::difference::differences;
use crate::given::Loaded;
use crate::metrics::{MetricsPage, MetricsSockets};
use crate::thread::Thread;

/// All that is ready to be taken up. Of what stays as it is, `None`.
struct Ready {
    listening: Listening,
    control_sockets: Vec<ControlSocket>,
    workers: Option<Workers>,
    gatekeeper: Gatekeeper,
    policy: Policy,
    change: Change,
    lan: Option<Option<Lan>>,
    door: Option<Option<Door>>,
    page: Option<Option<MetricsSockets>>,
}

impl Running {
    /// Reads the configuration again and puts it into force, unless this is a `dry_run`; what comes of it is
    /// logged as well.
    ///
    /// # Errors
    /// Why it goes on with the configuration it has.
    pub(super) fn reload(&mut self, dry_run: bool) -> Result<Reloaded, StartError> {
        let began = sd_notify::NotifyState::monotonic_usec_now();
        if let (Ok(began), false) = (began, dry_run) {
            manager::tell(&[sd_notify::NotifyState::Reloading, began]);
        }
        let outcome = self.read_again(dry_run);
        if !dry_run {
            self.witness.board.count_reload(outcome.is_err());
        }
        match &outcome {
            _ if dry_run => return outcome,
            Ok(reloaded) => log_reloaded(reloaded),
            Err(error) => {
                for line in error.to_string().lines() {
                    tracing::error!("not reloaded: {line}");
                }
            }
        }
        manager::tell(&[sd_notify::NotifyState::Ready]);
        outcome
    }

    fn read_again(&mut self, dry_run: bool) -> Result<Reloaded, StartError> {
        if self.giving.is_some() {
            return Err(StartError::BeingTakenOver);
        }
        // Cores that were taken from the process for now are no reason to find the configuration wrong.
        let machine = Machine::with_cores(self.cores.with(&self.setting.plan.server.cores));
        let mut loaded = self.setting.given.load(&machine)?;
        sandbox::admit(&loaded)?;
        let keys = self.read_keys(&loaded)?;
        let mut found =
            differences((&self.setting.plan, &self.setting.keys), (&loaded.plan, &keys));
        let is_driven = self.fast_path.thread().is_some();
        let kept = fixed::keep(&mut loaded.plan, &self.setting.plan, is_driven, &mut found);
        let mut reloaded = Reloaded { applied: false, differences: found, kept, notes: Vec::new() };
        if dry_run {
            return Ok(reloaded);
        }
        if !reloaded.differences.is_empty() {
            loaded.imported.iter().for_each(log_import);
            log_key_warnings(&loaded.plan, &keys);
        }
        let ready = self.prepare(&loaded.plan, &keys)?;
        reloaded.notes.clone_from(&ready.listening.notes);
        reloaded.applied = true;
        self.adopt(ready, loaded.plan, keys);
        Ok(reloaded)
    }

    /// The keys of `loaded`. A key file that only root may read is out of reach once the server runs as
    /// another user: as long as it is the same file, the keys are those that were read at the start.
    fn read_keys(&self, loaded: &Loaded) -> Result<KeyFile, StartError> {
        let outcome = loaded.keys();
        let same = loaded.plan.keys == self.setting.plan.keys && self.setting.keys.is_as_read();
        match outcome {
            Err(ConfigError::Unreadable { .. }) if same => {
                Ok(loaded.with_keys(self.setting.keys.clone())?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Makes everything ready for `plan` beside what is in force.
    fn prepare(&self, plan: &Plan, keys: &KeyFile) -> Result<Ready, StartError> {
        let opened = self.listening.of(&plan.server, Some(&self.setting.plan.server));
        let listening = opened.map_err(|error| match error {
            ListenError::PermissionDenied(address) => StartError::GivenUp(address),
            other => other.into(),
        })?;
        if let (Some(address), true) = (listening.widened(&self.listening), self.lan.is_some()) {
            return Err(StartError::BesideBroadcasts(address));
        }
        let addresses: Vec<_> = listening.addresses().collect();
        let lan = self.prepare_lan(plan, keys, &addresses)?;
        let door = (plan.control != self.setting.plan.control)
            .then(|| open_door(plan, None, &mut Vec::new()))
            .transpose()?;
        let page = (plan.metrics != self.setting.plan.metrics)
            .then(|| open_page(plan, self.page.as_ref().map(MetricsPage::sockets), false))
            .transpose()?;
        let control_sockets =
            listening.control_sockets().map_err(StartError::system("cannot share the sockets"))?;
        let whereabouts = Whereabouts::new(addresses.into_iter());
        let config = discipline_config(plan, &keys.keys)?;
        let waker = self.clockwork.waker();
        let change = Change::new((&self.setting.plan, plan), config, whereabouts, waker)
            .map_err(StartError::system("cannot prepare the discipline thread"))?;
        let gatekeeper = Gatekeeper::new(&plan.access, &self.gatekeeper);
        let access = gatekeeper.table(&self.witness.board);
        let policy = policy(plan, access, keys, &self.witness.censuses);
        // Last, because from here on they answer.
        let workers = self.prepare_workers(plan, &listening)?;
        Ok(Ready {
            listening,
            control_sockets,
            workers,
            gatekeeper,
            policy,
            change,
            lan,
            door,
            page,
        })
    }

    fn prepare_workers(
        &self,
        plan: &Plan,
        listening: &Listening,
    ) -> Result<Option<Workers>, StartError> {
        if listening.is_same(&self.listening)
            && plan.server.has_same_workers(&self.setting.plan.server)
        {
            return Ok(None);
        }
        self.new_workers(&plan.server, listening).map(Some)
    }

    /// Workers of `server` for the sockets of `listening`, on the cores they may have.
    fn new_workers(&self, server: &Server, listening: &Listening) -> Result<Workers, StartError> {
        let shares = listening
            .shares(&self.cores.at_work(&server.cores), self.exits.as_ref())
            .map_err(StartError::system("cannot share the sockets"))?;
        let (clock, censuses) = (self.clockwork.reader(), &self.witness.censuses);
        Ok(Workers::start(server, shares, &clock, &self.desk, censuses)?)
    }

    fn prepare_lan(
        &self,
        plan: &Plan,
        keys: &KeyFile,
        addresses: &[std::net::SocketAddr],
    ) -> Result<Option<Option<Lan>>, StartError> {
        let before: Vec<_> = self.listening.addresses().collect();
        let same = plan.lan == self.setting.plan.lan && keys.keys == self.setting.keys.keys;
        if same && (plan.lan.is_idle() || before == addresses) {
            return Ok(None);
        }
        let sockets = LanSockets::open(&plan.lan, addresses)?;
        prepare_lan(plan, sockets, &keys.keys, &self.desk, &self.clockwork)
            .map(Some)
            .map_err(StartError::system("cannot prepare the LAN thread"))
    }

    /// Has every part take up what is new for it.
    fn adopt(&mut self, ready: Ready, plan: Plan, keys: KeyFile) {
        let Ready { listening, control_sockets, mut gatekeeper, lan, door, page, .. } = ready;
        self.log.set(plan.log_level);
        // Threads that are about to end are not stuck.
        self.watchdog.take().into_iter().for_each(Thread::finish);
        // Before workers have addresses that are for another time.
        self.fast_path.change(Wanted::of(&plan, &listening));
        let edition = self.desk.replace(ready.policy);
        let board = Arc::clone(&self.witness.board);
        tell(gatekeeper.start(&self.desk, edition, &board), "the gatekeeper");
        self.gatekeeper = gatekeeper;
        self.clockwork.change(ready.change);
        if let Some(workers) = ready.workers {
            self.relieve_workers(workers);
        }
        if let Some(lan) = lan {
            self.lan.take().into_iter().for_each(Thread::finish);
            self.lan = lan.and_then(|lan| tell(lan.start(), "the LAN thread"));
        }
        self.witness.listening = listening.names();
        self.witness.notes.clone_from(&listening.notes);
        if let Some(door) = &door {
            let handle = |door: &Door| Some((door.path().to_owned(), door.handle().ok()?));
            self.door = door.as_ref().and_then(handle);
        }
        self.control.adopt(self.witness.clone(), door, control_sockets);
        if let Some(sockets) = page {
            self.page.take().into_iter().for_each(MetricsPage::finish);
            let page = start_page(&plan, sockets, &self.witness);
            self.page = page.inspect_err(|error| tracing::error!("{error}")).ok().flatten();
        }
        self.page.iter().for_each(|page| page.adopt(self.witness.clone()));
        kept::keep(&listening, &self.listening);
        self.listening = listening;
        (self.setting.plan, self.setting.keys) = (plan, keys);
        self.watchdog = tell(self.watch(), "the watchdog");
    }

    /// Has workers go to other cores if others may be used than before.
    pub(super) fn look_for_cores(&mut self) {
        let (cores, before) = (Cores::now(), self.cores.clone());
        // Whoever changes that thread by thread is to be done with it.
        let lasts = std::mem::replace(&mut self.cores_seen, cores.clone()) == cores;
        if !lasts || cores == before || self.giving.is_some() {
            return;
        }
        let wanted = &self.setting.plan.server.cores;
        let (here, there) = (before.at_work(wanted), cores.at_work(wanted));
        self.cores = cores;
        if here == there {
            let more = "hand over to a new process for more workers: timeball serve --take-over";
            let (cores, here) = (&self.cores, named(&here));
            return tracing::info!(
                "the process may use {cores} now; workers stay on {here}; {more}"
            );
        }
        match self.move_workers(&there) {
            Ok(()) => tracing::info!(
                "the process may use {} now ({before} before): workers on {}",
                self.cores,
                named(&there)
            ),
            Err(error) => tracing::error!("workers stay where the kernel has put them: {error}"),
        }
    }

    /// Starts workers on `cores` in the place of those at work.
    fn move_workers(&mut self, cores: &[usize]) -> Result<(), StartError> {
        let workers = self.new_workers(&self.setting.plan.server, &self.listening)?;
        self.listening.steer(&self.setting.plan.server, cores)?;
        self.watchdog.take().into_iter().for_each(Thread::finish);
        self.relieve_workers(workers);
        self.control.tell(self.witness.clone());
        self.page.iter().for_each(|page| page.adopt(self.witness.clone()));
        self.watchdog = tell(self.watch(), "the watchdog");
        Ok(())
    }

    /// Lets `workers` go on alone.
    fn relieve_workers(&mut self, workers: Workers) {
        let old = std::mem::replace(&mut self.workers, workers);
        let done: Vec<Totals> = old.relieve();
        self.workers.succeed(&done);
        self.witness.tallies = self.workers.tallies();
        self.witness.carriers = self.workers.carriers().map(str::to_owned).collect();
        self.clockwork.count(tallies(&self.workers, self.fast_path.driver()));
    }
}

/// A thread that the system refuses now costs its part of the service, not all of it.
fn tell<T>(started: io::Result<T>, what: &str) -> Option<T> {
    let complain = |error: &io::Error| tracing::error!("cannot start {what}: {error}");
    started.inspect_err(complain).ok()
}

fn log_reloaded(reloaded: &Reloaded) {
    let count = reloaded.differences.len();
    tracing::info!("configuration reloaded: {count} changes");
    for difference in reloaded.differences.iter().take(LINES_MAX) {
        tracing::info!("{difference}");
    }
    if count > LINES_MAX {
        tracing::info!("and {} more", count - LINES_MAX);
    }
    for difference in &reloaded.kept {
        tracing::warn!("{difference}: stays as it was until a restart");
    }
}

/// More differences than this are counted.
const LINES_MAX: usize = 20;
