//! The machine's own addresses, and word of their coming and going.
//!
//! A server that listens everywhere is known to its clients by any of these; an upstream that names one
//! as its reference has its time from us. The kernel tells of changes on a netlink socket
//! (man 7 rtnetlink, RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR); what it says is not read, only that it
//! said something, and all addresses are listed again.
//!
//! Must never: believe that no news means no change where the socket was refused; who asks looks again
//! now and then.

use std::ffi::CStr;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;

use socket2::Socket;

use crate::netlink;

/// All addresses of all interfaces, in order, none twice; loopback included.
///
/// # Errors
/// As the kernel says; a container may forbid netlink altogether.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let named = addresses_by_interface()?.into_iter();
    let mut addresses: Vec<_> = named.map(|(_, address)| address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// The same with the name of the interface that has it, in no order. (An IPv4 address may be under a label,
/// `eth0:1`: what stands before the colon is the interface.)
///
/// # Errors
/// As above.
pub fn addresses_by_interface() -> io::Result<Vec<(String, IpAddr)>> {
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
        addresses.extend(address_of(entry).map(|address| (name_of(entry), address)));
        next = entry.ifa_next;
    }
    // JUSTIFICATION: as above.
    // SAFETY: the head of the list just made, freed once; no entry is used after this.
    unsafe { libc::freeifaddrs(first) };
    Ok(addresses)
}

fn name_of(entry: &libc::ifaddrs) -> String {
    // JUSTIFICATION: as above.
    // SAFETY: every entry has a name, which ends with a zero and is kept by the list.
    let label = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy();
    label.split(':').next().unwrap_or_default().to_owned()
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
