//! The kernel's routing tables: questions about the way to an address, a device or all of them, a
//! neighbour; all of a table; and word of changes.
//!
//! Netlink is a socket that takes and gives plain bytes (man 7 rtnetlink). `/proc` has no IPv6
//! neighbours and `/sys` shows another namespace's devices after a mere `nsenter`, so neither will do.
//!
//! Must never: change anything by itself (only `RTM_GET…` is sent from here), or loop on a length of
//! zero.

use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::mac_address::MacAddress;

/// A socket to the routing tables of this thread's network namespace.
#[derive(Debug)]
pub(crate) struct Netlink(Socket);

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Index of the device.
    pub(crate) interface: u32,
    /// The next hop, where there is one.
    pub(crate) gateway: Option<IpAddr>,
    /// The address is this machine's own.
    pub(crate) is_local: bool,
}

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) name: String,
    /// `None` if it is no Ethernet.
    pub(crate) address: Option<MacAddress>,
}

impl Netlink {
    /// Fails with what the kernel says; a container may forbid netlink altogether.
    pub(crate) fn open() -> io::Result<Self> {
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(protocol))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Gives `take` each entry of the table that `kind` (`RTM_GET…`) asks for: its kind, and what
    /// follows the message's header. `body` is `kind`'s own header.
    ///
    /// # Errors
    /// What the kernel says; `Interrupted` when the table changed meanwhile, so that entries may be
    /// missing.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        body: &[u8],
        mut take: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.send(kind, libc::NLM_F_REQUEST | libc::NLM_F_DUMP, body)?;
        let mut interrupted = false;
        // Each part takes at least one entry, of which there are as many as the table has.
        loop {
            let answer = self.read()?;
            for message in Messages(&answer) {
                interrupted |= message.flags & DUMP_INTERRUPTED != 0;
                match message.kind {
                    NLMSG_DONE if interrupted => return Err(io::ErrorKind::Interrupted.into()),
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(error(message.body)),
                    kind => take(kind, message.body),
                }
            }
            if answer.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The way to `target`; fails with what the kernel says, such as that there is none.
    pub(crate) fn route(&mut self, target: IpAddr) -> io::Result<Route> {
        let (family, octets) = octets(target);
        let mut body = vec![0; ROUTE_LEN];
        body[0] = family;
        body[1] = (octets.len() * 8) as u8;
        push_attribute(&mut body, RTA_DST, &octets);
        let answer = self.ask(libc::RTM_GETROUTE, &body)?;
        let attributes = answer.get(ROUTE_LEN..).unwrap_or_default();
        let interface = attribute(attributes, libc::RTA_OIF)
            .and_then(|data| data.first_chunk())
            .map_or(0, |index| u32::from_ne_bytes(*index));
        let gateway = attribute(attributes, RTA_GATEWAY).and_then(address);
        Ok(Route { interface, gateway, is_local: answer.get(7) == Some(&RTN_LOCAL) })
    }

    /// The device of an index.
    pub(crate) fn device(&mut self, interface: u32) -> io::Result<Device> {
        let mut body = vec![0; LINK_LEN];
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        let answer = self.ask(libc::RTM_GETLINK, &body)?;
        let kind = answer.get(2..4).and_then(|kind| kind.first_chunk());
        let is_ethernet = kind.map(|kind| u16::from_ne_bytes(*kind)) == Some(libc::ARPHRD_ETHER);
        let attributes = answer.get(LINK_LEN..).unwrap_or_default();
        let name = attribute(attributes, IFLA_IFNAME).unwrap_or_default();
        let name = name.split(|octet| *octet == 0).next().unwrap_or_default();
        let address = attribute(attributes, IFLA_ADDRESS).and_then(|data| data.try_into().ok());
        Ok(Device {
            name: String::from_utf8_lossy(name).into_owned(),
            address: address.filter(|_| is_ethernet).map(MacAddress::new),
        })
    }

    /// Frames that a device has dropped on arrival, for want of room above all; `None` if it does not say.
    pub(crate) fn receive_drops(&mut self, interface: u32) -> Option<u64> {
        let mut body = vec![0; LINK_LEN];
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        let answer = self.ask(libc::RTM_GETLINK, &body).ok()?;
        let counters = attribute(answer.get(LINK_LEN..)?, libc::IFLA_STATS64)?;
        let counter = |at: usize| {
            counters.get(at * 8..)?.first_chunk().map(|octets| u64::from_ne_bytes(*octets))
        };
        RECEIVE_DROPS.into_iter().map(counter).sum()
    }

    /// The link-layer address of a neighbour, if it is known.
    pub(crate) fn neighbour(&mut self, interface: u32, target: IpAddr) -> Option<MacAddress> {
        let (family, octets) = octets(target);
        let mut body = vec![0; NEIGHBOUR_LEN];
        body[0] = family;
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        push_attribute(&mut body, NDA_DST, &octets);
        let answer = self.ask(libc::RTM_GETNEIGH, &body).ok()?;
        let attributes = answer.get(NEIGHBOUR_LEN..).unwrap_or_default();
        attribute(attributes, libc::NDA_LLADDR)?.try_into().ok().map(MacAddress::new)
    }

    /// Every network device, each as its message says it: after the header, `ifinfomsg` and attributes.
    pub(crate) fn devices(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut devices = Vec::new();
        self.dump(libc::RTM_GETLINK, &[0; LINK_LEN], |_, body| devices.push(body.to_vec()))?;
        Ok(devices)
    }

    /// Sends one request and returns its answer without the message header; nothing if it was but to be
    /// acknowledged.
    pub(crate) fn ask(&mut self, kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
        self.send(kind, libc::NLM_F_REQUEST, body)?;
        self.answer()
    }

    /// Has something done, and returns when it is.
    pub(crate) fn order(&mut self, kind: u16, body: &[u8]) -> io::Result<()> {
        self.send(kind, libc::NLM_F_REQUEST | libc::NLM_F_ACK, body)?;
        self.answer().map(drop)
    }

    fn send(&mut self, kind: u16, flags: libc::c_int, body: &[u8]) -> io::Result<()> {
        let mut message = vec![0; HEADER_LEN];
        message[..4].copy_from_slice(&((HEADER_LEN + body.len()) as u32).to_ne_bytes());
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        message[6..8].copy_from_slice(&(flags as u16).to_ne_bytes());
        message.extend(body);
        self.0.send(&message).map(drop)
    }

    fn answer(&mut self) -> io::Result<Vec<u8>> {
        let answer = self.read()?;
        match Messages(&answer).next() {
            Some(Message { kind: NLMSG_ERROR, body, .. }) if body.starts_with(&[0; 4]) => {
                Ok(Vec::new())
            }
            Some(Message { kind: NLMSG_ERROR, body, .. }) => Err(error(body)),
            Some(message) => Ok(message.body.to_vec()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut answer = vec![0; ANSWER_MAX];
        let len = self.0.read(&mut answer)?;
        answer.truncate(len);
        Ok(answer)
    }
}

/// A socket, not blocking, to which the kernel tells the changes of `groups` (`RTMGRP_…`).
///
/// # Errors
/// As the kernel says; a container may forbid netlink altogether.
pub(crate) fn listen(groups: u32) -> io::Result<Socket> {
    let protocol = Protocol::from(libc::NETLINK_ROUTE);
    let kind = Type::RAW.nonblocking().cloexec();
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), kind, Some(protocol))?;
    // JUSTIFICATION: sockaddr_nl has private padding, so it cannot be written literally.
    // SAFETY: all zero is a valid sockaddr_nl.
    let mut name: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
    name.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    name.nl_groups = groups;
    let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // JUSTIFICATION: no crate here binds netlink sockets safely.
    // SAFETY: `name` is of the length given and lives through the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), length) };
    if bound != 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// The messages that one reading of a netlink socket gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    flags: u16,
    /// What follows the message's header.
    pub(crate) body: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let len = u32::from_ne_bytes(*self.0.first_chunk()?) as usize;
        let word = |at: usize| Some(u16::from_ne_bytes(*self.0.get(at..)?.first_chunk()?));
        let (kind, flags) = (word(4)?, word(6)?);
        // Too short a length ends the walk, so that each turn takes at least a header.
        let body = self.0.get(HEADER_LEN..len)?;
        self.0 = self.0.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(Message { kind, flags, body })
    }
}

fn error(body: &[u8]) -> io::Error {
    body.first_chunk().map_or_else(
        || io::ErrorKind::UnexpectedEof.into(),
        |code| io::Error::from_raw_os_error(-i32::from_ne_bytes(*code)),
    )
}

fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET as u8, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6 as u8, address.octets().to_vec()),
    }
}

pub(crate) fn address(data: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(data).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(data).map(IpAddr::from)).ok()
}

pub(crate) fn push_attribute(message: &mut Vec<u8>, kind: u16, data: &[u8]) {
    message.extend(((ATTRIBUTE_LEN + data.len()) as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(data);
    message.resize(message.len().next_multiple_of(ALIGNMENT), 0);
}

/// The data of the first attribute of `kind`.
pub(crate) fn attribute(mut bytes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let found = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        // Too short a length ends the walk, so that each turn takes at least four octets.
        let data = bytes.get(ATTRIBUTE_LEN..len)?;
        if found & ATTRIBUTE_KIND == kind {
            return Some(data);
        }
        bytes = bytes.get(len.next_multiple_of(ALIGNMENT)..)?;
    }
}

/// `nlmsghdr`, `rtmsg`, `ifinfomsg`, `ndmsg` and `rtattr` (uapi/linux/netlink.h, rtnetlink.h,
/// neighbour.h).
const HEADER_LEN: usize = 16;
const ROUTE_LEN: usize = 12;
pub(crate) const LINK_LEN: usize = 16;
const NEIGHBOUR_LEN: usize = 12;
const ATTRIBUTE_LEN: usize = 4;
/// Of messages and of attributes.
const ALIGNMENT: usize = 4;
/// The two bits above say how the data is to be read.
const ATTRIBUTE_KIND: u16 = 0x3FFF;
const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RTN_LOCAL: u8 = 2;
const IFLA_ADDRESS: u16 = 1;
pub(crate) const IFLA_IFNAME: u16 = 3;
/// Of `rtnl_link_stats64`: `rx_dropped` and `rx_missed_errors`.
const RECEIVE_DROPS: [usize; 2] = [6, 15];
const NDA_DST: u16 = 1;
const DUMP_INTERRUPTED: u16 = 0x10;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// A device with statistics is some 2 KiB.
pub(crate) const ANSWER_MAX: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_local_by_a_device_that_is_no_ethernet() {
        let mut netlink = Netlink::open().expect("netlink");
        let route = netlink.route("127.9.8.7".parse().expect("an address")).expect("a route");
        assert!(route.is_local && route.gateway.is_none(), "{route:?}");
        let device = netlink.device(route.interface).expect("a device");
        assert_eq!((device.name.as_str(), device.address), ("lo", None));
        let neighbour = netlink.neighbour(route.interface, "127.9.8.7".parse().expect("address"));
        assert_eq!(neighbour, None);
        assert!(netlink.device(u32::MAX >> 1).is_err());
    }

    #[test]
    fn damaged_attributes_end_the_walk() {
        let mut bytes = Vec::new();
        push_attribute(&mut bytes, 9, &[1, 2, 3, 4]);
        push_attribute(&mut bytes, 5, &[5; 4]);
        assert_eq!(attribute(&bytes, 5), Some(&[5; 4][..]));
        for len in [0u8, 3, 255] {
            bytes[0] = len;
            assert_eq!(attribute(&bytes, 5), None, "{len}");
        }
        assert_eq!(attribute(&[8, 0, 5], 5), None);
    }
}
