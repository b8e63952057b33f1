//! Who may have what: rules for networks, of which the most specific wins, wherever it stands.
//!
//! Most specific means the longest prefix. Of two rules for one network, a request from port 123 meets the
//! one that is for that port alone (ntpd calls it `ntpport`). What no rule covers is free.
//!
//! Must never: cost more than a few loads for a packet, or depend on the order of the rules.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ops::BitOr;

use timeball_wire::Network;

use crate::gate::NTP_PORT;
use crate::trie::{Prefix, Trie};

/// What is withheld from a network.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Restrictions(u8);

impl Restrictions {
    /// Everything is allowed.
    pub const NONE: Self = Self(0);
    /// Requests for the time are not answered.
    pub const NO_TIME: Self = Self(1);
    /// Queries about the server (mode 6) are not answered.
    pub const NO_QUERY: Self = Self(1 << 1);
    /// Requests for the time are answered only with a valid authentication code.
    pub const KEYED_ONLY: Self = Self(1 << 2);
    /// Requests for the time are answered only in the current version, 4.
    pub const CURRENT_VERSION_ONLY: Self = Self(1 << 3);
    /// Requests for the time beyond the [`Limits`](crate::Limits) are not answered, most of them.
    pub const LIMITED: Self = Self(1 << 4);
    /// Whoever is limited may be told so by a kiss of death (RFC 5905 section 7.4: RATE).
    pub const KISSED: Self = Self(1 << 5);

    /// What is left without all of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True if all of `other` is withheld.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Restrictions {
    type Output = Self;

    /// What either withholds.
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is withheld from one network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessRule {
    /// Whom it is about.
    pub network: Network,
    /// It is only about packets from UDP port 123.
    pub from_ntp_port: bool,
    /// What they may not have.
    pub restrictions: Restrictions,
}

/// All rules, made ready for a worker.
#[derive(Clone, Debug)]
pub struct Access {
    others: Families,
    /// For packets from port 123, if any rule is about them alone.
    ntp_port: Option<Families>,
}

#[derive(Clone, Debug)]
struct Families {
    v4: Trie,
    v6: Trie,
}

impl Access {
    /// The table of `rules`. Where two are about the same, what either withholds is withheld.
    pub fn new(rules: &[AccessRule]) -> Self {
        let others = Families::new(rules.iter().filter(|rule| !rule.from_ntp_port));
        let ntp_port = rules.iter().any(|rule| rule.from_ntp_port).then(|| {
            let has_own = |network| rules.iter().any(|r| r.from_ntp_port && r.network == network);
            Families::new(rules.iter().filter(|r| r.from_ntp_port || !has_own(r.network)))
        });
        Self { others, ntp_port }
    }

    /// What is withheld from `source`, which is read where it lies: an IPv6 address in a fresh copy cannot be
    /// read before the copy has left the processor's store buffer, which costs more than the look-up.
    #[inline]
    pub fn restrictions(&self, source: &SocketAddr) -> Restrictions {
        let families = match &self.ntp_port {
            Some(families) if source.port() == NTP_PORT => families,
            _ => &self.others,
        };
        Restrictions(match source {
            SocketAddr::V4(v4) => families.v4.find(v4_key(*v4.ip())),
            SocketAddr::V6(v6) => families.v6.find(v6.ip().to_bits()),
        })
    }

    /// All tables laid out one after another ([`Trie::lay_out`]), and where each begins: for IPv4, IPv6, and
    /// both again for packets from port 123.
    pub(crate) fn lay_out(&self) -> (Vec<[u64; 2]>, [u32; 4]) {
        let mut words = Vec::new();
        let mut place = |families: &Families| {
            (families.v4.lay_out(&mut words), families.v6.lay_out(&mut words))
        };
        let (v4, v6) = place(&self.others);
        let (ntp_v4, ntp_v6) = self.ntp_port.as_ref().map_or((v4, v6), place);
        (words, [v4, v6, ntp_v4, ntp_v6])
    }
}

impl Default for Access {
    /// No rule: everybody may have everything.
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Families {
    fn new<'r>(rules: impl Iterator<Item = &'r AccessRule> + Clone) -> Self {
        let of_family = |is_v4| {
            let own = rules.clone().filter(move |rule| rule.network.address().is_ipv4() == is_v4);
            let mut prefixes: Vec<(Prefix, u8)> = own
                .map(|AccessRule { network, restrictions, .. }| {
                    (Prefix::of(key(network.address()), network.length()), restrictions.0)
                })
                .collect();
            prefixes.sort_unstable();
            prefixes.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                kept.1 |= if same { later.1 } else { 0 };
                same
            });
            Trie::new(&prefixes, Restrictions::NONE.0)
        };
        Self { v4: of_family(true), v6: of_family(false) }
    }
}

/// The bits of an address, from the highest down.
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4_key(v4),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[inline]
const fn v4_key(address: Ipv4Addr) -> u128 {
    (address.to_bits() as u128) << 96
}
