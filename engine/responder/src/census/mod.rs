//! Who is out there: how many different clients, and who sends the most, in bounded memory.
//!
//! Each worker writes a [`Census`] of its own through its [`Clerk`], with plain stores; whoever wants to know
//! merges those of all workers into one [`Reading`], whenever it likes, and no worker notices. Different
//! clients are counted by a [`Sketch`], the heaviest senders by [`Talkers`]; both forget by time, which is an
//! argument, in slices of five minutes.
//!
//! A datagram costs a worker the look at one register, by a hash that the limiter needs as well. Heavy
//! senders are found by looking at four datagrams of each batch, each standing for its share of the batch:
//! a small batch is looked at whole, and a full one costs little more.
//!
//! Addresses are hashed with a secret key: nobody can choose addresses that spoil the sketch or push others
//! out of the tables.
//!
//! Must never: grow, wait, or write anything that another worker writes.

mod reading;
mod sketch;
mod slice;
mod talkers;

use core::net::IpAddr;
use std::sync::Arc;

use timeball_time::{Realtime, Timestamp};

use crate::{Caller, HashKey};
pub use reading::{Clients, Reading, Senders, Talker, TopTalkers};
use sketch::Sketch;
use slice::{Clear, Ring, SLICES_PER_HOUR, slice_at};
use talkers::{Published, Talkers};

/// What one worker has seen of its clients, for others to read while it works.
#[derive(Debug)]
pub struct Census {
    key: HashKey,
    recent: Ring<Sketches>,
    hours: Ring<Sketches>,
    addresses: Ring<Published>,
    networks: Ring<Published>,
}

/// The clients of one span of time, by family.
#[derive(Debug, Default)]
struct Sketches {
    v4: Sketch,
    v6: Sketch,
}

impl Census {
    /// A census of nobody yet; those that are merged into one [`Reading`] need the same `key`.
    pub fn new(key: HashKey) -> Self {
        Self {
            key,
            recent: Ring::new(SLICES_PER_HOUR),
            hours: Ring::new(HOURS),
            addresses: Ring::new(GENERATIONS),
            networks: Ring::new(GENERATIONS),
        }
    }
}

/// The one who writes a worker's [`Census`].
#[derive(Debug)]
pub struct Clerk {
    census: Arc<Census>,
    addresses: Talkers,
    networks: Talkers,
    /// The slice of time being written; its places in the rings.
    slice: i64,
    recent: usize,
    generation: usize,
    random: u64,
    /// How many datagrams one stands for that is looked at, and how many come before the next.
    stride: u32,
    countdown: u32,
}

impl Clerk {
    /// The clerk of `census`, which must have no other.
    pub fn new(census: Arc<Census>) -> Self {
        Self {
            census,
            addresses: Talkers::default(),
            networks: Talkers::default(),
            slice: i64::MIN,
            recent: 0,
            generation: 0,
            random: 0,
            stride: 1,
            countdown: 0,
        }
    }

    /// Begins a batch of `datagrams`, taken at the time `now`.
    #[inline]
    pub fn begin(&mut self, now: Timestamp<Realtime>, datagrams: usize) {
        let slice = slice_at(now);
        if slice != self.slice {
            self.turn_page(slice);
        }
        self.stride = (datagrams as u32).div_ceil(LOOKS_PER_BATCH).max(1);
        // Wherever in the batch a datagram lies, its chance of being looked at is the same.
        self.countdown = if self.stride > 1 { self.draw() % self.stride } else { 0 };
    }

    /// Notes one datagram of the batch, which came from `source`; it is `caller`'s, by the same key in all
    /// censuses.
    #[inline]
    pub fn note(&mut self, source: IpAddr, caller: Caller, answered: bool) {
        if answered {
            let sketches = self.census.recent.at(self.recent);
            match caller.site {
                None => sketches.v4.add(caller.client),
                // A host gives itself new addresses within its 64 bits (RFC 8981).
                Some(_) => sketches.v6.add(caller.client),
            }
        }
        if self.countdown == 0 {
            self.countdown = self.stride;
            self.look(source);
        }
        self.countdown -= 1;
    }

    fn look(&mut self, source: IpAddr) {
        let (key, weight) = (self.census.key, self.stride.into());
        let (address, network) = (talkers::host(source), talkers::network(source));
        let published = self.census.addresses.at(self.generation);
        self.addresses.add(published, address, talkers::hash(key, address), weight);
        let published = self.census.networks.at(self.generation);
        self.networks.add(published, network, talkers::hash(key, network), weight);
    }

    /// Ends a slice of time and begins another.
    #[cold]
    fn turn_page(&mut self, slice: i64) {
        if self.slice != i64::MIN {
            let hour = self.census.hours.open(self.slice.div_euclid(SLICES_PER_HOUR));
            let (hour, ended) = (self.census.hours.at(hour), self.census.recent.at(self.recent));
            hour.v4.add_all(&ended.v4);
            hour.v6.add_all(&ended.v6);
        }
        self.slice = slice;
        self.recent = self.census.recent.open(slice);
        self.addresses.clear();
        self.networks.clear();
        self.census.networks.begin(slice);
        self.generation = self.census.addresses.begin(slice);
    }

    /// The next random number (a counter, hashed).
    fn draw(&mut self) -> u32 {
        self.random = self.random.wrapping_add(1);
        self.census.key.hash::<8>(self.random) as u32
    }
}

impl Clear for Sketches {
    fn clear(&self) {
        self.v4.clear();
        self.v6.clear();
    }
}

/// Datagrams of one batch that are looked at for heavy senders.
const LOOKS_PER_BATCH: u32 = 4;
/// Hours that are kept.
const HOURS: i64 = 24;
/// Slices for which heavy senders are kept: the one under way, and a whole one.
const GENERATIONS: i64 = 2;
