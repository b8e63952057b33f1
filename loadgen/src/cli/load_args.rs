//! The options that say what load is offered, to whom and from whom; the same for every command that
//! offers one.
//!
//! Must never: have a default that loads a server harder than one command line admits.

use std::net::SocketAddr;
use std::time::Duration;

use timeball_sys::traffic::MacAddress;
use timeball_time::Timestamp;
use timeball_wire::{Algorithm, Key, KeyId};

use crate::{
    Behaviour, Chatty, Expectation, Load, Mix, Options, Path, Pattern, Population, Senders,
};

use super::error::CommandError;

/// What load is offered, to whom and from whom.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LoadArgs {
    /// Requests a second, at moments that do not depend on the server (open loop).
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How the moments of an open loop are spread.
    #[arg(long, value_enum, default_value_t = Rhythm::Poisson)]
    rhythm: Rhythm,
    /// Requests in a burst, with `--rhythm bursts`.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    burst: u32,
    /// Requests kept in flight when no rate is given (closed loop).
    #[arg(long, default_value_t = 256)]
    window: u32,
    /// How long load is offered; 10 s unless given.
    #[arg(long, short = 'd', value_name = "SECONDS", value_parser = seconds)]
    duration: Option<f64>,
    /// Packets after which offering ends earlier.
    #[arg(long, default_value_t = u32::MAX, hide_default_value = true)]
    requests: u32,
    /// After this long without a reply a request is lost.
    #[arg(long, short = 't', default_value_t = 0.5, value_name = "SECONDS", value_parser = seconds)]
    timeout: f64,
    /// When to start, in seconds since 1970, to align generators on several machines.
    #[arg(long, value_name = "SECONDS")]
    start_at: Option<f64>,
    /// Seed of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The server only echoes: hold it to mode, version and origin, not to its times.
    #[arg(long)]
    echo: bool,
    /// The server's clock is this machine's own: hold it to T1 ≤ T2 ≤ T3 ≤ T4 and measure the served
    /// time's error.
    #[arg(long)]
    shared_clock: bool,
    /// Offer the load even if nobody answers a first request.
    #[arg(long)]
    no_probe: bool,
    /// The target is not this machine, but it is yours.
    #[arg(long)]
    i_own_this_target: bool,
    #[command(flatten)]
    clients: ClientArgs,
    #[command(flatten)]
    senders: SenderArgs,
}

/// Who asks, and what.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Clients")]
struct ClientArgs {
    /// The network whose addresses are the clients; by default all of 127.0.0.0/8, or ::1.
    #[arg(long, value_name = "NETWORK/LENGTH")]
    clients: Option<Population>,
    /// So many clients of that network, from its first address.
    #[arg(long, value_name = "CLIENTS")]
    count: Option<u32>,
    /// Source ports of each sender that the clients are spread over.
    #[arg(long, default_value_t = 1)]
    ports: usize,
    /// Kinds of packets with their weights, of: v4, v3, v2, v1, symmetric; hostile, to be answered by
    /// nobody: short, long, bad-field, mode6, mode7.
    #[arg(long, value_name = "KIND=WEIGHT,…", default_value = "v4=1")]
    mix: Mix,
    /// Sign requests with this key, which the server must know, and hold replies to it. Anybody on this
    /// machine can read it from the command line: take one made for the purpose.
    #[arg(long, value_name = "ID:TYPE:HEX", value_parser = key)]
    key: Option<Key>,
    /// This share of requests comes from so many clients, as in 0.2:100.
    #[arg(long, value_name = "SHARE:CLIENTS")]
    chatty: Option<Chatty>,
    /// This share of requests comes from a single client, as in 0.1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    abuser: f64,
}

/// What sends.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Senders")]
struct SenderArgs {
    /// Send from these cores, one thread on each, as in 2,3.
    #[arg(long, value_name = "CORE,…", value_delimiter = ',', conflicts_with = "threads")]
    cores: Vec<usize>,
    /// Send from so many threads, wherever they run.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Send Ethernet frames of our own making, from addresses that are nobody's. Needs CAP_NET_RAW, and
    /// a server that routes the clients' network to this host.
    #[arg(long, group = "frames")]
    raw: bool,
    /// Have the kernel itself make such frames and check the replies, at millions a second from one core.
    /// Needs root and Linux 6.1; on a veth, GRO at its other end.
    #[arg(long, group = "frames")]
    in_kernel: bool,
    /// With --raw or --in-kernel: the next hop's Ethernet address, if it cannot be found out.
    #[arg(long, value_name = "MAC", requires = "frames")]
    next_hop: Option<MacAddress>,
    /// Requests of one client handed to the kernel as one message when due together.
    #[arg(long, default_value_t = 1)]
    segments: usize,
    /// One request in this many gets a kernel stamp of its departure; 0 for none.
    #[arg(long, default_value_t = 16, value_name = "N")]
    stamp_one_in: u32,
}

/// How the moments of an open loop are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Rhythm {
    /// Equal gaps.
    Constant,
    /// Exponential gaps: many clients that know nothing of each other.
    Poisson,
    /// Many at once, then a pause.
    Bursts,
    /// Everybody at the turn of each second.
    Crowd,
}

impl LoadArgs {
    /// What the library is to offer to `target`, for `duration_s` seconds unless told otherwise.
    pub(super) fn options(
        &self,
        target: SocketAddr,
        duration_s: f64,
    ) -> Result<Options, CommandError> {
        let mut options = Options::new(target, self.clients.population(target)?);
        options.owned = self.i_own_this_target;
        options.load = self.load();
        options.duration = Duration::from_secs_f64(self.duration.unwrap_or(duration_s));
        options.requests_max = self.requests;
        options.timeout = Duration::from_secs_f64(self.timeout);
        options.start_at =
            self.start_at.map(|seconds| Timestamp::from_nanos((seconds * 1e9) as i64));
        options.seed = self.seed;
        options.shared_clock = self.shared_clock;
        options.probe = !self.no_probe;
        if self.echo {
            options.expectation = Expectation::Echo;
        }
        self.clients.apply(&mut options);
        self.senders.apply(&mut options);
        Ok(options)
    }

    fn load(&self) -> Load {
        self.rate.map_or(Load::Closed { window: self.window }, |rate_hz| self.open_at(rate_hz))
    }

    /// The load of `options` as a closed loop for so long.
    pub(super) fn saturating(&self, options: &Options, duration: Duration) -> Options {
        let load = Load::Closed { window: self.window };
        Options { load, duration, stamp_one_in: 0, ..options.clone() }
    }

    /// The open loop asked for, at another rate.
    pub(super) const fn open_at(&self, rate_hz: u32) -> Load {
        Load::Open { pattern: self.pattern(), rate_hz }
    }

    const fn pattern(&self) -> Pattern {
        match self.rhythm {
            Rhythm::Constant => Pattern::Constant,
            Rhythm::Poisson => Pattern::Poisson,
            Rhythm::Bursts => Pattern::Bursts { size: self.burst },
            Rhythm::Crowd => Pattern::Crowd,
        }
    }
}

impl ClientArgs {
    fn population(&self, target: SocketAddr) -> Result<Population, CommandError> {
        let everybody = if target.is_ipv4() { "127.0.0.0/8" } else { "::1/128" };
        let population = match self.clients {
            Some(population) => Ok(population),
            None => everybody.parse(),
        };
        let population = population.and_then(|population: Population| match self.count {
            Some(count) => population.limited_to(count),
            None => Ok(population),
        });
        population.map_err(|error| CommandError::Usage(error.to_string()))
    }

    fn apply(&self, options: &mut Options) {
        options.ports = self.ports;
        options.mix = self.mix.clone();
        options.key.clone_from(&self.key);
        let chatty = self.chatty.unwrap_or_default();
        options.behaviour = Behaviour { chatty, abuser_share: self.abuser };
    }
}

impl SenderArgs {
    fn apply(&self, options: &mut Options) {
        options.senders = match self.cores.as_slice() {
            [] => Senders::Floating(self.threads),
            cores => Senders::Pinned(cores.to_vec()),
        };
        let next_hop = self.next_hop;
        if self.raw {
            options.path = Path::Frames { next_hop };
        } else if self.in_kernel {
            options.path = Path::InKernel { next_hop };
        }
        options.segments = self.segments;
        options.stamp_one_in = self.stamp_one_in;
    }
}

/// A key, as in `7:AES128:000102030405060708090a0b0c0d0e0f`.
fn key(text: &str) -> Result<Key, String> {
    let mut words = text.splitn(3, ':');
    let mut word = || words.next().ok_or("a key is ID:TYPE:HEX");
    let (id, name, digits) = (word()?, word()?, word()?);
    let id = id.parse().map_err(|_| format!("{id} is no key number"))?;
    let known = Algorithm::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let (_, algorithm) = known.ok_or_else(|| {
        let names: Vec<&str> = Algorithm::NAMES.iter().map(|(name, _)| *name).collect();
        format!("{name} is none of {}", names.join(", "))
    })?;
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair =
            str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'))?;
        u8::from_str_radix(pair, 16).ok()
    });
    let secret =
        pairs.collect::<Option<Vec<u8>>>().ok_or("the key is no even number of hex digits")?;
    let key = Key::new(KeyId(id), *algorithm, &secret);
    key.ok_or_else(|| format!("{name} takes no key of {} octets", secret.len()))
}

/// A number of seconds, up to an hour.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.001..=3_600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0.001 to 3600 seconds".to_owned())
    }
}
