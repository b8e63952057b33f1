//! The program where it belongs: at an interface, with this machine's clock.
//!
//! The interface is one end of a `veth` in a network namespace of its own. Requests leave by the other end
//! as frames with complete checksums, and the kernel stamps the replies that arrive there. The program is
//! at that end, too: it passes replies on, and a `veth` takes frames from a driver only while its other end
//! has a program.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use timeball_sys::traffic::{Link, MacAddress, Traffic, TrafficOptions, Way};
use timeball_sys::xdp::{Attached, Endpoint, Mode, Program, XdpError};
use timeball_sys::{Interface, realtime};
use timeball_time::{NtpTimestamp, Publisher, Rate, Snapshot};
use timeball_wire::{HEADER_LEN, Header};

use crate::bench::{Bench, endpoints, request, socket, synchronised};
use crate::frame::{CLIENT, Frame};
use crate::namespace::{in_namespace, ip};

const SERVER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0E];

/// The kernel's time as it is, whole and unbent.
fn plain_time() -> Snapshot {
    let now = realtime();
    let zero = timeball_time::Interval::ZERO;
    Snapshot { epoch: now, offset: zero, rate: Rate::ZERO, ..synchronised(now) }
}

/// A program that serves this machine's clock.
fn serving(endpoints: &[Endpoint]) -> Option<(Program, Publisher)> {
    let mut bench = Bench::fresh()?;
    bench.program.set_endpoints(endpoints.iter().copied().collect()).expect("a few endpoints");
    let mut publisher = Publisher::new(plain_time());
    let (program, mirror) = bench.apart();
    publisher.set_mirror(Some(Box::new(mirror)));
    Some((program, publisher))
}

#[test]
fn the_programs_clock_is_the_kernels() {
    let Some((program, mut publisher)) = serving(&endpoints()) else { return };
    let endpoint = endpoints()[0];
    let mut out = [0; 256];
    for n in 0..20_000u64 {
        if n.is_multiple_of(100) {
            publisher.publish(plain_time());
        }
        let frame = Frame::to(&endpoint, socket("203.0.113.9:4000"), &request(4, 6, n)).bytes();
        let before = NtpTimestamp::floor(realtime());
        let (_, len) = program.run(&frame, &mut out).expect("a test run");
        let after = NtpTimestamp::ceil(realtime());
        let answer = Header::parse(&out[len - HEADER_LEN..len]).expect("whole");
        let steps = [
            answer.receive.since(before),
            answer.transmit.since(answer.receive),
            after.since(answer.transmit),
        ];
        assert!(steps.iter().all(|step| step.nanos() >= 0), "{n}: {steps:?}");
    }
}

#[test]
fn requests_on_a_wire_are_answered_and_causality_holds() {
    in_namespace(|| {
        for mode in [Mode::Native, Mode::Generic] {
            let ends = "client address 02:00:00:00:00:0c type veth \
                        peer name server address 02:00:00:00:00:0e";
            ip(&format!("link add {ends}"))?;
            ip("link set client up")?;
            ip("link set server up")?;
            for (target, client) in
                [("192.0.2.1:123", "203.0.113.9"), ("[2001:db8::1]:123", "2001:db8:9::9")]
            {
                converse(mode, socket(target), client.parse().expect("an address"));
            }
            ip("link del client")?;
        }
        Ok(())
    });
}

/// Some thousand requests from `client` to `target`, and what may be said of the four times of each.
fn converse(mode: Mode, target: SocketAddr, client: IpAddr) {
    let endpoint = Endpoint { station: SERVER, vlan: None, address: target };
    let Some((program, mut publisher)) = serving(&[endpoint]) else { return };
    let _ends = ["client", "server"].map(|name| attach(&program, name, mode));
    let link = Link {
        interface: index_of("client"),
        local: MacAddress::new(CLIENT),
        next_hop: MacAddress::new(SERVER),
        first_port: PORT,
        ports: 1,
    };
    let options = TrafficOptions {
        target,
        way: Way::Link(link),
        batch: BATCH,
        receive_buffer_bytes: 1 << 20,
        departure_stamps: false,
        segments: 1,
    };
    let mut traffic = Traffic::open(options, HEADER_LEN).expect("root may send frames");
    for batch in 0..BATCHES {
        publisher.publish(plain_time());
        for n in 0..BATCH as u64 {
            let mut payload = request(4, 6, batch * 1_000 + n);
            payload[40..].copy_from_slice(&NtpTimestamp::floor(realtime()).to_bits().to_be_bytes());
            let room = traffic.sender.push(SocketAddr::new(client, PORT), HEADER_LEN, false);
            room.expect("a batch").copy_from_slice(&payload);
        }
        traffic.sender.send().expect("frames leave");
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut missing = BATCH;
        while missing > 0 {
            assert!(
                Instant::now() < deadline,
                "{mode:?} {target}: {missing} of {BATCH} unanswered"
            );
            for index in 0..traffic.receiver.receive().expect("a socket") {
                let arrival = traffic.receiver.arrival(index);
                if arrival.source != Some(target) {
                    continue;
                }
                let answer = Header::parse(arrival.bytes).expect("a reply");
                // In generic mode a reply is the very buffer of its request, and keeps the stamp that the
                // request got on its way here.
                let stamp = arrival.stamp.filter(|_| mode == Mode::Native);
                let arrived = NtpTimestamp::ceil(stamp.unwrap_or_else(realtime));
                let times = [answer.origin, answer.receive, answer.transmit, arrived];
                let in_order = times.windows(2).all(|pair| pair[1].since(pair[0]).nanos() >= 0);
                assert!(in_order, "{mode:?}: {times:?}");
                missing -= 1;
            }
        }
    }
    let answered = program.counts().expect("mapped").tally().answered();
    assert_eq!(answered, BATCHES * BATCH as u64, "{mode:?} {target}");
}

#[test]
fn requests_with_a_tag_are_answered_with_it() {
    in_namespace(|| {
        ip("link add client address 02:00:00:00:00:0c type veth \
            peer name server address 02:00:00:00:00:0e")?;
        ip("link set client up")?;
        ip("link set server up")?;
        let of =
            |address: &str| Endpoint { station: SERVER, vlan: Some(77), address: socket(address) };
        let endpoints = [of("192.0.2.1:123"), of("[2001:db8::1]:123")];
        let Some((program, _publisher)) = serving(&endpoints) else { return Ok(()) };
        for mode in [Mode::Native, Mode::Generic] {
            let _ends = ["client", "server"].map(|name| attach(&program, name, mode));
            for (endpoint, client) in
                endpoints.iter().zip(["203.0.113.9:40123", "[2001:db8:9::9]:40123"])
            {
                let mut frame = Frame::to(endpoint, socket(client), &request(4, 6, 5));
                let answer = exchange(&frame)?;
                let answer = Frame::read(&answer).expect("right in every checksum");
                assert_eq!(answer.tag, frame.tag, "{mode:?}");
                assert_eq!((answer.to, answer.from), (frame.from, frame.to), "{mode:?}");
                let header = Header::parse(&answer.payload).expect("a reply");
                let nonce = u64::from_be_bytes(frame.payload[40..].try_into().expect("8 octets"));
                assert_eq!(header.origin.to_bits(), nonce, "{mode:?}");
                // Another VLAN's is another's.
                let answered = || program.counts().expect("mapped").tally().answered();
                let (before, own) = (answered(), frame.tag);
                frame.tag = Some(78);
                send(&frame)?;
                frame.tag = own;
                exchange(&frame)?;
                assert_eq!(answered(), before + 1, "{mode:?}");
            }
        }
        Ok(())
    });
}

/// Sends `frame` out of `client`, and returns the reply's frame.
fn exchange(frame: &Frame) -> std::io::Result<Vec<u8>> {
    let said = run(frame, "answer")?;
    let octets = (0..said.len() / 2).map(|at| u8::from_str_radix(&said[2 * at..][..2], 16));
    Ok(octets.collect::<Result<_, _>>().unwrap_or_else(|_| panic!("no answer: {said}")))
}

/// Sends `frame` out of `client`.
fn send(frame: &Frame) -> std::io::Result<()> {
    run(frame, "none").map(drop)
}

fn run(frame: &Frame, answer: &str) -> std::io::Result<String> {
    let octets: String = frame.bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    let output = Command::new("python3").args(["-c", ON_WIRE, &octets, answer]).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Sends the frame that is its first argument, and prints the one that comes back from its target, with
/// the tag that the kernel has taken off it (packet(7), PACKET_AUXDATA).
const ON_WIRE: &str = "\
import socket, struct, sys
frame = bytes.fromhex(sys.argv[1])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(('client', 0))
s.settimeout(30)
s.setsockopt(263, 8, 1)
s.send(frame)
while sys.argv[2] == 'answer':
    octets, notes, _, _ = s.recvmsg(2048, 256)
    for _, kind, note in notes:
        status, _, _, _, _, tag, protocol = struct.unpack('=IIIHHHH', note[:20])
        if kind == 8 and status & 16:
            octets = octets[:12] + struct.pack('>HH', protocol, tag) + octets[12:]
    if octets[:6] == frame[6:12] and octets[6:12] == frame[:6]:
        print(octets.hex())
        break
";

#[test]
fn a_second_program_is_refused_and_a_closed_link_makes_room() {
    in_namespace(|| {
        ip("link add client type veth peer name server")?;
        let Some((program, _)) = serving(&[]) else { return Ok(()) };
        let first = attach(&program, "server", Mode::Native);
        for mode in [Mode::Native, Mode::Generic] {
            let error = program.attach(index_of("server"), mode).expect_err("taken");
            assert!(matches!(error, XdpError::Occupied), "{error}");
        }
        drop(first);
        drop(attach(&program, "server", Mode::Generic));
        drop(attach(&program, "server", Mode::Native));
        let error = program.attach(4_000_000, Mode::Native).expect_err("no such interface");
        assert!(matches!(error, XdpError::NoInterface), "{error}");
        let error = program.attach(index_of("lo"), Mode::Native).expect_err("it has no driver");
        assert!(matches!(error, XdpError::NoNativeMode), "{error}");
        Ok(())
    });
}

#[test]
fn another_program_comes_into_a_links_place_and_the_first_one_leaves_nothing_open() {
    in_namespace(|| {
        ip("link add one type veth peer name two")?;
        let (Some((first, _first)), Some((second, _second))) = (serving(&[]), serving(&[])) else {
            return Ok(());
        };
        for mode in [Mode::Native, Mode::Generic] {
            let held = attach(&first, "one", mode);
            let before = program_at("one").expect("attached");
            let lent = held.link();
            assert_eq!(lent.mode(), mode);
            let heir = second.replace(lent).expect("in its place");
            let after = program_at("one").expect("there was one all the time");
            assert_ne!(before, after);
            drop(held);
            assert_eq!(
                program_at("one"),
                Some(after),
                "the link is open as long as anybody has it"
            );
            assert_eq!(heir.mode(), mode);
            drop(heir);
            assert_eq!(program_at("one"), None);
        }
        let held = attach(&first, "one", Mode::Native);
        ip("link del one")?;
        assert!(
            second.replace(held.link()).is_err(),
            "with its interface the link's place is gone"
        );
        Ok(())
    });
}

fn attach(program: &Program, name: &str, mode: Mode) -> Attached {
    program.attach(index_of(name), mode).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn index_of(name: &str) -> u32 {
    let all = Interface::all().expect("netlink");
    all.iter().find(|one| one.name == name).expect("made above").index
}

/// As many as wait in a queue of a `veth` without loss.
const BATCH: usize = 32;
const BATCHES: u64 = 100;
/// Where the client asks from.
const PORT: u16 = 40_123;

/// The number of the program at an interface.
fn program_at(name: &str) -> Option<u32> {
    let all = Interface::all().expect("interfaces");
    all.into_iter().find(|one| one.name == name)?.program.map(|program| program.id)
}
