//! The worker threads: one per core, each with its own sockets, its own carrier and its own counters.
//!
//! A worker that dies takes the process with it, whatever the reason: its sockets would stay in their
//! SO_REUSEPORT groups and go on swallowing a share of the clients, which is worse than no server at all.
//!
//! Must never: share anything between workers but the snapshot and the flag that ends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Sender, bounded};
use crossbeam::utils::CachePadded;
use timeball_responder::{Clerk, Counters, PolicyReceiver, Totals, Worker};
use timeball_sys::sandbox::{Role, SandboxError, confine};
use timeball_sys::{
    Carrier, CarrierError, CpuError, Exit, PrivilegeError, ServerSocket, UringOptions, Waker,
    drop_privileges, monotonic,
};
use timeball_time::{Interval, Reader};
use timeball_wire::Wait;

use super::EXIT_THREAD_LOST;
use super::desk::Desk;
use super::listen::Share;
use super::watchdog::Patient;
use crate::config::Server;
use crate::report::{Censuses, Tally};

/// The running workers.
#[derive(Debug)]
pub(super) struct Workers {
    threads: Vec<Thread>,
    /// What was done at places where there is no worker now.
    resting: Vec<Tally>,
    end: Arc<End>,
}

/// Whether and how workers are to end.
#[derive(Debug, Default)]
struct End {
    stop: AtomicBool,
    /// Others go on with the sockets: what they hold is left to those.
    relieved: AtomicBool,
}

#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    waker: Waker,
    tally: Tally,
    carrier: String,
}

/// What a worker thread needs, moved into it.
struct Job {
    server: Server,
    share: Share,
    clock: Reader,
    policy: PolicyReceiver,
    counters: Arc<CachePadded<Counters>>,
    clerk: Clerk,
    end: Arc<End>,
    started: Sender<Result<Started, StartError>>,
}

/// What a worker reports once it can answer.
struct Started {
    waker: Waker,
    carrier: String,
}

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// The system gives no further thread.
    #[error("cannot start a worker thread: {0}; allow this process more threads")]
    Thread(std::io::Error),
    /// The core or the priority asked for was refused.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// Privileges could not be given up.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// It could not be confined.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Neither io_uring nor recvmmsg could be started.
    #[error(transparent)]
    Carrier(#[from] CarrierError),
}

impl Workers {
    /// Starts a worker of `server` for each of `shares`, all with the time of `clock` and the policy of
    /// `desk`, each with a census of `censuses`, and returns when all can answer.
    ///
    /// # Errors
    /// The first [`StartError`]; those already started have ended again.
    pub(super) fn start(
        server: &Server,
        shares: Vec<Share>,
        clock: &Reader,
        desk: &Desk,
        censuses: &Censuses,
    ) -> Result<Self, StartError> {
        let threads = Vec::with_capacity(shares.len());
        let mut workers = Self { threads, resting: Vec::new(), end: Arc::default() };
        for share in shares {
            match workers.start_one(server, share, clock, desk, censuses) {
                Ok(thread) => workers.threads.push(thread),
                Err(error) => {
                    workers.relieve();
                    return Err(error);
                }
            }
        }
        Ok(workers)
    }

    fn start_one(
        &self,
        server: &Server,
        share: Share,
        clock: &Reader,
        desk: &Desk,
        censuses: &Censuses,
    ) -> Result<Thread, StartError> {
        let (started, report) = bounded(1);
        let (core, counters) = (share.core, Arc::default());
        let job = Job {
            server: server.clone(),
            share,
            clock: clock.clone(),
            policy: desk.join_as_worker(),
            counters: Arc::clone(&counters),
            clerk: Clerk::new(censuses.open()),
            end: Arc::clone(&self.end),
            started,
        };
        let builder = thread::Builder::new().name(format!("worker-{core}"));
        let handle = builder.spawn(move || work(job)).map_err(StartError::Thread)?;
        // A worker that ends without a report has panicked, and its guard ends the process.
        let Started { waker, carrier } = report.recv().unwrap_or_else(|_| std::process::abort())?;
        Ok(Thread { handle, waker, tally: Tally::of(counters), carrier })
    }

    /// How each worker carries its datagrams and why, in the order of the cores.
    pub(super) fn carriers(&self) -> impl Iterator<Item = &str> {
        self.threads.iter().map(|thread| thread.carrier.as_str())
    }

    /// Each worker's counters, to be read at any time; then those of places where there is none now.
    pub(super) fn tallies(&self) -> Vec<Tally> {
        let working = self.threads.iter().map(|thread| &thread.tally);
        working.chain(&self.resting).cloned().collect()
    }

    /// By which it can be seen that each goes on.
    pub(super) fn patients(&self) -> impl Iterator<Item = Patient> {
        self.threads.iter().map(|thread| {
            let name = thread.handle.thread().name().unwrap_or_default().to_owned();
            let (waker, tally) = (thread.waker.clone(), thread.tally.clone());
            Patient::new(name, move || tally.turns(), move || waker.wake())
        })
    }

    /// Lets every worker finish what its sockets hold, and returns what was done at each place.
    pub(super) fn finish(self) -> Vec<Totals> {
        self.end.stop.store(true, Ordering::Release);
        for thread in &self.threads {
            thread.waker.wake();
        }
        let finish = |thread: Thread| {
            // A worker does not return but through its loop: see `LastWill`.
            let _ = thread.handle.join();
            thread.tally.totals()
        };
        let done = self.threads.into_iter().map(finish);
        done.chain(self.resting.iter().map(Tally::totals)).collect()
    }

    /// The same when others serve the sockets already: workers answer what they have taken, and go.
    pub(super) fn relieve(self) -> Vec<Totals> {
        self.end.relieved.store(true, Ordering::Release);
        self.finish()
    }

    /// Counts what those before have done as done at the same places: no place's counters ever fall back, nor
    /// do they jump.
    pub(super) fn succeed(&mut self, before: &[Totals]) {
        let places = before.len().saturating_sub(self.threads.len());
        self.resting.resize_with(places.max(self.resting.len()), || Tally::of(Arc::default()));
        let working = self.threads.iter_mut().map(|thread| &mut thread.tally);
        for (tally, totals) in working.chain(&mut self.resting).zip(before) {
            tally.add(*totals);
        }
    }
}

/// The life of one worker thread.
fn work(job: Job) {
    let will = LastWill;
    let Job { server, share, clock, policy, counters, clerk, end, started } = job;
    let core = share.core;
    let carrier = match prepare(core, &server, share.sockets, share.exit) {
        Ok((carrier, why)) => {
            let report = Started { waker: carrier.waker(), carrier: why };
            let _ = started.send(Ok(report));
            carrier
        }
        Err(error) => {
            let _ = started.send(Err(error));
            std::mem::forget(will);
            return;
        }
    };
    let mut worker = Worker::new(carrier, clock, policy, counters).with_clerk(clerk);
    if share.smeared {
        worker = worker.smearing(server.smear);
    }
    if let Err(error) = serve(&mut worker, &end) {
        tracing::error!("worker on core {core}: {error}; ending, because its clients would starve");
        std::process::exit(EXIT_THREAD_LOST);
    }
    std::mem::forget(will);
}

fn prepare(
    core: usize,
    server: &Server,
    sockets: Vec<ServerSocket>,
    exit: Option<(Exit, String)>,
) -> Result<(Carrier, String), StartError> {
    timeball_sys::pin(core)?;
    if let Some(priority) = server.worker_priority {
        timeball_sys::set_realtime_priority(priority.get())?;
    }
    // All that is left to do is to receive and send.
    drop_privileges(None, &[])?;
    let options = UringOptions { replies: server.uring_replies.into(), ..UringOptions::default() };
    let (mut carrier, mut why) = Carrier::open(server.backend.into(), options, sockets)?;
    if let Some((exit, name)) = exit {
        carrier = carrier.leaving_by(exit);
        why = format!("{why}; around the IP layer by {name}");
    }
    confine(Role::Worker, &[])?;
    Ok((carrier, why))
}

fn serve(worker: &mut Worker<Carrier>, end: &End) -> Result<(), CarrierError> {
    while !end.stop.load(Ordering::Acquire) {
        worker.turn(Wait::Block)?;
    }
    // Clients whose requests have arrived get their answers; those who come later will ask again.
    let deadline = monotonic() + DRAIN_MAX;
    let relieved = end.relieved.load(Ordering::Acquire);
    while !relieved && worker.turn(Wait::Poll)? > 0 && monotonic() < deadline {}
    worker.io_mut().close();
    while worker.turn(Wait::Poll)? > 0 {}
    Ok(())
}

/// Ends the process when a worker's thread unwinds. (In release builds a panic does so by itself.)
struct LastWill;

impl Drop for LastWill {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// How long a worker may take over what is left in its sockets: all of a second's SIGTERM but half.
const DRAIN_MAX: Interval = Interval::from_millis(500);

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Run by the test below in a process of its own.
    #[test]
    #[ignore = "ends the process"]
    fn a_worker_that_panics() {
        let worker = thread::spawn(|| {
            let _will = LastWill;
            panic!("as a bug would");
        });
        let _ = worker.join();
        println!("still alive");
    }

    #[test]
    fn a_worker_that_dies_takes_the_process_with_it() {
        let myself = std::env::current_exe().unwrap();
        let victim = ["--ignored", "--exact", "serve::workers::tests::a_worker_that_panics"];
        let output = Command::new(myself).args(victim).arg("--nocapture").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), None, "ended by a signal: {said}");
        assert!(!said.contains("still alive") && said.contains("running 1 test"), "{said}");
    }
}
