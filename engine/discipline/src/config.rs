//! What the discipline is told once, at the start.
//!
//! Plain values, already checked by whoever parsed them; what is out of range here is clamped.
//!
//! Must never: name a file, a socket, or anything else of the operating system.

use core::net::{IpAddr, SocketAddr};

use std::sync::Arc;

use timeball_time::{Interval, Rate, Stratum};
use timeball_wire::Key;

use crate::leap_table::LeapTable;

/// Everything the discipline is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where time comes from; those beyond [`crate::limits::SOURCES_MAX`] are left out.
    pub sources: Vec<SourceConfig>,
    /// The clock of last resort; with no source and no local clock nothing is ever served but leap
    /// 3.
    pub local: Option<LocalConfig>,
    /// Whether the kernel clock is touched.
    pub steering: Steering,
    /// A revision of the served time larger than this is a step, if steps are allowed; default
    /// 0.128 s.
    pub step_threshold: Interval,
    /// How many updates of the clock after the start may step it; `None`: any may. Default `None`.
    ///
    /// With `Some(0)` even the first offset is slewed, at up to 10 %.
    pub step_limit: Option<u32>,
    /// A revision larger than this after the start is refused; `None`: any is made. Default 1000 s.
    pub panic_threshold: Option<Interval>,
    /// Root distance past which the time is not served as synchronised; default 1.5 s.
    pub max_root_distance: Interval,
    /// The list of leap seconds, if there is one.
    pub leap_table: Option<LeapTable>,
    /// After a leap second that the kernel has not made, slew its clock instead of stepping it.
    pub slew_leaps: bool,
    /// Addresses by which clients reach this server: a source with its time from one of these is a
    /// loop.
    pub own_addresses: Vec<IpAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            local: None,
            steering: Steering::Virtual,
            step_threshold: Interval::from_millis(128),
            step_limit: None,
            panic_threshold: Some(Interval::from_secs(1000)),
            max_root_distance: Interval::from_millis(1500),
            leap_table: None,
            slew_leaps: false,
            own_addresses: Vec::new(),
        }
    }
}

/// One source of time.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Where to ask.
    pub target: Target,
    /// Eight requests at the start and when the source comes back: four 2 s apart, then ever
    /// slower.
    pub iburst: bool,
    /// log2 seconds between requests at the least; default 6.
    pub min_poll: i8,
    /// log2 seconds between requests at the most; default 10.
    pub max_poll: i8,
    /// Taken as system peer whenever it survives selection.
    pub prefer: bool,
    /// The key its requests are signed with and its replies must be.
    pub key: Option<Arc<Key>>,
}

impl SourceConfig {
    /// The defaults for `target`: iburst, poll 6 to 10.
    pub const fn new(target: Target) -> Self {
        Self { target, iburst: true, min_poll: 6, max_poll: 10, prefer: false, key: None }
    }
}

/// Where a source is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// At an address, for good.
    Address(SocketAddr),
    /// At whatever addresses a name has; they are asked for again when one fails.
    Name {
        /// Host name.
        host: String,
        /// UDP port.
        port: u16,
    },
    /// At one of the addresses of a name, at which no other source is asked; at another when it fails.
    ///
    /// As many sources of one name as its pool is to have; one that finds no address left is
    /// [`crate::State::Vacant`], and looks again.
    Pool {
        /// Host name.
        host: String,
        /// UDP port.
        port: u16,
    },
    /// Nowhere yet: a place for a server that is heard of, by broadcast or manycast.
    Heard,
}

/// The kernel's own clock as a reference of last resort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalConfig {
    /// The stratum announced; default 10.
    pub stratum: Stratum,
    /// How long the sources are waited for; default 10 s, and no time at all if there are none.
    pub wait: Interval,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self { stratum: Stratum::new(10), wait: Interval::from_secs(10) }
    }
}

/// Whether the kernel clock is touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steering {
    /// Never: the published mapping carries the whole correction.
    Virtual,
    /// The kernel clock is made to follow; the mapping carries what is still missing.
    Kernel {
        /// The frequency the kernel was applying at the start.
        frequency: Rate,
    },
}
