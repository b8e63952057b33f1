//! Holding heavy senders back: classic BPF on a socket that receives.
//!
//! A receive queue holds a few hundred datagrams, whoever sent them. One sender that asks for more than a
//! worker can answer fills it, and everybody else's requests find it full. The filter runs before the
//! queue, in the kernel, and lets through one in a few of what the named senders send, by chance, so that
//! nobody who forges an address silences its owner. Classic BPF, because it needs no privilege.
//!
//! Must never: drop anything of those who are not named, or all of those who are.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};

use crate::server::ServerSocket;
use crate::sockopt;
use crate::steering::{
    V4_SOURCE, V6_SOURCE, chance_of_one_in, hears_us, is, load, longer_than, program_of, result,
};

/// How many senders a socket can hold back: each costs others' datagrams a comparison or two.
pub const HELD_BACK_MAX: usize = 48;

/// Whom to hold back, and how.
#[derive(Clone, Copy, Debug)]
pub struct HoldBack<'a> {
    /// IPv4 addresses, and IPv6 addresses of which the first 64 bits count; the first
    /// [`HELD_BACK_MAX`] of a family.
    pub senders: &'a [IpAddr],
    /// One in so many of their datagrams comes through.
    pub pass_one_in: NonZeroU32,
    /// Datagrams with a longer payload than this come through, whoever sends them.
    pub spare_longer_than: Option<u32>,
}

impl ServerSocket {
    /// Has the kernel hold back what `wanted` names, from the next datagram on; nobody, if it names nobody.
    ///
    /// # Errors
    /// As the kernel says; what was in force before stays so.
    pub fn hold_back(&self, wanted: &HoldBack<'_>) -> io::Result<()> {
        let program = program(self.address().is_ipv4(), wanted);
        let filter = program_of(&program)?;
        sockopt::set_raw(self.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
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
    let named = wanted.senders.iter().filter(|sender| sender.is_ipv4() == v4);
    let compared: Vec<_> = named.take(HELD_BACK_MAX).map(|sender| comparison(*sender)).collect();
    if compared.is_empty() {
        program.push(result(u32::MAX));
        return program;
    }
    if let Some(longest) = wanted.spare_longer_than {
        program.extend(longer_than(UDP_HEADER + longest));
        program.push(result(u32::MAX));
    }
    // Each comparison that holds jumps over all that follow it, and the acceptance behind them.
    let mut left: usize = compared.iter().map(Vec::len).sum();
    for mut comparison in compared {
        left -= comparison.len();
        if let Some(last) = comparison.last_mut() {
            last.jt = (left + 1) as u8;
        }
        program.extend(comparison);
    }
    program.push(result(u32::MAX));
    program.extend(chance_of_one_in(wanted.pass_one_in.get()));
    program.extend([result(u32::MAX), result(0)]);
    program
}

/// Compares the source with `sender`; the last instruction's jump is to be told where to.
fn comparison(sender: IpAddr) -> Vec<libc::sock_filter> {
    match sender {
        IpAddr::V4(v4) => {
            vec![load(libc::SKF_NET_OFF + V4_SOURCE), is(Ipv4Addr::to_bits(v4), 0, 0)]
        }
        IpAddr::V6(v6) => {
            let network = (v6.to_bits() >> 64) as u64;
            let (high, low) = ((network >> 32) as u32, network as u32);
            vec![
                load(libc::SKF_NET_OFF + V6_SOURCE),
                is(high, 0, 2),
                load(libc::SKF_NET_OFF + V6_SOURCE + 4),
                is(low, 0, 0),
            ]
        }
    }
}

// A jump reaches 255 instructions far.
const _: () = assert!(4 * HELD_BACK_MAX < 250);
/// The filter sees a datagram from its UDP header on.
const UDP_HEADER: u32 = 8;
/// linux/sock_diag.h: SK_MEMINFO_VARS and SK_MEMINFO_DROPS.
const MEMINFO_VARS: usize = 9;
const MEMINFO_DROPS: usize = 8;

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

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
        let mut named: Vec<IpAddr> =
            (0..60).map(|host| Ipv4Addr::new(127, 9, 0, host).into()).collect();
        named.extend((0..60).map(|site| IpAddr::from([0x2001, 0xdb8, 0, site, 0, 0, 0, 0])));
        let wanted = HoldBack { senders: &named, pass_one_in: four, spare_longer_than: Some(48) };
        let v4 = server("127.0.0.1:0");
        v4.hold_back(&wanted).unwrap();
        for held in ["127.9.0.0", "127.9.0.47"] {
            let through = passed(&v4, held, 2000, 48);
            assert!((400..=600).contains(&through), "{held}: {through}");
        }
        assert_eq!(passed(&v4, "127.9.0.0", 200, 68), 200, "longer ones are spared");
        assert_eq!(passed(&v4, "127.9.0.48", 200, 48), 200, "one more than fit");
        assert_eq!(passed(&v4, "127.9.1.0", 200, 48), 200);
        assert!((2800..=3200).contains(&v4.dropped().unwrap()), "{:?}", v4.dropped());
        let v6 = server("[::1]:0");
        v6.hold_back(&HoldBack { spare_longer_than: None, ..wanted }).unwrap();
        for held in ["2001:db8::7", "2001:db8:0:2f:9::1"] {
            let through = passed(&v6, held, 2000, 68);
            assert!((400..=600).contains(&through), "{held}: {through}");
        }
        for free in ["2001:db8:0:30::", "2001:db9::7", "::1"] {
            assert_eq!(passed(&v6, free, 200, 48), 200, "{free}");
        }
        v6.hold_back(&HoldBack { senders: &[], ..wanted }).unwrap();
        assert_eq!(passed(&v6, "2001:db8::7", 200, 48), 200);
    }
}
