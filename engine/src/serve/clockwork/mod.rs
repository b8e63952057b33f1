//! The discipline thread: gives the discipline its clock, its network and its randomness.
//!
//! All judgement is in `timeball-discipline`, which neither reads a clock nor opens a socket; this thread
//! sleeps until something happens, tells it, and does what it says. It is the one writer of the snapshot.
//!
//! Must never: wait for anything but its waiter (names are looked up elsewhere), or keep the snapshot from
//! being renewed because a source, a disk or the kernel clock fails.

mod change;
mod order;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};
use timeball_discipline::{
    Action, Actions, Announced, Config, Discipline, Event, Legacy, SourceId, drift, state,
};
use timeball_sys::sandbox::{Role, confine};
use timeball_sys::{Capability, ClientSocket, KernelClock, Waiter, monotonic, precision, reading};
use timeball_time::{ClockReading, Mirror, Publisher, Rate, Reader, Realtime, Timestamp};
use timeball_wire::Header;

use super::EXIT_THREAD_LOST;
use super::almanac::{Almanac, List};
use super::keeper::Keeper;
use super::kernel::Kernel;
use super::lan::Ear;
use super::memory;
use super::resolver::{Answer, Resolver};
use super::whereabouts::Whereabouts;
use crate::config::{Host, LeapMode, Plan, Source, Steering};
use crate::report::Board;
use crate::statistics::Chronicle;
use crate::thread::Thread;
pub(super) use change::Change;
use order::Order;
pub(super) use order::Timekeeper;

/// The discipline and all it needs, ready to run.
pub(super) struct Clockwork {
    discipline: Discipline,
    actions: Actions,
    publisher: Publisher,
    board: Arc<Board>,
    waiter: Waiter,
    resolver: Resolver,
    kernel: Kernel<KernelClock>,
    /// What steering takes.
    needed: &'static [Capability],
    /// The socket of the request in flight, by source.
    links: Vec<Option<ClientSocket>>,
    /// Whose address each is, in the discipline's order; places for servers heard of come after them.
    sources: Vec<Source>,
    /// What all of them are called.
    names: Arc<[String]>,
    /// Servers that were heard of, and the end by which they come.
    announced: (Sender<Announced>, Receiver<Announced>),
    /// What the main thread wants, and the end by which it comes.
    orders: (Sender<Order>, Receiver<Order>),
    /// Of the drift file, if there is to be one.
    keeper: Option<Keeper>,
    /// Of the state file, if there is to be one.
    state_keeper: Option<Keeper>,
    /// What this boot of the machine is called.
    boot: u128,
    /// Of the statistics files, if any are to be written.
    chronicle: Option<Chronicle>,
    /// Of the list of leap seconds, if there is one.
    almanac: Option<Almanac>,
    whereabouts: Whereabouts,
    stop: Arc<AtomicBool>,
}

impl Clockwork {
    /// A discipline told `config` at the addresses of `whereabouts`, which shows its state on `board`; with a
    /// `legacy` it goes on from there, else with what the last run has left in files.
    ///
    /// # Errors
    /// When the system refuses a thread or a file descriptor.
    pub(super) fn new(
        mut config: Config,
        plan: &Plan,
        whereabouts: Whereabouts,
        board: Arc<Board>,
        legacy: Option<&Legacy>,
    ) -> io::Result<Self> {
        config.own_addresses = whereabouts.known().to_vec();
        let waiter = Waiter::new()?;
        let steered = plan.clock.steering == Steering::Kernel;
        let drift_file = plan.clock.drift_file.clone();
        let state_file = plan.clock.state_file.clone();
        let boot = memory::boot();
        let remembered = state_file.as_deref().map(|path| memory::state(path, boot));
        let remembered = remembered.unwrap_or_default();
        let left = legacy.and_then(|legacy| legacy.state);
        let drift = left.map(|state| Rate::from_ratio(state.frequency));
        let drift = drift.or_else(|| drift_file.as_deref().and_then(memory::drift));
        let drift = drift.or(remembered.frequency);
        let leap_file = plan.clock.leap_file.clone();
        let list = leap_file.as_deref().map(List::read).unwrap_or_default();
        config.leap_table.clone_from(&list.table);
        let mut discipline = Discipline::new(config, reading(), precision(), drift);
        let mut actions = Actions::new();
        if let Some(legacy) = legacy {
            if let Err(outdated) = discipline.succeed(legacy, reading(), &mut actions) {
                tracing::warn!("nothing could be taken over of the time: {outdated}");
            }
        } else if let Some(state) = &remembered.state {
            let outdated = discipline.restore(state, reading(), &mut actions).err();
            if let (Some(outdated), Some(path)) = (outdated, &state_file) {
                let path = path.display();
                tracing::info!("{path}: {outdated}; of use is only its frequency");
            }
        }
        let names = Arc::from(plan.source_names());
        board.show(discipline.status(reading()), &names);
        Ok(Self {
            actions,
            publisher: Publisher::new(discipline.snapshot()),
            discipline,
            board,
            resolver: Resolver::start(waiter.waker())?,
            almanac: leap_file
                .map(|path| Almanac::start(path, &list, waiter.waker()))
                .transpose()?,
            whereabouts,
            waiter,
            kernel: Kernel::new(
                KernelClock::new(),
                steered,
                plan.clock.leap_second == LeapMode::Kernel,
            ),
            needed: if steered { &[Capability::CAP_SYS_TIME] } else { &[] },
            links: names.iter().map(|_| None).collect(),
            sources: plan.asked_sources(),
            announced: bounded(ANNOUNCED_MAX),
            orders: bounded(ORDERS_MAX),
            keeper: drift_file.map(Keeper::start).transpose()?,
            chronicle: chronicle(plan)?,
            names,
            state_keeper: state_file.map(Keeper::start).transpose()?,
            boot,
            stop: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Keeps what workers read in `mirror` as well.
    pub(super) fn keep_in(&mut self, mirror: impl Mirror + 'static) {
        self.publisher.set_mirror(Some(Box::new(mirror)));
    }

    /// What workers read; it holds what may be served before the thread runs.
    pub(super) fn reader(&self) -> Reader {
        self.publisher.reader()
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses one.
    pub(super) fn start(self) -> io::Result<Timekeeper> {
        let (pulse, stop) = (self.waiter.pulse(), Arc::clone(&self.stop));
        let (orders, ear, clock) = (self.orders.0.clone(), self.ear(), self.reader());
        let thread = Thread::start("discipline", pulse, stop, move || {
            if let Err(error) = self.run() {
                tracing::error!(
                    "discipline thread: {error}; ending, because the time would go stale"
                );
                std::process::exit(EXIT_THREAD_LOST);
            }
        })?;
        Ok(Timekeeper { thread, orders, ear, clock })
    }

    /// Where servers that were heard of are to be told of.
    fn ear(&self) -> Ear {
        Ear { inbox: self.announced.0.clone(), waker: self.waiter.waker() }
    }

    fn run(mut self) -> io::Result<()> {
        confine(Role::Discipline, self.needed).map_err(io::Error::other)?;
        self.on_timer(reading());
        while !self.stop.load(Ordering::Acquire) {
            self.perform();
            self.show();
            let open: Vec<(usize, BorrowedFd<'_>)> = self
                .links
                .iter()
                .enumerate()
                .filter_map(|(source, link)| Some((source, link.as_ref()?.as_fd())))
                .collect();
            let fds: Vec<_> =
                open.iter().map(|(_, fd)| *fd).chain(self.whereabouts.news()).collect();
            let woken = self.waiter.wait(self.discipline.next_wakeup(), &fds)?;
            let ready: Vec<_> = open
                .iter()
                .enumerate()
                .filter(|(index, _)| self.waiter.is_ready(*index))
                .map(|(_, (source, _))| *source)
                .collect();
            if let Some(own) = self.whereabouts.changed(monotonic()) {
                self.discipline.on_own_addresses(own);
            }
            if woken.clock_set {
                self.discipline.on_clock_changed(reading(), &mut self.actions);
            }
            for source in ready {
                self.collect(source);
            }
            while let Some(answer) = self.resolver.answer() {
                self.resolved(answer);
            }
            for announced in self.announced.1.try_iter().take(ANNOUNCED_MAX) {
                // A refusal is counted per source, and never logged: anybody can cause one.
                let _ = self.discipline.on_announced(&announced, reading(), &mut self.actions);
            }
            if let Some(table) = self.almanac.as_ref().and_then(Almanac::table) {
                self.discipline.on_leap_table(table, reading(), &mut self.actions);
            }
            if woken.deadline {
                self.on_timer(reading());
            }
            while let Ok(order) = self.orders.1.try_recv() {
                self.obey(order);
            }
        }
        self.discipline.on_stop(reading(), &mut self.actions);
        self.perform();
        if let Some(chronicle) = self.chronicle {
            chronicle.finish();
        }
        Keeper::finish([self.keeper, self.state_keeper].into_iter().flatten());
        Ok(())
    }

    /// Shows the state to whoever wants to know.
    fn show(&mut self) {
        let now = reading();
        let status = self.discipline.status(now);
        if let Some(chronicle) = &mut self.chronicle {
            chronicle.observe(&status, now.realtime);
        }
        self.board.show(status, &self.names);
    }

    fn on_timer(&mut self, now: ClockReading) {
        if let Some(state) = self.kernel.state() {
            self.discipline.on_kernel_leap(state.leap());
            self.discipline.on_kernel_frequency(state.frequency, now, &mut self.actions);
        }
        if let Some(offset_s) = self.discipline.tai_offset_s(now) {
            self.kernel.announce_tai(offset_s);
        }
        self.discipline.on_timer(now, &mut random, &mut self.actions);
    }

    /// Takes what has arrived for `source`.
    fn collect(&mut self, source: usize) {
        let id = SourceId(source as u16);
        let mut datagram = [0; DATAGRAM_MAX];
        for _ in 0..DATAGRAMS_PER_WAKEUP {
            let Some(link) = &self.links[source] else { return };
            let received = link.receive(&mut datagram);
            if let Some(stamp) = link.transmitted() {
                self.departed(id, stamp);
            }
            let Some(link) = &self.links[source] else { return };
            match received {
                Ok(Some(received)) => {
                    let bytes = &datagram[..received.len];
                    let now = reading();
                    let stamp = received.stamp;
                    let addresses = self.chronicle.as_ref().and_then(|_| link.addresses());
                    let taken =
                        self.discipline.on_datagram(id, bytes, stamp, now, &mut self.actions);
                    // A refusal is counted per source, and never logged: anybody can cause one.
                    if let (Ok(()), Some(addresses)) = (taken, addresses) {
                        self.answered(source, addresses, bytes, stamp.unwrap_or(now.realtime));
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    // The server's host said that nobody listens, or the network is gone.
                    self.links[source] = None;
                    self.discipline.on_send_failed(id);
                }
            }
        }
    }

    /// The kernel says when the last request to `source` left.
    fn departed(&mut self, source: SourceId, stamp: Timestamp<Realtime>) {
        self.discipline.on_transmitted(source, stamp);
        if let Some(chronicle) = &mut self.chronicle {
            chronicle.departed(source.index(), stamp);
        }
    }

    /// An answer was believed.
    fn answered(
        &mut self,
        source: usize,
        addresses: [SocketAddr; 2],
        bytes: &[u8],
        arrival: Timestamp<Realtime>,
    ) {
        if let (Some(chronicle), Some(header)) = (&mut self.chronicle, Header::parse(bytes)) {
            let snapshot = self.discipline.snapshot();
            chronicle.answered(source, addresses, header, arrival, &snapshot);
        }
    }

    /// Hands the addresses of a name on to every source of that name; whoever has not asked ignores them.
    fn resolved(&mut self, answer: Answer) {
        let addresses = answer.addresses.unwrap_or_else(|error| {
            tracing::warn!("{}: {error}", answer.name);
            Vec::new()
        });
        let host = Host::Name(answer.name);
        for (id, source) in (0..).map(SourceId).zip(&self.sources) {
            if source.endpoint.host != host {
                continue;
            }
            let admitted = |address: &&IpAddr| source.family.admits(**address);
            let own: Vec<_> = addresses.iter().filter(admitted).copied().collect();
            self.discipline.on_resolved(id, &own, reading(), &mut self.actions);
        }
    }

    /// Does what the discipline has asked for, until it asks for nothing more.
    fn perform(&mut self) {
        // Steering may ask for one more publication; nothing asks without end.
        for _ in 0..ROUNDS_MAX {
            let round: Vec<_> = self.actions.drain().collect();
            if round.is_empty() {
                return;
            }
            for action in round {
                match action {
                    Action::Send { source, remote, request } => self.send(source, remote, &request),
                    Action::Resolve { source } => {
                        if let Host::Name(name) = &self.sources[source.index()].endpoint.host {
                            self.resolver.ask(name);
                        }
                    }
                    Action::Publish(snapshot) => {
                        self.publisher.publish(snapshot);
                        self.kernel.announce(&snapshot);
                    }
                    Action::Steer(steer) => {
                        let outcome = self.kernel.obey(steer);
                        self.discipline.on_steered(outcome, reading(), &mut self.actions);
                    }
                    Action::SaveDrift(rate) => {
                        if let Some(keeper) = &self.keeper {
                            keeper.keep(drift::format(rate));
                        }
                    }
                    Action::SaveState(state) => {
                        if let Some(keeper) = &self.state_keeper {
                            keeper.keep(state::format(&state, self.boot));
                        }
                    }
                    Action::Note(event) => self.note(event),
                }
            }
        }
    }

    /// A fresh socket for each request: a random port, and no reply but to this request.
    fn send(&mut self, source: SourceId, remote: SocketAddr, request: &[u8]) {
        let link = &mut self.links[source.index()];
        *link = None;
        let sent = ClientSocket::connect(remote)
            .map_err(io::Error::other)
            .and_then(|socket| socket.send(request).map(|()| socket));
        match sent {
            Ok(socket) => {
                let stamp = socket.transmitted();
                *link = Some(socket);
                if let Some(stamp) = stamp {
                    self.departed(source, stamp);
                }
            }
            Err(error) => {
                tracing::debug!("{}: {error}", self.names[source.index()]);
                self.discipline.on_send_failed(source);
            }
        }
    }

    fn note(&self, event: Event) {
        let name = event.source().and_then(|source| self.names.get(source.index()));
        let name = name.map_or_else(String::new, |name| format!("{name}: "));
        if event.is_trouble() {
            tracing::warn!("{name}{event}");
        } else {
            tracing::info!("{name}{event}");
        }
    }
}

/// Those who write the statistics of `plan`, if it wants any.
fn chronicle(plan: &Plan) -> io::Result<Option<Chronicle>> {
    let sources = plan.source_names().len();
    let start = |statistics| Chronicle::start(statistics, sources);
    plan.statistics.as_ref().map(start).transpose()
}

/// Unpredictable: a request's nonce is what keeps strangers from answering it.
fn random() -> u64 {
    // Without it every reply could be forged, so there is nothing to go on with.
    getrandom::u64().expect("the kernel has randomness from early boot on")
}

/// Longer than any reply to a bare request may be.
const DATAGRAM_MAX: usize = 512;
/// A flood on a client socket gets this much attention per wake-up.
const DATAGRAMS_PER_WAKEUP: usize = 32;
/// Servers heard of that may wait; more are told of again.
const ANNOUNCED_MAX: usize = 32;
/// Orders that may wait; whoever gives one more waits.
const ORDERS_MAX: usize = 8;
const ROUNDS_MAX: usize = 8;
