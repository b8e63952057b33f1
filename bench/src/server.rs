//! The servers that are compared, and how each is started.
//!
//! Must never: start a server that could set the clock (see `process`), or with settings that its
//! own documentation does not give for serving fast.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use timeball_load::{Expectation, Load};
use timeball_sys::baseline;

use crate::cli::{Echo, EchoOptions, ServerOptions};
use crate::error::{Attempt, BenchError};
use crate::load::{self, Spec};
use crate::place::Place;
use crate::process::{self, Running};

/// A server that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Its name in the tables.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Echo(Echo),
    Timeball {
        program: PathBuf,
        backend: &'static str,
        replies: Option<&'static str>,
    },
    /// timeball with its default backend, asked with a key.
    Signed {
        program: PathBuf,
    },
    Chronyd {
        program: PathBuf,
    },
    Peer {
        command: String,
    },
}

/// Where and how a server is to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// Its core.
    pub(crate) core: usize,
    /// Its real-time priority, for the thread that serves.
    pub(crate) priority: Option<u8>,
}

impl Server {
    /// The plain echo of the kind.
    pub(crate) fn echo(kind: Echo) -> Self {
        Self { name: format!("echo {}", kind.name()), kind: Kind::Echo(kind) }
    }

    /// timeball with each backend, as far as the program is found.
    pub(crate) fn timeballs(options: &ServerOptions) -> Vec<Self> {
        let Some(program) = options.timeball_program() else {
            eprintln!("timeball: program not found, left out (build it, or give --timeball PATH)");
            return Vec::new();
        };
        let timeball = |name: &str, backend, replies| Self {
            name: format!("timeball {name}"),
            kind: Kind::Timeball { program: program.clone(), backend, replies },
        };
        vec![
            timeball("mmsg", "mmsg", None),
            timeball("uring", "uring", None),
            timeball("uring-ring", "uring", Some("ring")),
        ]
    }

    /// timeball as shipped, whose every request and reply is signed with AES-CMAC.
    pub(crate) fn signed(options: &ServerOptions) -> Option<Self> {
        let kind = Kind::Signed { program: options.timeball_program()? };
        Some(Self { name: "timeball uring, signed".to_owned(), kind })
    }

    /// Whether requests to it are to be signed with the bench's key.
    pub(crate) const fn is_signed(&self) -> bool {
        matches!(self.kind, Kind::Signed { .. })
    }

    /// chronyd, if it is there, and whatever the user named.
    pub(crate) fn peers(options: &ServerOptions) -> Result<Vec<Self>, BenchError> {
        let mut peers = Vec::new();
        let chronyd = options.chronyd.clone().or_else(|| crate::host::find_program("chronyd"));
        match chronyd {
            Some(program) => {
                peers.push(Self { name: "chronyd".to_owned(), kind: Kind::Chronyd { program } });
            }
            None => eprintln!("chronyd: not found, left out (install it, or give --chronyd PATH)"),
        }
        for peer in &options.peers {
            let (name, command) = peer
                .split_once('=')
                .ok_or_else(|| BenchError::Usage(format!("--peer {peer:?}: write NAME=COMMAND")))?;
            let kind = Kind::Peer { command: command.to_owned() };
            peers.push(Self { name: name.to_owned(), kind });
        }
        Ok(peers)
    }

    /// What its replies are held to.
    pub(crate) const fn expectation(&self) -> Expectation {
        match self.kind {
            Kind::Echo(_) => Expectation::Echo,
            _ => Expectation::Server,
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
        let address = place.free_address()?;
        let directory = Scratch::make()?;
        let mut words = place.server_prefix();
        words.extend(self.command(address, seat, &directory.0)?);
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
                return Ok(Seated { process, address, _directory: directory });
            }
            if let Some((fault, _)) = report.faults.seen().next() {
                cause = format!("its replies are invalid: {}", fault.text());
            }
        }
        Err(BenchError::Silent { server: self.name.clone(), address, cause })
    }

    fn command(
        &self,
        address: SocketAddr,
        seat: Seat,
        directory: &Path,
    ) -> Result<Vec<String>, BenchError> {
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).attempting(|| format!("writing {}", path.display()))?;
            Ok::<String, BenchError>(path.to_string_lossy().into_owned())
        };
        let mut words = process::confinement(Some(seat.core), seat.priority);
        match &self.kind {
            Kind::Echo(kind) => {
                let program = load::this_program()?;
                words.extend([program, "echo".to_owned(), kind.name().to_owned()]);
                words.push(address.to_string());
            }
            Kind::Timeball { program, backend, replies } => {
                // It pins and raises its worker itself; the rest of it stays off the worker's core.
                words = process::confinement(None, None);
                let text = timeball_config(address, seat, backend, *replies);
                let config = write("timeball.toml", text)?;
                words.extend([program.to_string_lossy().into_owned(), "serve".to_owned(), config]);
            }
            Kind::Signed { program } => {
                words = process::confinement(None, None);
                let keys = write("keys", format!("{}\n", load::key_line()))?;
                // The file holds a secret of nobody's, but the server is right to be strict about it.
                restrict(Path::new(&keys))?;
                let mut text = timeball_config(address, seat, "uring", None);
                text.push_str(&format!("[keys]\nfile = \"{keys}\"\n"));
                let config = write("timeball.toml", text)?;
                words.extend([program.to_string_lossy().into_owned(), "serve".to_owned(), config]);
            }
            Kind::Chronyd { program } => {
                let text = chronyd_config(address, directory);
                let config = write("chrony.conf", text)?;
                words.push(program.to_string_lossy().into_owned());
                // -x: never touches the clock; -d: stays in the foreground.
                words.extend(["-x", "-d", "-u", "root", "-f", &config].map(str::to_owned));
            }
            Kind::Peer { command } => {
                let command = command
                    .replace("{address}", &address.ip().to_string())
                    .replace("{port}", &address.port().to_string());
                words.extend(command.split_whitespace().map(str::to_owned));
            }
        }
        Ok(words)
    }
}

/// A server that runs and answers; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Seated {
    process: Running,
    /// Where it answers.
    pub(crate) address: SocketAddr,
    _directory: Scratch,
}

impl Seated {
    /// How it ended, if it has: a server that dies under load has no figures.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.process.ended()
    }
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

/// Lets only the owner read `path`.
fn restrict(path: &Path) -> Result<(), BenchError> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, mode).attempting(|| format!("restricting {}", path.display()))
}

fn timeball_config(
    address: SocketAddr,
    seat: Seat,
    backend: &str,
    replies: Option<&str>,
) -> String {
    let mut text = format!(
        "[server]\nlisten = [\"{address}\"]\nworkers = 1\ncores = [{}]\nbackend = \"{backend}\"\n",
        seat.core
    );
    if let Some(replies) = replies {
        text.push_str(&format!("uring_replies = \"{replies}\"\n"));
    }
    if let Some(priority) = seat.priority {
        text.push_str(&format!("worker_priority = {priority}\n"));
    }
    // A few generators ask for all the world: what limits cost is measured, what they withhold is not.
    text.push_str("[limits]\nmode = \"observe\"\n");
    text
}

fn chronyd_config(address: SocketAddr, directory: &Path) -> String {
    format!(
        "port {}\nbindaddress {}\nallow all\nlocal stratum 10\ncmdport 0\nbindcmdaddress /\n\
         pidfile {}\n",
        address.port(),
        address.ip(),
        directory.join("chronyd.pid").display()
    )
}

/// A directory for a server's files; removed when dropped.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> Result<Self, BenchError> {
        let unique = timeball_sys::realtime().nanos();
        let name = format!("timeball-bench-{}-{unique}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).attempting(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing of value is in it, and nothing can be done about an error.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Tries to get a first answer, of this many seconds each: five seconds in all.
const PROBES: usize = 50;
const PROBE_S: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_what_the_run_needs() {
        let address = "127.0.0.1:4567".parse().unwrap();
        let seat = Seat { core: 3, priority: Some(50) };
        assert_eq!(
            timeball_config(address, seat, "uring", Some("ring")),
            "[server]\nlisten = [\"127.0.0.1:4567\"]\nworkers = 1\ncores = [3]\n\
             backend = \"uring\"\nuring_replies = \"ring\"\nworker_priority = 50\n\
             [limits]\nmode = \"observe\"\n"
        );
    }
}
