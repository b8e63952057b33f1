//! The machine's own addresses, and word of their coming and going.
//!
//! A server that listens everywhere is known to its clients by any of these; an upstream that names one
//! as its reference has its time from us. The kernel tells of changes on a netlink socket
//! (man 7 rtnetlink, RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR); what it says is not read, only that it
//! said something, and all addresses are listed again.
//!
//! Must never: believe that no news means no change where the socket was refused; who asks looks again
//! now and then.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// All addresses of all interfaces, in order, none twice; loopback included.
///
/// # Errors
/// As the kernel says; a container may forbid netlink altogether.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // JUSTIFICATION: std does not list interfaces.
    // SAFETY: `first` lives through the call, which writes the head of a list that is ours to free.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // JUSTIFICATION: the list is a C structure.
        // SAFETY: not null, and an entry of the list that is only freed below.
        let entry = unsafe { &*next };
        addresses.extend(address_of(entry));
        next = entry.ifa_next;
    }
    // JUSTIFICATION: as above.
    // SAFETY: the head of the list just made, freed once; no entry is used after this.
    unsafe { libc::freeifaddrs(first) };
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

fn address_of(entry: &libc::ifaddrs) -> Option<IpAddr> {
    let address = entry.ifa_addr;
    if address.is_null() {
        return None;
    }
    // JUSTIFICATION: the family says which structure it is.
    // SAFETY: not null; every sockaddr begins with its family.
    let family = unsafe { (*address).sa_family };
    match i32::from(family) {
        libc::AF_INET => {
            // JUSTIFICATION: as above.
            // SAFETY: of this family, so it is a sockaddr_in, which the list keeps alive.
            let v4 = unsafe { &*address.cast::<libc::sockaddr_in>() };
            Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // JUSTIFICATION: as above.
            // SAFETY: of this family, so it is a sockaddr_in6, which the list keeps alive.
            let v6 = unsafe { &*address.cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// Becomes readable when an address of this machine has come or gone, or also when an interface has.
#[derive(Debug)]
pub struct AddressNews {
    socket: OwnedFd,
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
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // JUSTIFICATION: std has no netlink sockets.
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // JUSTIFICATION: as above.
        // SAFETY: a descriptor just made, that nobody else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // JUSTIFICATION: sockaddr_nl has private padding, so it cannot be written literally.
        // SAFETY: all zero is a valid sockaddr_nl.
        let mut name: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
        name.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        name.nl_groups = groups as u32;
        let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // JUSTIFICATION: as above.
        // SAFETY: `name` is of the length given and lives through the call.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), length) };
        if bound != 0 { Err(io::Error::last_os_error()) } else { Ok(Self { socket }) }
    }

    /// Takes the news there is; true if there was any.
    pub fn take(&self) -> bool {
        let mut news = false;
        let mut message = [0u8; MESSAGE_MAX];
        // As many as can have queued; the rest is read the next time.
        for _ in 0..MESSAGES_MAX {
            let (into, room) = (message.as_mut_ptr().cast(), message.len());
            // JUSTIFICATION: std has no netlink sockets.
            // SAFETY: `message` has `room` bytes and lives through the call.
            let read = unsafe { libc::recv(self.socket.as_raw_fd(), into, room, 0) };
            // ENOBUFS: there was so much of it that some was lost, which is news too.
            let lost = || io::Error::last_os_error().raw_os_error() == Some(libc::ENOBUFS);
            if read < 0 && !lost() {
                break;
            }
            news = true;
        }
        news
    }
}

impl AsFd for AddressNews {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What does not fit is cut off, and not read anyway.
const MESSAGE_MAX: usize = 256;
const MESSAGES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

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
