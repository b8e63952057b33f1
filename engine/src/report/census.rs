//! Who is out there, as the report has it, and the list of what it is drawn from.
//!
//! Must never: make a worker wait for a reader.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use timeball_responder::{Clients, HashKey, Reading, Senders, TopTalkers};
use timeball_time::{Realtime, Timestamp};

use super::text::span;

/// Who is out there. Counts of clients are estimates, those of datagrams have bounds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Census {
    /// Different clients answered in the last 55 to 60 minutes.
    pub clients_last_hour: ClientCounts,
    /// Different clients answered in the last 23 to 24 hours.
    pub clients_last_day: ClientCounts,
    /// Standard error of those, relative to them.
    pub clients_error: f64,
    /// Who sends the most, by address.
    pub addresses: Talkers,
    /// The same by network: /24 for IPv4, /48 for IPv6.
    pub networks: Talkers,
}

/// How many different clients.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ClientCounts {
    /// IPv4 addresses.
    pub ipv4: u64,
    /// IPv6 networks of 64 bits.
    pub ipv6: u64,
}

/// Who sent the most in the last five to ten minutes, answered or not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Talkers {
    /// How long that is, or since the start.
    pub span_s: f64,
    /// Datagrams of everybody in that time.
    pub datagrams: u64,
    /// What anybody about whom nothing is known can have sent at most.
    pub unknown_at_most: u64,
    /// One datagram in so many was looked at, at the least; with 1 all bounds are certain, else a count
    /// has the standard error √((this − 1) · count) besides.
    pub sampled_one_in: u64,
    /// Those who certainly sent the most, the first of them first.
    pub top: Vec<Talker>,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Talker {
    /// An address, or a network as ADDRESS/LENGTH.
    pub who: String,
    /// Datagrams it has sent at least.
    pub at_least: u64,
    /// And at most.
    pub at_most: u64,
}

/// The censuses of all workers, those of workers that have ended included.
#[derive(Debug)]
pub(crate) struct Censuses {
    key: HashKey,
    all: Mutex<Vec<Arc<timeball_responder::Census>>>,
}

impl Censuses {
    /// None yet, with a secret of their own.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn secret() -> io::Result<Self> {
        let word = || getrandom::u64().map_err(io::Error::other);
        Ok(Self::new(HashKey([word()?, word()?])))
    }

    /// The secret by which workers know their clients.
    pub(crate) const fn key(&self) -> HashKey {
        self.key
    }

    fn new(key: HashKey) -> Self {
        Self { key, all: Mutex::default() }
    }

    /// One more, for a worker that is about to start.
    pub(crate) fn open(&self) -> Arc<timeball_responder::Census> {
        let census = Arc::new(timeball_responder::Census::new(self.key));
        if let Ok(mut all) = self.all.lock() {
            // Those of ended workers, which nobody else holds any more, tell of the day before a reload.
            let ended = |census: &Arc<_>| Arc::strong_count(census) == 1;
            let mut surplus =
                all.iter().filter(|census| ended(census)).count().saturating_sub(ENDED_MAX);
            all.retain(|census| {
                let goes = surplus > 0 && ended(census);
                surplus -= usize::from(goes);
                !goes
            });
            all.push(Arc::clone(&census));
        }
        census
    }

    /// Who sends the most at the time `now`.
    pub(crate) fn senders(&self, now: Timestamp<Realtime>) -> Senders {
        let all = self.all.lock().map_or_else(|_| Vec::new(), |all| all.clone());
        let all: Vec<_> = all.iter().map(|census| &**census).collect();
        Senders::of(&all, now)
    }

    /// What they say together at the time `now`, `uptime_s` after the start.
    pub(super) fn read(&self, now: Timestamp<Realtime>, uptime_s: f64) -> Census {
        let all = self.all.lock().map_or_else(|_| Vec::new(), |all| all.clone());
        let all: Vec<_> = all.iter().map(|census| &**census).collect();
        let reading = Reading::of(&all, now, TOP);
        Census {
            clients_last_hour: client_counts(reading.last_hour),
            clients_last_day: client_counts(reading.last_day),
            clients_error: Clients::ERROR,
            addresses: talkers(&reading.addresses, uptime_s),
            networks: talkers(&reading.networks, uptime_s),
        }
    }
}

const fn client_counts(clients: Clients) -> ClientCounts {
    ClientCounts { ipv4: clients.ipv4, ipv6: clients.ipv6 }
}

fn talkers(found: &TopTalkers, uptime_s: f64) -> Talkers {
    let top = found.talkers.iter().map(|talker| Talker {
        who: if talker.network == timeball_wire::Network::host(talker.network.address()) {
            talker.network.address().to_string()
        } else {
            talker.network.to_string()
        },
        at_least: talker.at_least,
        at_most: talker.at_most,
    });
    Talkers {
        span_s: found.span.as_secs_f64().min(uptime_s),
        datagrams: found.datagrams,
        unknown_at_most: found.unknown_at_most,
        sampled_one_in: found.sampled_one_in,
        top: top.collect(),
    }
}

/// For people: how many, and the first few.
pub(super) fn text(census: &Census) -> String {
    let (hour, day) = (census.clients_last_hour, census.clients_last_day);
    let mut text = format!(
        "clients  {} in the last hour ({} IPv4, {} IPv6 /64), {} in the last day, \
         give or take {:.0} %\n",
        hour.ipv4 + hour.ipv6,
        hour.ipv4,
        hour.ipv6,
        day.ipv4 + day.ipv6,
        100.0 * census.clients_error
    );
    for (kind, talkers) in [("address", &census.addresses), ("network", &census.networks)] {
        let shown = talkers.top.iter().take(TOP_SHOWN).filter(|talker| talker.at_least > 0);
        for (place, talker) in shown.enumerate() {
            if place == 0 {
                let _ = writeln!(
                    text,
                    "  most by {kind} in the last {}: of {} datagrams{}",
                    span(talkers.span_s),
                    talkers.datagrams,
                    if talkers.sampled_one_in > 1 { ", by samples" } else { "" }
                );
            }
            let share = 100.0 * talker.at_least as f64 / talkers.datagrams as f64;
            let more = talker.at_most - talker.at_least;
            let more = if more > 0 { format!(" to {}", talker.at_most) } else { String::new() };
            let _ =
                writeln!(text, "  {:>5.1} %  {:40} {}{more}", share, talker.who, talker.at_least);
        }
    }
    text
}

/// Told of each kind.
const TOP: usize = 20;
/// Shown to people.
const TOP_SHOWN: usize = 5;
/// Kept of workers that have ended: a few hundred kilobytes each.
const ENDED_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use timeball_responder::{Caller, Clerk};
    use timeball_time::Timestamp;

    use super::*;

    #[test]
    fn ended_workers_are_told_of_until_there_are_too_many() {
        let censuses = Censuses::new(HashKey([1, 2]));
        let now = Timestamp::from_nanos(1_764_000_000_000_000_000);
        for worker in 0..40u8 {
            let mut clerk = Clerk::new(censuses.open());
            clerk.begin(now, 1);
            let source = [192, 0, 2, worker].into();
            clerk.note(source, Caller::of(source, censuses.key()), true);
        }
        let _at_work = censuses.open();
        let census = censuses.read(now, 5.0);
        assert_eq!(census.clients_last_hour.ipv4, 16);
        assert_eq!((census.networks.datagrams, census.networks.span_s), (16, 5.0));
        assert_eq!(census.networks.top[0].who, "192.0.2.0/24");
        assert!(census.addresses.top.iter().all(|talker| talker.who.starts_with("192.0.2.")));
        let text = text(&census);
        assert!(text.contains("16 in the last hour") && text.contains("100.0 %  192.0.2.0/24"));
    }
}
