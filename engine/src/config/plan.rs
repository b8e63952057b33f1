//! The plan: what the program is going to do, in types that hold nothing else.
//!
//! Units and ranges of what a user may write stand in `settings/`; here are the values after
//! reading.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU8;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use timeball_responder::LimitSettings;
use timeball_time::{Interval, Smear, Stratum};
use timeball_wire::KeyId;

use super::access::Access;
use super::address::Endpoint;
use super::fast_path::FastPath;
use super::lan::Lan;
use super::metrics::Metrics;
use super::problem::Position;
use super::sandbox::SandboxMode;
use super::statistics::Statistics;

/// Everything the program needs to know before it starts.
///
/// Made by [`Plan::parse`], [`Plan::load`] and [`Plan::without_file`] only. What holds across its
/// fields: there is a source or a local clock; at most one source is preferred; no source is named
/// twice; the kernel clock is only steered when there is a source to steer it by.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Sockets and workers.
    pub server: Server,
    /// What is answered in network drivers.
    pub fast_path: FastPath,
    /// How the time is kept.
    pub clock: Clock,
    /// The local clock: served at once if there is no source, else as a fallback; `None` for no
    /// fallback.
    pub local: Option<Local>,
    /// Upstream servers, in the order of the file.
    pub sources: Vec<Source>,
    /// Who may have what; [`Access`] says which rule counts.
    pub access: Vec<Access>,
    /// How much a client may ask for.
    pub limits: LimitSettings,
    /// Who may ask the server about itself.
    pub control: Control,
    /// The page of metrics, if there is to be one.
    pub metrics: Option<Metrics>,
    /// Statistics files, if any are to be written.
    pub statistics: Option<Statistics>,
    /// What is done on the local network.
    pub lan: Lan,
    /// Where the symmetric keys are; `None` for none.
    pub keys: Option<KeySettings>,
    /// How the server is confined.
    pub sandbox: SandboxMode,
    /// How much is logged.
    pub log_level: LogLevel,
}

impl Plan {
    /// The sources, each as often as addresses of it are asked at a time, and which of those it is, from 1.
    pub fn asked(&self) -> impl Iterator<Item = (&Source, u8)> {
        self.sources
            .iter()
            .flat_map(|source| (1..=source.max_sources).map(move |one| (source, one)))
    }
}

/// Who may ask the server about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Control {
    /// The Unix socket for commands, an absolute path; `None`: at the first usual place.
    pub socket: Option<PathBuf>,
}

/// Sockets and workers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Server {
    /// Where requests are received.
    pub listen: Listen,
    /// Where they are received to be answered in smeared time; other addresses than `listen`.
    pub listen_smeared: Vec<SocketAddr>,
    /// How long leap seconds are smeared there.
    pub smear: Smear,
    /// The cores to run on, one worker on each; never empty, no core twice.
    pub cores: Vec<usize>,
    /// How datagrams are carried.
    pub backend: Backend,
    /// How replies leave when requests come by io_uring; [`UringReplies::Auto`] with
    /// [`Backend::Mmsg`].
    pub uring_replies: UringReplies,
    /// How replies leave: not by the ring unless [`Transmit::Socket`].
    pub transmit: Transmit,
    /// Which worker gets which packet.
    pub spread: Spread,
    /// Receive buffer of each socket, in bytes.
    pub receive_buffer_bytes: usize,
    /// SCHED_FIFO priority of the workers; `None` for ordinary scheduling.
    pub worker_priority: Option<NonZeroU8>,
    /// User to become once the sockets are open.
    pub user: Option<String>,
    /// Where the file names that user.
    pub user_position: Option<Position>,
}

impl Server {
    /// How many workers there are: one on each core, and one more there for smeared time.
    pub fn workers(&self) -> usize {
        self.cores.len() * if self.listen_smeared.is_empty() { 1 } else { 2 }
    }

    /// Whether its workers, on the same sockets, do the same as those of `other`.
    pub(crate) fn has_same_workers(&self, other: &Self) -> bool {
        self.backend == other.backend
            && self.uring_replies == other.uring_replies
            && self.smear == other.smear
            && self.cores == other.cores
    }
}

/// Where requests are received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nothing was said: every address of both families, and another port if the usual one is
    /// forbidden.
    Default,
    /// Exactly these, or the start fails; never empty, no address twice unless its port is 0.
    At(Vec<SocketAddr>),
}

impl Listen {
    /// NTP's port (RFC 5905 section 7.2).
    pub const PORT: u16 = 123;
    /// The port used instead when the system forbids [`Listen::PORT`] and no address was
    /// configured.
    pub const FALLBACK_PORT: u16 = 11_123;

    /// The addresses to bind.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Default => any_address(Self::PORT),
            Self::At(addresses) => addresses.clone(),
        }
    }

    /// The addresses to bind if [`Listen::PORT`] is not permitted; `None` if that is an error.
    pub fn fallback(&self) -> Option<Vec<SocketAddr>> {
        match self {
            Self::Default => Some(any_address(Self::FALLBACK_PORT)),
            Self::At(_) => None,
        }
    }
}

fn any_address(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

/// How the time is kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Clock {
    /// What the discipline moves.
    pub steering: Steering,
    /// Where the clock's frequency error is remembered between runs; an absolute path.
    pub drift_file: Option<PathBuf>,
    /// Where all that is known of the clock is kept for a restart; an absolute path, not that of
    /// the drift file.
    pub state_file: Option<PathBuf>,
    /// Offset above which the served time is stepped instead of slewed.
    pub step_threshold: Interval,
    /// How many updates after the start may step; `None` for any.
    pub step_limit: Option<u32>,
    /// Root distance above which the server says that it is not synchronised.
    pub max_root_distance: Interval,
    /// Offset that is not believed once synchronised, above `step_threshold`; `None` to believe
    /// any.
    pub panic_threshold: Option<Interval>,
    /// The list of leap seconds; an absolute path.
    pub leap_file: Option<PathBuf>,
    /// How the kernel clock takes a leap second; never [`LeapMode::Kernel`] with kernel steering
    /// and listeners that smear.
    pub leap_second: LeapMode,
}

/// The kernel clock served as a reference of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Local {
    /// Stratum announced, 1 to 15.
    pub stratum: Stratum,
    /// How long the sources have, after the start, before the local clock is served in their place.
    pub wait: Interval,
}

/// One upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// Whom to ask.
    pub endpoint: Endpoint,
    /// Whether to send a burst at the start and whenever it does not answer.
    pub iburst: bool,
    /// How often to ask.
    pub poll: PollRange,
    /// Whether it wins over other good sources.
    pub prefer: bool,
    /// Which of its addresses to use.
    pub family: Family,
    /// The key that requests are signed with and replies must be; `None` for neither.
    pub key: Option<KeyUse>,
    /// How many of its addresses are asked at a time; 1 for a server that is named by its address.
    pub max_sources: u8,
    /// Where the file names it.
    pub position: Position,
}

/// Where the symmetric keys are, and which of them count.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySettings {
    /// The key file; an absolute path.
    pub file: PathBuf,
    /// Whose key files it is written like.
    pub format: KeyFormat,
    /// Numbers of the keys that are trusted; `None` for all of them.
    pub trusted: Option<Vec<RangeInclusive<u32>>>,
}

impl KeySettings {
    /// Every key of `file`.
    pub const fn all_of(file: PathBuf, format: KeyFormat) -> Self {
        Self { file, format, trusted: None }
    }
}

/// Whose key files a key file is written like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormat {
    /// ntpd's: a key of more than 20 characters is hexadecimal.
    Ntpd,
    /// chronyd's: a key is text unless HEX: stands before it.
    Chrony,
}

impl Words for KeyFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("ntpd", Self::Ntpd), ("chrony", Self::Chrony)];
}

/// A key by its number, and where the file names it.
#[derive(Clone, Copy, Debug)]
pub struct KeyUse {
    /// The number.
    pub id: KeyId,
    /// Where it stands.
    pub position: Position,
}

impl PartialEq for KeyUse {
    /// The same key, wherever it stands.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for KeyUse {}

/// Poll exponents, log2 of seconds, 0 to 17 (RFC 5905 section 7.3); `min` is never above `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollRange {
    min: i8,
    max: i8,
}

impl PollRange {
    /// A range, if it is one.
    pub(super) fn new(min: i8, max: i8) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }

    /// Shortest interval, as log2 of seconds.
    pub fn min(self) -> i8 {
        self.min
    }

    /// Longest interval, as log2 of seconds.
    pub fn max(self) -> i8 {
        self.max
    }
}

/// A choice that is a word in the file.
pub trait Words: Copy + PartialEq + 'static {
    /// Every choice with its word.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for this choice.
    fn word(self) -> &'static str {
        let entry = Self::WORDS.iter().find(|(_, choice)| *choice == self);
        entry.expect("WORDS lists every choice").0
    }
}

/// How datagrams are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring where the system allows it, else recvmmsg.
    Auto,
    /// io_uring, or the start fails.
    Uring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

impl Words for Backend {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("uring", Self::Uring), ("mmsg", Self::Mmsg)];
}

/// How replies leave when requests come by io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UringReplies {
    /// Whatever is measured to be faster.
    Auto,
    /// Through the ring.
    Ring,
    /// By sendmmsg.
    Sendmmsg,
}

impl Words for UringReplies {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("ring", Self::Ring), ("sendmmsg", Self::Sendmmsg)];
}

/// How replies leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// By their sockets.
    Socket,
    /// By AF_XDP where the way is plain.
    Xdp,
    /// By AF_PACKET where the way is plain.
    Packet,
}

impl Transmit {
    /// What it adds to how datagrams are carried, in words.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Socket => "",
            Self::Xdp => "; replies by AF_XDP where the way is plain",
            Self::Packet => "; replies by AF_PACKET where the way is plain",
        }
    }
}

impl Words for Transmit {
    const WORDS: &'static [(&'static str, Self)] =
        &[("socket", Self::Socket), ("xdp", Self::Xdp), ("packet", Self::Packet)];
}

/// Which worker gets which packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// By a hash of the source address: one client always meets the same worker.
    SourceAddress,
    /// By the core that received it.
    Cpu,
    /// By the kernel's own hash, source port included.
    Kernel,
}

impl Words for Spread {
    const WORDS: &'static [(&'static str, Self)] =
        &[("source-address", Self::SourceAddress), ("cpu", Self::Cpu), ("kernel", Self::Kernel)];
}

/// What the discipline moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// Only the served time.
    Virtual,
    /// The kernel clock.
    Kernel,
}

impl Words for Steering {
    const WORDS: &'static [(&'static str, Self)] =
        &[("virtual", Self::Virtual), ("kernel", Self::Kernel)];
}

/// How a kernel clock that is steered takes a leap second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeapMode {
    /// The kernel is told, and does it.
    Kernel,
    /// It is stepped after the leap.
    Step,
    /// It is slewed after the leap.
    Slew,
}

impl Words for LeapMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("kernel", Self::Kernel), ("step", Self::Step), ("slew", Self::Slew)];
}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Both families.
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Family {
    /// True if `address` may be used.
    pub fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }
}

impl Words for Family {
    const WORDS: &'static [(&'static str, Self)] =
        &[("any", Self::Any), ("ipv4", Self::Ipv4), ("ipv6", Self::Ipv6)];
}

/// The least important message that is still logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What makes the program stop.
    Error,
    /// What an operator should look at.
    Warn,
    /// What changes the state of the server.
    Info,
    /// What explains a decision.
    Debug,
    /// Everything.
    Trace,
}

impl Words for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

/// What a plan depends on besides the file: the machine it is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    cores: Vec<usize>,
}

impl Machine {
    /// The machine this runs on. Call it before any thread is pinned: it reads the caller's
    /// affinity.
    pub fn this() -> Self {
        Self::with_cores(timeball_sys::allowed_cores())
    }

    /// A machine on which `cores` may be used; core 0 if there are none.
    pub fn with_cores(mut cores: Vec<usize>) -> Self {
        cores.sort_unstable();
        cores.dedup();
        if cores.is_empty() {
            cores.push(0);
        }
        Self { cores }
    }

    /// The cores this process may use, rising; never empty.
    pub fn cores(&self) -> &[usize] {
        &self.cores
    }
}
