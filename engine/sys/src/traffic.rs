//! Client-side UDP in batches: what a load generator needs and a server never does.
//!
//! A [`Sender`] pushes requests to one target with `sendmmsg`, each from a source address of its
//! own (`IP_PKTINFO`), so that one socket plays many clients. A [`Receiver`] takes the replies with
//! `recvmmsg` and the kernel's arrival stamps. [`Departures`] reads the kernel's departure stamps
//! of the requests that asked for one: the error queue hands back the whole packet, so that a stamp
//! is matched by the packet's own bytes and never by counting.
//!
//! The generator has to out-drive the server it measures: everything is laid out at construction,
//! and per packet only the source address and the payload are written.
//!
//! Must never: allocate after construction, block, or be used by the server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use timeball_time::{Realtime, Timestamp};

use crate::cmsg::{Control, PacketInfo, TIMESTAMPING_NEW, TIMESTAMPNS_NEW};
use crate::{sockaddr, sockopt};

/// What a traffic socket is to be.
#[derive(Clone, Copy, Debug)]
pub struct TrafficOptions {
    /// Where every request goes, and the only address replies are taken from.
    pub target: SocketAddr,
    /// Receive buffer asked for, in bytes (forced past `rmem_max` where allowed).
    pub receive_buffer_bytes: usize,
    /// Whether requests may ask for a departure stamp.
    pub departure_stamps: bool,
    /// Most requests of one source handed to the kernel as one message that it cuts up again
    /// (`UDP_SEGMENT`): 1 for none, up to [`SEGMENTS_MAX`].
    pub segments: usize,
}

/// Most requests in one message; the kernel has allowed 64 since there is `UDP_SEGMENT`.
pub const SEGMENTS_MAX: usize = 64;

/// One UDP port with the two halves of its traffic.
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
    /// Opens a wildcard socket on a free port, with batches of `batch` requests shaped like
    /// `request`.
    ///
    /// Fails with what the kernel said about the socket or one of its options.
    pub fn open(options: TrafficOptions, request: &[u8], batch: usize) -> io::Result<Self> {
        let socket = open_socket(&options)?;
        let halves = (socket.try_clone()?, socket.try_clone()?);
        Ok(Self {
            sender: Sender::new(socket, &options, request, batch),
            receiver: Receiver::new(halves.0, request.len() + REPLY_SLACK, batch),
            departures: Departures(Receiver::new_with_flags(
                halves.1,
                request.len() + HEADERS_MAX,
                batch,
                libc::MSG_ERRQUEUE,
            )),
        })
    }

    /// The port the requests come from.
    pub fn port(&self) -> io::Result<u16> {
        let local = self.sender.socket.local_addr()?;
        Ok(local.as_socket().map_or(0, |address| address.port()))
    }
}

/// Sends batches of equally long requests to one target.
///
/// Requests of one source that follow each other can go as one message, which costs the kernel a
/// quarter and less; what is on the network is the same.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    target: SockAddr,
    request_len: usize,
    segments: usize,
    /// The requests of the batch, one after the other.
    requests: Vec<u8>,
    pushed: usize,
    /// What the kernel is asked for each message.
    wishes: Vec<Wish>,
    controls: Vec<ControlBytes>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
    used: usize,
}

/// One message: requests that follow each other.
#[derive(Clone, Copy, Debug)]
struct Wish {
    source: IpAddr,
    first: usize,
    count: usize,
    stamped: bool,
}

impl Sender {
    fn new(socket: Socket, options: &TrafficOptions, request: &[u8], batch: usize) -> Self {
        let source = options.target.ip();
        Self {
            socket,
            target: options.target.into(),
            request_len: request.len(),
            segments: options.segments.clamp(1, SEGMENTS_MAX),
            requests: request.repeat(batch),
            pushed: 0,
            wishes: vec![Wish { source, first: 0, count: 0, stamped: false }; batch],
            controls: vec![ControlBytes::EMPTY; batch],
            vectors: vec![EMPTY_VECTOR; batch],
            messages: vec![empty_message(); batch],
            used: 0,
        }
    }

    /// Requests that still fit in this batch.
    pub fn room(&self) -> usize {
        self.messages.len() - self.pushed
    }

    /// Adds a request from `source` and returns its bytes, which hold what the slot held last.
    ///
    /// `None` when the batch is full or `source` is not of the target's family. `stamped` asks for
    /// a departure stamp, and for a message of its own.
    #[inline]
    pub fn push(&mut self, source: IpAddr, stamped: bool) -> Option<&mut [u8]> {
        if self.room() == 0 || source.is_ipv6() != self.target.is_ipv6() {
            return None;
        }
        let first = self.pushed;
        let last = self.wishes[..self.used].last_mut().filter(|last| {
            last.source == source && last.count < self.segments && !last.stamped && !stamped
        });
        if let Some(last) = last {
            last.count += 1;
        } else {
            self.wishes[self.used] = Wish { source, first, count: 1, stamped };
            self.used += 1;
        }
        self.pushed += 1;
        Some(&mut self.requests[first * self.request_len..][..self.request_len])
    }

    /// Sends the batch and empties it; says how many requests, from the first, the kernel took.
    ///
    /// Fewer than pushed means that the socket or the device was full: the rest is dropped, because
    /// a generator that retries offers another load than it says. Fails if the kernel took none for
    /// any other reason.
    pub fn send(&mut self) -> io::Result<usize> {
        self.pushed = 0;
        let used = std::mem::take(&mut self.used);
        self.address(used);
        let mut sent = 0;
        // Each turn sends at least one message or ends the loop, so the batch bounds it.
        while sent < used {
            match send_messages(self.socket.as_raw_fd(), &mut self.messages[sent..used]) {
                Ok(count) => sent += count,
                Err(error) if is_full(&error) => break,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(self.wishes[..sent].iter().map(|wish| wish.count).sum())
    }

    /// Points the first `used` messages at their parts.
    fn address(&mut self, used: usize) {
        let requests = self.requests.as_mut_ptr();
        let (controls, vectors) = (self.controls.as_mut_ptr(), self.vectors.as_mut_ptr());
        for index in 0..used {
            let wish = self.wishes[index];
            let control_len = self.controls[index].ask(&wish, self.request_len);
            self.vectors[index] = libc::iovec {
                iov_base: requests.wrapping_add(wish.first * self.request_len).cast(),
                iov_len: wish.count * self.request_len,
            };
            let header = &mut self.messages[index].msg_hdr;
            header.msg_name = self.target.as_ptr().cast_mut().cast();
            header.msg_namelen = self.target.len();
            header.msg_iov = vectors.wrapping_add(index);
            header.msg_iovlen = 1;
            header.msg_control = controls.wrapping_add(index).cast();
            header.msg_controllen = control_len;
        }
    }
}

/// Takes batches of datagrams with the kernel's stamps.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    flags: i32,
    frame_len: usize,
    frames: Vec<u8>,
    controls: Vec<ControlBytes>,
    names: Vec<Name>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

impl Receiver {
    fn new(socket: Socket, frame_len: usize, batch: usize) -> Self {
        Self::new_with_flags(socket, frame_len, batch, 0)
    }

    fn new_with_flags(socket: Socket, frame_len: usize, batch: usize, flags: i32) -> Self {
        Self {
            socket,
            flags,
            frame_len,
            frames: vec![0; frame_len * batch],
            controls: vec![ControlBytes::EMPTY; batch],
            names: vec![Name::EMPTY; batch],
            vectors: vec![EMPTY_VECTOR; batch],
            messages: vec![empty_message(); batch],
        }
    }

    /// Takes what has arrived, up to a batch, and says how many; zero when nothing has.
    pub fn receive(&mut self) -> io::Result<usize> {
        let (frames, controls) = (self.frames.as_mut_ptr(), self.controls.as_mut_ptr());
        let (names, vectors) = (self.names.as_mut_ptr(), self.vectors.as_mut_ptr());
        for slot in 0..self.messages.len() {
            self.vectors[slot] = libc::iovec {
                iov_base: frames.wrapping_add(slot * self.frame_len).cast(),
                iov_len: self.frame_len,
            };
            let header = &mut self.messages[slot].msg_hdr;
            header.msg_name = names.wrapping_add(slot).cast();
            header.msg_namelen = size_of::<Name>() as u32;
            header.msg_iov = vectors.wrapping_add(slot);
            header.msg_iovlen = 1;
            header.msg_control = controls.wrapping_add(slot).cast();
            header.msg_controllen = size_of::<ControlBytes>();
        }
        let flags = self.flags | libc::MSG_DONTWAIT;
        match receive_messages(self.socket.as_raw_fd(), &mut self.messages, flags) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Datagram `index` of the last batch, `index` less than what [`Receiver::receive`] returned.
    pub fn arrival(&self, index: usize) -> Arrival<'_> {
        let message = &self.messages[index];
        let len = (message.msg_len as usize).min(self.frame_len);
        let start = index * self.frame_len;
        let control = &self.controls[index].0;
        let control_len = message.msg_hdr.msg_controllen.min(control.len());
        Arrival {
            source: sockaddr::decode(&self.names[index].0),
            stamp: Control::decode(&control[..control_len]).stamp,
            bytes: &self.frames[start..start + len],
            truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }
}

/// One datagram, valid until the next batch.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Who sent it; `None` if the kernel did not say (as for a departure).
    pub source: Option<SocketAddr>,
    /// The kernel's stamp: of the arrival, or of the departure.
    pub stamp: Option<Timestamp<Realtime>>,
    /// The payload, or as much of it as fitted.
    pub bytes: &'a [u8],
    /// Longer than what fitted.
    pub truncated: bool,
}

/// Takes departure stamps from the socket's error queue.
#[derive(Debug)]
pub struct Departures(Receiver);

impl Departures {
    /// Takes what is queued, up to a batch, and says how many.
    pub fn receive(&mut self) -> io::Result<usize> {
        self.0.receive()
    }

    /// Departure `index` of the last batch: `bytes` *end* with the request; the headers come
    /// before.
    pub fn departure(&self, index: usize) -> Arrival<'_> {
        self.0.arrival(index)
    }
}

/// Control bytes of one message, aligned for `cmsghdr`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct ControlBytes([u8; CONTROL_LEN]);

impl ControlBytes {
    const EMPTY: Self = Self([0; CONTROL_LEN]);

    /// Writes what one message asks of the kernel, and says how many bytes that took.
    #[inline]
    fn ask(&mut self, wish: &Wish, request_len: usize) -> usize {
        let mut len = PacketInfo { address: wish.source, interface: 0 }.encode(&mut self.0);
        let mut put = |level: i32, kind: i32, data: &[u8]| {
            // The message before may end without its padding.
            let start = len.next_multiple_of(size_of::<usize>());
            let bytes = &mut self.0[start..start + MESSAGE_SPACE];
            bytes[..8].copy_from_slice(&(MESSAGE_HEADER + data.len()).to_ne_bytes());
            bytes[8..12].copy_from_slice(&level.to_ne_bytes());
            bytes[12..16].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..16 + data.len()].copy_from_slice(data);
            len = start + MESSAGE_SPACE;
        };
        if wish.stamped {
            let wanted = libc::SOF_TIMESTAMPING_TX_SOFTWARE.to_ne_bytes();
            put(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &wanted);
        }
        if wish.count > 1 {
            put(libc::SOL_UDP, libc::UDP_SEGMENT, &(request_len as u16).to_ne_bytes());
        }
        len
    }
}

/// A socket address as the kernel writes it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Name([u8; 32]);

impl Name {
    const EMPTY: Self = Self([0; 32]);
}

fn open_socket(options: &TrafficOptions) -> io::Result<Socket> {
    let domain = if options.target.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    let any: SocketAddr = match options.target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let bytes = options.receive_buffer_bytes.min(i32::MAX as usize) as i32;
    let fd = socket.as_fd();
    if sockopt::set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes).is_err() {
        socket.set_recv_buffer_size(options.receive_buffer_bytes)?;
    }
    // With DF set the kernel draws no IP identification, which is 8 % of a sender's core.
    match options.target {
        SocketAddr::V4(_) => {
            sockopt::set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        }
        SocketAddr::V6(_) => socket.set_only_v6(true)?,
    }
    if options.departure_stamps {
        let wanted = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE;
        sockopt::set(fd, libc::SOL_SOCKET, TIMESTAMPING_NEW, wanted as i32)?;
    } else {
        sockopt::set(fd, libc::SOL_SOCKET, TIMESTAMPNS_NEW, 1)?;
    }
    socket.bind(&any.into())?;
    Ok(socket)
}

fn send_messages(fd: RawFd, messages: &mut [libc::mmsghdr]) -> io::Result<usize> {
    // JUSTIFICATION: no safe binding sends a batch.
    // SAFETY: `messages` is a slice of its stated length, and every pointer in it was set by the
    // caller, in this very call, to memory that the caller owns and that is as long as the length
    // beside it.
    let sent = unsafe {
        libc::sendmmsg(fd, messages.as_mut_ptr(), messages.len() as u32, libc::MSG_DONTWAIT)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

fn receive_messages(fd: RawFd, messages: &mut [libc::mmsghdr], flags: i32) -> io::Result<usize> {
    // JUSTIFICATION: no safe binding receives a batch.
    // SAFETY: as for `send_messages`; the memory the kernel writes to is borrowed mutably by the
    // caller and plain bytes, for which every value is valid. No timeout is passed.
    let received = unsafe {
        libc::recvmmsg(
            fd,
            messages.as_mut_ptr(),
            messages.len() as u32,
            flags,
            std::ptr::null_mut(),
        )
    };
    if received < 0 { Err(io::Error::last_os_error()) } else { Ok(received as usize) }
}

fn empty_message() -> libc::mmsghdr {
    // JUSTIFICATION: `msghdr` has private padding on some targets, so it cannot be written out.
    // SAFETY: it is a C struct of integers and pointers, for which all zeros is valid.
    unsafe { std::mem::zeroed() }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
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
    use super::*;

    fn open(target: SocketAddr) -> Traffic {
        let options = TrafficOptions {
            target,
            receive_buffer_bytes: 1 << 20,
            departure_stamps: true,
            segments: 4,
        };
        Traffic::open(options, &[0x23; 48], 8).unwrap()
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
            traffic.sender.push(source.into(), false).unwrap()[40] = index as u8;
        }
        assert_eq!(traffic.sender.send().unwrap(), 2);
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
                traffic.sender.push(source, index % 3 == 0).unwrap()[47] = index;
            }
            assert!(traffic.sender.push(source, false).is_none(), "the batch is full");
            assert_eq!(traffic.sender.send().unwrap(), 8);
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
            traffic.sender.push(source.into(), index == 5).unwrap()[47] = index;
        }
        assert_eq!(traffic.sender.used, 4);
        assert_eq!(traffic.sender.send().unwrap(), 8);
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
        traffic.sender.push(Ipv4Addr::LOCALHOST.into(), false).unwrap();
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
        assert!(traffic.sender.push(Ipv6Addr::LOCALHOST.into(), false).is_none());
        assert_eq!(traffic.sender.room(), 8);
    }
}
