//! A timeball with settings of the measurement's own, and a control socket.
//!
//! Must never: outlive its value.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

use timeball_load::{Expectation, Load};

use crate::error::{Attempt, BenchError};
use crate::load::{self, Spec};
use crate::place::Place;
use crate::process::{Running, confinement};
use crate::server::{Scratch, Seat};

use super::Bench;

/// A server that runs and answers; stopped when dropped.
pub(super) struct Guarded {
    process: Running,
    words: Vec<String>,
    /// Where it answers.
    pub(super) address: SocketAddr,
    directory: Scratch,
    head: String,
}

impl Guarded {
    /// Starts it in `place` with `sections` besides what the seat says, and waits until it answers a request
    /// of `probe`'s clients.
    pub(super) fn start(
        bench: &Bench<'_>,
        place: &Place,
        seat: &Seat,
        sections: &str,
        probe: &Spec,
    ) -> Result<Self, BenchError> {
        let address = place.address(None)?;
        let directory = Scratch::make()?;
        let socket = directory.path().join("control.sock");
        let priority =
            seat.priority.map(|it| format!("worker_priority = {it}\n")).unwrap_or_default();
        let head = format!(
            "[control]\ncontrol_socket = \"{}\"\n[server]\nlisten = [\"{address}\"]\nworkers = {}\n\
             cores = [{}]\n{priority}",
            socket.display(),
            seat.cores.len(),
            seat.list()
        );
        let config = directory.write("timeball.toml", &format!("{head}{sections}"))?;
        let mut words = place.server_prefix();
        words.extend(confinement(None, None));
        words.extend([bench.program.clone(), "serve".to_owned(), config]);
        let mut process = Running::start(&words, false)?;
        answers(place, &mut process, address, probe, bench.stop)?;
        Ok(Self { process, words, address, directory, head })
    }

    /// Writes another configuration for it.
    pub(super) fn write(&self, sections: &str) -> Result<(), BenchError> {
        self.directory.write("timeball.toml", &format!("{}{sections}", self.head)).map(drop)
    }

    /// The words of `timeball COMMAND` for it, on the core `core`.
    pub(super) fn words(&self, bench: &Bench<'_>, command: &str) -> Vec<String> {
        let core = bench.options.common.client_core.to_string();
        let socket = self.directory.path().join("control.sock");
        let socket = socket.to_string_lossy();
        let words = ["taskset", "-c", &core, &bench.program, command, "--socket", &*socket];
        words.map(str::to_owned).to_vec()
    }

    /// Runs `timeball COMMAND` for it.
    pub(super) fn ask(&self, bench: &Bench<'_>, command: &str) -> Result<Output, BenchError> {
        let words = self.words(bench, command);
        Command::new(&words[0])
            .args(&words[1..])
            .output()
            .attempting(|| format!("running {}", words.join(" ")))
    }

    /// Has another process take its place, and waits until this one is gone.
    pub(super) fn replace(&mut self) -> Result<(), BenchError> {
        let mut words = self.words.clone();
        let config = words.pop();
        words.push("--take-over".to_owned());
        words.extend(config);
        let next = Running::start(&words, false)?;
        let mut before = std::mem::replace(&mut self.process, next);
        let begun = std::time::Instant::now();
        while before.ended().is_none() {
            self.is_alive()?;
            if begun.elapsed() > TAKE_OVER_MAX {
                let cause = "its predecessor is still there".to_owned();
                return Err(BenchError::Program { command: words.join(" "), cause });
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Fails if it has ended: what is dead has no figures.
    pub(super) fn is_alive(&mut self) -> Result<(), BenchError> {
        match self.process.ended() {
            Some(cause) => {
                let server = "timeball".to_owned();
                Err(BenchError::Silent { server, address: self.address, cause })
            }
            None => Ok(()),
        }
    }
}

/// Waits for a first answer.
fn answers(
    place: &Place,
    process: &mut Running,
    address: SocketAddr,
    probe: &Spec,
    stop: &AtomicBool,
) -> Result<(), BenchError> {
    let spec = Spec {
        target: address,
        load: Load::Closed { window: 1 },
        duration_s: PROBE_S,
        requests_max: 1,
        timeout_s: PROBE_S,
        expectation: Expectation::Server,
        ..probe.clone()
    };
    for _ in 0..PROBES {
        if process.ended().is_some() || load::offer(place, &spec, stop)?.report.answered > 0 {
            break;
        }
    }
    match process.ended() {
        Some(cause) => Err(BenchError::Silent { server: "timeball".to_owned(), address, cause }),
        None => Ok(()),
    }
}

const LOOK: std::time::Duration = std::time::Duration::from_millis(5);
const TAKE_OVER_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// Tries to get a first answer, of this many seconds each.
const PROBES: usize = 100;
const PROBE_S: f64 = 0.1;
