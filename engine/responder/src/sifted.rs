//! Whose requests are sifted before they reach a worker: what comes through is answered.
//!
//! The kernel lets only one in a few of the datagrams of those through who flood. If the limiter answered one
//! in a few of these again, they would get less than what is promised to everybody over the limit, and
//! the rest would have been received for nothing. So workers are told who is meant, by the hashes under which
//! they know clients anyway.
//!
//! One thread writes while workers read; each place is one word, and who is missed or found for a moment too
//! long gets an answer more or less.
//!
//! Must never: make a reader wait, or be asked for each packet: only those over the limit are looked up.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::Caller;

/// A set of callers.
#[derive(Debug)]
pub struct Sifted {
    places: Box<[AtomicU64]>,
    count: AtomicUsize,
}

impl Default for Sifted {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| AtomicU64::new(FREE)).collect();
        Self { places, count: AtomicUsize::new(0) }
    }
}

impl Sifted {
    /// From now on these, and nobody else; of more than [`Sifted::MAX`] the first.
    pub fn show(&self, callers: impl Iterator<Item = Caller>) {
        let mut places = vec![FREE; PLACES];
        let mut count = 0;
        for Caller { client, .. } in callers.take(Self::MAX) {
            if let Some(place) = Self::way(client).find(|&place| places[place] == FREE) {
                places[place] = client;
                count += 1;
            }
        }
        for (place, client) in self.places.iter().zip(places) {
            place.store(client, Ordering::Relaxed);
        }
        self.count.store(count, Ordering::Relaxed);
    }

    /// Whether `caller` is one of them.
    #[inline]
    pub(crate) fn has(&self, caller: Caller) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && self.is_there(caller.client)
    }

    #[inline(never)]
    fn is_there(&self, client: u64) -> bool {
        let mut way = Self::way(client).map(|place| self.places[place].load(Ordering::Relaxed));
        way.find(|&other| other == client || other == FREE) == Some(client)
    }

    /// Where `client` is looked for, one place after the other: all of them, so that everybody has one.
    fn way(client: u64) -> impl Iterator<Item = usize> {
        (0..PLACES).map(move |step| (client as usize).wrapping_add(step) % PLACES)
    }

    /// How many there can be.
    pub const MAX: usize = 1536;
}

/// Less than a quarter of them is taken, so that who is not there is soon known not to be.
const PLACES: usize = 8192;

const _: () = assert!(4 * Sifted::MAX <= PLACES);
/// Nobody's hash but once in 2^64.
const FREE: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HashKey;

    fn callers(from: u32, count: u32) -> impl Iterator<Item = Caller> {
        let key = HashKey([3, 4]);
        (from..from + count)
            .map(move |host| Caller::of(core::net::Ipv4Addr::from_bits(host).into(), key))
    }

    #[test]
    fn all_that_were_shown_last_are_found_and_nobody_else() {
        let sifted = Sifted::default();
        assert!(!callers(0, 10).any(|caller| sifted.has(caller)));
        sifted.show(callers(0, 1536));
        assert!(callers(0, 1536).all(|caller| sifted.has(caller)));
        assert!(!callers(1536, 100_000).any(|caller| sifted.has(caller)));
        sifted.show(callers(1000, 5000));
        assert!(callers(1000, 1536).all(|caller| sifted.has(caller)));
        assert!(!callers(2536, 5000).any(|caller| sifted.has(caller)));
        assert!(!callers(0, 1000).any(|caller| sifted.has(caller)));
        sifted.show(callers(0, 0));
        assert!(!callers(1000, 1536).any(|caller| sifted.has(caller)));
    }
}
