//! Everything the server knows about itself at one instant: what `timeball status` shows and programs read.
//!
//! The running server draws a [`Report`] and sends it as JSON through its control socket; the commands read
//! it back and show it. It is the one description of the server's state: text, JSON, `why` and ntpq's
//! variables are all made from it. Names end in their unit: `_s` seconds, `_ppm`, `log2_s`.
//!
//! A field may be added at any time; [`VERSION`] rises when one changes its meaning or goes.
//!
//! Must never: hold what only one of its readers wants.

mod census;
mod draw;
mod fast_path;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use census::Censuses;
pub use census::{Census, ClientCounts, Talker, Talkers};
pub(crate) use draw::{Board, Tally, Witness, work};
pub(crate) use fast_path::{Driver, lines as fast_path_lines};
pub use fast_path::{FastInterface, FastPath};
pub(crate) use text::{headline, sandbox, some_of, span, state, text, workers_text};

/// The version of the JSON.
pub const VERSION: u32 = 1;

/// The server at one instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`] of the server that made it.
    pub version: u32,
    /// The program and its version.
    pub program: String,
    /// The server's process.
    pub pid: u32,
    /// The served time, seconds since 1970.
    pub time_unix_s: f64,
    /// Since the start.
    pub uptime_s: f64,
    /// Since when there is counting: the start of the program, or of the first of those that handed over to
    /// each other.
    #[serde(default)]
    pub counting_since_unix_s: f64,
    /// The addresses answered on.
    pub listening: Vec<String>,
    /// What had to be done otherwise than usual at the start.
    pub notes: Vec<String>,
    /// Threads that do not go on; empty if all is well.
    #[serde(default)]
    pub stuck: Vec<String>,
    /// What was lost before any worker had it.
    #[serde(default)]
    pub overflow: Overflow,
    /// How datagrams are carried, for each worker.
    pub carriers: Vec<String>,
    /// How the server is confined.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// What a client would be told now.
    pub header: Header,
    /// The clock behind it.
    pub clock: Clock,
    /// The local clock as a last resort, if there is to be one.
    pub local: Option<Local>,
    /// One for each configured source, in their order.
    pub sources: Vec<Source>,
    /// All workers together, and the driver: what clients asked and got.
    pub clients: Work,
    /// Each worker.
    pub workers: Vec<Work>,
    /// What is answered in network drivers; `None`: nothing is to be.
    #[serde(default)]
    pub fast_path: Option<FastPath>,
    /// How often the configuration was read again and put into force.
    #[serde(default)]
    pub reloads: u64,
    /// How often that was refused.
    #[serde(default)]
    pub reloads_refused: u64,
    /// Who is out there.
    #[serde(default)]
    pub census: Census,
}

/// Datagrams that the kernel dropped at the workers' sockets, since the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overflow {
    /// The worker's queue was full.
    pub queue_full: u64,
    /// Dropped while senders were held back: theirs, or the queue was full nevertheless.
    pub held_back: u64,
    /// The senders of whom only one datagram in a few is let through at present.
    pub senders: Vec<String>,
}

/// How the server is confined.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sandbox {
    /// What is in force; empty if it is switched off.
    pub in_force: Vec<String>,
    /// What cannot be, and why.
    pub missing: Vec<String>,
}

/// The part of a reply that does not depend on the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Leap indicator, 0 to 3; 3: not synchronised.
    pub leap: u8,
    /// Stratum, 0 to 15; 0: not synchronised.
    pub stratum: u8,
    /// log2 of the clock's resolution in seconds.
    pub precision_log2_s: i8,
    /// Round-trip delay to the reference.
    pub root_delay_s: f64,
    /// Error bound to the reference, without the delay's part.
    pub root_dispersion_s: f64,
    /// Half of the one and all of the other: the bound of the served time's error.
    pub root_distance_s: f64,
    /// Where the time comes from: an address or digest, or a code (at stratum 0 the reason why not).
    pub reference_id: String,
    /// Since the clock was last corrected; `None`: never.
    pub reference_age_s: Option<f64>,
}

/// The clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Clock {
    /// What the served time rests on: `sources`, `local`, `nothing`.
    pub basis: String,
    /// What it waits for before it can be served as synchronised; `None`: it is.
    pub waiting: Option<Waiting>,
    /// Frequency of truth against the free-running clock: positive if the clock is slow.
    pub frequency_ppm: f64,
    /// Standard deviation of that; 0 if it was never measured.
    pub frequency_error_ppm: f64,
    /// Served minus kernel time.
    pub correction_s: f64,
    /// What is still being slewed.
    pub residual_s: f64,
    /// Standard deviation of the combined estimate.
    pub offset_error_s: f64,
    /// Root distance of what the sources say together; `None` if they say nothing.
    pub root_distance_s: Option<f64>,
    /// Root distance past which the time is not served as synchronised.
    pub max_root_distance_s: f64,
    /// The leap second at the end of this day, in words.
    pub leap_second: Option<String>,
    /// TAI − UTC in seconds, by the list of leap seconds.
    pub tai_offset_s: Option<i32>,
    /// The kernel clock: `virtual` (never touched), `kernel` (steered), `refused`.
    pub steering: String,
    /// Steps of the served time since the start.
    pub steps: u64,
    /// Steps of the kernel clock by others since the start.
    pub foreign_steps: u64,
    /// Revisions of the estimate since the start.
    pub updates: u64,
    /// The system peer, as an index into `sources`.
    pub system_peer: Option<usize>,
}

/// Why it is not synchronised.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// `names`, `answers`, `majority`, `distance`, `operator`, `sources`.
    pub r#for: String,
    /// The same for people.
    pub text: String,
}

/// The local clock as a last resort.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Local {
    /// The stratum announced when it is served.
    pub stratum: u8,
    /// How long the sources are still waited for.
    pub wait_s: f64,
}

/// One source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    /// It is one of several addresses of its name that are asked.
    #[serde(default)]
    pub pool: bool,
    /// As configured.
    pub name: String,
    /// Where it is asked, once known.
    pub address: Option<String>,
    /// `unresolved`, `resolving`, `polling`, `refused`.
    pub state: String,
    /// What selection made of it: `reject`, `falseticker`, `excess`, `outlier`, `candidate`, `system_peer`.
    pub tally: String,
    /// The same as ntpq's first column.
    pub symbol: char,
    /// One bit for each of the last eight requests, the newest lowest.
    pub reach: u8,
    /// log2 seconds between requests.
    pub poll_log2_s: i8,
    /// Since the last accepted answer.
    pub when_s: Option<f64>,
    /// Until something is sent to it next.
    pub next_s: f64,
    /// Its time minus served time, by its whole history.
    pub offset_s: Option<f64>,
    /// Standard deviation of that.
    pub offset_error_s: Option<f64>,
    /// Frequency of its time against the free clock.
    pub frequency_ppm: Option<f64>,
    /// Least round-trip delay in the history.
    pub delay_s: Option<f64>,
    /// Deviation of a single measurement.
    pub jitter_s: Option<f64>,
    /// Bound of its offset's error.
    pub root_distance_s: Option<f64>,
    /// Answers in the history.
    pub points: usize,
    /// The newest of them, up to eight, the newest first.
    pub history: Vec<PastAnswer>,
    /// What the last accepted answer said.
    pub last: Option<Answer>,
    /// Why its answers are not to be believed at present.
    pub unfit: Option<String>,
    /// Whether it wins over other good sources.
    pub prefer: bool,
    /// Requests sent to the present address.
    pub requests: u64,
    /// Datagrams not believed, by reason.
    pub rejected: BTreeMap<String, u64>,
}

/// One answer of a source's history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PastAnswer {
    /// Since it was asked for.
    pub age_s: f64,
    /// Server minus served time, by this answer alone.
    pub offset_s: f64,
    /// Its round-trip delay.
    pub delay_s: f64,
}

/// The header of a source's last accepted answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Server minus served time, by this answer alone.
    pub offset_s: f64,
    /// Round-trip delay of this answer.
    pub delay_s: f64,
    /// Leap indicator.
    pub leap: u8,
    /// Stratum.
    pub stratum: u8,
    /// log2 of the server's resolution in seconds.
    pub precision_log2_s: i8,
    /// log2 of the poll interval the server sent.
    pub poll_log2_s: i8,
    /// The server's root delay.
    pub root_delay_s: f64,
    /// The server's root dispersion.
    pub root_dispersion_s: f64,
    /// Where the server has its time from.
    pub reference_id: String,
    /// When the server's clock was last corrected: NTP timestamp, seconds since 1900 in 32.32 bits.
    pub reference_time_ntp: u64,
}

/// What was done for clients, since the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    /// Datagrams taken from the sockets.
    pub received: u64,
    /// Answered.
    pub answered: u64,
    /// The same by version, 1 to 4.
    pub answered_by_version: Vec<u64>,
    /// Of these, answers to symmetric active requests (mode 1).
    #[serde(default)]
    pub answered_symmetric: u64,
    /// Answers that the kernel has taken.
    #[serde(default)]
    pub sent: u64,
    /// How long requests stayed here, T3 − T2.
    #[serde(default)]
    pub residence_s: Histogram,
    /// How many datagrams were taken at once.
    #[serde(default)]
    pub batch_datagrams: Histogram,
    /// Not answered.
    pub unanswered: u64,
    /// The same by reason; reasons that never occurred are left out.
    pub unanswered_by_reason: BTreeMap<String, u64>,
    /// What else is worth a look; what never occurred is left out.
    pub noted: BTreeMap<String, u64>,
}

/// How often which size occurred.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Upper bounds of the buckets, which belong to them.
    pub bounds: Vec<f64>,
    /// How many lie in each, and above the last if there is one more than bounds.
    pub counts: Vec<u64>,
    /// All sizes together.
    pub sum: f64,
}

impl Work {
    /// What is not answered because it makes no sense.
    pub(crate) fn bad_format(&self) -> u64 {
        let names = ["short", "long", "version", "alignment", "extension_field", "code"];
        names.iter().filter_map(|name| self.unanswered_by_reason.get(*name)).sum()
    }

    /// What is not answered by the access rules.
    pub(crate) fn restricted(&self) -> u64 {
        self.unanswered_by_reason.get("access").copied().unwrap_or(0)
    }

    /// What is not answered because it was asked too often.
    pub(crate) fn limited(&self) -> u64 {
        self.unanswered_by_reason.get("limited").copied().unwrap_or(0)
    }

    /// How often that happened.
    pub(crate) fn noted(&self, name: &str) -> u64 {
        self.noted.get(name).copied().unwrap_or(0)
    }
}

impl Report {
    /// Whether a client may believe the time it would be told now.
    pub fn is_serving(&self) -> bool {
        self.header.leap != 3
    }
}
