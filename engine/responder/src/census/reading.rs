//! What the censuses of all workers say together.
//!
//! Must never: be drawn up by a worker.

use core::net::IpAddr;
use std::collections::BTreeMap;

use timeball_time::{Interval, Realtime, Timestamp};
use timeball_wire::Network;

use super::sketch::{ERROR, Union};
use super::slice::{Ring, SLICES_PER_HOUR, slice_at, start_of};
use super::talkers::{self, Published, Table};
use super::{Census, GENERATIONS, HOURS, Sketches};
use crate::HashKey;

/// Who is out there, as far as can be known in bounded memory.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reading {
    /// Different clients answered in the last 55 to 60 minutes.
    pub last_hour: Clients,
    /// Different clients answered in the last 23 to 24 hours.
    pub last_day: Clients,
    /// Those who send the most, by address; all datagrams count, answered or not.
    pub addresses: TopTalkers,
    /// The same by network: /24 for IPv4, /48 for IPv6.
    pub networks: TopTalkers,
}

/// Those who send the most by address, each with what it has certainly sent in the last five to ten minutes.
#[derive(Clone, Debug, Default)]
pub struct Senders(BTreeMap<u128, u64>);

impl Senders {
    /// What `censuses` say at the time `now`.
    pub fn of(censuses: &[&Census], now: Timestamp<Realtime>) -> Self {
        let slice = slice_at(now);
        let recent = slice - GENERATIONS + 1..=slice;
        let mut senders = BTreeMap::new();
        for census in censuses {
            for (_, table) in census.addresses.read(recent.clone(), Table::of) {
                table.at_least(&mut senders);
            }
        }
        Self(senders)
    }

    /// How many datagrams each has sent since `earlier`. Who was not known then counts from nothing; when old
    /// numbers are forgotten, some count too little.
    pub fn since(&self, earlier: &Self) -> impl Iterator<Item = (IpAddr, u64)> {
        self.0.iter().map(|(&name, &sent)| {
            let before = earlier.0.get(&name).copied().unwrap_or(0);
            (talkers::host_named(name).address(), sent.saturating_sub(before))
        })
    }
}

/// Estimates of how many different clients there were.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clients {
    /// IPv4 addresses.
    pub ipv4: u64,
    /// IPv6 networks of 64 bits: one host may have many addresses in its own.
    pub ipv6: u64,
}

impl Clients {
    /// The standard error of an estimate, relative to it.
    pub const ERROR: f64 = ERROR;
}

/// Who sent the most in the last five to ten minutes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TopTalkers {
    /// How long that is, at most: the server may not have run so long.
    pub span: Interval,
    /// Datagrams of everybody in that time.
    pub datagrams: u64,
    /// What anybody about whom nothing is known can have sent at most.
    pub unknown_at_most: u64,
    /// One datagram in so many was looked at, at the least; 1: every one, and the bounds are certain. Else a
    /// count has the standard error √((this − 1) · count) besides.
    pub sampled_one_in: u64,
    /// Those who certainly sent the most, the first of them first.
    pub talkers: Vec<Talker>,
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Talker {
    /// Who: one address, or a network.
    pub network: Network,
    /// Datagrams it has sent at least.
    pub at_least: u64,
    /// And at most.
    pub at_most: u64,
}

impl Reading {
    /// What `censuses`, all made with one key, say at the time `now`; at most `top` talkers of each kind.
    pub fn of(censuses: &[&Census], now: Timestamp<Realtime>, top: usize) -> Self {
        let Some(key) = censuses.first().map(|census| census.key) else {
            return Self::default();
        };
        let slice = slice_at(now);
        let hour = slice.div_euclid(SLICES_PER_HOUR);
        let (mut last_hour, mut last_day) = <(Unions, Unions)>::default();
        for census in censuses {
            let of_day = slice - HOURS * SLICES_PER_HOUR + 1..=slice;
            for (number, unions) in census.recent.read(of_day, Unions::of) {
                last_day.add_all(&unions);
                if number > slice - SLICES_PER_HOUR {
                    last_hour.add_all(&unions);
                }
            }
            for (_, unions) in census.hours.read(hour - HOURS + 1..=hour, Unions::of) {
                last_day.add_all(&unions);
            }
        }
        let tables = |ring: fn(&Census) -> &Ring<Published>| {
            let recent = slice - GENERATIONS + 1..=slice;
            let tables =
                censuses.iter().flat_map(|census| ring(census).read(recent.clone(), Table::of));
            tables.map(|(_, table)| table).collect::<Vec<_>>()
        };
        let span = now - start_of(slice - GENERATIONS + 1);
        let addresses = tables(|census| &census.addresses);
        let networks = tables(|census| &census.networks);
        Self {
            last_hour: last_hour.estimate(),
            last_day: last_day.estimate(),
            addresses: TopTalkers::of(&addresses, key, top, span, talkers::host_named),
            networks: TopTalkers::of(&networks, key, top, span, talkers::network_named),
        }
    }
}

impl TopTalkers {
    fn of(
        tables: &[Table],
        key: HashKey,
        top: usize,
        span: Interval,
        named: fn(u128) -> Network,
    ) -> Self {
        let mut at_least: BTreeMap<u128, u64> = BTreeMap::new();
        tables.iter().for_each(|table| table.at_least(&mut at_least));
        let mut first: Vec<(u64, u128)> =
            at_least.into_iter().map(|(key, at_least)| (at_least, key)).collect();
        first.sort_unstable_by(|one, other| other.cmp(one));
        let talker = |&(at_least, name): &(u64, u128)| {
            let hash = talkers::hash(key, name);
            let at_most = tables.iter().map(|table| table.at_most(name, hash)).sum();
            Talker { network: named(name), at_least, at_most }
        };
        Self {
            span,
            // Every place goes on from the count it took over, so nothing is lost or counted twice.
            datagrams: tables.iter().flat_map(Table::entries).map(|entry| entry.count).sum(),
            unknown_at_most: tables.iter().map(Table::absent_at_most).sum(),
            sampled_one_in: tables.iter().map(|table| table.stride).max().unwrap_or(1),
            talkers: first.iter().take(top).map(talker).collect(),
        }
    }
}

/// The clients of a span of time, put together.
#[derive(Default)]
struct Unions {
    v4: Union,
    v6: Union,
}

impl Unions {
    fn of(sketches: &Sketches) -> Self {
        Self { v4: Union::of(&sketches.v4), v6: Union::of(&sketches.v6) }
    }

    fn add_all(&mut self, other: &Self) {
        self.v4.add_all(&other.v4);
        self.v6.add_all(&other.v6);
    }

    fn estimate(&self) -> Clients {
        Clients { ipv4: self.v4.estimate().round() as u64, ipv6: self.v6.estimate().round() as u64 }
    }
}
