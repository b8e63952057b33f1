//! Field by field: what the program answers is what a worker answers.

use timeball_sys::xdp::{Endpoint, Outcome, Tally};
use timeball_time::{
    Interval, Leap, LeapKind, LeapMaker, LeapSecond, NtpShort, NtpTimestamp, Rate, Realtime,
    ReferenceId, Snapshot, Stratum, Timestamp,
};

use crate::bench::{Bench, client_of, endpoints, request, socket};
use crate::frame::{Frame, mend};
use crate::random::Random;

/// A plain request to the first endpoint.
fn plain() -> Frame {
    let endpoint = endpoints()[0];
    Frame::to(&endpoint, client_of(&endpoint), &request(4, 6, 1))
}

#[test]
fn every_shape_of_a_plain_request_gets_the_workers_answer() {
    let Some(bench) = Bench::new() else { return };
    for endpoint in endpoints() {
        for version in [3, 4] {
            for poll in [-128, -1, 0, 6, 17, 18, 127] {
                let payload = request(version, poll, 7);
                let frame = Frame::to(&endpoint, client_of(&endpoint), &payload);
                bench.agrees(&frame).unwrap_or_else(|why| panic!("{endpoint:?} v{version}: {why}"));
            }
        }
    }
}

/// A snapshot of any kind: near and far epochs, fast and slow, valid and not, warned of leaps.
fn draw(random: &mut Random, now: Timestamp<Realtime>) -> Snapshot {
    const S: i64 = 1_000_000_000;
    let offset = random.within(-400 * S, 400 * S);
    let around = Timestamp::from_nanos(now.nanos() + offset);
    let latest = [5 * S, 90_000 * S][random.below(2)];
    let leap_second = (random.below(2) == 0).then(|| LeapSecond {
        midnight: around + Interval::from_nanos(random.within(-5 * S, latest)),
        kind: [LeapKind::Insert, LeapKind::Delete][random.below(2)],
        made_by: [LeapMaker::Mapping, LeapMaker::Kernel, LeapMaker::Over][random.below(3)],
    });
    let long = [S / 1_000, 10 * S, 40_000 * S][random.below(3)];
    let mut snapshot = Snapshot {
        leap: Leap::from_bits(random.below(4) as u8),
        stratum: Stratum::new(random.below(20) as u8),
        precision: random.next() as i8,
        root_delay: NtpShort::from_bits(random.next() as u32 & 0x7FFF_FFFF),
        reference_id: ReferenceId::from_octets((random.next() as u32).to_ne_bytes()),
        reference_time: NtpTimestamp::ZERO,
        root_dispersion: Interval::from_nanos(random.within(0, long)),
        dispersion_rate: Rate::from_ppb(random.within(0, 2_000_000)),
        epoch: now + Interval::from_nanos(random.within(-long, 2 * S)),
        offset: Interval::from_nanos(offset),
        rate: Rate::from_ppb(random.within(-600_000, 600_000)),
        valid_until: now + Interval::from_nanos(random.within(-3 * S, 60 * S)),
        leap_second,
    };
    // A correction in the future would be one that a leap of the kernel's has overtaken.
    let corrected = snapshot.mapped(now) - Interval::from_nanos(random.within(S, 99 * S));
    snapshot.reference_time = NtpTimestamp::floor(corrected);
    snapshot
}

/// Whether the program leaves requests to the workers because of a leap second; `None` if it may have come
/// near since.
fn is_leap_near(
    snapshot: &Snapshot,
    before: Timestamp<Realtime>,
    after: Timestamp<Realtime>,
) -> Option<bool> {
    let Some(leap) = snapshot.leap_second else { return Some(false) };
    let from = leap.midnight - Interval::from_secs(2);
    let near = |at| leap.made_by != LeapMaker::Over && snapshot.mapped(at) >= from;
    (near(before) == near(after)).then(|| near(after))
}

#[test]
fn whatever_is_published_both_answer_the_same() {
    let Some(mut bench) = Bench::new() else { return };
    let (frame, mut left) = (plain(), 0);
    for seed in 0..20_000 {
        let published = draw(&mut Random(seed), bench.now());
        bench.publish(published);
        let before = bench.now();
        let sent = bench.run(&frame.bytes());
        let after = bench.now();
        left += u64::from(sent.is_none());
        // What changes in the very moment of the question is nobody's fault.
        let valid = |at| published.settled(at).is_valid_at(at);
        let stable = valid(before) == valid(after);
        let Some(near) = is_leap_near(&published, before, after).filter(|_| stable) else {
            continue;
        };
        assert_eq!(sent.is_none(), near, "{seed}: {published:?}");
        if let Some(sent) = sent {
            let judged = bench.is_exact(&frame, &sent, before, after);
            judged.unwrap_or_else(|why| panic!("{seed}: {published:?}: {why}"));
        }
    }
    let of = |outcome| bench.program.counts().expect("mapped").tally().of(outcome);
    assert_eq!(of(Outcome::Leap), left);
    let unsynchronised = of(Outcome::Unsynchronised);
    assert!(left > 1_000 && unsynchronised > 1_000, "{left} near leaps, {unsynchronised} leap 3");
}

#[test]
fn without_a_snapshot_all_is_left_to_the_workers() {
    let Some(bench) = Bench::fresh() else { return };
    assert_eq!(bench.run(&plain().bytes()), None);
    assert_eq!(bench.program.counts().expect("mapped").tally().of(Outcome::NoTime), 1);
}

/// `plain` after `change`, with its checksums made right.
fn changed(change: impl Fn(&mut Frame)) -> Vec<u8> {
    let mut frame = plain();
    change(&mut frame);
    let mut bytes = frame.bytes();
    mend(&mut bytes);
    bytes
}

#[test]
fn what_is_left_to_others_is_counted_by_its_reason() {
    let Some(bench) = Bench::new() else { return };
    let to = |text: &str| changed(|frame| frame.to = socket(text));
    let from = |text: &str| changed(|frame| frame.from = socket(text));
    let flags = |octet: u8| changed(|frame| frame.payload[0] = octet);
    let wrong = |at: usize| {
        let mut bytes = plain().bytes();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        (Outcome::Other, to("192.0.2.1:124")),
        (Outcome::Other, to("192.0.2.2:123")),
        (Outcome::Other, to("192.0.2.255:123")),
        (Outcome::Other, changed(|frame| frame.destination = [0xFF; 6])),
        (Outcome::Other, changed(|frame| frame.destination[5] ^= 1)),
        (Outcome::Other, changed(|frame| frame.tag = Some(77))),
        (Outcome::Other, changed(|frame| frame.tag = Some(0x6000))),
        (Outcome::Other, changed(|frame| frame.payload.extend([0; 20]))),
        (Outcome::Other, changed(|frame| frame.payload.truncate(44))),
        (Outcome::Source, from("203.0.113.9:19")),
        (Outcome::Source, from("203.0.113.9:0")),
        (Outcome::Source, from("127.0.0.1:1123")),
        (Outcome::Source, from("255.255.255.255:1123")),
        (Outcome::Source, changed(|frame| frame.source[0] |= 1)),
        (Outcome::Kind, flags(0x21)),
        (Outcome::Kind, flags(0x24)),
        (Outcome::Kind, flags(0x26)),
        (Outcome::Kind, flags(0x13)),
        (Outcome::Kind, flags(0x2B)),
        (Outcome::Checksum, wrong(14 + 8)),
        (Outcome::Checksum, wrong(14 + 20 + 8 + 47)),
        (Outcome::AnsweredV3, flags(0x1B)),
        (Outcome::AnsweredV4, flags(0xE3)),
    ];
    let counts = bench.program.counts().expect("mapped");
    for (outcome, bytes) in cases {
        let before = counts.tally();
        let answered = bench.run(&bytes).is_some();
        let after = counts.tally();
        assert_eq!(after.of(outcome), before.of(outcome) + 1, "{outcome:?}: {bytes:02x?}");
        assert_eq!(answered, after.answered() > before.answered());
        let sum = |tally: &Tally| Outcome::ALL.map(|outcome| tally.of(outcome)).iter().sum::<u64>();
        assert_eq!(sum(&after), sum(&before) + 1, "one reason each");
    }
}

#[test]
fn a_datagram_over_ipv4_needs_no_checksum_and_gets_one() {
    let Some(bench) = Bench::new() else { return };
    for endpoint in endpoints() {
        let mut frame = Frame::to(&endpoint, client_of(&endpoint), &request(4, 6, 3)).bytes();
        let end = frame.len();
        frame[end - 50..end - 48].fill(0);
        let answer = bench.run(&frame);
        assert_eq!(answer.is_some(), endpoint.address.is_ipv4(), "{endpoint:?}");
        let read = answer.map(|answer| Frame::read(&answer).expect("right in every checksum"));
        assert!(read.is_none_or(|read| read.to.port() == 54321));
    }
}

#[test]
fn endpoints_come_and_go() {
    let Some(mut bench) = Bench::new() else { return };
    let [first, second, ..] = endpoints();
    let is_answered = |bench: &Bench, endpoint: &Endpoint| {
        let frame = Frame::to(endpoint, client_of(endpoint), &request(4, 6, 3));
        bench.run(&frame.bytes()).is_some()
    };
    bench.program.set_endpoints([second].into()).expect("one");
    assert_eq!([first, second].map(|endpoint| is_answered(&bench, &endpoint)), [false, true]);
    bench.program.set_endpoints([first].into()).expect("one");
    assert_eq!([first, second].map(|endpoint| is_answered(&bench, &endpoint)), [true, false]);
    let many = (0..=4_096u32).map(|n| Endpoint {
        address: std::net::SocketAddr::new(std::net::Ipv4Addr::from_bits(n).into(), 123),
        ..first
    });
    let error = bench.program.set_endpoints(many.collect()).expect_err("too many");
    assert!(error.to_string().contains("4096"), "{error}");
    assert!(is_answered(&bench, &first), "nothing has changed");
}

#[test]
fn each_of_many_endpoints_is_answered_and_their_neighbours_are_not() {
    let Some(mut bench) = Bench::new() else { return };
    let [first, ..] = endpoints();
    let at = |n: u32| Endpoint {
        address: std::net::SocketAddr::new(std::net::Ipv4Addr::from_bits(n).into(), 123),
        ..first
    };
    let is_answered = |bench: &Bench, endpoint: &Endpoint| {
        let frame = Frame::to(endpoint, client_of(&first), &request(4, 6, 3));
        bench.run(&frame.bytes()).is_some()
    };
    // More and fewer than are at hand without a look into the table, and none.
    for many in [1, 3, 4, 5, 9, 2, 0] {
        bench
            .program
            .set_endpoints((0..many).map(|n| at(0x0A00_0001 + n * 2)).collect())
            .expect("few");
        for n in 0..20 {
            assert_eq!(
                is_answered(&bench, &at(0x0A00_0000 + n)),
                n % 2 == 1 && n / 2 < many,
                "{n} of {many}"
            );
        }
        let zeros = Endpoint { station: [0; 6], vlan: None, address: socket("[::]:0") };
        let frame = Frame::to(&zeros, client_of(&endpoints()[1]), &request(4, 6, 3));
        assert_eq!(bench.run(&frame.bytes()), None, "{many}");
    }
}
