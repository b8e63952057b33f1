//! How much a client may ask for: the numbers the limiter goes by.
//!
//! A client is an IPv4 address or an IPv6 /64, because a host has all of that one. A whole /48 has an
//! allowance of its own, larger by [`SITE_CLIENTS`], so that nobody gets more by taking many /64 of it.
//!
//! Must never: allow nothing at all; a share of what is over the limit is always answered.

use core::num::NonZeroU32;

use timeball_time::{Interval, Realtime, Timestamp};

use crate::keyed_hash::HashKey;

/// What is done with requests over the limit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum LimitMode {
    /// Nothing is limited, and no client remembered.
    #[default]
    Off,
    /// What would not be answered is counted, and answered.
    Observe,
    /// Most of it is not answered.
    On,
}

/// The limits, as a worker goes by them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Limits {
    mode: LimitMode,
    client: Budget,
    site: Budget,
    leak: u32,
    kiss_poll: i8,
    clients: usize,
    key: HashKey,
}

/// What [`Limits`] are made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitSettings {
    /// What is done with requests over the limit.
    pub mode: LimitMode,
    /// Mean time between two requests of a client that may go on for ever; 100 µs to 2^17 s.
    pub interval: Interval,
    /// How many a client may send at once after a pause; fewer if they made up more than half a year.
    pub burst: NonZeroU32,
    /// One in so many of the requests over the limit is answered, by chance.
    pub leak: NonZeroU32,
    /// How many clients each worker remembers, 8 octets each; rounded up to a power of two.
    pub clients: usize,
}

impl LimitSettings {
    /// What holds where nothing else was said.
    ///
    /// A busy address behind which a provider has put a thousand customers asks some ten times a second,
    /// and all at once after a power failure; a flood is a hundred times that.
    pub const USUAL: Self = Self {
        mode: LimitMode::On,
        interval: Interval::from_nanos(62_500_000),
        burst: NonZeroU32::new(64).expect("not zero"),
        leak: NonZeroU32::new(4).expect("not zero"),
        clients: 1 << 20,
    };
}

impl Limits {
    /// The limits of `settings`; clients are remembered by a hash with `key`, drawn at random by the
    /// caller.
    pub fn new(settings: &LimitSettings, key: HashKey) -> Self {
        let interval = settings.interval.max(INTERVAL_MIN).min(INTERVAL_MAX);
        let ticks = ticks_of(interval);
        let burst = u64::from(settings.burst.get()).min(HORIZON_MAX / ticks);
        let kept = if settings.mode == LimitMode::Off { 0 } else { settings.clients };
        Self {
            mode: settings.mode,
            client: Budget::new(ticks, burst),
            site: Budget::new((ticks / SITE_CLIENTS).max(1), burst * SITE_CLIENTS),
            leak: settings.leak.get(),
            kiss_poll: ceil_log2_s(interval),
            clients: kept,
            key,
        }
    }

    /// What is done with requests over the limit.
    pub const fn mode(&self) -> LimitMode {
        self.mode
    }

    /// How many clients each worker remembers at least; 0 with [`LimitMode::Off`].
    pub const fn clients(&self) -> usize {
        self.clients
    }

    pub(crate) const fn client(&self) -> Budget {
        self.client
    }

    pub(crate) const fn site(&self) -> Budget {
        self.site
    }

    /// One in so many of the requests over the limit is answered, by chance.
    pub const fn leak(&self) -> NonZeroU32 {
        match NonZeroU32::new(self.leak) {
            Some(leak) => leak,
            // Without limits nobody is over them.
            None => NonZeroU32::MIN,
        }
    }

    /// How many requests a second a client may send for ever; without limits any number.
    pub fn client_hz(&self) -> f64 {
        1e9 / (self.client.interval << TICK_SHIFT) as f64
    }

    /// log2 of the interval in seconds, rounded up: what a client that asks too often is told.
    pub(crate) const fn kiss_poll(&self) -> i8 {
        self.kiss_poll
    }

    pub(crate) const fn key(&self) -> HashKey {
        self.key
    }

    /// Mode (0 off, 1 observed, 2 on), leak, interval and tolerance of a client and of a site in ticks of
    /// 2^16 ns, and the two halves of the key.
    pub(crate) const fn to_words(self) -> [u64; 8] {
        let mode = match self.mode {
            LimitMode::Off => 0,
            LimitMode::Observe => 1,
            LimitMode::On => 2,
        };
        let Budget { interval, tolerance } = self.client;
        let Budget { interval: site_interval, tolerance: site_tolerance } = self.site;
        let leak = self.leak().get() as u64;
        let [first, second] = self.key.0;
        [mode, leak, interval, tolerance, site_interval, site_tolerance, first, second]
    }
}

/// A rate and a burst (the generic cell rate algorithm: ITU-T I.371), in [`Ticks`].
///
/// Of a bucket only the moment is kept at which it will be full again. A request takes one interval, and
/// is over the limit if the bucket would then be full later than a whole burst from now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Budget {
    interval: u64,
    /// The debt at which a further request is still in order.
    tolerance: u64,
}

impl Budget {
    pub(crate) const fn new(interval: u64, burst: u64) -> Self {
        Self { interval, tolerance: interval * (burst - 1) }
    }

    /// How long a bucket can need to be full again, at the most.
    pub(crate) const fn horizon(self) -> u64 {
        self.tolerance + self.interval
    }

    /// Whether a request is in order when the bucket needs `debt` to be full again.
    pub(crate) const fn allows(self, debt: u64) -> bool {
        debt <= self.tolerance
    }

    /// The debt after another request.
    pub(crate) const fn charged(self, debt: u64) -> u64 {
        debt + self.interval
    }
}

/// Moments in ticks of 2^16 ns (66 µs), modulo 2^40: two years, after which they begin again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ticks(u64);

impl Ticks {
    /// Bits of a moment.
    pub(crate) const BITS: u32 = 40;

    pub(crate) const fn of(now: Timestamp<Realtime>) -> Self {
        Self::from_bits(now.nanos() as u64 >> TICK_SHIFT)
    }

    /// The moment of the lowest [`Ticks::BITS`] bits of `bits`.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }

    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// So many ticks later.
    pub(crate) const fn plus(self, ticks: u64) -> Self {
        Self::from_bits(self.0.wrapping_add(ticks))
    }

    /// Ticks from `earlier` to this; from a later moment nearly two years.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        Self::from_bits(self.0.wrapping_sub(earlier.0)).0
    }
}

/// The ticks in `interval`, which is not negative.
pub(crate) const fn ticks_of(interval: Interval) -> u64 {
    interval.nanos() as u64 >> TICK_SHIFT
}

fn ceil_log2_s(interval: Interval) -> i8 {
    interval.as_secs_f64().log2().ceil() as i8
}

/// How many clients' worth an IPv6 /48 may ask for: a site has many hosts, and a provider may have given
/// each customer a /56 or a /64 of it.
pub const SITE_CLIENTS: u64 = 64;
/// A tick is 2^16 ns: fine enough that a /48 has an interval of its own.
const TICK_SHIFT: u32 = 16;
/// A debt must differ from a moment of the past: a quarter of all moments there are.
const HORIZON_MAX: u64 = 1 << (Ticks::BITS - 2);
const INTERVAL_MIN: Interval = Interval::from_micros(100);
/// RFC 5905 section 7.3 has no longer poll interval.
const INTERVAL_MAX: Interval = Interval::from_secs(1 << 17);
