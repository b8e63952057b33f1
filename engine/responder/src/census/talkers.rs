//! Who sends the most: the Space-Saving algorithm in sets of sixteen.
//!
//! Each key has a set by its hash. In a full set a newcomer takes the place of the one with the least and
//! goes on from its count; what it inherits is noted as its possible error (A. Metwally, D. Agrawal and
//! A. El Abbadi, "Efficient computation of frequent and top-k elements in data streams", 2005). So a count is
//! never too small, `count − error` never too large, and whoever is not there has sent at most what is the
//! least in its set: at most a sixteenth of what came in for that set. Small sets cost one look at sixteen
//! numbers beside each other, however many places there are.
//!
//! The writer works on plain memory of its own and shows each place it changes behind a sequence lock.
//!
//! Must never: let a count shrink within its slice of time.

use core::net::{IpAddr, Ipv6Addr};
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;

use timeball_time::seqlock::SeqLock;
use timeball_wire::Network;

use super::slice::Clear;
use crate::HashKey;

/// The writer's side.
#[derive(Debug)]
pub(super) struct Talkers {
    hashes: Box<[u64; PLACES]>,
    counts: Box<[u64; PLACES]>,
    errors: Box<[u64; PLACES]>,
}

/// What others can read of it while it is written.
#[derive(Debug)]
pub(super) struct Published {
    places: Box<[SeqLock<4>]>,
    /// The most datagrams that one stood for.
    stride: AtomicU64,
}

/// A copy of it.
#[derive(Debug)]
pub(super) struct Table {
    places: Vec<Entry>,
    /// The most datagrams that one stood for.
    pub(super) stride: u64,
}

/// One place of the table; nobody's if `count` is zero.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Entry {
    /// Of [`host`] or [`network`].
    pub(super) key: u128,
    /// What it has sent at most.
    pub(super) count: u64,
    /// How much of that may have been others'.
    pub(super) error: u64,
}

impl Default for Talkers {
    fn default() -> Self {
        let none = || Box::new([0; PLACES]);
        Self { hashes: none(), counts: none(), errors: none() }
    }
}

impl Talkers {
    /// Forgets everybody.
    pub(super) fn clear(&mut self) {
        for numbers in [&mut self.hashes, &mut self.counts, &mut self.errors] {
            numbers.fill(0);
        }
    }

    /// Notes that `key`, whose hash is `hash`, has sent `weight` datagrams.
    #[inline]
    pub(super) fn add(&mut self, published: &Published, key: u128, hash: u64, weight: u64) {
        let set = set_of(hash) * SET..(set_of(hash) + 1) * SET;
        let known = self.hashes[set.clone()].iter().position(|&other| other == hash);
        let place = set.start + known.unwrap_or_else(|| least(&self.counts[set.clone()]));
        if known.is_none() {
            self.hashes[place] = hash;
            self.errors[place] = self.counts[place];
        }
        self.counts[place] += weight;
        let halves = [(key >> 64) as u64, key as u64];
        let words = [halves[0], halves[1], self.counts[place], self.errors[place]];
        published.places[place].write(words);
        if published.stride.load(Ordering::Relaxed) < weight {
            published.stride.store(weight, Ordering::Relaxed);
        }
    }
}

/// The first of the smallest.
#[inline]
fn least(counts: &[u64]) -> usize {
    let (mut place, mut least) = (0, u64::MAX);
    for (at, &count) in counts.iter().enumerate() {
        if count < least {
            (place, least) = (at, count);
        }
    }
    place
}

#[inline]
const fn set_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SETS_LOG2)) as usize
}

impl Default for Published {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| SeqLock::new([0; 4])).collect();
        Self { places, stride: AtomicU64::new(1) }
    }
}

impl Clear for Published {
    fn clear(&self) {
        self.places.iter().for_each(|place| place.write([0; 4]));
        self.stride.store(1, Ordering::Relaxed);
    }
}

impl Table {
    /// What `published` has now; a place that is written all the time counts as nobody's.
    pub(super) fn of(published: &Published) -> Self {
        let entry = |place: &SeqLock<4>| {
            let words = (0..READS_MAX).find_map(|_| place.try_read());
            let [high, low, count, error] = words.map_or([0; 4], |(_, words)| words);
            Entry { key: u128::from(high) << 64 | u128::from(low), count, error }
        };
        let places = published.places.iter().map(entry).collect();
        Self { places, stride: published.stride.load(Ordering::Relaxed) }
    }

    /// Everybody in it.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.places.iter().filter(|entry| entry.count > 0)
    }

    /// Adds to `sums` what everybody in it has certainly sent.
    pub(super) fn at_least(&self, sums: &mut BTreeMap<u128, u64>) {
        for entry in self.entries() {
            *sums.entry(entry.key).or_default() += entry.count - entry.error;
        }
    }

    /// What a key with this hash is said to have sent at most.
    pub(super) fn at_most(&self, key: u128, hash: u64) -> u64 {
        let set = &self.places[set_of(hash) * SET..][..SET];
        let known = set.iter().find(|entry| entry.key == key && entry.count > 0);
        known.map_or_else(|| least_of(set), |entry| entry.count)
    }

    /// What anybody who is not in it can have sent at most.
    pub(super) fn absent_at_most(&self) -> u64 {
        self.places.chunks(SET).map(least_of).max().unwrap_or(0)
    }
}

fn least_of(set: &[Entry]) -> u64 {
    set.iter().map(|entry| entry.count).min().unwrap_or(0)
}

/// The hash of a key: of as little of it as differs from others'.
#[inline]
pub(super) const fn hash(secret: HashKey, key: u128) -> u64 {
    if key >> 32 == MAPPED {
        return secret.hash::<4>(key as u64 & 0xFFFF_FFFF);
    }
    let high = secret.hash::<8>((key >> 64) as u64);
    if key as u64 == 0 { high } else { secret.hash::<8>(high ^ key as u64) }
}

/// The key of one address.
#[inline]
pub(super) const fn host(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The key of its network: /24 or /48, what is usually given to one site.
#[inline]
pub(super) const fn network(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(_) => host(address) >> 8 << 8,
        IpAddr::V6(_) => host(address) >> 80 << 80,
    }
}

/// What a [`host`] key stands for.
pub(super) fn host_named(key: u128) -> Network {
    Network::host(address(key))
}

/// What a [`network`] key stands for.
pub(super) fn network_named(key: u128) -> Network {
    let first = address(key);
    Network::new(first, if first.is_ipv4() { 24 } else { 48 }).expect("shorter than the address")
}

/// No socket for IPv6 receives IPv4, so a mapped address is always one of these.
fn address(key: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(key)).to_canonical()
}

/// The highest 96 bits of an IPv4 address as an IPv6 one (RFC 4291 section 2.5.5.2).
const MAPPED: u128 = 0xFFFF;
/// Places of a set: two cache lines of hashes.
const SET: usize = 16;
const SETS_LOG2: u32 = 7;
const PLACES: usize = SET << SETS_LOG2;
/// A write takes nanoseconds.
const READS_MAX: usize = 1000;
