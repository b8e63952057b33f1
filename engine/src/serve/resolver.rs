//! Looks names up beside the discipline thread, which must never wait for a name server.
//!
//! One thread, one question at a time, in the order asked; the system's own resolver answers. Questions
//! are few (a name at start, and again when its server has stopped answering), and a name is asked for
//! again only after its answer, so the queue is bounded by the number of sources.
//!
//! Must never: block whoever asks.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::thread;

use crossbeam::channel::{Receiver, Sender, unbounded};
use timeball_sys::Waker;
use timeball_sys::sandbox::{Role, confine};

use crate::names;

/// The asking end.
#[derive(Debug)]
pub(super) struct Resolver {
    questions: Sender<String>,
    answers: Receiver<Answer>,
}

/// What came of a question.
#[derive(Debug)]
pub(super) struct Answer {
    /// As given to [`Resolver::ask`].
    pub name: String,
    /// The addresses, in the resolver's order of preference; never empty.
    pub addresses: io::Result<Vec<IpAddr>>,
}

impl Resolver {
    /// Starts the thread; `waker` is used after each answer.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub(super) fn start(waker: Waker) -> io::Result<Self> {
        let (questions, inbox) = unbounded::<String>();
        let (outbox, answers) = unbounded();
        thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            // It reads what strangers send: nothing may come of that but a wrong address.
            if let Err(error) = confine(Role::LookUp, &[]) {
                tracing::error!("{error}; names will not be looked up");
                return;
            }
            // Ends when the asking end is dropped.
            for name in inbox {
                let addresses = look_up(&name);
                let answer = Answer { name, addresses };
                if outbox.send(answer).is_err() {
                    return;
                }
                waker.wake();
            }
        })?;
        Ok(Self { questions, answers })
    }

    /// Asks for the addresses of `name`.
    pub(super) fn ask(&self, name: &str) {
        // The thread ends only after this value does.
        let _ = self.questions.send(name.to_owned());
    }

    /// The next answer, if there is one.
    pub(super) fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses = names::look_up(name).map_err(|error| match File::open(CONFIGURATION) {
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            io::Error::other(format!("{error}; {REPLACED}"))
        }
        _ => error,
    })?;
    if addresses.is_empty() {
        return Err(io::Error::other("the name has no address"));
    }
    Ok(addresses)
}

const CONFIGURATION: &str = "/etc/resolv.conf";
/// Only where the server is root: see `timeball_sys::sandbox`.
const REPLACED: &str = "/etc/resolv.conf was replaced since the start and is out of reach of a \
                        server that is root: set `user`, or hand over to a new process (timeball \
                        serve --take-over)";
