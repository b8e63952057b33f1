//! What every carrier must do, asked of each of them: `recvmmsg`, io_uring with ring replies,
//! io_uring with `sendmmsg` replies; and two whose replies leave around the kernel's IP layer, whose
//! clients are beyond a veth.
//!
//! Single-threaded where possible: clients send first, then the carrier takes its turns, so nothing
//! depends on timing. Turns that may sleep are guarded by a watchdog, which makes a hang a failure.

mod network;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use timeball_sys::{
    Backend, Carrier, Exit, Exits, ListenOptions, MmsgIo, ReplyPath, ServerSocket, Stamping,
    Transmit, UringIo, UringOptions, listen, realtime,
};
use timeball_time::{Realtime, Timestamp};
use timeball_wire::{BATCH_MAX, PacketIo, Wait};

use network::neighbour::{self, SERVER, beside_a_neighbour};
use network::{client, client_of, in_namespace, ip};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Mmsg,
    Uring(ReplyPath),
    /// By `recvmmsg` and `AF_PACKET`.
    Packet,
    /// By io_uring and `AF_XDP`.
    Xdp,
}

impl Kind {
    const fn is_mmsg(self) -> bool {
        matches!(self, Self::Mmsg | Self::Packet)
    }

    const fn is_raw(self) -> bool {
        matches!(self, Self::Packet | Self::Xdp)
    }
}

/// Instantiates every test of the suite for one carrier.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod mmsg { $(#[test] fn $name() { super::$name(super::Kind::Mmsg); })* }
        mod uring_ring {
            $(#[test] fn $name() { super::$name(super::Kind::Uring(super::ReplyPath::Ring)); })*
        }
        mod uring_sendmmsg {
            $(#[test] fn $name() { super::$name(super::Kind::Uring(super::ReplyPath::Sendmmsg)); })*
        }
        mod mmsg_packet {
            $(#[test] fn $name() { super::raw(super::$name, super::Kind::Packet); })*
        }
        mod uring_xdp {
            $(#[test] fn $name() { super::raw(super::$name, super::Kind::Xdp); })*
        }
    };
}

suite!(
    echoes_in_place_over_ipv4_and_ipv6,
    keeps_the_order,
    replies_leave_from_the_address_asked,
    replies_leave_from_the_ipv6_address_asked,
    arrival_stamps_are_between_sending_and_now,
    departures_rise_and_are_not_late,
    a_turn_is_at_most_a_batch_and_nothing_is_lost,
    a_busy_socket_starves_no_other,
    a_waker_ends_the_sleep,
    a_datagram_ends_the_sleep,
    long_datagrams_are_marked_as_truncated,
    empty_datagrams_are_datagrams,
    a_burst_beyond_the_frames_loses_nothing,
    only_what_is_asked_for_is_sent,
    a_full_send_buffer_is_counted_and_passes,
    a_refused_reply_is_counted_and_the_others_go_out,
    a_vanished_client_stops_nothing,
    without_the_option_there_is_no_stamp,
    allocates_nothing_per_packet,
);

fn echoes_in_place_over_ipv4_and_ipv6(kind: Kind) {
    let mut addresses = vec!["127.0.0.1:0"];
    if UdpSocket::bind("[::1]:0").is_ok() {
        addresses.push("[::1]:0");
    }
    let (mut io, bound) = open(kind, &addresses, 64);
    for target in bound {
        let client = client_of(target);
        client.send(b"a request of 48 octets, or nearly so").expect("send");
        let turn = echo_until(&mut io, 1);
        assert_eq!(turn[0].source, client.local_addr().expect("bound"));
        assert_eq!(turn[0].bytes, b"a request of 48 octets, or nearly so");
        assert_eq!(received(&client), b"a request of 48 octets, or nearly so");
    }
    let tally = io.tally();
    assert_eq!(tally.send_full + tally.send_refused, 0);
    assert_eq!(tally.raw, if kind.is_raw() { tally.sent } else { 0 }, "{tally:?}");
}

fn keeps_the_order(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 128);
    let client = client_of(bound[0]);
    for number in 0..150u8 {
        client.send(&[number]).expect("send");
    }
    let numbers: Vec<u8> = echo_until(&mut io, 150).iter().map(|seen| seen.bytes[0]).collect();
    assert_eq!(numbers, (0..150).collect::<Vec<u8>>());
    let numbers: Vec<u8> = (0..150).map(|_| received(&client)[0]).collect();
    assert_eq!(numbers, (0..150).collect::<Vec<u8>>());
}

fn replies_leave_from_the_address_asked(kind: Kind) {
    let (mut io, bound) = open(kind, &["0.0.0.0:0"], 64);
    let raw: &[&str] = &["10.9.1.1", "10.9.8.7"];
    let local: &[&str] = &["127.0.0.1", "127.9.8.7", "127.200.0.1"];
    for asked in if kind.is_raw() { raw } else { local } {
        // Connected: takes replies from the very address asked and no other.
        let client = client_of(SocketAddr::new(asked.parse().expect("address"), bound[0].port()));
        client.send(b"who are you?").expect("send");
        echo_until(&mut io, 1);
        assert_eq!(received(&client), b"who are you?", "asked {asked}");
    }
}

fn replies_leave_from_the_ipv6_address_asked(kind: Kind) {
    in_namespace(move || {
        ip("-6 route add local 2001:db8::/32 dev lo")?;
        let (mut io, bound) = open(kind, &["[::]:0"], 64);
        for asked in ["2001:db8::1", "2001:db8:9::7"] {
            let target = SocketAddr::new(asked.parse().expect("address"), bound[0].port());
            let client = client("[2001:db8:1::2]:0".parse().expect("address"));
            client.connect(target).expect("connect");
            client.send(b"who are you?").expect("send");
            echo_until(&mut io, 1);
            assert_eq!(received(&client), b"who are you?", "asked {asked}");
        }
        Ok(())
    });
}

fn arrival_stamps_are_between_sending_and_now(kind: Kind) {
    let _stamping = Stamping::in_force();
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 64);
    let client = client_of(bound[0]);
    for _ in 0..20 {
        let before = realtime();
        client.send(b"x").expect("send");
        let after = realtime();
        thread::sleep(Duration::from_millis(1));
        let stamp = echo_until(&mut io, 1)[0].received.expect("a stamp");
        // Of arrival, not of the moment the carrier looked.
        assert!(before <= stamp && stamp <= after, "{before:?} {stamp:?} {after:?}");
        received(&client);
    }
}

/// Late is a departure predicted after the whole batch had left, or after the next chunk was begun.
/// A chunk that is faster than any before it may be; on a machine whose load changes, few are.
fn departures_rise_and_are_not_late(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 128);
    let client = client_of(bound[0]);
    let mut late = 0;
    for _ in 0..200 {
        for number in 0..40u8 {
            client.send(&[number; 48]).expect("send");
        }
        let mut answered = 0;
        while answered < 40 {
            let count = io.receive(Wait::Poll).expect("receive");
            for index in 0..count {
                io.reply(index, 48);
            }
            let before = realtime();
            let mut last = before;
            let mut stamped = 0;
            let mut stamp = |bytes: &mut [u8], departs: Timestamp<Realtime>| {
                assert!(departs >= before, "a departure before the send");
                late += u32::from(departs < last);
                last = departs;
                stamped += 1;
                bytes[..8].copy_from_slice(&departs.nanos().to_be_bytes());
            };
            io.send(&mut stamp).expect("send");
            assert_eq!(stamped, count, "each reply is stamped once");
            late += u32::from(last > realtime());
            answered += count;
        }
        for _ in 0..40 {
            let reply = received(&client);
            let departed = i64::from_be_bytes(reply[..8].try_into().expect("48 octets"));
            assert!(departed <= realtime().nanos());
        }
    }
    assert!(late <= 4, "{late} of some 800 chunks were predicted to leave later than they did");
}

fn a_turn_is_at_most_a_batch_and_nothing_is_lost(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 512);
    let client = client_of(bound[0]);
    for _ in 0..400 {
        client.send(&[1; 48]).expect("send");
    }
    let mut total = 0;
    while total < 400 {
        let count = turn(&mut io, Wait::Poll).len();
        assert!(count <= BATCH_MAX);
        assert!(count > 0, "lost after {total}");
        total += count;
    }
    assert_eq!(io.receive(Wait::Poll).expect("receive"), 0);
    assert_eq!(io.tally().sent, 400);
    assert_eq!(io.tally().raw, if kind.is_raw() { 400 } else { 0 });
}

fn a_busy_socket_starves_no_other(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0", "127.0.0.1:0"], 128);
    let (busy, quiet) = (client_of(bound[0]), client_of(bound[1]));
    let load = || (0..BATCH_MAX).for_each(|_| busy.send(&[0; 48]).map(drop).expect("send"));
    load();
    for _ in 0..20 {
        load();
        turn(&mut io, Wait::Poll);
    }
    quiet.send(b"me too").expect("send");
    let answered = (0..20).any(|_| {
        load();
        turn(&mut io, Wait::Poll).iter().any(|seen| seen.bytes == b"me too")
    });
    assert!(answered, "not one of 20 turns went to the quiet socket");
    assert_eq!(received(&quiet), b"me too");
}

fn a_waker_ends_the_sleep(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 64);
    let waker = io.waker();
    waker.wake();
    assert_eq!(io.receive(Wait::Block).expect("receive"), 0, "woken before the sleep");
    for _ in 0..3 {
        let waker = io.waker();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            waker.wake();
        });
        assert_eq!(io.receive(Wait::Block).expect("receive"), 0, "woken from outside");
        other.join().expect("the waking thread");
    }
    // Woken and loaded at once: both are told, in whatever order.
    client_of(bound[0]).send(b"x").expect("send");
    waker.wake();
    let counts = [0, 1].map(|_| {
        let count = io.receive(Wait::Block).expect("receive");
        io.send(&mut |_, _| {}).expect("send");
        count
    });
    assert!(counts == [0, 1] || counts == [1, 0], "{counts:?}");
}

fn a_datagram_ends_the_sleep(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 64);
    let _watchdog = Watchdog::new(&io);
    for _ in 0..3 {
        let target = bound[0];
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            let client = client_of(target);
            client.send(b"wake up").expect("send");
            received(&client)
        });
        assert_eq!(turn(&mut io, Wait::Block).len(), 1);
        assert_eq!(other.join().expect("the client"), b"wake up");
    }
}

fn long_datagrams_are_marked_as_truncated(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 64);
    let client = client_of(bound[0]);
    for (len, truncated) in [(1984, false), (1985, true), (9000, true), (48, false)] {
        client.send(&vec![7; len]).expect("send");
        let seen = &echo_until(&mut io, 1)[0];
        assert_eq!((seen.bytes.len(), seen.truncated), (len.min(1984), truncated), "{len} octets");
        assert!(seen.bytes.iter().all(|&octet| octet == 7));
        assert!(seen.received.is_some());
        received(&client);
    }
}

fn empty_datagrams_are_datagrams(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 64);
    let client = client_of(bound[0]);
    for round in 0..3 {
        for bytes in [&b""[..], b"one", b"", b"", b"two"] {
            client.send(bytes).expect("send");
        }
        let seen: Vec<_> = echo_until(&mut io, 5).into_iter().map(|seen| seen.bytes).collect();
        assert_eq!(seen, [&b""[..], b"one", b"", b"", b"two"], "round {round}");
        for bytes in seen {
            assert_eq!(received(&client), bytes);
        }
    }
}

fn a_burst_beyond_the_frames_loses_nothing(kind: Kind) {
    const FRAMES: u16 = 4;
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], FRAMES);
    let _watchdog = Watchdog::new(&io);
    let client = client_of(bound[0]);
    for round in 0..3 {
        for number in 0..200u8 {
            client.send(&[number; 48]).expect("send");
        }
        let mut numbers = vec![];
        while numbers.len() < 200 {
            let seen = turn(&mut io, Wait::Block);
            assert!(!seen.is_empty(), "woken by the watchdog in round {round}");
            numbers.extend(seen.iter().map(|seen| seen.bytes[0]));
        }
        assert_eq!(numbers, (0..200).collect::<Vec<u8>>(), "round {round}");
        (0..200).for_each(|_| drop(received(&client)));
    }
    assert_eq!(io.tally().frames_exhausted > 0, !kind.is_mmsg(), "{:?}", io.tally());
}

fn only_what_is_asked_for_is_sent(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 64);
    let client = client_of(bound[0]);
    for number in 0..30u8 {
        client.send(&[number; 48]).expect("send");
    }
    let mut answered = 0;
    while answered < 30 {
        let count = io.receive(Wait::Poll).expect("receive");
        for index in 0..count {
            let number = io.datagram(index).bytes[0];
            if number % 3 == 0 {
                io.reply(index, usize::from(number) + 1);
            }
        }
        io.send(&mut |_, _| {}).expect("send");
        answered += count;
    }
    for number in (0..30u8).step_by(3) {
        assert_eq!(received(&client), vec![number; usize::from(number) + 1]);
    }
    let more = uninterrupted(|| client.recv(&mut [0; 8])).expect_err("no more");
    assert_eq!(more.kind(), ErrorKind::WouldBlock);
    assert_eq!(io.tally().sent, 10);
}

/// The replies wait for an ARP answer that never comes, and fill a send buffer of the least size.
fn a_full_send_buffer_is_counted_and_passes(kind: Kind) {
    in_namespace(move || {
        ip("link add out type veth peer name end")?;
        ip("address add 10.9.9.1/24 dev out")?;
        ip("link set out up")?;
        ip("link set end up")?;
        let group = listen(&options("10.9.9.1:0")).expect("free");
        let target = group.address;
        for socket in &group.sockets {
            socket2::SockRef::from(&socket.sender()).set_send_buffer_size(1).expect("option");
        }
        let mut io = carrier(kind, group.sockets, 64);
        let nobody = client("10.9.9.77:0".parse().expect("address"));
        nobody.connect(target).expect("connect");
        for _ in 0..40 {
            nobody.send(&[0; 48]).expect("send");
        }
        echo_until(&mut io, 40);
        io.receive(Wait::Poll).expect("receive"); // late completions
        let tally = io.tally();
        assert!(tally.sent > 0 && tally.send_full > 0, "{tally:?}");
        assert_eq!(tally.sent + tally.send_full + tally.send_refused, 40, "{tally:?}");
        Ok(())
    });
}

fn a_refused_reply_is_counted_and_the_others_go_out(kind: Kind) {
    in_namespace(move || {
        ip("route add unreachable 10.8.0.0/16")?;
        let (mut io, bound) = open(kind, &["127.0.0.1:0"], 64);
        let good = client_of(bound[0]);
        let bad = client("10.8.0.1:0".parse().expect("address"));
        for _ in 0..5 {
            good.send(b"good").expect("send");
            bad.send_to(b"bad", bound[0]).expect("send");
        }
        good.send(b"last").expect("send");
        echo_until(&mut io, 11);
        io.receive(Wait::Poll).expect("receive"); // late completions
        let tally = io.tally();
        assert_eq!((tally.sent, tally.send_refused, tally.send_full), (6, 5, 0), "{tally:?}");
        (0..5).for_each(|_| assert_eq!(received(&good), b"good"));
        assert_eq!(received(&good), b"last");
        Ok(())
    });
}

fn a_vanished_client_stops_nothing(kind: Kind) {
    let (mut io, bound) = open(kind, &["127.0.0.1:0"], 64);
    for _ in 0..10 {
        let gone = client_of(bound[0]);
        gone.send(b"bye").expect("send");
        drop(gone);
        echo_until(&mut io, 1); // answered by an ICMP message
        let here = client_of(bound[0]);
        here.send(b"still there?").expect("send");
        echo_until(&mut io, 1);
        assert_eq!(received(&here), b"still there?");
    }
}

fn without_the_option_there_is_no_stamp(kind: Kind) {
    let plain = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let client = client_of(plain.local_addr().expect("bound"));
    let socket = ServerSocket::adopt(plain).expect("adopt");
    let mut io = carrier(kind, vec![socket], 64);
    client.send(b"when?").expect("send");
    assert_eq!(echo_until(&mut io, 1)[0].received, None);
    assert_eq!(received(&client), b"when?");
}

fn allocates_nothing_per_packet(kind: Kind) {
    let (mut io, bound) = open(kind, &["0.0.0.0:0"], 128);
    let asked = if kind.is_raw() { "10.9.1.1" } else { "127.0.0.1" };
    let client = client_of(SocketAddr::new(asked.parse().expect("address"), bound[0].port()));
    let mut round = || {
        (0..32).for_each(|_| client.send(&[0; 48]).map(drop).expect("send"));
        let before = network::allocations();
        let mut answered = 0;
        while answered < 32 {
            let count = io.receive(Wait::Poll).expect("receive");
            for index in 0..count {
                let len = io.datagram(index).bytes.len();
                io.reply(index, len);
            }
            io.send(&mut |bytes, _| bytes[0] = 1).expect("send");
            answered += count;
        }
        let after = network::allocations();
        let mut bytes = [0; 64];
        (0..32).for_each(|_| client.recv(&mut bytes).map(drop).expect("reply"));
        after - before
    };
    let allocated: u64 = (0..50).map(|_| round()).sum();
    assert_eq!(allocated, 0);
    assert!(network::allocations() > 0, "the counter counts");
}

#[test]
fn where_io_uring_is_forbidden_the_choice_falls_on_recvmmsg_and_says_why() {
    let forbidden = thread::spawn(|| {
        network::forbid_io_uring();
        let sockets = || listen(&options("127.0.0.1:0")).expect("free").sockets;
        let (io, reason) =
            Carrier::open(Backend::Auto, UringOptions::default(), sockets()).expect("falls back");
        assert!(matches!(io, Carrier::Mmsg(_)));
        let by_name = Carrier::open(Backend::Uring, UringOptions::default(), sockets());
        (reason, by_name.expect_err("refused").to_string())
    });
    let (reason, refusal) = forbidden.join().expect("the confined thread");
    assert!(reason.starts_with("recvmmsg") && reason.contains("seccomp"), "{reason}");
    assert!(refusal.contains("seccomp"), "{refusal}");
}

#[test]
fn the_backend_asked_for_is_the_backend_given() {
    let sockets = || listen(&options("127.0.0.1:0")).expect("free").sockets;
    let open = |backend| Carrier::open(backend, UringOptions::default(), sockets());
    assert!(matches!(open(Backend::Mmsg).expect("always there").0, Carrier::Mmsg(_)));
    if timeball_sys::probe_uring().usable.is_ok() {
        assert!(matches!(open(Backend::Auto).expect("usable").0, Carrier::Uring(_)));
        assert!(matches!(open(Backend::Uring).expect("usable").0, Carrier::Uring(_)));
    }
}

#[test]
fn a_dropped_ring_lets_go_of_its_port() {
    if timeball_sys::probe_uring().usable.is_err() {
        return eprintln!("skipped: no io_uring here");
    }
    let (mut io, bound) = open(Kind::Uring(ReplyPath::Ring), &["127.0.0.1:0"], 64);
    io.receive(Wait::Poll).expect("receive");
    drop(io);
    UdpSocket::bind(bound[0]).expect("the port is free at once");
}

/// Runs `test` where there are clients beyond a veth.
fn raw(test: fn(Kind), kind: Kind) {
    beside_a_neighbour(move || {
        test(kind);
        Ok(())
    });
}

/// A datagram as the carrier gave it.
struct Seen {
    source: SocketAddr,
    bytes: Vec<u8>,
    received: Option<Timestamp<Realtime>>,
    truncated: bool,
}

/// One turn that echoes everything.
fn turn(io: &mut Carrier, wait: Wait) -> Vec<Seen> {
    let count = io.receive(wait).expect("receive");
    let mut seen = Vec::with_capacity(count);
    for index in 0..count {
        let datagram = io.datagram(index);
        seen.push(Seen {
            source: datagram.source,
            bytes: datagram.bytes.to_vec(),
            received: datagram.received,
            truncated: datagram.truncated,
        });
        let len = datagram.bytes.len();
        io.reply(index, len);
    }
    io.send(&mut |_, _| {}).expect("send");
    seen
}

/// How long datagrams may take on a busy machine, where the kernel puts off what it receives.
const PATIENCE: Duration = Duration::from_secs(30);

/// Turns until `count` datagrams have been echoed.
fn echo_until(io: &mut Carrier, count: usize) -> Vec<Seen> {
    let mut seen = vec![];
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        seen.extend(turn(io, Wait::Poll));
        if seen.len() >= count {
            assert_eq!(seen.len(), count);
            return seen;
        }
    }
    panic!("{} of {count} datagrams in {PATIENCE:?}", seen.len());
}

fn received(client: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 10_000];
    let len = uninterrupted(|| client.recv(&mut bytes)).expect("a reply");
    bytes.truncate(len);
    bytes
}

/// Again and again while the kernel says EINTR, as it may of a receive with a timeout.
fn uninterrupted(mut receive: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match receive() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn options(address: &str) -> ListenOptions {
    ListenOptions::new(address.parse().expect("an address"))
}

fn open(kind: Kind, addresses: &[&str], frames: u16) -> (Carrier, Vec<SocketAddr>) {
    let here = |address: &str| match address {
        "127.0.0.1:0" if neighbour::is_there() => format!("{}:0", SERVER[0]),
        "[::1]:0" if neighbour::is_there() => format!("[{}]:0", SERVER[1]),
        address => address.to_owned(),
    };
    let groups = addresses.iter().map(|address| listen(&options(&here(address))).expect("free"));
    let sockets: Vec<_> = groups.flat_map(|group| group.sockets).collect();
    let bound = sockets.iter().map(ServerSocket::address).collect();
    (carrier(kind, sockets, frames), bound)
}

fn carrier(kind: Kind, sockets: Vec<ServerSocket>, frames: u16) -> Carrier {
    match kind {
        Kind::Mmsg => Carrier::Mmsg(MmsgIo::new(sockets).expect("eventfd")),
        Kind::Uring(replies) => uring(replies, sockets, frames),
        Kind::Packet => {
            let io = MmsgIo::new(sockets).expect("eventfd");
            Carrier::Mmsg(io).leaving_by(exit(Transmit::Packet))
        }
        Kind::Xdp => uring(ReplyPath::default(), sockets, frames).leaving_by(exit(Transmit::Xdp)),
    }
}

fn uring(replies: ReplyPath, sockets: Vec<ServerSocket>, frames: u16) -> Carrier {
    let options = UringOptions { frames, replies };
    Carrier::Uring(UringIo::new(sockets, options).expect("io_uring is needed for this test"))
}

/// A way out by the table as it is now, and kept in force for as long as the process lives.
fn exit(transmit: Transmit) -> Exit {
    let (exits, mut pilot) = Exits::open(transmit, 1).expect("permitted");
    assert_eq!(exits.notes(), [""; 0]);
    let (exit, _) = exits.of(0).expect("a descriptor");
    thread::spawn(move || {
        loop {
            pilot.turn().expect("tables");
            thread::sleep(Duration::from_millis(50));
        }
    });
    exit
}

/// Wakes the carrier after five seconds, unless dropped before.
struct Watchdog(#[expect(dead_code, reason = "dropped to call the dog off")] mpsc::Sender<()>);

impl Watchdog {
    fn new(io: &Carrier) -> Self {
        let (sender, receiver) = mpsc::channel::<()>();
        let waker = io.waker();
        thread::spawn(move || {
            if receiver.recv_timeout(Duration::from_secs(5)) == Err(mpsc::RecvTimeoutError::Timeout)
            {
                waker.wake();
            }
        });
        Self(sender)
    }
}
