//! A server: how it is started, waited for, and stopped.
//!
//! Which servers there are, and with what settings, says [`crate::contenders`].
//!
//! Must never: start a server that could set the clock (see `process`).

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use timeball_load::page::shell_words;
use timeball_load::{Expectation, Load};
use timeball_sys::baseline;

use crate::cli::{Echo, EchoOptions};
use crate::contenders::Contender;
use crate::error::{Attempt, BenchError};
use crate::load::{self, Spec};
use crate::place::Place;
use crate::process::Running;

/// A server that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Its name in the tables.
    pub(crate) name: String,
    /// What it is.
    pub(crate) contender: Contender,
}

/// What kind of server it is: in which company it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Family {
    /// Ours.
    Timeball,
    /// No server at all: what the sockets alone cost.
    Echo,
    /// Somebody else's.
    Peer,
}

/// Where and how a server is to run.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    /// Its cores; only timeball has a worker on each.
    pub(crate) cores: Vec<usize>,
    /// Its real-time priority, for the thread that serves.
    pub(crate) priority: Option<u8>,
}

impl Seat {
    /// One core, at the usual priority.
    pub(crate) fn on(core: usize) -> Self {
        Self { cores: vec![core], priority: None }
    }

    /// The cores, as taskset and timeball's settings list them.
    pub(crate) fn list(&self) -> String {
        self.cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Server {
    /// What kind it is.
    pub(crate) const fn family(&self) -> Family {
        match self.contender {
            Contender::Timeball { .. } => Family::Timeball,
            Contender::Echo(_) => Family::Echo,
            Contender::Peer { .. } | Contender::Command(_) => Family::Peer,
        }
    }

    /// Whether requests to it are to be signed with the bench's key.
    pub(crate) const fn is_signed(&self) -> bool {
        matches!(&self.contender, Contender::Timeball { dress, .. } if dress.signed)
    }

    /// What its replies are held to.
    pub(crate) const fn expectation(&self) -> Expectation {
        match &self.contender {
            Contender::Echo(_) => Expectation::Echo,
            Contender::Peer { recipe, .. } => recipe.expectation,
            Contender::Timeball { .. } | Contender::Command(_) => Expectation::Server,
        }
    }

    /// The one port it can serve on, if it cannot be told another.
    pub(crate) const fn fixed_port(&self) -> Option<u16> {
        match &self.contender {
            Contender::Peer { recipe, .. } => recipe.fixed_port,
            _ => None,
        }
    }

    /// Starts it in `place` and waits until it answers.
    pub(crate) fn start(
        &self,
        place: &Place,
        seat: Seat,
        probe: &Spec,
        stop: &AtomicBool,
    ) -> Result<Seated, BenchError> {
        let address = place.address(self.fixed_port())?;
        let directory = Scratch::make()?;
        let own = self.contender.command((place, address), &seat, &directory)?;
        let words: Vec<String> = place.server_prefix().into_iter().chain(own).collect();
        let mut process = Running::start(&words, false)?;
        let spec = Spec {
            target: address,
            load: Load::Closed { window: 1 },
            duration_s: PROBE_S,
            requests_max: 1,
            timeout_s: PROBE_S,
            stamp_one_in: 0,
            expectation: self.expectation(),
            signed: self.is_signed(),
            ..probe.clone()
        };
        let mut cause = "no reply".to_owned();
        for _ in 0..PROBES {
            if let Some(ended) = process.ended() {
                cause = ended;
                break;
            }
            let report = load::offer(place, &spec, stop)?.report;
            if report.answered > 0 {
                return Ok(Seated { process, address, words, directory });
            }
            if let Some((fault, _)) = report.faults.seen().next() {
                cause = format!("its replies are invalid: {}", fault.text());
            }
        }
        Err(BenchError::Silent { server: self.name.clone(), address, cause })
    }
}

/// A server that runs and answers; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Seated {
    process: Running,
    /// Where it answers.
    pub(crate) address: SocketAddr,
    words: Vec<String>,
    directory: Scratch,
}

impl Seated {
    /// How it ended, if it has: a server that dies under load has no figures.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.process.ended()
    }

    /// Has it change; returns when that is done, but for a reload, which goes on meanwhile.
    pub(crate) fn change(&mut self, change: Change) -> Result<(), BenchError> {
        match change {
            Change::Reload => {
                let config = self.words.last().expect("its configuration comes last");
                let text = std::fs::read_to_string(config).attempting(|| config.clone())?;
                std::fs::write(config, text + RULE).attempting(|| config.clone())?;
                self.process.signal("HUP")
            }
            Change::TakeOver => {
                let mut words = self.words.clone();
                words.insert(words.len() - 1, "--take-over".to_owned());
                let successor = Running::start(&words, false)?;
                let mut predecessor = std::mem::replace(&mut self.process, successor);
                predecessor.await_end()
            }
            Change::Restart => {
                self.process.signal("TERM")?;
                self.process.await_end()?;
                self.process = Running::start(&self.words, false)?;
                Ok(())
            }
        }
    }

    /// The command that started it, and what is in the files that were written for it.
    pub(crate) fn recipe(&self) -> String {
        let mut text = shell_words(&self.words);
        for (name, content) in self.directory.files() {
            let path = self.directory.path().join(name);
            text.push_str(&format!("\n\n# {}\n{}", path.display(), content.trim_end()));
        }
        text
    }
}

/// What may happen to a timeball that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// It reads its configuration again, which has one more access rule now.
    Reload,
    /// A new process takes over.
    TakeOver,
    /// It ends at SIGTERM, and is started anew.
    Restart,
}

/// The child's side of an echo: serves until killed.
pub(crate) fn echo(options: &EchoOptions) -> Result<(), BenchError> {
    let address = options.address;
    let socket = UdpSocket::bind(address).attempting(|| format!("echo on {address}"))?;
    let result = match options.kind {
        Echo::Recvmmsg => baseline::serve_mmsg(&socket),
        Echo::Recvfrom => baseline::serve_single(&socket),
    };
    result.attempting(|| format!("echo on {address}"))
}

/// A directory for a server's files; removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    pub(crate) fn make() -> Result<Self, BenchError> {
        let unique = timeball_sys::realtime().nanos();
        let name = format!("timeball-bench-{}-{unique}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).attempting(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only its owner can read, and says where it is.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<String, BenchError> {
        let path = self.0.join(name);
        let writing = || format!("writing {}", path.display());
        std::fs::write(&path, text).attempting(writing)?;
        // Keys are in one of them, and a server is right to be strict about that.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).attempting(writing)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// The text files in it by name, as far as they can be read.
    fn files(&self) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let shown = name.ends_with(".toml") || name.ends_with(".conf");
                shown
                    .then(|| std::fs::read_to_string(entry.path()).ok())
                    .flatten()
                    .map(|it| (name, it))
            })
            .collect();
        files.sort();
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing of value is in it, and nothing can be done about an error.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// About somebody who does not ask, and withholds nothing from whom does.
const RULE: &str = "[[access]]\nnetwork = \"192.0.2.0/24\"\nallow = [\"time\"]\n";
/// Tries to get a first answer, of this many seconds each: thirty seconds in all, because NTPsec takes its
/// time.
const PROBES: usize = 300;
const PROBE_S: f64 = 0.1;
