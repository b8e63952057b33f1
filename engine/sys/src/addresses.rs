//! The machine's own addresses, and word of their coming and going.
//!
//! A server that listens everywhere is known to its clients by any of these; an upstream that names one
//! as its reference has its time from us. The kernel tells of changes on a netlink socket
//! (man 7 rtnetlink, RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR); what it says is not read, only that it
//! said something, and all addresses are listed again.
//!
//! Must never: believe that no news means no change where the socket was refused; who asks looks again
//! now and then.

use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::Socket;

use crate::netlink::{self, Netlink, attribute};

/// An address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterfaceAddress {
    /// Index of the interface.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// It may be used: it is not being looked for at a neighbour (IPv6 duplicate address detection, RFC 4862
    /// section 5.4), nor has it been found there. One that is deprecated is used by those who know it
    /// (section 5.5.4).
    pub is_assigned: bool,
}

/// All addresses of all interfaces, in order, none twice; loopback included.
///
/// # Errors
/// As the kernel says; a container may forbid netlink altogether.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let found = interface_addresses()?;
    let mut addresses: Vec<_> = found.iter().map(|one| one.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// The same with the interface of each and whether it may be used, in no order.
///
/// # Errors
/// As above.
pub fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut netlink = Netlink::open()?;
    let mut tries = 0..LISTS_MAX;
    loop {
        let mut found = Vec::new();
        let listed = netlink.dump(libc::RTM_GETADDR, &[0; ADDRESS_LEN], |_, body| {
            found.extend(parse(body));
        });
        match listed {
            // It changed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::Interrupted && tries.next().is_some() => {}
            listed => return listed.map(|()| found),
        }
    }
}

/// From the message about it; `None` if it makes no sense.
fn parse(message: &[u8]) -> Option<InterfaceAddress> {
    let word = |octets: &[u8]| octets.first_chunk().copied().map(u32::from_ne_bytes);
    let interface = word(message.get(4..)?)?;
    let attributes = message.get(ADDRESS_LEN..)?;
    // Where a link has two ends, the other attribute is the other end's.
    let own = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS));
    // The header has room for eight of the flags.
    let flags = attribute(attributes, IFA_FLAGS).and_then(word).unwrap_or(message[2].into());
    Some(InterfaceAddress {
        interface,
        address: netlink::address(own?)?,
        is_assigned: flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0,
    })
}

/// Becomes readable when an address of this machine has come or gone, or also when an interface has.
#[derive(Debug)]
pub struct AddressNews {
    socket: Socket,
}

impl AddressNews {
    /// Listens from now on.
    ///
    /// # Errors
    /// As the kernel says; a container may forbid netlink altogether.
    pub fn listen() -> io::Result<Self> {
        Self::of(libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR)
    }

    /// The same, and of interfaces.
    ///
    /// # Errors
    /// As the kernel says; a container may forbid netlink altogether.
    pub fn with_interfaces() -> io::Result<Self> {
        Self::of(libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR | libc::RTMGRP_LINK)
    }

    fn of(groups: libc::c_int) -> io::Result<Self> {
        Ok(Self { socket: netlink::listen(groups as u32)? })
    }

    /// Takes the news there is; true if there was any.
    pub fn take(&self) -> bool {
        let mut news = false;
        let mut message = [0u8; MESSAGE_MAX];
        // As many as can have queued; the rest is read the next time.
        for _ in 0..MESSAGES_MAX {
            let read = (&self.socket).read(&mut message);
            // ENOBUFS: there was so much of it that some was lost, which is news too.
            match read {
                Err(error) if error.raw_os_error() != Some(libc::ENOBUFS) => break,
                _ => news = true,
            }
        }
        news
    }
}

impl AsFd for AddressNews {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// linux/if_addr.h: `ifaddrmsg`, its attributes and flags.
const ADDRESS_LEN: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;
/// How often a list is begun again that changes while it is read.
const LISTS_MAX: u32 = 4;
/// What does not fit is cut off, and not read anyway.
const MESSAGE_MAX: usize = 256;
const MESSAGES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::netlink::push_attribute;

    #[test]
    fn an_address_that_is_looked_for_or_found_at_a_neighbour_is_not_assigned() {
        let message = |short: u8, long: Option<u32>| {
            let mut message = vec![libc::AF_INET6 as u8, 64, short, 0, 7, 0, 0, 0];
            push_attribute(&mut message, IFA_ADDRESS, &[0x20; 16]);
            long.iter().for_each(|long| {
                push_attribute(&mut message, IFA_FLAGS, &long.to_ne_bytes());
            });
            message
        };
        const DEPRECATED: u32 = 0x20;
        const NO_PREFIX_ROUTE: u32 = 0x200;
        for (short, long, is_assigned) in [
            (0x80, Some(0x80), true),
            (0, Some(DEPRECATED | NO_PREFIX_ROUTE), true),
            (0, Some(IFA_F_TENTATIVE | NO_PREFIX_ROUTE), false),
            (0, Some(IFA_F_DADFAILED), false),
            (IFA_F_TENTATIVE as u8, None, false),
            (0x80, None, true),
        ] {
            let message = message(short, long);
            let parsed = parse(&message).expect("whole");
            assert_eq!((parsed.interface, parsed.is_assigned), (7, is_assigned), "{message:x?}");
            assert!(
                (0..message.len())
                    .all(|len| parse(&message[..len]).is_none_or(|cut| cut.interface == 7))
            );
        }
    }

    #[test]
    fn where_a_link_has_two_ends_ours_is_ours() {
        let mut message = vec![libc::AF_INET as u8, 32, 0, 0, 7, 0, 0, 0];
        push_attribute(&mut message, IFA_ADDRESS, &[192, 0, 2, 2]);
        push_attribute(&mut message, IFA_LOCAL, &[192, 0, 2, 1]);
        let parsed = parse(&message).expect("whole");
        assert_eq!(parsed.address, Ipv4Addr::new(192, 0, 2, 1));
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        let addresses = own_addresses().expect("readable");
        assert!(addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{addresses:?}");
        assert!(addresses.is_sorted());
    }

    #[test]
    fn without_a_change_there_is_no_news() {
        let news = AddressNews::listen().expect("allowed here");
        assert!(!news.take());
    }
}
