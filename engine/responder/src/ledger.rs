//! The clients a worker remembers: a table of fixed size, eight octets for each.
//!
//! A client is known by a hash with a secret key ([`Caller`](crate::Caller)). It says in which set the
//! client belongs; a set is one cache line with eight places, so that a look-up costs one miss. Of a client
//! only a tag of its hash is kept, the moment at which its allowance will be whole again
//! ([`Budget`](crate::limits::Budget)), and whether it has come back: not its address.
//!
//! A new client takes the place of the one that has gone unheard the longest. Who floods has the
//! latest moment of its set, so no churn of strangers frees it of its debt; and who has come back keeps its
//! place before strangers for a while, so no flood of strangers makes the server forget its clients.
//!
//! Must never: refuse a client for want of a place, allocate after its making, or look further than one set.

use timeball_time::Interval;

use crate::limits::{Ticks, ticks_of};

/// The table.
#[derive(Debug)]
pub(crate) struct Ledger {
    sets: Box<[Set]>,
}

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Set([Entry; WAYS]);

/// From the highest bit: the moment of a whole allowance, whether the client has come back, the tag. A tag
/// is never zero, so zero is a free place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry(u64);

impl Entry {
    const FREE: Self = Self(0);
    const TAG_BITS: u32 = 64 - Ticks::BITS - 1;
    const TAG: u64 = (1 << Self::TAG_BITS) - 1;
    const RETURNED: u64 = 1 << Self::TAG_BITS;

    const fn new(hash: u64, record: Record) -> Self {
        let returned = if record.returned { Self::RETURNED } else { 0 };
        Self(record.whole_at.to_bits() << (64 - Ticks::BITS) | returned | Self::tag(hash))
    }

    /// The highest bits of `hash`: the lowest choose the set.
    const fn tag(hash: u64) -> u64 {
        hash >> (64 - Self::TAG_BITS) | 1
    }

    const fn is_of(self, hash: u64) -> bool {
        self.0 & Self::TAG == Self::tag(hash)
    }

    const fn record(self) -> Record {
        Record {
            whole_at: Ticks::from_bits(self.0 >> (64 - Ticks::BITS)),
            returned: self.0 & Self::RETURNED != 0,
        }
    }

    /// How well this place can be given to another client: the higher the better.
    const fn staleness(self, horizon: Ticks) -> u64 {
        if self.0 == Self::FREE.0 {
            return u64::MAX;
        }
        let record = self.record();
        // A moment beyond the horizon is one of a clock that was set back since; it counts as very old.
        let age = horizon.since(record.whole_at);
        if record.returned { age.saturating_sub(KEPT) } else { age }
    }
}

/// What is remembered of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// When its allowance will be, or was, whole again.
    pub(crate) whole_at: Ticks,
    /// It has asked more than once.
    pub(crate) returned: bool,
}

/// Where a client is in the table, and what stands there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    hash: u64,
    /// Its way in its set; [`WAYS`], if it is not there.
    way: usize,
    entry: Entry,
}

impl Place {
    /// True if nothing is remembered of the client.
    #[inline]
    pub(crate) const fn is_new(self) -> bool {
        self.way == WAYS
    }

    /// The moment of its whole allowance; without meaning for somebody new.
    #[inline]
    pub(crate) const fn whole_at(self) -> Ticks {
        self.entry.record().whole_at
    }
}

impl Ledger {
    /// Room for `clients` at least, or for none. All of its memory is written to here.
    pub(crate) fn new(clients: usize) -> Self {
        let sets = if clients == 0 { 0 } else { clients.div_ceil(WAYS).next_power_of_two() };
        Self { sets: vec![Set([Entry::FREE; WAYS]); sets].into_boxed_slice() }
    }

    /// Some of what is in the set of `hash`: reading it brings all of the set into the cache.
    #[inline]
    pub(crate) fn glance(&self, hash: u64) -> u64 {
        self.sets.get(self.index(hash)).map_or(0, |set| set.0[0].0)
    }

    /// Looks up the client of this `hash`.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64) -> Place {
        let set = self.sets.get(self.index(hash)).map_or(&[][..], |set| &set.0);
        let found = set.iter().zip(0..).find(|(entry, _)| entry.is_of(hash));
        let (entry, way) = found.map_or((Entry::FREE, WAYS), |(&entry, way)| (entry, way));
        Place { hash, way, entry }
    }

    /// Writes `record` down for the client at `place`. `horizon` is the latest moment any record can have.
    /// True if another client was forgotten for it.
    #[inline]
    pub(crate) fn note(&mut self, place: Place, record: Record, horizon: Ticks) -> bool {
        let Some(set) = self.sets.get_mut(self.index(place.hash)) else { return false };
        let way = if place.is_new() { set.stalest(horizon) } else { place.way };
        let Some(entry) = set.0.get_mut(way) else { return false };
        let evicts = place.is_new() && *entry != Entry::FREE;
        *entry = Entry::new(place.hash, record);
        evicts
    }

    /// Without sets there is no index, this one included.
    #[inline]
    const fn index(&self, hash: u64) -> usize {
        hash as usize & self.sets.len().wrapping_sub(1)
    }
}

impl Set {
    #[inline(never)]
    fn stalest(&self, horizon: Ticks) -> usize {
        // Of equals the first, which is found soonest.
        let ways = self.0.iter().enumerate().rev();
        ways.max_by_key(|(_, entry)| entry.staleness(horizon)).map_or(0, |(way, _)| way)
    }
}

/// Places in a set: as many as fit a cache line of 64 octets.
const WAYS: usize = 8;
/// How much longer one that has come back is kept than a stranger: two of the longest usual poll intervals
/// (RFC 5905 section 7.2: 2^10 s), so that most clients are known from one request to the next.
const KEPT: u64 = ticks_of(Interval::from_secs(2048));

const _: () = assert!(size_of::<Set>() == 64 && align_of::<Set>() == 64);
