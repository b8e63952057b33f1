//! Every bound of the discipline that is not particular to one file.
//!
//! Must never: hold a bound that depends on the configuration; those are in [`crate::Config`].

use timeball_time::{Interval, Rate};

/// The most sources one discipline follows.
pub const SOURCES_MAX: usize = 64;

/// The most actions one call may ask for.
pub const ACTIONS_MAX: usize = 256;

/// Room kept free of requests in an [`crate::Actions`], so that publishing never lacks it.
pub const ACTIONS_RESERVED: usize = 96;

/// The most addresses kept of one name.
pub const ADDRESSES_MAX: usize = 8;

/// How often the snapshot is published when nothing else happens.
pub const HEARTBEAT: Interval = Interval::from_secs(1);

/// How long a synchronised snapshot may be used: a stuck discipline shows as leap 3 within 10 s.
pub const VALIDITY: Interval = Interval::from_secs(5);

/// The fastest a served second may be stretched or squeezed while slewing: 10 %.
pub const SLEW_RATE_MAX: f64 = 0.1;

/// The kernel's limit of frequency, and so of a command.
pub const KERNEL_FREQUENCY_MAX: Rate = Rate::from_ppb(500_000);

/// The poll exponents a source may be given (RFC 5905: MAXPOLL 17).
pub const POLL_MAX: i8 = 17;

const _: () = assert!(ACTIONS_RESERVED >= SOURCES_MAX + 16);
const _: () = assert!(ACTIONS_MAX > ACTIONS_RESERVED);
const _: () = assert!(VALIDITY.nanos() >= 2 * HEARTBEAT.nanos());
const _: () = assert!(VALIDITY.nanos() + HEARTBEAT.nanos() < 10_000_000_000);
