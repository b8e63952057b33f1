//! Which socket gets a datagram: classic BPF on the SO_REUSEPORT group.
//!
//! Clients change their source port with every poll (RFC 9109), so the kernel's own hash over
//! addresses and ports scatters one client over all workers, and per-worker state (rate limits
//! above all) would see a fraction of it. The program here looks at the source address alone; for
//! IPv6 at the /64, which is one site and what a limiter counts by. It reads through `SKF_NET_OFF`,
//! because the group's filter is run with the packet's start moved behind the UDP header.
//!
//! Before that it looks at the mode, the payload's first octet: control messages and broadcasts are
//! nothing a worker could answer, and go to the control plane's socket where there is one.
//!
//! Must never: name a socket that is not in the group (the kernel would fall back to its own hash).

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use timeball_wire::Mode;

use crate::group::Seats;
use crate::server::ListenOptions;
use crate::sockopt;

/// How datagrams find their worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Spread {
    /// By source address (IPv6: by /64): one client, one worker.
    #[default]
    SourceAddress,
    /// By the core that received it: for network cards that hash by addresses only.
    Cpu,
    /// By source address and port, as the kernel's own hash would.
    Kernel,
}

/// Attaches the program of `options` to the group `fd` belongs to, whose sockets have these `seats`.
pub(crate) fn attach(
    fd: BorrowedFd<'_>,
    address: SocketAddr,
    seats: &Seats,
    options: &ListenOptions,
) -> io::Result<()> {
    let (v4, key) = (address.is_ipv4(), options.spread_key);
    let mut program = if options.control { to_control(seats.control) } else { Vec::new() };
    match options.spread {
        Spread::Cpu => program.extend(by_cpu(&seats.workers, &options.cores)),
        Spread::SourceAddress => program.extend(source(v4, key)),
        Spread::Kernel => {
            program.extend(source(v4, key));
            program.extend(mixed_in(if v4 { V4_PORTS } else { V6_PORTS }));
        }
    }
    program.extend(chosen(&seats.workers));
    let filter = program_of(&program)?;
    sockopt::set_raw(fd, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &filter)
}

/// Returns socket `index` for the modes that are no requests; of an empty datagram the kernel makes 0.
fn to_control(index: u32) -> Vec<libc::sock_filter> {
    let mode = |mode: Mode, on: u8, off: u8| {
        let jump = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        statement(jump, on, off, u32::from(mode.to_bits()))
    };
    vec![
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 0),
        constant(libc::BPF_AND, 7),
        mode(Mode::Control, 1, 0),
        mode(Mode::Broadcast, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, index),
    ]
}

/// A hash of the source address: all of IPv4, the /64 of IPv6.
fn source(v4: bool, key: u32) -> Vec<libc::sock_filter> {
    let start = if v4 { V4_SOURCE } else { V6_SOURCE };
    let mut program = vec![load(libc::SKF_NET_OFF + start), constant(libc::BPF_XOR, key)];
    program.extend(mixed());
    if !v4 {
        program.extend(mixed_in(V6_SOURCE + 4));
    }
    program
}

/// The hash so far with the word at `offset` of the packet.
fn mixed_in(offset: i32) -> Vec<libc::sock_filter> {
    let mut program = vec![copy_to_x(), load(libc::SKF_NET_OFF + offset), with_x(libc::BPF_XOR)];
    program.extend(mixed());
    program
}

/// The worker pinned to the receiving core; for a core without one, its number.
fn by_cpu(seats: &[u32], cores: &[usize]) -> Vec<libc::sock_filter> {
    let mut program = vec![load(libc::SKF_AD_OFF + libc::SKF_AD_CPU)];
    for (&seat, &core) in seats.iter().zip(cores.iter().take(CORES_MAX)) {
        // Equal: go on to the return; else jump over it.
        program.extend([is(core as u32, 0, 1), result(seat)]);
    }
    program
}

/// The finaliser of MurmurHash3: every bit of the accumulator depends on every other.
fn mixed() -> [libc::sock_filter; 11] {
    let [a, b, c] = [shifted(16), shifted(13), shifted(16)];
    let (first, second) =
        (constant(libc::BPF_MUL, 0x85eb_ca6b), constant(libc::BPF_MUL, 0xc2b2_ae35));
    [a[0], a[1], a[2], first, b[0], b[1], b[2], second, c[0], c[1], c[2]]
}

/// A ^= A >> bits
fn shifted(bits: u32) -> [libc::sock_filter; 3] {
    [copy_to_x(), constant(libc::BPF_RSH, bits), with_x(libc::BPF_XOR)]
}

/// The seat of the worker that the accumulator comes to, modulo their number. Seats are in rows without gaps
/// that begin ever further behind their workers' numbers: one row, and one more for each time the group grew.
fn chosen(seats: &[u32]) -> Vec<libc::sock_filter> {
    let mut program = vec![constant(libc::BPF_MOD, seats.len() as u32)];
    let behind = |worker: usize| seats[worker] - worker as u32;
    for worker in (1..seats.len()).rev().filter(|&worker| behind(worker) != behind(worker - 1)) {
        let from = statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 2, worker as u32);
        program.extend([from, constant(libc::BPF_ADD, behind(worker)), to_accumulator()]);
    }
    program.push(to_accumulator());
    program
}

/// The end: the socket whose seat is in the accumulator.
const fn to_accumulator() -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_A, 0, 0, 0)
}

/// What a socket takes of what reaches its port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hears {
    /// What was sent to this machine alone.
    ToUs,
    /// What was sent to all of a network, or to a group.
    ToMany,
}

/// Has `socket` take only what `hears` says. The kernel gives what is sent to many to every socket of a port,
/// steering or not: each worker would answer the same request.
pub(crate) fn hear(socket: BorrowedFd<'_>, hears: Hears) -> io::Result<()> {
    let [kind, broadcast, multicast, to_many] = hears_us();
    let program = match hears {
        Hears::ToUs => [kind, broadcast, multicast, to_many, result(u32::MAX)],
        Hears::ToMany => [kind, broadcast, multicast, result(u32::MAX), result(0)],
    };
    let filter = program_of(&program)?;
    sockopt::set_raw(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// Drops what was sent to many; what was sent to this machine alone goes on behind it.
pub(crate) fn hears_us() -> [libc::sock_filter; 4] {
    [
        load(libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE),
        is(PACKET_BROADCAST, 1, 0),
        is(PACKET_MULTICAST, 0, 1),
        result(0),
    ]
}

/// Goes on for one datagram in `n`, by chance; for the others jumps over one instruction.
pub(crate) fn chance_of_one_in(n: u32) -> [libc::sock_filter; 3] {
    [load(libc::SKF_AD_OFF + libc::SKF_AD_RANDOM), constant(libc::BPF_MOD, n), is(0, 0, 1)]
}

/// Goes on for a packet of more than so many octets; for others jumps over one instruction.
pub(crate) fn longer_than(octets: u32) -> [libc::sock_filter; 2] {
    [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 0, 1, octets),
    ]
}

/// Jumps so many instructions further if what was loaded is `value`, and if not.
pub(crate) const fn is(value: u32, on: u8, off: u8) -> libc::sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, on, off, value)
}

/// The same if what was loaded is `value` or more.
pub(crate) const fn is_at_least(value: u32, on: u8, off: u8) -> libc::sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, on, off, value)
}

/// Jumps over so many instructions.
pub(crate) const fn jump(over: usize) -> libc::sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JA, 0, 0, over as u32)
}

/// Keeps what was loaded, for [`kept`].
pub(crate) const fn keep() -> libc::sock_filter {
    statement(libc::BPF_ST, 0, 0, 0)
}

/// Loads what was kept.
pub(crate) const fn kept() -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_MEM, 0, 0, 0)
}

/// The end: so many octets of the packet are kept.
pub(crate) const fn result(octets: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, 0, 0, octets)
}

/// `program` as the kernel takes it; it must outlive what is made of it here.
pub(crate) fn program_of(program: &[libc::sock_filter]) -> io::Result<libc::sock_fprog> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    Ok(libc::sock_fprog { len, filter: program.as_ptr().cast_mut() })
}

pub(crate) fn load(offset: i32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset as u32)
}

fn constant(operation: u32, value: u32) -> libc::sock_filter {
    statement(libc::BPF_ALU | operation | libc::BPF_K, 0, 0, value)
}

fn with_x(operation: u32) -> libc::sock_filter {
    statement(libc::BPF_ALU | operation | libc::BPF_X, 0, 0, 0)
}

fn copy_to_x() -> libc::sock_filter {
    statement(libc::BPF_MISC | libc::BPF_TAX, 0, 0, 0)
}

const fn statement(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// linux/if_packet.h.
const PACKET_BROADCAST: u32 = 1;
const PACKET_MULTICAST: u32 = 2;
/// Where the headers have the source address.
pub(crate) const V4_SOURCE: i32 = 12;
pub(crate) const V6_SOURCE: i32 = 8;
/// Behind a header without options; with some, part of them is hashed instead.
const V4_PORTS: i32 = 20;
const V6_PORTS: i32 = 40;

/// Two instructions per core, and the kernel takes 4096.
const CORES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::process::Command;

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::group::listen;

    const WORKERS: usize = 4;
    const PORTS: usize = 5;

    fn options(address: SocketAddr, spread: Spread) -> ListenOptions {
        let mut options = ListenOptions::new(address);
        (options.workers, options.spread, options.spread_key) = (WORKERS, spread, 0x5eed);
        options
    }

    /// Sends from each source from several ports; returns for each source which workers were
    /// reached.
    fn reached(options: &ListenOptions, target: IpAddr, sources: &[IpAddr]) -> Vec<Vec<usize>> {
        let group = listen(options).expect("free");
        let target = SocketAddr::new(target, group.address.port());
        let workers: Vec<UdpSocket> = group.sockets.into_iter().map(UdpSocket::from).collect();
        let reached = sources.iter().map(|&source| {
            for _ in 0..PORTS {
                client(source).send_to(b"x", target).expect("send");
            }
            let mut hit = vec![];
            for (worker, socket) in workers.iter().enumerate() {
                while socket.recv_from(&mut [0; 8]).is_ok() {
                    hit.push(worker);
                }
            }
            assert_eq!(hit.len(), PORTS, "loopback loses nothing");
            hit.dedup();
            hit
        });
        reached.collect()
    }

    fn client(source: IpAddr) -> UdpSocket {
        let address = SocketAddr::new(source, 0);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).expect("socket");
        if source.is_ipv6() {
            socket.set_freebind_v6(true).expect("freebind");
        }
        socket.bind(&address.into()).expect("bind to a source address");
        socket.into()
    }

    fn assert_unsplit_and_spread(reached: &[Vec<usize>]) {
        assert!(
            reached.iter().all(|workers| workers.len() == 1),
            "a client was split: {reached:?}"
        );
        for worker in 0..WORKERS {
            let share = reached.iter().filter(|workers| workers[0] == worker).count();
            // 64 sources over 4 workers: 16 each, standard deviation 3.5.
            assert!((4..=30).contains(&share), "worker {worker} has {share} of {}", reached.len());
        }
    }

    fn v4_sources() -> Vec<IpAddr> {
        (0..64).map(|i| IpAddr::V4(Ipv4Addr::new(127, 1 + i / 16, i, 3 * i + 1))).collect()
    }

    #[test]
    fn an_ipv4_client_reaches_one_worker_whatever_its_port() {
        let options = options("0.0.0.0:0".parse().expect("address"), Spread::SourceAddress);
        let reached = reached(&options, Ipv4Addr::LOCALHOST.into(), &v4_sources());
        assert_unsplit_and_spread(&reached);
    }

    /// Shows that the test above can fail: a hash over ports does split clients.
    #[test]
    fn a_hash_over_ports_splits_clients() {
        let options = options("0.0.0.0:0".parse().expect("address"), Spread::Kernel);
        let reached = reached(&options, Ipv4Addr::LOCALHOST.into(), &v4_sources());
        let split = reached.iter().filter(|workers| workers.len() > 1).count();
        assert!(split > reached.len() / 2, "{split}");
    }

    #[test]
    fn control_messages_and_broadcasts_pass_all_workers_by() {
        for spread in [Spread::SourceAddress, Spread::Cpu, Spread::Kernel] {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let options = ListenOptions {
                    control: true,
                    ..options(address.parse().expect("address"), spread)
                };
                let Ok(group) = listen(&options) else { continue };
                let mut control = group.control.expect("asked for");
                let client = client(group.address.ip());
                for first in 0..=u8::MAX {
                    client.send_to(&[first, 2, 3], group.address).expect("send");
                    let mut bytes = [0; 8];
                    let taken = control.receive(&mut bytes).expect("receive");
                    let wanted = matches!(first & 7, 5 | 6);
                    assert_eq!(taken.is_some(), wanted, "{spread:?} {address} {first:#x}");
                    let Some(taken) = taken else { continue };
                    assert_eq!(&bytes[..taken.len], [first, 2, 3]);
                    assert_eq!(taken.source, client.local_addr().expect("bound"));
                }
                client.send_to(&[], group.address).expect("send");
                assert!(control.receive(&mut [0; 8]).expect("receive").is_none());
            }
        }
    }

    #[test]
    fn by_cpu_sends_to_the_worker_of_the_receiving_core() {
        let mut options = options("0.0.0.0:0".parse().expect("address"), Spread::Cpu);
        options.cores = vec![1022, 1023, 0, 1];
        let pinned = std::thread::spawn(move || {
            let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: 0 });
            pinned.then(|| reached(&options, Ipv4Addr::LOCALHOST.into(), &v4_sources()))
        });
        match pinned.join().expect("the pinned thread") {
            Some(reached) => assert!(reached.iter().all(|workers| workers == &[2]), "{reached:?}"),
            None => eprintln!("skipped: core 0 is not allowed here"),
        }
    }

    /// Two hosts of each of 64 prefixes, in a network namespace where all of them are local.
    #[test]
    fn an_ipv6_site_reaches_one_worker() {
        let done = std::thread::spawn(|| {
            // JUSTIFICATION: std cannot make a network namespace.
            // SAFETY: takes an integer; affects this thread alone, which ends with the test.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            ip("link set lo up")?;
            ip("-6 route add local 2001:db8::/32 dev lo")?;
            let source = |i: u16, host| Ipv6Addr::new(0x2001, 0xdb8, i / 8, i, 0, 0, host, 1);
            for host in [0, 0xbeef] {
                let sources: Vec<_> = (0..64).map(|i| IpAddr::V6(source(i, host))).collect();
                let address = "[::]:0".parse().expect("address");
                let reached = reached(
                    &options(address, Spread::SourceAddress),
                    Ipv6Addr::LOCALHOST.into(),
                    &sources,
                );
                assert_unsplit_and_spread(&reached);
            }
            let pair = [IpAddr::V6(source(7, 1)), IpAddr::V6(source(7, 0xffff))];
            let address = "[::]:0".parse().expect("address");
            let reached = reached(
                &options(address, Spread::SourceAddress),
                Ipv6Addr::LOCALHOST.into(),
                &pair,
            );
            assert_eq!(reached[0], reached[1], "one /64, two workers");
            Ok(())
        });
        if let Err(error) = done.join().expect("the namespaced thread") {
            eprintln!("skipped: needs root and iproute2: {error}");
        }
    }

    fn ip(arguments: &str) -> io::Result<()> {
        let status = Command::new("ip").args(arguments.split(' ')).status()?;
        if status.success() { Ok(()) } else { Err(ErrorKind::Unsupported.into()) }
    }
}
