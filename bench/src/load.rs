//! The generator as a child process, because only a process can be put into a network namespace
//! from safe code, and because the generator's memory is then its own.
//!
//! The parent passes a [`Spec`] as JSON on the command line; the child offers the load on its core
//! and prints an [`Outcome`] as JSON. The child also reads the server core's busy time, right
//! before and right after, so that nothing but the load lies between.
//!
//! Must never: run without the bounds that the library demands.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use timeball_load::{Expectation, Load, Options, Path, Population, Report, Senders};
use timeball_time::Timestamp;
use timeball_wire::{Algorithm, Key, KeyId};

use crate::accompanied::Accompanied;
use crate::busy::Busy;
use crate::cli::LoadOptions;
use crate::error::BenchError;
use crate::namespace::FORGED;
use crate::place::Place;
use crate::process;

/// What load to offer; every field as in [`Options`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) target: SocketAddr,
    pub(crate) network: IpAddr,
    pub(crate) prefix_len: u8,
    pub(crate) clients: u32,
    pub(crate) load: Load,
    /// Of a first load that does not count, before the one that does.
    pub(crate) warm_up_s: f64,
    pub(crate) duration_s: f64,
    pub(crate) requests_max: u32,
    pub(crate) batch: usize,
    pub(crate) segments: usize,
    /// By frames of the generator's own making, from addresses that nobody has.
    pub(crate) frames: bool,
    /// By programs in the kernel, from such addresses.
    pub(crate) in_kernel: bool,
    pub(crate) stamp_one_in: u32,
    pub(crate) timeout_s: f64,
    pub(crate) expectation: Expectation,
    /// With [`key_line`]'s key.
    pub(crate) signed: bool,
    /// What goes along with it, made in the kernel too.
    pub(crate) company: Accompanied,
    /// When to begin, in nanoseconds since 1970; at once if `None`.
    pub(crate) start_at_ns: Option<i64>,
    /// The generator's core.
    pub(crate) core: usize,
    /// The core whose busy time is read.
    pub(crate) server_core: usize,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The generator's report.
    pub(crate) report: Report,
    /// The server core's counters over the run, draining included.
    pub(crate) busy: Busy,
    /// What the hypervisor took of the generator's core meanwhile.
    pub(crate) generator_stolen_ns: u64,
    /// How long that took, in seconds.
    pub(crate) took_s: f64,
}

impl Outcome {
    /// The server core's busy time per valid answer, in nanoseconds; infinite without answers.
    pub(crate) fn busy_ns_per_answer(&self) -> f64 {
        self.busy.busy_ns as f64 / self.report.answered as f64
    }

    /// The part of the time in which the server's core was busy.
    pub(crate) fn busy_share(&self) -> f64 {
        self.busy.busy_ns as f64 / 1e9 / self.took_s
    }
}

/// Offers `spec` from where `place` has its clients.
pub(crate) fn offer(place: &Place, spec: &Spec, stop: &AtomicBool) -> Result<Outcome, BenchError> {
    let program = this_program()?;
    let spec = serde_json::to_string(spec).map_err(unreadable)?;
    let mut words = place.client_prefix();
    words.extend(process::confinement(None, None));
    words.extend([program, "load".to_owned(), spec]);
    let text = process::output_unless_stopped(&words, stop)?;
    serde_json::from_str(&text).map_err(unreadable)
}

/// The child's side: offers the load it was given, prints the outcome.
pub(crate) fn serve(options: &LoadOptions, stop: &AtomicBool) -> Result<(), BenchError> {
    let spec: Spec = serde_json::from_str(&options.spec).map_err(unreadable)?;
    let load = spec.options()?;
    if spec.warm_up_s > 0.0 {
        let warm_up = Options { duration: duration(spec.warm_up_s)?, ..load.clone() };
        timeball_load::run(&warm_up, stop)?;
    }
    let own = Busy::of(spec.core)?;
    let (before, start) = (Busy::of(spec.server_core)?, Instant::now());
    let report = timeball_load::run(&load, stop)?;
    if report.interrupted {
        return Err(BenchError::Interrupted);
    }
    let busy = Busy::of(spec.server_core)?.since(before);
    let took_s = start.elapsed().as_secs_f64();
    let generator_stolen_ns = Busy::of(spec.core)?.since(own).stolen_ns;
    let outcome = Outcome { report, busy, generator_stolen_ns, took_s };
    let outcome = serde_json::to_string(&outcome).map_err(unreadable)?;
    println!("{outcome}");
    Ok(())
}

/// The bench's key.
pub(crate) fn key() -> Option<Key> {
    Key::new(KEY_ID, Algorithm::Aes128Cmac, &KEY)
}

/// The same as a line of a key file.
pub(crate) fn key_line() -> String {
    let digits: String = KEY.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{} AES128CMAC {digits}", KEY_ID.0)
}

/// The path of this very program, to be started again.
pub(crate) fn this_program() -> Result<String, BenchError> {
    let path = std::env::current_exe()
        .map_err(|cause| BenchError::Io { what: "finding this program".to_owned(), cause })?;
    Ok(path.to_string_lossy().into_owned())
}

impl Spec {
    /// The same load by programs in the kernel, from addresses that nobody has.
    pub(crate) const fn in_kernel(mut self) -> Self {
        (self.network, self.prefix_len) = FORGED;
        (self.in_kernel, self.frames, self.segments) = (true, false, 1);
        self
    }

    fn options(&self) -> Result<Options, BenchError> {
        let population = Population::new(self.network, self.prefix_len, self.clients)?;
        let mut options = Options::new(self.target, population);
        options.load = self.load;
        options.duration = duration(self.duration_s)?;
        options.requests_max = self.requests_max;
        options.batch = self.batch;
        options.segments = self.segments;
        options.stamp_one_in = self.stamp_one_in;
        options.timeout = duration(self.timeout_s)?;
        options.expectation = self.expectation;
        options.company = self.company.company(self.target.port());
        options.start_at = self.start_at_ns.map(Timestamp::from_nanos);
        options.key = self.signed.then(key).flatten();
        if self.frames {
            options.path = Path::Frames { next_hop: None };
        }
        if self.in_kernel {
            options.path = Path::InKernel { next_hop: None };
        }
        options.senders = Senders::Pinned(vec![self.core]);
        Ok(options)
    }
}

fn duration(seconds: f64) -> Result<Duration, BenchError> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| BenchError::Usage(format!("{seconds} s: {error}")))
}

fn unreadable(error: serde_json::Error) -> BenchError {
    BenchError::Usage(format!("the generator and the bench do not understand each other: {error}"))
}

const KEY_ID: KeyId = KeyId(1);
/// Nobody's secret.
const KEY: [u8; 16] = *b"of the benchmark";
