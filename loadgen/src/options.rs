//! What load to offer, to whom and from whom, and the bounds of all of it.
//!
//! Must never: let a load through that is not bounded in time and in packets, or that goes to somebody
//! else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use timeball_sys::traffic::driver::Company;
use timeball_sys::traffic::{MacAddress, SEGMENTS_MAX};
use timeball_time::{Realtime, Timestamp};
use timeball_wire::{HEADER_LEN, Key};

use crate::scope::{refuse_foreign, refuse_foreign_sources};
use crate::{Behaviour, Expectation, Load, LoadError, Mix, Part, Population};

/// What load to offer to whom, and its bounds.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server; see [`refuse_foreign`].
    pub target: SocketAddr,
    /// The caller vouches for a target that is not local.
    pub owned: bool,
    /// Who asks.
    pub population: Population,
    /// Who of them asks how often.
    pub behaviour: Behaviour,
    /// What the packets are.
    pub mix: Mix,
    /// How they leave.
    pub path: Path,
    /// Source ports of each sender, 1 to [`Options::PORTS_MAX`].
    pub ports: usize,
    /// When requests are sent.
    pub load: Load,
    /// How long load is offered, up to [`Options::DURATION_MAX`].
    pub duration: Duration,
    /// Packets after which offering ends earlier.
    pub requests_max: u32,
    /// Requests handed to the kernel at once, 1 to [`Options::BATCH_MAX`]; in the kernel, to the device.
    pub batch: usize,
    /// Requests of one client that are handed over as one message when they are due together, 1 to
    /// [`SEGMENTS_MAX`]. More than 1 makes the generator faster by as much, and the clients take
    /// turns of this many requests.
    pub segments: usize,
    /// One request in this many gets a kernel stamp of its departure; 0 for none.
    pub stamp_one_in: u32,
    /// After this long without a reply a request is lost.
    pub timeout: Duration,
    /// What replies are held to.
    pub expectation: Expectation,
    /// What goes along with requests: in the kernel only.
    pub company: Company,
    /// Requests are signed with this key, and so must their replies be; hostile packets are not.
    pub key: Option<Key>,
    /// The server's clock is this machine's: T1 ≤ T2 ≤ T3 ≤ T4 must hold, and every offset is error.
    pub shared_clock: bool,
    /// The threads that send.
    pub senders: Senders,
    /// When to start; at once if `None` or past. [`Pattern::Crowd`](crate::Pattern::Crowd) waits for
    /// the turn of a second.
    pub start_at: Option<Timestamp<Realtime>>,
    /// Whether one request must have been answered before load is offered.
    pub probe: bool,
    /// Seed of all randomness.
    pub seed: u64,
}

/// How packets leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// By UDP sockets, from addresses that are this host's.
    Sockets,
    /// As Ethernet frames of our own making, from addresses that are nobody's. Needs `CAP_NET_RAW`.
    Frames {
        /// The next hop's address; looked up if `None`.
        next_hop: Option<MacAddress>,
    },
    /// As such frames too, made and checked by programs in the kernel: by one sender, of one kind, all
    /// clients alike. Needs root.
    InKernel {
        /// The next hop's address; looked up if `None`.
        next_hop: Option<MacAddress>,
    },
}

impl Path {
    /// Whether replies go to addresses that are nobody's.
    const fn forges(self) -> bool {
        !matches!(self, Self::Sockets)
    }
}

/// The threads that send, each with its part of the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Senders {
    /// So many, where the scheduler puts them.
    Floating(usize),
    /// One on each of these cores.
    Pinned(Vec<usize>),
}

impl Senders {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Floating(count) => *count,
            Self::Pinned(cores) => cores.len(),
        }
    }

    /// The core of sender `index`, if it has one.
    pub(crate) fn core(&self, index: usize) -> Option<usize> {
        match self {
            Self::Floating(_) => None,
            Self::Pinned(cores) => cores.get(index).copied(),
        }
    }
}

impl Options {
    /// Most source ports of a sender: each is a socket, but for frames.
    pub const PORTS_MAX: usize = 64;
    /// The same for frames, over all senders.
    pub const FRAME_PORTS_MAX: usize = 16_384;
    /// Most requests at once.
    pub const BATCH_MAX: usize = 64;
    /// Most senders.
    pub const SENDERS_MAX: usize = 256;
    /// Longest run.
    pub const DURATION_MAX: Duration = Duration::from_secs(3_600);
    /// Most requests in flight.
    pub const WINDOW_MAX: u32 = 1 << 20;

    /// A closed loop of 256 requests in flight for a second, from `population` in turn, held to the
    /// clock that both ends share.
    pub fn new(target: SocketAddr, population: Population) -> Self {
        Self {
            target,
            owned: false,
            population,
            behaviour: Behaviour::default(),
            mix: Mix::plain(),
            path: Path::Sockets,
            ports: 1,
            load: Load::Closed { window: 256 },
            duration: Duration::from_secs(1),
            requests_max: u32::MAX,
            batch: 64,
            segments: 1,
            stamp_one_in: 0,
            timeout: Duration::from_millis(250),
            expectation: Expectation::Server,
            company: Company::default(),
            key: None,
            shared_clock: true,
            senders: Senders::Floating(1),
            start_at: None,
            probe: false,
            seed: 1,
        }
    }

    /// Octets of a request: the header, and the key's code if there is one.
    pub(crate) fn request_len(&self) -> usize {
        HEADER_LEN + self.key.as_ref().map_or(0, Key::code_len)
    }

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        refuse_foreign(self.target, self.owned)?;
        self.behaviour.check(self.population.size())?;
        if self.path.forges() {
            refuse_foreign_sources(&self.population)?;
        }
        let window_ok = match self.load {
            Load::Closed { window } => (1..=Self::WINDOW_MAX).contains(&window),
            Load::Open { rate_hz, .. } => rate_hz > 0,
        };
        let family_ok = self.population.address(0).is_ipv4() == self.target.is_ipv4();
        let (senders, ports) = (self.senders.count(), self.ports);
        let ports_ok = match self.path {
            Path::Sockets => (1..=Self::PORTS_MAX).contains(&ports),
            Path::Frames { .. } | Path::InKernel { .. } => {
                ports > 0 && ports * senders <= Self::FRAME_PORTS_MAX
            }
        };
        let timeout_ok = !self.timeout.is_zero() && self.timeout <= TIMEOUT_MAX;
        let checks = [
            (window_ok, "the window must be 1 to 1048576 and a rate at least 1"),
            (family_ok, "the clients' network must be of the target's address family"),
            ((1..=Self::SENDERS_MAX).contains(&senders), "senders must be 1 to 256"),
            (ports_ok, "ports must be 1 to 64; with frames, 16384 over all senders"),
            ((1..=Self::BATCH_MAX).contains(&self.batch), "the batch must be 1 to 64"),
            ((1..=SEGMENTS_MAX).contains(&self.segments), "segments must be 1 to 64"),
            (self.duration <= Self::DURATION_MAX, "the duration must be at most an hour"),
            (timeout_ok, "the time-out must be more than 0 and at most 10 s"),
            (self.is_fit_for_kernel(), NOT_IN_KERNEL),
        ];
        match checks.into_iter().find(|(is_ok, _)| !is_ok) {
            Some((_, text)) => Err(LoadError::Option(text)),
            None => Ok(()),
        }
    }

    /// Whether the programs in the kernel can do it, if they are to.
    fn is_fit_for_kernel(&self) -> bool {
        let plain = self.mix.only().is_some_and(|kind| !kind.is_hostile()) && self.key.is_none();
        let alike = self.behaviour == Behaviour::default() && self.segments == 1;
        match self.path {
            Path::InKernel { .. } => plain && alike && self.senders.count() == 1,
            _ => self.company == Company::default(),
        }
    }

    /// Slots for the requests that one sender has in flight: what its part of the load can have
    /// outstanding.
    pub(crate) fn room(&self, part: Part) -> usize {
        let outstanding = match self.load {
            Load::Closed { window } => u64::from(part.share(window)) * 2,
            Load::Open { rate_hz, .. } => {
                let rate_hz = u64::from(part.share(rate_hz).max(1));
                rate_hz * self.timeout.as_millis() as u64 / 1_000 * 2
            }
        };
        outstanding.clamp(ROOM_MIN, u64::from(Self::WINDOW_MAX) * 2) as usize
    }

    /// Whom `client` is.
    #[inline]
    pub(crate) fn address(&self, client: u64) -> IpAddr {
        self.population.address(client)
    }
}

const NOT_IN_KERNEL: &str = "inside the kernel there is one sender with requests of one kind: leave out \
    --mix of several or hostile kinds, --key, --chatty, --abuser, --segments and more senders";
/// Least slots in the table of requests in flight.
const ROOM_MIN: u64 = 1_024;
const TIMEOUT_MAX: Duration = Duration::from_secs(10);
