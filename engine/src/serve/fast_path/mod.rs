//! The fast path: plain requests answered in the network driver, as long as there is a server for the rest.
//!
//! The program is loaded once, while there are privileges. What it takes afterwards to put it on an interface
//! is the program itself: whoever has its descriptor may (Linux 5.9), with no capability at all. So a thread
//! without privileges keeps it where it is wanted, whatever becomes of interfaces and addresses, and its
//! sandbox lets it do that and nothing else with BPF. Program, tables and links are descriptors of this
//! process: they go with it, however it ends.
//!
//! Who takes over gets handles of the links, and puts its program there once it is the server.
//!
//! Sockets are bound and workers serve all the while. A request is answered by the program or goes on to
//! them, so nothing here has an instant at which it must happen.
//!
//! Rules and limits are the program's, too: it has the policy of the desk, like every worker. The sizes of
//! its tables are laid down when it is loaded.
//!
//! Must never: keep the server from serving, or answer what its configuration withholds.

mod holder;
mod obstacle;
mod table;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use timeball_sys::sandbox::{Role, confine};
use timeball_sys::xdp::{Guard, Link, Mirror, Program, XdpError};
use timeball_sys::{AddressNews, Interface, Waiter, Waker, monotonic};
use timeball_time::Interval;

use super::StartError;
use super::listen::Listening;
use crate::config::{self, Plan};
use crate::report::Driver;
use crate::thread::Thread;
use holder::Holder;
use obstacle::obstacle;

/// What is wanted of it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    settings: config::FastPath,
    /// Where the time is given in UTC.
    listening: Vec<SocketAddr>,
    /// How many clients it is to remember on each processor.
    clients: usize,
}

impl Wanted {
    /// By `plan`, for the sockets of `listening`.
    pub(super) fn of(plan: &Plan, listening: &Listening) -> Self {
        let utc = listening.places().iter().filter(|place| !place.smeared);
        Self {
            settings: plan.fast_path.clone(),
            listening: utc.map(|place| place.group.address).collect(),
            clients: plan.limits.clients,
        }
    }
}

/// A program at an interface, lent to a process that takes over.
#[derive(Debug)]
pub(super) struct Lent {
    /// The interface's number.
    pub(super) interface: u32,
    pub(super) link: Link,
}

/// What would keep a server of `plan` from answering in the driver here, and what else there is to know.
pub(crate) fn notes(plan: &Plan) -> Vec<String> {
    let settings = &plan.fast_path;
    if !settings.is_on() {
        return Vec::new();
    }
    // Loaded and gone again, this leaves no trace.
    if let Err(error) = load(plan.limits.clients) {
        return vec![format!("workers answer everything: {error}")];
    }
    let all = Interface::all().unwrap_or_default();
    let note = |name: &String| {
        let one = all.iter().find(|one| one.name == *name);
        let why = match one.map(|one| (obstacle(one, &all), one.program)) {
            None => XdpError::NoInterface.to_string(),
            Some((Some(why), _)) => why,
            Some((None, Some(program))) => {
                let id = program.id;
                return Some(format!(
                    "{name} has XDP program {id}: of a server that runs, or another"
                ));
            }
            Some((None, None)) => return None,
        };
        Some(format!("workers answer everything that comes by {name}: {why}"))
    };
    settings.interfaces.iter().filter_map(note).collect()
}

/// What is had of it once there are no privileges any more, before its thread runs.
#[derive(Debug)]
pub(super) struct FastPath {
    /// `None` if there is no program: not wanted, or refused.
    holder: Option<Holder>,
    /// The copy of the snapshot that the program reads.
    mirror: Option<Mirror>,
    /// Where the policy is put that the program goes by.
    guard: Option<Guard>,
    driver: Option<Driver>,
}

impl FastPath {
    /// Loads the program if `wanted`, and attaches it; where a server that is to be replaced has `lent` its
    /// place, only once it has left ([`Steward::claim`]). What cannot be had is logged, and shown by
    /// [`FastPath::driver`].
    pub(super) fn open(wanted: Wanted, lent: Option<Vec<Lent>>) -> Self {
        if !wanted.settings.is_on() {
            return Self { holder: None, mirror: None, guard: None, driver: None };
        }
        match load(wanted.clients) {
            Ok((program, mirror, guard, driver)) => {
                let mut holder = Holder::new(program, wanted, driver.clone(), lent);
                holder.make_room();
                holder.look();
                let (holder, mirror) = (Some(holder), Some(mirror));
                Self { holder, mirror, guard: Some(guard), driver: Some(driver) }
            }
            Err(error) => {
                tracing::warn!("no fast path: {error}; workers answer everything");
                let why = error.to_string();
                let shown = holder::shown(&wanted, |_| Some(why.clone()));
                let driver = Driver::refused(why, shown);
                Self { holder: None, mirror: None, guard: None, driver: Some(driver) }
            }
        }
    }

    /// What it does, for others to see; `None` if it is not wanted.
    pub(super) const fn driver(&self) -> Option<&Driver> {
        self.driver.as_ref()
    }

    /// Where the snapshot is to be kept for the program, if there is one; once.
    pub(super) const fn take_mirror(&mut self) -> Option<Mirror> {
        self.mirror.take()
    }

    /// Where the policy is to be put for the program, if there is one; once. Without a policy it answers
    /// nothing.
    pub(super) const fn take_guard(&mut self) -> Option<Guard> {
        self.guard.take()
    }

    /// Starts the thread that looks after it.
    ///
    /// # Errors
    /// When the system refuses one.
    pub(super) fn start(self) -> Result<Steward, StartError> {
        let thread = self.holder.map(Watch::start).transpose();
        let thread = thread.map_err(StartError::system("cannot start the fast-path thread"))?;
        Ok(Steward { thread, driver: self.driver })
    }
}

fn load(clients: usize) -> Result<(Program, Mirror, Guard, Driver), XdpError> {
    let mut program = Program::guarded(clients)?;
    let (mirror, guard, counts) = (program.mirror()?, program.guard()?, program.counts()?);
    Ok((program, mirror, guard, Driver::of(counts)))
}

/// The thread that looks after it, from outside.
#[derive(Debug)]
pub(super) struct Steward {
    thread: Option<(Thread, Sender<Order>, Waker)>,
    driver: Option<Driver>,
}

/// What the thread is told.
enum Order {
    /// Something else is wanted; the sender is dropped when it is so.
    Want(Wanted, #[expect(dead_code, reason = "dropping it tells")] Sender<()>),
    /// Somebody wants to take over.
    Lend(Sender<Vec<Lent>>),
    /// The server that lent its places has left them.
    Claim,
}

impl Steward {
    /// The thread, if there is one.
    pub(super) fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref().map(|(thread, ..)| thread)
    }

    /// What it does, for others to see; `None` if it was not wanted at the start.
    pub(super) const fn driver(&self) -> Option<&Driver> {
        self.driver.as_ref()
    }

    /// Has it do what is `wanted` from now on, and waits until it does.
    pub(super) fn change(&self, wanted: Wanted) {
        let (done, changed) = bounded(0);
        self.tell(Order::Want(wanted, done));
        let _ = changed.recv_timeout(PATIENCE);
    }

    /// Handles of what it has at interfaces, for a process that takes over.
    pub(super) fn lend(&self) -> Vec<Lent> {
        let (lender, lent) = bounded(1);
        self.tell(Order::Lend(lender));
        lent.recv_timeout(PATIENCE).unwrap_or_default()
    }

    /// Has it put its program where that of the predecessor is, who has left.
    pub(super) fn claim(&self) {
        self.tell(Order::Claim);
    }

    fn tell(&self, order: Order) {
        let Some((_, orders, waker)) = &self.thread else { return };
        // The thread ends after this value.
        let _ = orders.send_timeout(order, PATIENCE);
        waker.wake();
    }

    /// Takes the program off every interface: from here on all requests come to the workers.
    pub(super) fn finish(self) {
        self.thread.into_iter().for_each(|(thread, ..)| thread.finish());
    }
}

/// What the thread works with.
struct Watch {
    holder: Holder,
    waiter: Waiter,
    orders: Receiver<Order>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn start(holder: Holder) -> io::Result<(Thread, Sender<Order>, Waker)> {
        let (waiter, stop) = (Waiter::new()?, Arc::<AtomicBool>::default());
        let (sender, orders) = bounded(ORDERS_MAX);
        let (pulse, waker) = (waiter.pulse(), waiter.waker());
        let mut watch = Self { holder, waiter, orders, stop: Arc::clone(&stop) };
        let thread = Thread::start("fast-path", pulse, stop, move || {
            if let Err(error) = watch.run() {
                tracing::error!("fast-path thread: {error}; workers answer everything");
                watch.holder.give_up(&error);
            }
        })?;
        Ok((thread, sender, waker))
    }

    /// Returns when it is to end.
    fn run(&mut self) -> io::Result<()> {
        confine(Role::Driver, &[]).map_err(io::Error::other)?;
        let news = AddressNews::with_interfaces();
        let refused = |error: &_| tracing::debug!("no news of interfaces: {error}");
        let news = news.inspect_err(refused).ok();
        while !self.stop.load(Ordering::Acquire) {
            // Orders are done when the interfaces have been looked at.
            let orders: Vec<_> = self.orders.try_iter().collect();
            orders.iter().for_each(|order| self.holder.obey(order));
            self.holder.look();
            drop(orders);
            let gap = if self.holder.is_content() { LOOK_GAP } else { RETRY_GAP };
            let fds: Vec<_> = news.iter().map(std::os::fd::AsFd::as_fd).collect();
            self.waiter.wait(monotonic() + gap, &fds)?;
            let _ = news.as_ref().map(AddressNews::take);
        }
        Ok(())
    }
}

/// For what news may have missed.
const LOOK_GAP: Interval = Interval::from_secs(10);
/// While something is missing: no news tells that another program has gone.
const RETRY_GAP: Interval = Interval::from_millis(500);
/// Orders that may wait; whoever gives one more waits.
const ORDERS_MAX: usize = 4;
/// The thread does what it is woken for in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
