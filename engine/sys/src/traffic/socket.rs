//! The sockets behind the two ways: UDP with every source, and Ethernet frames.
//!
//! Must never: take in a packet before the filter that says which ones are ours.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Link, TrafficOptions};
use crate::cmsg::{TIMESTAMPING_NEW, TIMESTAMPNS_NEW};
use crate::headers::{ETHERNET_LEN, UDP, V6_LEN_IP};
use crate::sockopt;

/// A wildcard UDP socket on a free port.
pub(super) fn open_udp(options: &TrafficOptions) -> io::Result<Socket> {
    let domain = if options.target.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    let any: SocketAddr = match options.target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    enlarge(&socket, options.receive_buffer_bytes)?;
    match options.target {
        // With DF set the kernel draws no IP identification, which is 8 % of a sender's core.
        SocketAddr::V4(_) => {
            let (level, name) = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
            sockopt::set(socket.as_fd(), level, name, libc::IP_PMTUDISC_PROBE)?;
        }
        // The sources of an IPv6 network that is routed here are no addresses of a device.
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    ask_for_stamps(&socket, options)?;
    socket.bind(&any.into())?;
    Ok(socket)
}

/// A socket that sends frames by `link` and takes none, and one that takes the replies to it.
pub(super) fn open_link(options: &TrafficOptions, link: &Link) -> io::Result<(Socket, Socket)> {
    let sending = open_packet()?;
    // Straight to the device: its queue would only add a lock and a place to wait. But on that way the
    // kernel does not cut frames up.
    let option = if options.segments > 1 { PACKET_VNET_HDR } else { PACKET_QDISC_BYPASS };
    sockopt::set(sending.as_fd(), libc::SOL_PACKET, option, 1)?;
    if options.departure_stamps {
        ask_for_stamps(&sending, options)?;
    }
    sending.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    bind(&sending, link.interface, 0)?;
    let receiving = open_packet()?;
    enlarge(&receiving, options.receive_buffer_bytes)?;
    ask_for_stamps(&receiving, options)?;
    let program = replies_only(link, options.target.is_ipv6());
    let filter =
        libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    sockopt::set_raw(receiving.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)?;
    // By its protocol it takes what comes in and not what goes out.
    let protocol = if options.target.is_ipv6() { libc::ETH_P_IPV6 } else { libc::ETH_P_IP };
    bind(&receiving, link.interface, protocol as u16)?;
    Ok((sending, receiving))
}

/// Protocol 0: nothing arrives before it is bound.
fn open_packet() -> io::Result<Socket> {
    Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None)
}

fn bind(socket: &Socket, interface: u32, protocol: u16) -> io::Result<()> {
    // JUSTIFICATION: socket2 makes no link-layer addresses.
    // SAFETY: all zero is a valid sockaddr_ll: integers alone.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = interface as i32;
    let len = size_of::<libc::sockaddr_ll>() as u32;
    let pointer = (&raw const address).cast();
    // JUSTIFICATION: as above.
    // SAFETY: `address` lives through the call and is `len` bytes long.
    let result = unsafe { libc::bind(socket.as_raw_fd(), pointer, len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn enlarge(socket: &Socket, bytes: usize) -> io::Result<()> {
    let forced = bytes.min(i32::MAX as usize) as i32;
    if sockopt::set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, forced).is_ok() {
        return Ok(());
    }
    socket.set_recv_buffer_size(bytes)
}

fn ask_for_stamps(socket: &Socket, options: &TrafficOptions) -> io::Result<()> {
    let (name, value) = if options.departure_stamps {
        let wanted = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE;
        (TIMESTAMPING_NEW, wanted as i32)
    } else {
        (TIMESTAMPNS_NEW, 1)
    };
    sockopt::set(socket.as_fd(), libc::SOL_SOCKET, name, value)
}

/// Keeps whole UDP datagrams to the link's ports, from whomever: strays are to be seen.
fn replies_only(link: &Link, is_ipv6: bool) -> Vec<libc::sock_filter> {
    let ip = ETHERNET_LEN as u32;
    let mut program = Vec::new();
    let mut add = |code: u32, jt, jf, k| {
        program.push(libc::sock_filter { code: code as u16, jt, jf, k });
    };
    let (byte, half) = (libc::BPF_LD | libc::BPF_B, libc::BPF_LD | libc::BPF_H);
    let equal = libc::BPF_JMP | libc::BPF_JEQ;
    if is_ipv6 {
        add(byte | libc::BPF_ABS, 0, 0, ip + 6); // next header
        add(equal, 0, 4, UDP.into());
        add(half | libc::BPF_ABS, 0, 0, ip + V6_LEN_IP as u32 + 2); // destination port
    } else {
        add(byte | libc::BPF_ABS, 0, 0, ip + 9); // protocol
        add(equal, 0, 7, UDP.into());
        add(half | libc::BPF_ABS, 0, 0, ip + 6); // flags and fragment offset
        add(libc::BPF_JMP | libc::BPF_JSET, 5, 0, 0x1FFF);
        add(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, ip); // header length
        add(half | libc::BPF_IND, 0, 0, ip + 2); // destination port
    }
    let last = u32::from(link.first_port) + u32::from(link.ports.max(1)) - 1;
    add(libc::BPF_JMP | libc::BPF_JGE, 0, 2, link.first_port.into());
    add(libc::BPF_JMP | libc::BPF_JGT, 1, 0, last);
    add(libc::BPF_RET, 0, 0, u32::MAX); // all of it
    add(libc::BPF_RET, 0, 0, 0); // none
    program
}

/// uapi/linux/if_packet.h, missing from `libc`.
const PACKET_VNET_HDR: i32 = 15;
const PACKET_QDISC_BYPASS: i32 = 20;
/// A batch of 64 frames takes some 50 KiB with the kernel's bookkeeping.
const SEND_BUFFER_BYTES: usize = 1 << 20;
