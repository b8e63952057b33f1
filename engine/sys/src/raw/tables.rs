//! The kernel's devices, routes and neighbours, as it last told them.
//!
//! All tables are read when anything but a neighbour has changed, because what a change of a route means
//! depends on all others; neighbours change all the time and are taken one by one. Routing is believed
//! only where it is simple: with the three rules every machine has, one way to each network, no
//! tunnels. For all else the kernel is asked by sending through a socket.
//!
//! Must never: keep a neighbour of whom the kernel has said that he is gone or another.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;

use crate::interface::Interface;
use crate::mac_address::MacAddress;
use crate::netlink::{LINK_LEN, Message, Netlink, address, attribute};

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) links: BTreeMap<u32, Link>,
    pub(super) routes: Vec<Route>,
    /// By interface and address.
    pub(super) neighbours: HashMap<(u32, IpAddr), Neighbour>,
    /// For IPv4 and IPv6: nothing but the usual rules says which table of routes counts.
    pub(super) is_simple: [bool; 2],
}

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    /// Of an Ethernet device that stands for itself: a card, or a veth; `None` for any other.
    pub(super) address: Option<MacAddress>,
    /// Up, and connected to something.
    pub(super) is_running: bool,
    /// The longest IP packet it carries.
    pub(super) mtu: u32,
    /// Its queues for transmission.
    pub(super) queues: u32,
}

/// A network and the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) network: IpAddr,
    pub(super) prefix_len: u8,
    /// Among this machine's own addresses, which come before all other routes.
    pub(super) is_own: bool,
    /// Of several routes to one network the one with the least counts.
    pub(super) metric: u32,
    pub(super) way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a device, to the target itself or to a gateway; with a longest packet if the route has one.
    By { interface: u32, gateway: Option<IpAddr>, mtu: Option<u32> },
    /// This machine's own, or everybody's.
    Own,
    /// Several ways, a tunnel, nowhere: the kernel's business.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// The kernel sends to it without further ado.
    Valid(MacAddress),
    /// The kernel would send to it, and ask whether it is still there.
    Stale,
}

impl Tables {
    /// Reads everything.
    ///
    /// # Errors
    /// What the kernel says; what is known is then incomplete.
    pub(super) fn read(netlink: &mut Netlink) -> io::Result<Self> {
        let mut tables = Self { is_simple: [true; 2], ..Self::default() };
        netlink.dump(libc::RTM_GETLINK, &LINK_BODY, |kind, body| tables.take_link(kind, body))?;
        let rules = netlink
            .dump(libc::RTM_GETRULE, &[0; ROUTE_LEN], |kind, body| tables.take_rule(kind, body));
        match rules {
            // A kernel without policy routing has no rules.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            other => other?,
        }
        let mut routes = 0;
        netlink.dump(libc::RTM_GETROUTE, &[0; ROUTE_LEN], |kind, body| {
            if kind == libc::RTM_NEWROUTE && routes < ROUTES_MAX {
                routes += tables.take_route(body);
            }
        })?;
        if routes == ROUTES_MAX {
            tables.is_simple = [false; 2];
        }
        tables.read_neighbours(netlink)?;
        Ok(tables)
    }

    /// Reads the neighbours again.
    pub(super) fn read_neighbours(&mut self, netlink: &mut Netlink) -> io::Result<()> {
        self.neighbours.clear();
        netlink.dump(libc::RTM_GETNEIGH, &[0; NEIGHBOUR_LEN], |kind, body| {
            self.take_neighbour(kind, body);
        })
    }

    /// Takes word of a change; says whether it was about more than a neighbour, so that everything is
    /// to be read again.
    pub(super) fn hear(&mut self, message: &Message<'_>) -> bool {
        match message.kind {
            libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH => {
                self.take_neighbour(message.kind, message.body);
                false
            }
            _ => true,
        }
    }

    /// Whether any neighbour is stale.
    pub(super) fn has_stale(&self) -> bool {
        self.neighbours.values().any(|neighbour| *neighbour == Neighbour::Stale)
    }

    /// `struct ifinfomsg`.
    fn take_link(&mut self, kind: u16, body: &[u8]) {
        let (Some(device), true) = (Interface::parse(body), kind == libc::RTM_NEWLINK) else {
            return;
        };
        let flags = body.get(8..).and_then(number).unwrap_or(0);
        let attributes = body.get(LINK_LEN..).unwrap_or_default();
        let number = |kind| attribute(attributes, kind).and_then(number);
        // A VLAN, a bridge, a bond or part of one, a tunnel: there the kernel does more than send.
        let stands_for_itself = device.station.is_some()
            && device.kind.is_none_or(|kind| kind == "veth")
            && device.port_of.is_none()
            && flags & (libc::IFF_NOARP | libc::IFF_LOOPBACK) as u32 == 0;
        let address = attribute(attributes, IFLA_ADDRESS).and_then(|data| data.try_into().ok());
        let running = (libc::IFF_UP | libc::IFF_RUNNING) as u32;
        let link = Link {
            name: device.name,
            address: address.filter(|_| stands_for_itself).map(MacAddress::new),
            is_running: flags & running == running,
            mtu: number(IFLA_MTU).unwrap_or(0),
            queues: number(IFLA_NUM_TX_QUEUES).unwrap_or(1),
        };
        self.links.insert(device.index, link);
    }

    /// `struct fib_rule_hdr`.
    fn take_rule(&mut self, kind: u16, body: &[u8]) {
        let (Some(&header), true) = (body.first_chunk::<ROUTE_LEN>(), kind == libc::RTM_NEWRULE)
        else {
            return;
        };
        let [family, target_len, source_len, class, table, _, _, action, flags @ ..] = header;
        let flags = u32::from_ne_bytes(flags);
        let attributes = &body[ROUTE_LEN..];
        let priority = attribute(attributes, FRA_PRIORITY).and_then(number).unwrap_or(0);
        let mut others = (0..=FRA_MAX).filter(|kind| !RULE_PLAIN.contains(kind));
        let usual = RULES.contains(&(priority, table))
            && (target_len, source_len, class, action) == (0, 0, 0, FR_ACT_TO_TABLE)
            && flags & FIB_RULE_INVERT == 0
            && others.all(|kind| attribute(attributes, kind).is_none());
        if !usual && let Some(simple) = family_of(family).map(|at| &mut self.is_simple[at]) {
            *simple = false;
        }
    }

    /// `struct rtmsg`. Says how many routes it was.
    fn take_route(&mut self, body: &[u8]) -> usize {
        let Some(&header) = body.first_chunk::<ROUTE_LEN>() else { return 0 };
        let [family, prefix_len, source_len, class, table, _, _, kind, flags @ ..] = header;
        let flags = u32::from_ne_bytes(flags);
        let attributes = &body[ROUTE_LEN..];
        let number = |kind| attribute(attributes, kind).and_then(number);
        let is_own = table == RT_TABLE_LOCAL;
        let Some(at) = family_of(family) else { return 0 };
        // Replies have no class; what is cached or dead is no route; other tables no rule asks for.
        if class != 0 || flags & (RTM_F_CLONED | RTNH_F_DEAD) != 0 {
            return 0;
        }
        match table {
            RT_TABLE_LOCAL | RT_TABLE_MAIN => {}
            RT_TABLE_DEFAULT => self.is_simple[at] = false,
            _ => return 0,
        }
        let any = if at == 0 { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        let network = attribute(attributes, RTA_DST).and_then(address).unwrap_or(any);
        let several = [RTA_MULTIPATH, RTA_ENCAP, RTA_VIA];
        let strange =
            source_len != 0 || several.iter().any(|kind| attribute(attributes, *kind).is_some());
        let metrics = attribute(attributes, RTA_METRICS).unwrap_or_default();
        let way = match (kind, number(libc::RTA_OIF)) {
            (RTN_UNICAST, Some(interface)) if !strange => Way::By {
                interface,
                gateway: attribute(attributes, RTA_GATEWAY).and_then(address),
                mtu: attribute(metrics, RTAX_MTU).and_then(self::number).filter(|mtu| *mtu > 0),
            },
            (RTN_LOCAL | RTN_BROADCAST | RTN_ANYCAST | RTN_MULTICAST, _) => Way::Own,
            _ => Way::Other,
        };
        let metric = number(RTA_PRIORITY).unwrap_or(0);
        self.routes.push(Route { network, prefix_len, is_own, metric, way });
        1
    }

    /// `struct ndmsg`.
    fn take_neighbour(&mut self, kind: u16, body: &[u8]) {
        let Some(header) = body.first_chunk::<NEIGHBOUR_LEN>() else { return };
        let interface = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
        let state = u16::from_ne_bytes([header[8], header[9]]);
        let attributes = &body[NEIGHBOUR_LEN..];
        let (Some(_), Some(ip)) =
            (family_of(header[0]), attribute(attributes, NDA_DST).and_then(address))
        else {
            return;
        };
        let card = attribute(attributes, libc::NDA_LLADDR).and_then(|data| data.try_into().ok());
        let neighbour = match card.map(MacAddress::new) {
            _ if kind != libc::RTM_NEWNEIGH || header[10] & libc::NTF_PROXY != 0 => None,
            Some(card) if state & NUD_USABLE != 0 => Some(Neighbour::Valid(card)),
            Some(_) if state & libc::NUD_STALE != 0 => Some(Neighbour::Stale),
            _ => None,
        };
        match neighbour {
            Some(known) if self.neighbours.len() < NEIGHBOURS_MAX => {
                self.neighbours.insert((interface, ip), known);
            }
            _ => drop(self.neighbours.remove(&(interface, ip))),
        }
    }
}

/// 0 for IPv4, 1 for IPv6.
fn family_of(family: u8) -> Option<usize> {
    match i32::from(family) {
        libc::AF_INET => Some(0),
        libc::AF_INET6 => Some(1),
        _ => None,
    }
}

fn number(data: &[u8]) -> Option<u32> {
    data.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}

/// `struct ifinfomsg`, with the wish to be spared statistics.
const LINK_BODY: [u8; LINK_LEN + 8] = {
    let mut body = [0; LINK_LEN + 8];
    let (len, kind, mask) = (8u16.to_ne_bytes(), IFLA_EXT_MASK.to_ne_bytes(), 8u32.to_ne_bytes());
    [body[LINK_LEN], body[LINK_LEN + 1]] = len;
    [body[LINK_LEN + 2], body[LINK_LEN + 3]] = kind;
    [body[LINK_LEN + 4], body[LINK_LEN + 5], body[LINK_LEN + 6], body[LINK_LEN + 7]] = mask;
    body
};

/// States in which the kernel sends to a neighbour as it is; while it asks again (DELAY, PROBE) it does
/// so.
const NUD_USABLE: u16 =
    libc::NUD_REACHABLE | libc::NUD_DELAY | libc::NUD_PROBE | libc::NUD_PERMANENT;

/// More routes than this are a router's: its replies go by their sockets.
const ROUTES_MAX: usize = 4096;
/// More neighbours than this are not remembered: replies to them go by their sockets.
const NEIGHBOURS_MAX: usize = 16_384;

/// Sizes and numbers of uapi/linux/{rtnetlink,if_link,neighbour,fib_rules}.h.
const ROUTE_LEN: usize = 12;
const NEIGHBOUR_LEN: usize = 12;
const IFLA_ADDRESS: u16 = 1;
const IFLA_MTU: u16 = 4;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_VIA: u16 = 18;
const RTA_ENCAP: u16 = 22;
const RTAX_MTU: u16 = 2;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTN_BROADCAST: u8 = 3;
const RTN_ANYCAST: u8 = 4;
const RTN_MULTICAST: u8 = 5;
const RTM_F_CLONED: u32 = 0x200;
const RTNH_F_DEAD: u32 = 1;
const RT_TABLE_DEFAULT: u8 = 253;
const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
const FR_ACT_TO_TABLE: u8 = 1;
const NDA_DST: u16 = 1;
const FRA_PRIORITY: u16 = 6;
const FRA_MAX: u16 = 63;
const FIB_RULE_INVERT: u32 = 2;
/// What every rule has, and none looks at packets by: priority, what of a prefix is too short for it,
/// table, padding, and who made it.
const RULE_PLAIN: [u16; 5] = [FRA_PRIORITY, 14, 15, 18, 21];
/// The rules that every machine has, by priority and table.
const RULES: [(u32, u8); 3] =
    [(0, RT_TABLE_LOCAL), (32_766, RT_TABLE_MAIN), (32_767, RT_TABLE_DEFAULT)];
