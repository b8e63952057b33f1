//! Where replies go: a table that never changes, made from the kernel's and replaced as a whole.
//!
//! A look-up is what the kernel does, as far as that is simple: this machine's own addresses first,
//! then the longest prefix, then the neighbour. Whatever is not plain gives the reason why a reply is
//! to go by its socket, where the kernel decides.
//!
//! Must never: give a way that the kernel would not take.

use std::net::{IpAddr, SocketAddr};

use timeball_wire::Fallback;

use super::tables::{Link, Neighbour, Route, Tables, Way};
use crate::mac_address::MacAddress;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    /// For IPv4 and IPv6.
    families: [Family; 2],
    /// By index, in order.
    cards: Vec<Card>,
    /// By interface and address, in order.
    neighbours: Vec<((u32, u128), Result<MacAddress, Fallback>)>,
}

/// One way over one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Index of the device.
    pub(crate) interface: u32,
    /// The device's own address.
    pub(crate) local: MacAddress,
    /// The target's, or the gateway's.
    pub(crate) next_hop: MacAddress,
    /// Longest IP packet.
    pub(crate) mtu: u32,
}

/// The routes of one family.
#[derive(Debug)]
struct Family {
    /// This machine's own addresses.
    own: Prefixes,
    main: Prefixes,
    is_simple: bool,
}

/// Networks by length, the longest first.
#[derive(Debug, Default)]
struct Prefixes(Vec<Networks>);

/// Networks of one length, in order.
#[derive(Debug)]
struct Networks {
    mask: u128,
    ways: Vec<(u128, Way)>,
}

/// A device that frames can be sent by.
#[derive(Clone, Copy, Debug)]
struct Card {
    interface: u32,
    local: MacAddress,
    mtu: u32,
}

impl Hops {
    pub(super) fn new(tables: &Tables) -> Self {
        let usable = |(interface, link): (&u32, &Link)| {
            let local = link.address.filter(|_| link.is_running)?;
            Some(Card { interface: *interface, local, mtu: link.mtu })
        };
        let known = |(&(interface, ip), neighbour): (&(u32, IpAddr), &Neighbour)| {
            let card = match neighbour {
                Neighbour::Valid(card) => Ok(*card),
                Neighbour::Stale => Err(Fallback::Stale),
            };
            ((interface, key(ip)), card)
        };
        let mut neighbours: Vec<_> = tables.neighbours.iter().map(known).collect();
        neighbours.sort_unstable_by_key(|(at, _)| *at);
        let family = |at: usize| {
            let routes = tables.routes.iter().filter(|route| route.network.is_ipv6() == (at == 1));
            let (own, main) = routes.partition::<Vec<&Route>, _>(|route| route.is_own);
            let (own, main) = (Prefixes::new(own), Prefixes::new(main));
            Family { own, main, is_simple: tables.is_simple[at] }
        };
        let cards = tables.links.iter().filter_map(usable).collect();
        Self { families: [family(0), family(1)], cards, neighbours }
    }

    /// The way by which a reply goes that takes `len` octets with its IP header.
    ///
    /// # Errors
    /// Why it is to go by its socket.
    #[inline]
    pub(crate) fn towards(&self, target: SocketAddr, len: u32) -> Result<Hop, Fallback> {
        let ip = target.ip();
        let family = &self.families[usize::from(ip.is_ipv6())];
        if is_nobody(ip) {
            return Err(Fallback::Local);
        }
        if !family.is_simple {
            return Err(Fallback::Routing);
        }
        let target_key = key(ip);
        let link_local = match target {
            SocketAddr::V6(target) if target.ip().is_unicast_link_local() => {
                Some(target.scope_id())
            }
            _ => None,
        };
        let (interface, hop, limit) = match family.own.find(target_key) {
            Some(Way::Own) => return Err(Fallback::Local),
            Some(_) => return Err(Fallback::Routing),
            None => match (link_local, family.main.find(target_key)) {
                (Some(interface), _) => (interface, target_key, None),
                (None, Some(Way::By { interface, gateway, mtu })) => {
                    (interface, gateway.map_or(target_key, key), mtu)
                }
                (None, Some(Way::Own)) => return Err(Fallback::Local),
                (None, Some(Way::Other) | None) => return Err(Fallback::Routing),
            },
        };
        let card = self.cards.binary_search_by_key(&interface, |card| card.interface);
        let card = card.map(|at| self.cards[at]).map_err(|_| Fallback::Device)?;
        let mtu = limit.map_or(card.mtu, |limit| card.mtu.min(limit));
        if len > mtu {
            return Err(Fallback::Long);
        }
        let at = self.neighbours.binary_search_by_key(&(interface, hop), |(at, _)| *at);
        let next_hop = at.map_or(Err(Fallback::Unknown), |at| self.neighbours[at].1)?;
        Ok(Hop { interface, local: card.local, next_hop, mtu })
    }
}

impl Default for Family {
    /// Nothing is known.
    fn default() -> Self {
        Self { own: Prefixes::default(), main: Prefixes::default(), is_simple: false }
    }
}

impl Prefixes {
    fn new(mut routes: Vec<&Route>) -> Self {
        // The longest first, and of each network the route that counts.
        let order = |route: &&Route| (u8::MAX - route.prefix_len, key(route.network), route.metric);
        routes.sort_unstable_by_key(order);
        let mut lengths: Vec<Networks> = Vec::new();
        let mut before: Option<&Route> = None;
        for route in routes {
            let network = key(route.network);
            let same = before.filter(|before| {
                (before.network, before.prefix_len) == (route.network, route.prefix_len)
            });
            match (same, lengths.last_mut().and_then(|last| last.ways.last_mut())) {
                // Which of two the kernel would take depends on more than the table says.
                (Some(same), Some((_, way))) if same.metric == route.metric => {
                    if *way != route.way {
                        *way = Way::Other;
                    }
                    continue;
                }
                (Some(_), _) => continue,
                (None, _) => before = Some(route),
            }
            let mask = mask(route.prefix_len, route.network.is_ipv6());
            if lengths.last().is_none_or(|last| last.mask != mask) {
                lengths.push(Networks { mask, ways: Vec::new() });
            }
            if let Some(last) = lengths.last_mut() {
                last.ways.push((network & mask, route.way));
            }
        }
        Self(lengths)
    }

    #[inline]
    fn find(&self, target: u128) -> Option<Way> {
        self.0.iter().find_map(|networks| {
            let network = target & networks.mask;
            let at = networks.ways.binary_search_by_key(&network, |(network, _)| *network);
            at.ok().map(|at| networks.ways[at].1)
        })
    }
}

/// Addresses that no reply goes to around the kernel: everybody's and nobody's.
#[inline]
fn is_nobody(ip: IpAddr) -> bool {
    match ip {
        // Multicast and what is reserved above it.
        IpAddr::V4(ip) => ip.octets()[0] >= 224 || ip.is_unspecified() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified() || ip.is_loopback(),
    }
}

/// An address as a number: of IPv4 as IPv6 has it (RFC 4291 section 2.5.5.2).
#[inline]
fn key(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn mask(prefix_len: u8, is_ipv6: bool) -> u128 {
    let bits = if is_ipv6 { 128 } else { 32 };
    let host_bits = bits - u32::from(prefix_len).min(bits);
    u128::MAX.checked_shl(host_bits).unwrap_or(0)
}
