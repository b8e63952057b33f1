//! Holding heavy senders back: classic BPF on a socket that receives.
//!
//! A receive queue holds a few hundred datagrams, whoever sent them. One sender that asks for more than a
//! worker can answer fills it, and everybody else's requests find it full. The filter runs before the
//! queue, in the kernel, and lets through one in a few of what the named senders send, by chance, so that
//! nobody who forges an address silences its owner. Classic BPF, because it needs no privilege.
//!
//! Must never: drop anything of those who are not named, or all of those who are.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};

use crate::server::ServerSocket;
use crate::sockopt;
use crate::steering::{
    V4_SOURCE, V6_SOURCE, chance_of_one_in, hears_us, is, is_at_least, jump, keep, kept, load,
    longer_than, program_of, result,
};

/// Whom to hold back, and how.
#[derive(Clone, Copy, Debug)]
pub struct HoldBack<'a> {
    /// IPv4 addresses, and IPv6 addresses of which the first 64 bits count; of a family the first
    /// [`HoldBack::V4_MAX`] and [`HoldBack::V6_MAX`].
    pub senders: &'a [IpAddr],
    /// One in so many of their datagrams comes through.
    pub pass_one_in: NonZeroU32,
    /// Datagrams with a longer payload than this come through, whoever sends them.
    pub spare_longer_than: Option<u32>,
}

impl HoldBack<'_> {
    /// How many IPv4 addresses can be held back: the kernel takes 4096 instructions.
    pub const V4_MAX: usize = 1024;
    /// How many IPv6 networks.
    pub const V6_MAX: usize = 512;
}

impl ServerSocket {
    /// Has the kernel hold back what `wanted` names, from the next datagram on; nobody, if it names nobody.
    ///
    /// Says how many it held back, the first of those named: fewer where the kernel gives a socket's filters
    /// too little memory (`net.core.optmem_max`).
    ///
    /// # Errors
    /// As the kernel says; what was in force before stays so.
    pub fn hold_back(&self, wanted: &HoldBack<'_>) -> io::Result<usize> {
        let mut senders = wanted.senders;
        loop {
            let program = program(self.address().is_ipv4(), &HoldBack { senders, ..*wanted });
            let filter = program_of(&program)?;
            let attached =
                sockopt::set_raw(self.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter);
            match attached {
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && senders.len() > 1 => {
                    senders = &senders[..senders.len() / 2];
                }
                attached => return attached.map(|()| senders.len()),
            }
        }
    }

    /// Datagrams that the kernel had for this socket and dropped, modulo 2^32: the queue was full, or the
    /// sender held back.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn dropped(&self) -> io::Result<u32> {
        dropped(self.as_fd())
    }
}

fn dropped(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut memory = [0_u32; MEMINFO_VARS];
    sockopt::get_raw(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut memory)?;
    Ok(memory[MEMINFO_DROPS])
}

/// What is sent to many is never taken; of what is sent to us, all but some of the named senders' is.
fn program(v4: bool, wanted: &HoldBack<'_>) -> Vec<libc::sock_filter> {
    let mut program = hears_us().to_vec();
    let named = named(v4, wanted.senders);
    if named.is_empty() {
        program.push(result(u32::MAX));
        return program;
    }
    if let Some(longest) = wanted.spare_longer_than {
        program.extend(longer_than(UDP_HEADER + longest));
        program.push(result(u32::MAX));
    }
    if v4 {
        program.push(load(libc::SKF_NET_OFF + V4_SOURCE));
    } else {
        program.extend([load(libc::SKF_NET_OFF + V6_SOURCE), keep()]);
        program.push(load(libc::SKF_NET_OFF + V6_SOURCE + 4));
    }
    let entries: Vec<Entry<'_>> = named.iter().map(|(&word, rest)| (word, &rest[..])).collect();
    search(&entries, v4, &mut program);
    // Who was found is sent behind the search.
    let end = program.len();
    for (place, instruction) in program.iter_mut().enumerate() {
        if is_found(instruction) {
            *instruction = jump(end - place - 1);
        }
    }
    program.extend(chance_of_one_in(wanted.pass_one_in.get()));
    program.extend([result(u32::MAX), result(0)]);
    program
}

/// Senders by the word they are searched by, an IPv4 address or the second of an IPv6 address; and
/// with it the first words of those IPv6 addresses.
type Entry<'a> = (u32, &'a [u32]);

/// The named senders of a family.
fn named(v4: bool, senders: &[IpAddr]) -> BTreeMap<u32, Vec<u32>> {
    let mut named: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let of_family = senders.iter().filter(|sender| sender.is_ipv4() == v4);
    for sender in of_family.take(if v4 { HoldBack::V4_MAX } else { HoldBack::V6_MAX }) {
        let (word, rest) = match sender {
            IpAddr::V4(v4) => (v4.to_bits(), None),
            IpAddr::V6(v6) => {
                let words = (v6.to_bits() >> 64) as u64;
                (words as u32, Some((words >> 32) as u32))
            }
        };
        named.entry(word).or_default().extend(rest);
    }
    named
}

/// Searches for what was loaded among `entries`, which are in order: halves them until few are left.
fn search(entries: &[Entry<'_>], v4: bool, program: &mut Vec<libc::sock_filter>) {
    if entries.len() <= FEW {
        for &(word, rest) in entries {
            if v4 {
                program.extend([is(word, 0, 1), found()]);
            } else {
                among_networks(word, rest, program);
            }
        }
        program.push(result(u32::MAX));
        return;
    }
    let (low, high) = entries.split_at(entries.len() / 2);
    let jump_at = program.len() + 1;
    program.extend([is_at_least(high[0].0, 0, 1), jump(0)]);
    search(low, v4, program);
    program[jump_at] = jump(program.len() - jump_at - 1);
    search(high, v4, program);
}

/// If `word` was loaded, compares the first word of the address, which was kept, with `rest`.
fn among_networks(word: u32, rest: &[u32], program: &mut Vec<libc::sock_filter>) {
    // Of each of `rest` two instructions, one to load, one to accept.
    program.extend([is(word, 1, 0), jump(2 * rest.len() + 2), kept()]);
    for &first in rest {
        program.extend([is(first, 0, 1), found()]);
    }
    program.push(result(u32::MAX));
}

/// Stands for the jump of who was found, until it is known how far that is.
const fn found() -> libc::sock_filter {
    jump(FOUND)
}

const fn is_found(instruction: &libc::sock_filter) -> bool {
    let jump = found();
    instruction.code == jump.code && instruction.k == jump.k
}

/// No program is so long.
const FOUND: usize = u32::MAX as usize;
/// So many are compared one after the other.
const FEW: usize = 8;
/// The filter sees a datagram from its UDP header on.
const UDP_HEADER: u32 = 8;
/// linux/sock_diag.h: SK_MEMINFO_VARS and SK_MEMINFO_DROPS.
const MEMINFO_VARS: usize = 9;
const MEMINFO_DROPS: usize = 8;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::group::listen;
    use crate::server::ListenOptions;

    fn client(source: IpAddr) -> UdpSocket {
        let address = SocketAddr::new(source, 0);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
        if source.is_ipv6() {
            socket.set_freebind_v6(true).unwrap();
        }
        socket.bind(&address.into()).unwrap();
        socket.into()
    }

    fn server(address: &str) -> ServerSocket {
        listen(&ListenOptions::new(address.parse().unwrap())).unwrap().sockets.remove(0)
    }

    /// How many of `sent` datagrams with a payload of `octets` come through.
    fn passed(server: &ServerSocket, source: &str, sent: usize, octets: usize) -> usize {
        let client = client(source.parse().unwrap());
        let taken = UdpSocket::from(server.try_clone().unwrap());
        let count = |_| {
            client.send_to(&vec![0; octets], server.address()).unwrap();
            usize::from(taken.recv_from(&mut [0; 128]).is_ok())
        };
        (0..sent).map(count).sum()
    }

    #[test]
    fn one_in_a_few_of_the_named_senders_datagrams_comes_through_and_all_of_others() {
        let four = NonZeroU32::new(4).unwrap();
        // In no order, and more than fit.
        let host = |number: u32| IpAddr::from((0x7f09_0000 + number * 7 % 2048).to_be_bytes());
        let site = |number| IpAddr::from([0x2001, 0xdb8, number % 7, number, 0, 0, 0, 0]);
        // Of another site, with the second word of one that is named as well.
        let twin = IpAddr::from([0x2001, 0xdba, 3, 3, 0, 0, 0, 0]);
        let hosts: Vec<IpAddr> = (0..1030).map(host).collect();
        let sites: Vec<IpAddr> = [twin].into_iter().chain((0..520).map(site)).collect();
        let wanted = HoldBack { senders: &hosts, pass_one_in: four, spare_longer_than: Some(48) };
        let v4 = server("127.0.0.1:0");
        let held = v4.hold_back(&wanted).unwrap().min(HoldBack::V4_MAX);
        assert!(held >= 100, "{held}");
        for held in [0, 1, held / 2, held - 1] {
            let held = hosts[held].to_string();
            let through = passed(&v4, &held, 1000, 48);
            assert!((170..=330).contains(&through), "{held}: {through}");
        }
        assert!((2750..=3250).contains(&v4.dropped().unwrap()), "{:?}", v4.dropped());
        assert_eq!(passed(&v4, &hosts[0].to_string(), 200, 68), 200, "longer ones are spared");
        for free in [hosts[1024], host(1031), Ipv4Addr::LOCALHOST.into(), host(2047)] {
            assert_eq!(passed(&v4, &free.to_string(), 200, 48), 200, "{free}");
        }
        let v6 = server("[::1]:0");
        let wanted = HoldBack { senders: &sites, spare_longer_than: None, ..wanted };
        let held = v6.hold_back(&wanted).unwrap().min(HoldBack::V6_MAX);
        for held in [0, 4, held / 2, held - 1] {
            let held = sites[held].to_string();
            let through = passed(&v6, &held, 1000, 68);
            assert!((170..=330).contains(&through), "{held}: {through}");
        }
        for free in ["2001:db8:0:3::1", "2001:dba:3:4::", "2001:db9::7", "::1"] {
            assert_eq!(passed(&v6, free, 200, 48), 200, "{free}");
        }
        v6.hold_back(&HoldBack { senders: &[], ..wanted }).unwrap();
        assert_eq!(passed(&v6, "2001:dba:3:3::9", 200, 48), 200);
    }
}
