//! The command line.
//!
//! Must never: have a default that takes more than a few minutes, or one that harms the machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use timeball_sys::traffic::SEGMENTS_MAX;

use crate::place::On;

/// Measures timeball, its peers and plain echoes side by side, in turns, on one core each.
#[derive(Debug, Parser)]
#[command(name = "timeball-bench", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything about everybody side by side: a table, JSON, or a page with charts.
    Report(ReportOptions),
    /// What several workers carry together, and what many cores and fast networks will.
    Scaling(ScalingOptions),
    /// Busy time of the server's core per answer, and answers a second, at saturation.
    Throughput(ThroughputOptions),
    /// Goodput when more is offered than can be served, with the worker above its network thread
    /// and as usual (root).
    Overload(OverloadOptions),
    /// Error of the served time under load: offset, T2, T3, residence, causality (root).
    Accuracy(AccuracyOptions),
    /// How fast the load generator itself sends, by the capacity of a server (root).
    Generator(GeneratorOptions),
    /// Answers in the network driver: what one costs, how true it is, what is left of them under too much,
    /// beside junk, beside signed requests, and through changes of the server (root).
    FastPath(FastPathOptions),
    /// What floods leave for others, what protection costs, and what reloads lose (root).
    Protection(ProtectionOptions),
    /// Time from the start of a server without configuration to its first answer.
    Start(StartOptions),
    /// Offers one load and prints its outcome; started by the other commands.
    #[command(hide = true)]
    Load(LoadOptions),
    /// Reads a page of metrics once a second; started by the other commands.
    #[command(hide = true)]
    Scrape(ScrapeOptions),
    /// A plain echo server; started by the other commands.
    #[command(hide = true)]
    Echo(EchoOptions),
    /// Answers in the driver of a device; started by the other commands.
    #[command(hide = true)]
    Driver(DriverOptions),
}

/// Options every measurement has.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonOptions {
    /// Core of the server.
    #[arg(long, default_value_t = 0)]
    pub(crate) server_core: usize,
    /// Core of the load generator.
    #[arg(long, default_value_t = 1)]
    pub(crate) client_core: usize,
    /// Client addresses played.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_534))]
    pub(crate) clients: u32,
    /// Requests in flight when the server's capacity is sought. The default fits the kernel's default
    /// receive buffer, so that servers which leave that alone lose nothing.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) window: u32,
    /// Requests handed to the kernel as one message, which is cut up again before it reaches the
    /// server's device; 1 sends each alone, which costs the generator four times as much.
    /// `accuracy` always does.
    #[arg(long, default_value_t = 16, value_parser = segments)]
    pub(crate) segments: usize,
    /// Print JSON for programs instead of a table for people.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options that say which servers to compare.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerOptions {
    /// The timeball program [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    pub(crate) timeball: Option<PathBuf>,
    /// The chronyd program [default: that of `tests/peers`, else looked for in the search path].
    #[arg(long, value_name = "PATH")]
    pub(crate) chronyd: Option<PathBuf>,
    /// Another server: its name and its command, with {address} and {port} where they belong. It
    /// runs without the capability to set the clock.
    #[arg(long = "peer", value_name = "NAME=COMMAND")]
    pub(crate) peers: Vec<String>,
    /// Compare only the servers whose name contains one of these words.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
}

impl ServerOptions {
    /// The timeball program, if there is one.
    pub(crate) fn timeball_program(&self) -> Option<PathBuf> {
        self.timeball.clone().or_else(program_beside)
    }

    /// The program of the peer called `name`, which `tests/peers` unpacks at the path `unpacked`.
    pub(crate) fn peer_program(&self, name: &str, unpacked: &str) -> Option<PathBuf> {
        let named = self.chronyd.clone().filter(|_| name == "chronyd");
        let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("peers"));
        let peers = std::env::var_os("TIMEBALL_PEERS").map(PathBuf::from).or_else(beside);
        let unpacked = peers.map(|peers| peers.join(unpacked)).filter(|program| program.is_file());
        named.or(unpacked).or_else(|| crate::host::find_program(name))
    }

    /// Whether the user wants to see the server called `name`.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }
}

/// The program `timeball` beside this one.
pub(crate) fn program_beside() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name("timeball");
    beside.is_file().then_some(beside)
}

/// Options of `start`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StartOptions {
    /// Starts.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// The timeball program [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    pub(crate) timeball: Option<PathBuf>,
    /// Already in the namespace.
    #[arg(long, hide = true)]
    pub(crate) inside: bool,
}

/// Options of `report`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReportOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(flatten)]
    pub(crate) servers: ServerOptions,
    /// Networks to measure on [default: loopback, and veth if root].
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) on: Vec<On>,
    /// How long a report may take: rounds are made until every ratio is known closely enough, or until
    /// this is over.
    #[arg(long, default_value_t = 3.9, value_parser = minutes)]
    pub(crate) minutes: f64,
    /// Seconds of each load at and beyond capacity; those at half of it are three times as long.
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    pub(crate) duration: f64,
    /// Short loads, and rounds for a minute: a look, no measurement.
    #[arg(long, conflicts_with_all = ["minutes", "duration"])]
    pub(crate) quick: bool,
    /// Makes the whole report so often, and says whether ratios of the runs agree within 5 %.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) repeat: u32,
    /// Writes a page with charts, which needs no other file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Options of `scaling`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScalingOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(flatten)]
    pub(crate) servers: ServerOptions,
    /// Rounds; everything is measured once in each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Seconds of each load.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub(crate) duration: f64,
    /// Most workers at once, each on a core of its own [default: one for each core].
    #[arg(long)]
    pub(crate) workers: Option<usize>,
    /// Measures nothing, and computes what this result of `scaling --json` means.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

/// Options of `throughput`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ThroughputOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(flatten)]
    pub(crate) servers: ServerOptions,
    /// Networks to measure on [default: loopback, and veth if root].
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) on: Vec<On>,
    /// Rounds; every server runs once in each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Seconds of load per server and round.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) duration: f64,
    /// On veth, leave the receiving to the clients' core instead of the server's.
    #[arg(long)]
    pub(crate) receive_on_client_core: bool,
    /// On veth, leave it to a kernel thread on the server's core (threaded NAPI), at this real-time
    /// priority.
    #[arg(long, conflicts_with = "receive_on_client_core", value_name = "PRIORITY")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=98))]
    pub(crate) receive_in_thread: Option<u8>,
}

/// Options of `overload`.
#[derive(Args, Clone, Debug)]
pub(crate) struct OverloadOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(flatten)]
    pub(crate) servers: ServerOptions,
    /// Offered load as multiples of capacity.
    #[arg(long, value_delimiter = ',', default_values_t = [1.5, 2.0, 3.0], value_parser = factor)]
    pub(crate) factors: Vec<f64>,
    /// Rounds; every server runs once in each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Seconds of load per server, factor and round.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) duration: f64,
    /// Real-time priority of the server's network thread.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=98))]
    pub(crate) network_priority: u8,
    /// Real-time priority of the server's worker above it.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(2..=99))]
    pub(crate) worker_priority: u8,
}

/// Options of `accuracy`.
#[derive(Args, Clone, Debug)]
pub(crate) struct AccuracyOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(flatten)]
    pub(crate) servers: ServerOptions,
    /// Load as percentages of the server's own capacity.
    #[arg(long, value_delimiter = ',', default_values_t = [20, 50, 90])]
    pub(crate) loads: Vec<u32>,
    /// Replies wanted in each row.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) replies: u32,
    /// Longest time spent on a row, in seconds.
    #[arg(long, default_value_t = 30.0, value_parser = seconds)]
    pub(crate) duration: f64,
    /// Receive on the server's core in software interrupts, as a network card would have it,
    /// instead of on the clients' core.
    #[arg(long)]
    pub(crate) receive_on_server_core: bool,
}

/// Options of `generator`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GeneratorOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(flatten)]
    pub(crate) servers: ServerOptions,
    /// Rounds; every way of sending has its turn in each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Seconds of each load.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) duration: f64,
}

/// Options of `fast-path`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FastPathOptions {
    /// What of it.
    #[arg(value_enum, default_value_t = Figure::Price)]
    pub(crate) figure: Figure,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// The timeball program [default: the one beside this program]. `price` needs none.
    #[arg(long, value_name = "PATH")]
    pub(crate) timeball: Option<PathBuf>,
    /// Requests a second [default: offset 1000000, changes 100000, junk 20000, signed 5000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    pub(crate) rate: Option<u32>,
    /// Rounds; everything has its turn in each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Seconds of each load.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) duration: f64,
}

/// What is to be known of the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// Time of the server's core per answer, beside plain echoes in the driver and by sockets.
    Price,
    /// Error of the served time, with the clock read by the generator's programs where frames leave and
    /// arrive.
    Offset,
    /// Goodput when more is offered than can be served, beside the sockets.
    Overload,
    /// Good clients beside ten times as many frames that nobody can answer.
    Junk,
    /// Signed requests for the workers beside plain ones, which are four fifths of what the driver can.
    Signed,
    /// Requests lost while the server reloads, is taken over, and is started again.
    Changes,
}

/// Options of `protection`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProtectionOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// The timeball program [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    pub(crate) timeball: Option<PathBuf>,
    /// What to measure [default: all of it].
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Protection>,
    /// From how many addresses floods come; 0: each address once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 48, 1000, 0])]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=65_534))]
    pub(crate) flooders: Vec<u32>,
    /// Floods as multiples of the server's capacity.
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 2.0, 3.0], value_parser = factor)]
    pub(crate) factors: Vec<f64>,
    /// Requests a second of all well-behaved clients together, beside a flood.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// Requests a second beside reloads and take-overs.
    #[arg(long, default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) reload_rate: u32,
    /// Rounds; everything is measured once in each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Seconds of each load.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub(crate) duration: f64,
}

impl ProtectionOptions {
    /// What is to be measured.
    pub(crate) fn parts(&self) -> &[Protection] {
        if self.only.is_empty() { Protection::value_variants() } else { &self.only }
    }
}

/// The parts of `protection`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protection {
    /// The share of well-behaved clients' requests that is answered beside floods.
    Floods,
    /// What an answer costs with limits and sandbox.
    Cost,
    /// What it costs to be scraped, or asked for its status, every second.
    Watching,
    /// What is lost while the server is reloaded or replaced.
    Reloads,
}

/// Options of the hidden `scrape`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScrapeOptions {
    /// Where the page is.
    pub(crate) address: SocketAddr,
}

/// Options of the hidden `driver`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DriverOptions {
    /// What is done there.
    #[arg(value_enum)]
    pub(crate) kind: Drive,
    /// The device.
    pub(crate) device: String,
    /// What is asked.
    pub(crate) address: SocketAddr,
}

/// What is done in a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drive {
    /// Requests are sent back.
    Echo,
    /// The same, with a look at the clock.
    ClockEcho,
    /// They are answered.
    Answer,
}

impl Drive {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::ClockEcho => "clock-echo",
            Self::Answer => "answer",
        }
    }
}

/// Options of the hidden `load`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadOptions {
    /// The load, as JSON.
    pub(crate) spec: String,
}

/// Options of the hidden `echo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct EchoOptions {
    /// Which one.
    #[arg(value_enum)]
    pub(crate) kind: Echo,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// The plain echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Echo {
    /// Batches of 32 with recvmmsg and sendmmsg.
    Recvmmsg,
    /// One datagram at a time with recvfrom and sendto.
    Recvfrom,
}

impl Echo {
    /// Its name on the command line and in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Recvmmsg => "recvmmsg",
            Self::Recvfrom => "recvfrom",
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    within(text, 0.1, 600.0, "seconds")
}

fn minutes(text: &str) -> Result<f64, String> {
    within(text, 0.1, 60.0, "minutes")
}

fn segments(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(value) if (1..=SEGMENTS_MAX).contains(&value) => Ok(value),
        _ => Err(format!("a number from 1 to {SEGMENTS_MAX}")),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    within(text, 0.01, 20.0, "a factor")
}

fn within(text: &str, least: f64, most: f64, what: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("{what} from {least} to {most}")),
    }
}

const AFTER_HELP: &str = "\
Exit codes: 0 measured; 1 something failed; 2 wrong usage; 3 not permitted (needs root and network
namespaces); 130 interrupted.

Load goes only to loopback and to network namespaces that are made for the run and removed after it.
Servers run without CAP_SYS_TIME. Set TIMEBALL_BENCH_VERBOSE=1 to see what they say.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_and_factors_are_bounded() {
        assert_eq!(seconds("2.5"), Ok(2.5));
        for bad in ["0", "-1", "NaN", "inf", "601", "x"] {
            assert!(seconds(bad).is_err(), "{bad}");
            assert!(factor(bad).is_err(), "{bad}");
        }
    }
}
