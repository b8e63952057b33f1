//! Client-side UDP in batches: what a load generator needs and a server never does.
//!
//! A [`Sender`] pushes requests to one target with `sendmmsg`, each from a source address of its
//! own, so that one socket plays many clients: through the kernel's UDP where the addresses are this
//! host's (`IP_PKTINFO`), or as Ethernet frames with headers of our own where they are nobody's. A
//! [`Receiver`] takes the replies with `recvmmsg` and the kernel's arrival stamps. [`Departures`] reads
//! the kernel's departure stamps of the requests that asked for one: the error queue hands back the
//! whole packet, so that a stamp is matched by the packet's own bytes and never by counting.
//!
//! The generator has to out-drive the server it measures: everything is laid out at construction,
//! and per packet only the source address and the payload are written.
//!
//! Must never: allocate after construction, block, or be used by the server.

pub mod driver;
mod link;
mod receiver;
mod sender;
mod socket;

use std::io;
use std::net::SocketAddr;

use crate::cmsg::PacketInfo;
use crate::headers;

pub use crate::mac_address::{MacAddress, MacAddressError};
pub use link::{Link, LinkError};
use receiver::Reading;
pub use receiver::{Arrival, Departures, Receiver};
use sender::Wish;
pub use sender::{Sender, Sent};

/// What a traffic socket is to be.
#[derive(Clone, Copy, Debug)]
pub struct TrafficOptions {
    /// Where every request goes, and the only address replies are taken from.
    pub target: SocketAddr,
    /// How requests leave.
    pub way: Way,
    /// Requests handed to the kernel at once, and replies taken.
    pub batch: usize,
    /// Receive buffer asked for, in bytes (forced past `rmem_max` where allowed).
    pub receive_buffer_bytes: usize,
    /// Whether requests may ask for a departure stamp.
    pub departure_stamps: bool,
    /// Most requests of one source handed to the kernel as one message that it cuts up again
    /// (`UDP_SEGMENT`): 1 for none, up to [`SEGMENTS_MAX`].
    pub segments: usize,
}

/// How requests leave this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a UDP socket on one free port, from addresses that are this host's.
    Udp,
    /// As Ethernet frames, from any address and from ports of the link's. Needs `CAP_NET_RAW`.
    Link(Link),
}

/// Most requests in one message; the kernel has allowed 64 since there is `UDP_SEGMENT`.
pub const SEGMENTS_MAX: usize = 64;

/// One lane of traffic: its two halves and what it knows of departures.
#[derive(Debug)]
pub struct Traffic {
    /// Sends requests.
    pub sender: Sender,
    /// Takes replies.
    pub receiver: Receiver,
    /// Takes departure stamps.
    pub departures: Departures,
}

impl Traffic {
    /// Opens the sockets, with room for requests of up to `len_max` octets.
    ///
    /// Fails with what the kernel said about a socket or one of its options; `PermissionDenied` for
    /// frames without `CAP_NET_RAW`.
    pub fn open(options: TrafficOptions, len_max: usize) -> io::Result<Self> {
        let (sending, receiving, reading, reply_headers) = match &options.way {
            Way::Udp => {
                let socket = socket::open_udp(&options)?;
                (socket.try_clone()?, socket, Reading::Datagram, 0)
            }
            Way::Link(link) => {
                let (sending, receiving) = socket::open_link(&options, link)?;
                let headers = headers::headers_len(options.target.is_ipv6());
                (sending, receiving, Reading::Frame, headers)
            }
        };
        let (reply_len, batch) = (reply_headers + len_max + REPLY_SLACK, options.batch);
        let errors = sending.try_clone()?;
        let departures = Receiver::new(errors, Reading::Departure, len_max + HEADERS_MAX, batch);
        Ok(Self {
            sender: Sender::new(sending, &options, len_max),
            receiver: Receiver::new(receiving, reading, reply_len, batch),
            departures: Departures(departures),
        })
    }

    /// The port of a UDP lane.
    pub fn port(&self) -> io::Result<u16> {
        let local = self.sender.socket.local_addr()?;
        Ok(local.as_socket().map_or(0, |address| address.port()))
    }
}

/// Control bytes of one message, aligned for `cmsghdr`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct ControlBytes([u8; CONTROL_LEN]);

impl ControlBytes {
    const EMPTY: Self = Self([0; CONTROL_LEN]);

    /// Writes what a datagram asks of the kernel, and says how many bytes that took.
    #[inline]
    fn ask_udp(&mut self, wish: &Wish) -> usize {
        let mut len = PacketInfo { address: wish.source, interface: 0 }.encode(&mut self.0);
        if wish.stamped {
            len = self.ask_for_departure(len);
        }
        if wish.count > 1 {
            let size = (wish.request_len as u16).to_ne_bytes();
            len = self.put(len, libc::SOL_UDP, libc::UDP_SEGMENT, &size);
        }
        len
    }

    /// The same for a frame.
    #[inline]
    fn ask_link(&mut self, wish: &Wish) -> usize {
        if wish.stamped { self.ask_for_departure(0) } else { 0 }
    }

    fn ask_for_departure(&mut self, len: usize) -> usize {
        let wanted = libc::SOF_TIMESTAMPING_TX_SOFTWARE.to_ne_bytes();
        self.put(len, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &wanted)
    }

    fn put(&mut self, len: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        // The message before may end without its padding.
        let start = len.next_multiple_of(size_of::<usize>());
        let bytes = &mut self.0[start..start + MESSAGE_SPACE];
        bytes[..8].copy_from_slice(&(MESSAGE_HEADER + data.len()).to_ne_bytes());
        bytes[8..12].copy_from_slice(&level.to_ne_bytes());
        bytes[12..16].copy_from_slice(&kind.to_ne_bytes());
        bytes[16..16 + data.len()].copy_from_slice(data);
        start + MESSAGE_SPACE
    }
}

/// A socket address as the kernel writes it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Name([u8; 32]);

impl Name {
    const EMPTY: Self = Self([0; 32]);
}

fn empty_message() -> libc::mmsghdr {
    // JUSTIFICATION: `msghdr` has private padding on some targets, so it cannot be written out.
    // SAFETY: it is a C struct of integers and pointers, for which all zeros is valid.
    unsafe { std::mem::zeroed() }
}

const EMPTY_VECTOR: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// Control messages with up to 8 octets of data take a header and one more word.
const MESSAGE_HEADER: usize = size_of::<libc::cmsghdr>();
const MESSAGE_SPACE: usize = MESSAGE_HEADER + size_of::<usize>();
const _: () = assert!(MESSAGE_HEADER == 16);

/// A stamp of three `timespec` and an extended error with its address fit, with room to spare.
const CONTROL_LEN: usize = 192;
/// Replies longer than the request must be seen to be so: the rules forbid them.
const REPLY_SLACK: usize = 64;
/// Ethernet, IPv6 and UDP headers before a departed request.
const HEADERS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    /// Pushes a request of 48 octets from `source`.
    fn push(traffic: &mut Traffic, source: impl Into<IpAddr>, stamped: bool) -> Option<&mut [u8]> {
        traffic.sender.push(SocketAddr::new(source.into(), 0), 48, stamped)
    }

    fn open(target: SocketAddr) -> Traffic {
        let options = TrafficOptions {
            target,
            way: Way::Udp,
            batch: 8,
            receive_buffer_bytes: 1 << 20,
            departure_stamps: true,
            segments: 4,
        };
        Traffic::open(options, 48).unwrap()
    }

    /// What arrives at `traffic` within a second.
    fn receive(traffic: &mut Traffic) -> usize {
        for _ in 0..1_000 {
            let count = traffic.receiver.receive().unwrap();
            if count > 0 {
                return count;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        0
    }

    #[test]
    fn every_request_leaves_from_its_own_address_and_the_reply_comes_back_stamped() {
        let _stamping = crate::Stamping::in_force();
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut traffic = open(server.local_addr().unwrap());
        let sources = [Ipv4Addr::new(127, 1, 2, 3), Ipv4Addr::new(127, 200, 9, 9)];
        for (index, source) in sources.into_iter().enumerate() {
            push(&mut traffic, source, false).unwrap()[40] = index as u8;
        }
        assert_eq!(traffic.sender.send().unwrap().taken, 2);
        for (index, source) in sources.into_iter().enumerate() {
            let mut bytes = [0; 64];
            let (len, from) = server.recv_from(&mut bytes).unwrap();
            assert_eq!((len, bytes[40]), (48, index as u8));
            assert_eq!(from, SocketAddr::from((source, traffic.port().unwrap())));
            server.send_to(&bytes[..len], from).unwrap();
        }
        let mut seen = 0;
        while seen < 2 {
            let count = receive(&mut traffic);
            assert!(count > 0, "{seen} of 2 replies came");
            for index in 0..count {
                let arrival = traffic.receiver.arrival(index);
                assert_eq!(arrival.bytes[40], seen);
                assert_eq!(arrival.source, Some(server.local_addr().unwrap()));
                assert!(arrival.stamp.is_some() && !arrival.truncated);
                seen += 1;
            }
        }
    }

    #[test]
    fn only_the_requests_that_asked_get_a_departure_stamp_and_are_told_by_their_bytes() {
        for target in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(server) = std::net::UdpSocket::bind(target) else { continue };
            let mut traffic = open(server.local_addr().unwrap());
            let source = server.local_addr().unwrap().ip();
            for index in 0..8 {
                push(&mut traffic, source, index % 3 == 0).unwrap()[47] = index;
            }
            assert!(push(&mut traffic, source, false).is_none(), "the batch is full");
            assert_eq!(traffic.sender.send().unwrap().taken, 8);
            let count = traffic.departures.receive().unwrap();
            let seen: Vec<_> = (0..count).map(|i| traffic.departures.departure(i)).collect();
            assert_eq!(seen.len(), 3, "{target}");
            assert!(seen.iter().all(|departure| departure.stamp.is_some()), "{target}");
            let last: Vec<_> =
                seen.iter().map(|departure| *departure.bytes.last().unwrap()).collect();
            assert_eq!(last, [0, 3, 6], "{target}");
        }
    }

    #[test]
    fn requests_of_one_source_arrive_one_by_one_and_in_order_however_they_were_sent() {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut traffic = open(server.local_addr().unwrap());
        // Messages of 4, 1 (another source), 1 (stamped), 2.
        for index in 0..8u8 {
            let source = Ipv4Addr::new(127, 0, 0, if index == 4 { 9 } else { 1 });
            push(&mut traffic, source, index == 5).unwrap()[47] = index;
        }
        assert_eq!(traffic.sender.used, 4);
        assert_eq!(traffic.sender.send().unwrap().taken, 8);
        for index in 0..8u8 {
            let mut bytes = [0; 500];
            let (len, from) = server.recv_from(&mut bytes).unwrap();
            assert_eq!((len, bytes[47]), (48, index));
            assert_eq!(from.ip() == Ipv4Addr::new(127, 0, 0, 9), index == 4);
        }
        assert_eq!(traffic.departures.receive().unwrap(), 1);
        assert_eq!(traffic.departures.departure(0).bytes.last(), Some(&5));
    }

    #[test]
    fn a_reply_longer_than_the_request_is_seen_to_be_so() {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut traffic = open(server.local_addr().unwrap());
        push(&mut traffic, Ipv4Addr::LOCALHOST, false).unwrap();
        traffic.sender.send().unwrap();
        let (_, from) = server.recv_from(&mut [0; 64]).unwrap();
        server.send_to(&[0; 49], from).unwrap();
        server.send_to(&[0; 500], from).unwrap();
        assert!(receive(&mut traffic) > 0);
        assert_eq!(traffic.receiver.arrival(0).bytes.len(), 49);
    }

    #[test]
    fn a_source_of_the_other_family_is_refused() {
        let mut traffic = open("127.0.0.1:9".parse().unwrap());
        assert!(push(&mut traffic, Ipv6Addr::LOCALHOST, false).is_none());
        assert_eq!(traffic.sender.room(), 8);
    }
}
