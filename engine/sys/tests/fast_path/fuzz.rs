//! Frames as nobody should send them: answered as the responder would, or left alone.
//!
//! Each frame is a request to which something is done, from a seed: bits turned, cut, made longer, options
//! and extension headers and tags put in, lengths and checksums that lie. Half of the time the checksums
//! are made good afterwards, so that it is not always they that save the day. What must become of it is
//! decided by [`Frame::read`], a reader of its own; both directions count, a wrong answer and a request
//! left alone.
//!
//! `TIMEBALL_FRAMES=100000000 cargo test --release -p timeball-sys --test fast_path malformed` takes a while.

use crate::bench::{Bench, endpoints, request, socket};
use crate::frame::{Frame, ethernet_len, mend};
use crate::random::Random;

#[test]
fn malformed_frames_are_left_alone_and_all_others_answered() {
    let Some(bench) = Bench::new() else { return };
    let frames = std::env::var("TIMEBALL_FRAMES").ok().map(|text| text.parse().expect("a number"));
    let frames: u64 = frames.unwrap_or(1_000_000);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8) as u64;
    let answered: u64 = std::thread::scope(|scope| {
        let of = |first| {
            let bench = &bench;
            scope.spawn(move || {
                (first..frames).step_by(threads as usize).map(|n| judge(bench, n)).sum()
            })
        };
        let parts: Vec<std::thread::ScopedJoinHandle<'_, u64>> = (0..threads).map(of).collect();
        parts.into_iter().map(|part| part.join().expect("no frame is wrong")).sum()
    });
    assert!(answered > frames / 8 && answered < frames / 2, "{answered} of {frames} answered");
}

/// How many answers the frame of `seed` gets: none or one. Anything wrong is a panic.
fn judge(bench: &Bench, seed: u64) -> u64 {
    let bytes = draw(&mut Random(seed));
    let before = bench.now();
    let sent = bench.run(&bytes);
    let after = bench.now();
    let request = Frame::read(&bytes).filter(|frame| bench.is_served(frame));
    let judged = match (&request, &sent) {
        (None, None) => Ok(()),
        (Some(frame), Some(sent)) if seed.is_multiple_of(256) => {
            bench.is_exact(frame, sent, before, after)
        }
        (Some(frame), Some(sent)) => bench.is_right(frame, sent, before, after),
        (None, Some(sent)) => Err(format!("answered by {sent:02x?}")),
        (Some(_), None) => Err("left alone".to_owned()),
    };
    judged.unwrap_or_else(|why| panic!("frame {seed}: {bytes:02x?}: {why}"));
    u64::from(sent.is_some())
}

/// One frame that somebody might send.
fn draw(random: &mut Random) -> Vec<u8> {
    let endpoint = endpoints()[random.below(4)];
    let version = [1, 2, 3, 4, 4, 4, 3, 4, 5, 0][random.below(10)];
    let mut payload = request(version, random.next() as i8, random.next());
    if random.below(8) == 0 {
        payload[0] = random.next() as u8;
    }
    let mut frame = Frame::to(&endpoint, client(random, endpoint.address.is_ipv4()), &payload);
    frame.id = random.next() as u16;
    frame.dont_fragment = random.below(2) == 0;
    frame.service = random.next() as u8;
    frame.hops = random.next() as u8;
    frame.flow = random.next() as u32 & 0xF_FFFF;
    let mut bytes = frame.bytes();
    for _ in 0..random.below(3) {
        spoil(random, &mut bytes);
    }
    if random.below(2) == 0 {
        mend(&mut bytes);
    }
    if random.below(16) == 0 {
        lie_about_checksum(random, &mut bytes);
    }
    bytes
}

fn client(random: &mut Random, is_v4: bool) -> std::net::SocketAddr {
    const V4: [&str; 7] = [
        "203.0.113.9:54321",
        "127.0.0.1:123",
        "224.0.0.1:123",
        "255.255.255.255:9",
        "0.1.2.3:99",
        "10.0.0.1:19",
        "192.0.2.1:7",
    ];
    const V6: [&str; 7] = [
        "[2001:db8:9::9]:54321",
        "[::1]:123",
        "[ff02::1]:123",
        "[::]:9",
        "[::ffff:10.0.0.1]:99",
        "[fe80::1]:17",
        "[2001:db8::1]:0",
    ];
    let choices = if is_v4 { V4 } else { V6 };
    let choice = if random.below(4) == 0 { random.below(choices.len()) } else { 0 };
    let mut address = socket(choices[choice]);
    if random.below(4) == 0 {
        address.set_port(random.next() as u16);
    }
    address
}

/// Does one thing to a frame that its sender should not have done.
fn spoil(random: &mut Random, bytes: &mut Vec<u8>) {
    let ip = ethernet_len(bytes);
    match random.below(14) {
        0 | 1 => {
            let bit = random.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        2 => {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        3 => bytes.truncate(14 + random.below(bytes.len() - 13)),
        4 => {
            let more = [1, 4, 20, 64, 1_400, 3_000][random.below(6)];
            let longest = LONGEST - bytes.len().min(LONGEST);
            bytes.resize(bytes.len() + random.below(more + 1).min(longest), random.next() as u8);
        }
        5 => put_options(random, bytes, ip),
        6 => set(bytes, ip + 6, [0x20, 0x80, 0x9F, 0x60, 0x40][random.below(5)]),
        7 => set(bytes, ip + 7, random.next() as u8),
        8 => {
            let tag = [[0x81, 0, 0, 77], [0x88, 0xA8, 0, 77], [0x81, 0, 0x60, 0]][random.below(3)];
            bytes.splice(12..12, tag);
        }
        9 => set(bytes, ip + 2 + random.below(4), random.next() as u8),
        10 => set(bytes, ip, [0x45, 0x46, 0x4F, 0x44, 0x55, 0x60, 0x65][random.below(7)]),
        11 => put_extension(random, bytes, ip),
        12 => set(bytes, [0, 6, 12][random.below(3)], random.next() as u8),
        _ => {
            let udp = ip + if bytes.get(ip).is_some_and(|first| first >> 4 == 6) { 40 } else { 20 };
            set(bytes, udp + random.below(6), [0, 48, 55, 56, 57, 123][random.below(6)]);
        }
    }
}

/// IPv4 options, with a header that says so or keeps silent about them.
fn put_options(random: &mut Random, bytes: &mut Vec<u8>, ip: usize) {
    let words = 1 + random.below(10);
    if bytes.len() < ip + 20 || bytes[ip] >> 4 != 4 || bytes.len() > LONGEST - 40 {
        return;
    }
    bytes.splice(ip + 20..ip + 20, vec![1; words * 4]);
    if random.below(4) > 0 {
        bytes[ip] = 0x45 + words as u8;
        bytes[ip + 3] = bytes[ip + 3].wrapping_add(words as u8 * 4);
    }
}

/// An IPv6 extension header: hop-by-hop, routing, fragment or destination options.
fn put_extension(random: &mut Random, bytes: &mut Vec<u8>, ip: usize) {
    if bytes.len() < ip + 40 || bytes[ip] >> 4 != 6 || bytes.len() > LONGEST - 8 {
        return;
    }
    let kind = [0, 43, 44, 60][random.below(4)];
    bytes.splice(ip + 40..ip + 40, [bytes[ip + 6], 0, 0, 0, 0, 0, 0, 1]);
    bytes[ip + 6] = kind;
    bytes[ip + 5] = bytes[ip + 5].wrapping_add(8);
}

fn lie_about_checksum(random: &mut Random, bytes: &mut [u8]) {
    let ip = ethernet_len(bytes);
    let is_v6 = bytes.get(ip).is_some_and(|first| first >> 4 == 6);
    let at = [ip + if is_v6 { 46 } else { 26 }, ip + 10][random.below(2)];
    let value = [0u16, 0xFFFF, random.next() as u16][random.below(3)].to_be_bytes();
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value);
    }
}

fn set(bytes: &mut [u8], at: usize, value: u8) {
    if let Some(octet) = bytes.get_mut(at) {
        *octet = value;
    }
}

/// What a page holds beside the room an XDP program has before and after the frame.
const LONGEST: usize = 3_400;
