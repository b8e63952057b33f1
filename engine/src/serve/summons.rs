//! What the main thread is called for once the server runs: signals, and what is demanded at the control
//! socket.
//!
//! Must never: lose a signal; one that comes while another is being answered waits for its turn.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crossbeam::channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::pipe;
use timeball_sys::{Waiter, monotonic};
use timeball_time::Interval;

use super::handover::Giving;
use crate::control::{Demand, Demands};

/// Where the main thread waits.
#[derive(Debug)]
pub(super) struct Summons {
    waiter: Waiter,
    /// Each with the pipe by which it comes.
    signals: Vec<(i32, UnixStream)>,
    demands: (Sender<Demand>, Receiver<Demand>),
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Call {
    /// End.
    End,
    /// Say how things are.
    Report,
    /// Read the configuration again.
    Reload,
    /// Somebody wants something.
    Demand(Demand),
    /// Nothing; there is time to look whether anything is otherwise.
    Idle,
    /// A process that is taking over has something to say, or should have had by now.
    Successor,
}

impl Summons {
    /// From here on signals wait to be answered instead of doing what they usually do.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn new() -> io::Result<Self> {
        let mut signals = Vec::new();
        for signal in [SIGTERM, SIGINT, SIGUSR1, SIGHUP] {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            pipe::register(signal, write)?;
            signals.push((signal, read));
        }
        Ok(Self { waiter: Waiter::new()?, signals, demands: bounded(DEMANDS_MAX) })
    }

    /// The way by which demands come.
    pub(super) fn demands(&self) -> Demands {
        Demands::new(self.demands.0.clone(), self.waiter.waker())
    }

    /// Waits for the next call, though not for long, and for the other end of a hand-over that is under way.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub(super) fn next(&mut self, giving: Option<&Giving>) -> io::Result<Call> {
        let idle = monotonic() + IDLE;
        loop {
            if let Some(call) = self.signalled() {
                return Ok(call);
            }
            if let Ok(demand) = self.demands.1.try_recv() {
                return Ok(Call::Demand(demand));
            }
            let signals = self.signals.iter().map(|(_, pipe)| pipe.as_fd());
            let fds: Vec<BorrowedFd<'_>> = signals.chain(giving.map(AsFd::as_fd)).collect();
            let deadline = giving.map_or(idle, |giving| idle.min(giving.deadline));
            let late = self.waiter.wait(deadline, &fds)?.deadline;
            if giving.is_some() && (late || self.waiter.is_ready(self.signals.len())) {
                return Ok(Call::Successor);
            }
            if late {
                return Ok(Call::Idle);
            }
        }
    }

    /// What the first signal that has come asks for, however often it has come.
    fn signalled(&self) -> Option<Call> {
        let (signal, _) = self.signals.iter().find(|(_, pipe)| is_full(pipe))?;
        Some(match *signal {
            SIGHUP => Call::Reload,
            SIGUSR1 => Call::Report,
            _ => Call::End,
        })
    }
}

/// Whether anything has come by `pipe`, which is empty then.
fn is_full(mut pipe: &UnixStream) -> bool {
    let (mut bytes, mut any) = ([0; 64], false);
    while pipe.read(&mut bytes).is_ok_and(|count| count > 0) {
        any = true;
    }
    any
}

/// The control thread takes more than this for a sign that the server has too much to do.
const DEMANDS_MAX: usize = 16;
/// A process from which cores were taken has its workers where it may within a second: it looks twice.
const IDLE: Interval = Interval::from_millis(300);
