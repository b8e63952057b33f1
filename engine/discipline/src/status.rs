//! Everything a status page, ntpq or a metric wants to know, copied out at one instant.
//!
//! Must never: be on the packet path; it allocates.

use core::fmt;
use core::net::SocketAddr;

use timeball_time::{
    Interval, Leap, LeapSecond, NtpTimestamp, Rate, ReferenceId, Snapshot, Stratum,
};

use crate::config::SourceConfig;
use crate::rejection::Rejection;
use crate::selection::Tally;
use crate::source::State;

/// The discipline at one instant.
#[derive(Clone, Debug)]
pub struct Status {
    /// What is being served: leap, stratum, root delay and dispersion, reference, mapping.
    pub snapshot: Snapshot,
    /// What the served time rests on.
    pub basis: Basis,
    /// Why it is not synchronised, or [`Waiting::Nothing`].
    pub waiting: Waiting,
    /// Frequency of truth against the free-running clock: positive if the clock is slow.
    pub frequency: Rate,
    /// Standard deviation of that frequency; zero if it was never measured.
    pub frequency_error: Rate,
    /// Served minus kernel time now.
    pub correction: Interval,
    /// Estimated truth minus served time now: what is still being slewed.
    pub residual: Interval,
    /// Standard deviation of the combined estimate now.
    pub offset_error: Interval,
    /// Whether the kernel clock is being steered, and how that goes.
    pub steering: SteeringStatus,
    /// Steps of the served time since the start.
    pub steps: u64,
    /// Steps of the kernel clock by others since the start.
    pub foreign_steps: u64,
    /// Revisions of the estimate since the start.
    pub updates: u64,
    /// Root distance of what the sources say together; `None` if they say nothing.
    pub root_distance: Option<Interval>,
    /// Root distance past which the time is not served as synchronised.
    pub max_root_distance: Interval,
    /// The leap second at the end of this day.
    pub leap_ahead: Option<LeapSecond>,
    /// TAI − UTC in seconds, by the list of leap seconds.
    pub tai_offset_s: Option<i32>,
    /// The local clock's part, if it has one.
    pub local: Option<LocalStatus>,
    /// The system peer, as an index into `sources`.
    pub system_peer: Option<usize>,
    /// One for each configured source, in their order.
    pub sources: Vec<SourceStatus>,
}

/// What the served time rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// Nothing yet, or nothing any more: leap 3.
    Nothing,
    /// Sources; if none of them answers at present, their last estimate (holdover).
    Sources,
    /// The local clock, as a last resort.
    Local,
}

/// What the discipline is waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Nothing: the time is synchronised, or served from the local clock for want of sources.
    Nothing,
    /// Names to be resolved.
    Names,
    /// Enough answers from this many sources.
    Answers(usize),
    /// A majority: this many usable sources disagree.
    Majority(usize),
    /// The error bound to fall below the limit.
    Distance,
    /// An operator: the sources want a change above the panic threshold.
    Operator,
    /// Any source to become usable; there is none.
    Sources,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Names => f.write_str("the sources' names to be resolved"),
            Self::Answers(count) => write!(f, "enough answers from {count} source(s)"),
            Self::Majority(count) => write!(f, "a majority among {count} sources that disagree"),
            Self::Distance => f.write_str("the error bound to fall below the limit"),
            Self::Operator => {
                f.write_str("an operator: sources want a change above the panic threshold")
            }
            Self::Sources => f.write_str("a source to become usable"),
        }
    }
}

/// The local clock as a last resort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalStatus {
    /// The stratum announced when it is served.
    pub stratum: Stratum,
    /// How long the sources are still waited for before it may be served; zero when that is over.
    pub wait: Interval,
}

/// Whether the kernel clock is being steered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SteeringStatus {
    /// It is never touched.
    Virtual,
    /// It is steered and applies this frequency.
    Kernel(Rate),
    /// It should be, but the kernel refuses.
    Refused,
}

/// One source at one instant.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// As configured.
    pub config: SourceConfig,
    /// Where it is asked, once known.
    pub remote: Option<SocketAddr>,
    /// Where the association stands.
    pub state: State,
    /// What selection made of it.
    pub tally: Tally,
    /// Reach register: one bit for each of the last eight requests, the newest lowest.
    pub reach: u8,
    /// log2 seconds between requests.
    pub poll: i8,
    /// Time since the last accepted answer.
    pub when: Option<Interval>,
    /// Time until something is sent to it next.
    pub next: Interval,
    /// Its time minus served time, by its whole history.
    pub offset: Option<Interval>,
    /// Standard deviation of that.
    pub offset_error: Option<Interval>,
    /// Frequency of its time against the free clock.
    pub frequency: Option<Rate>,
    /// Least round-trip delay in the history.
    pub delay: Option<Interval>,
    /// Deviation of a single measurement.
    pub jitter: Option<Interval>,
    /// Root distance by way of it: the bound of its offset's error.
    pub root_distance: Option<Interval>,
    /// Answers in the history.
    pub points: usize,
    /// The newest of them, at most [`HISTORY_SHOWN`], the newest first.
    pub history: Vec<PastAnswer>,
    /// What the last accepted answer said.
    pub last: Option<LastAnswer>,
    /// Why its answers are not to be believed at present.
    pub unfit: Option<Rejection>,
    /// Requests sent to the present address.
    pub requests: u64,
    /// Answers accepted since it was asked first, or anew.
    pub answers: u64,
    /// Datagrams refused, by [`Rejection::index`].
    pub rejections: [u64; Rejection::COUNT],
}

/// One answer of a source's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PastAnswer {
    /// Since half way through its exchange.
    pub age: Interval,
    /// The source's time minus served time, by this answer alone, carried to now at the source's frequency.
    pub offset: Interval,
    /// Its round-trip delay.
    pub delay: Interval,
}

/// As many as RFC 5905's clock filter has stages (section 10), which is what ntpq shows.
pub const HISTORY_SHOWN: usize = 8;

/// The header of the last accepted answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastAnswer {
    /// Server minus served time, by this answer alone.
    pub offset: Interval,
    /// Round-trip delay of this answer.
    pub delay: Interval,
    /// Leap indicator.
    pub leap: Leap,
    /// Stratum.
    pub stratum: Stratum,
    /// log2 seconds: the server's resolution.
    pub precision: i8,
    /// log2 seconds: the poll interval the server sent.
    pub poll: i8,
    /// The server's root delay.
    pub root_delay: Interval,
    /// The server's root dispersion.
    pub root_dispersion: Interval,
    /// Where the server has its time from.
    pub reference_id: ReferenceId,
    /// When the server's clock was last corrected.
    pub reference_time: NtpTimestamp,
}
