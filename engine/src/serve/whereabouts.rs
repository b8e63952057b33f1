//! By which addresses this server is known: to its clients, and so to an upstream that has its time from us.
//!
//! Where it listens on one address, that is the one. Where it listens on all, it is whatever the machine has
//! at the moment: addresses come and go with interfaces, leases and anycast routes.
//!
//! Must never: count loopback; that names whoever says it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use timeball_sys::{AddressNews, own_addresses};
use timeball_time::{Interval, Monotonic, Timestamp};

/// The addresses, kept current.
#[derive(Debug)]
pub(super) struct Whereabouts {
    listening: Vec<IpAddr>,
    /// Only while an unspecified address is listened on.
    news: Option<AddressNews>,
    looked: Option<Timestamp<Monotonic>>,
    known: Vec<IpAddr>,
}

impl Whereabouts {
    /// Of a server that listens on `addresses`.
    pub(super) fn new(addresses: impl Iterator<Item = SocketAddr>) -> Self {
        let listening: Vec<_> = addresses.map(|address| address.ip()).collect();
        let news = listening.iter().any(IpAddr::is_unspecified).then(|| {
            let refused = |error: &_| tracing::debug!("no news of addresses: {error}");
            AddressNews::listen().inspect_err(refused).ok()
        });
        let mut whereabouts =
            Self { listening, news: news.flatten(), looked: None, known: Vec::new() };
        whereabouts.known = whereabouts.look();
        whereabouts
    }

    /// The addresses as last seen.
    pub(super) fn known(&self) -> &[IpAddr] {
        &self.known
    }

    /// The addresses if they have changed.
    pub(super) fn changed(&mut self, now: Timestamp<Monotonic>) -> Option<&[IpAddr]> {
        let told = self.news.as_ref().is_some_and(AddressNews::take);
        let due = self.looked.is_none_or(|looked| now - looked >= LOOK_GAP);
        if !told && !due {
            return None;
        }
        self.looked = Some(now);
        let found = self.look();
        if found == self.known {
            return None;
        }
        self.known = found;
        Some(&self.known)
    }

    /// What becomes readable when there is news.
    pub(super) fn news(&self) -> Option<BorrowedFd<'_>> {
        self.news.as_ref().map(AsFd::as_fd)
    }

    fn look(&self) -> Vec<IpAddr> {
        let any_of = |ip: &IpAddr| {
            self.listening.iter().any(|on| on.is_unspecified() && on.is_ipv4() == ip.is_ipv4())
        };
        let everywhere = self.listening.iter().any(IpAddr::is_unspecified);
        let machine = if everywhere { own_addresses().unwrap_or_default() } else { Vec::new() };
        let reached = machine.into_iter().filter(any_of);
        let given = self.listening.iter().copied().filter(|ip| !ip.is_unspecified());
        given.chain(reached).filter(|ip| !ip.is_loopback()).collect()
    }
}

/// Without news, and for what news may have missed.
const LOOK_GAP: Interval = Interval::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn known(addresses: &[&str]) -> Vec<IpAddr> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        Whereabouts::new(addresses).known().to_vec()
    }

    #[test]
    fn addresses_are_those_listened_on_but_not_loopback() {
        assert_eq!(
            known(&["192.0.2.1:123", "127.0.0.1:123"]),
            ["192.0.2.1".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(known(&["[::1]:123"]), [] as [IpAddr; 0]);
    }

    #[test]
    fn everywhere_is_where_the_machine_is_in_that_family() {
        let mine = own_addresses().unwrap();
        let v4 = mine.into_iter().filter(|ip| ip.is_ipv4() && !ip.is_loopback());
        assert_eq!(known(&["0.0.0.0:123"]), v4.collect::<Vec<_>>());
    }
}
