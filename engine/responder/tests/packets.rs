//! What a stranger may send, and what must come of it: one test per rule.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use timeball_responder::{
    Access, AccessRule, Announcement, Caller, DropReason, Limiter, Network, Policy, Restrictions,
    Verdict, answer, stamp,
};
use timeball_time::{
    Interval, Leap, NtpShort, NtpTimestamp, Rate, Realtime, ReferenceId, Snapshot, Stratum,
    Timestamp,
};
use timeball_wire::{Datagram, Flags, HEADER_LEN, Header, Mode, field};

const NOW: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_123_456_789);

fn synchronised() -> Snapshot {
    Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(2),
        precision: -24,
        root_delay: NtpShort::from_bits(0x100),
        reference_id: ReferenceId::from_octets([192, 0, 2, 1]),
        reference_time: NtpTimestamp::floor(NOW),
        root_dispersion: Interval::from_millis(1),
        dispersion_rate: Rate::from_ppb(15_000),
        epoch: NOW - Interval::from_millis(100),
        offset: Interval::from_millis(250),
        rate: Rate::ZERO,
        valid_until: NOW + Interval::from_secs(8),
        leap_second: None,
    }
}

fn source(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn request(version: u8, mode: Mode) -> Vec<u8> {
    let mut header = Header::new(Flags { leap: Leap::None, version, mode });
    header.poll = 6;
    header.transmit = NtpTimestamp::from_bits(0x0123_4567_89AB_CDEF);
    header.encode().to_vec()
}

/// The verdict on `bytes`, and the reply as it would be sent, stamped 5 µs after `NOW`.
fn ask(snapshot: &Snapshot, from: &str, bytes: &[u8]) -> (Verdict, Vec<u8>) {
    ask_by(&Policy::default(), snapshot, from, bytes)
}

/// The same, of a server that goes by `policy`.
fn ask_by(policy: &Policy, snapshot: &Snapshot, from: &str, bytes: &[u8]) -> (Verdict, Vec<u8>) {
    let mut memory = bytes.to_vec();
    let mut datagram = Datagram {
        source: source(from),
        received: Some(NOW - Interval::from_micros(40)),
        bytes: &mut memory,
        truncated: false,
    };
    let (announcement, limiter) = (Announcement::at(snapshot, NOW), &mut Limiter::default());
    let verdict =
        answer(&announcement, snapshot, policy, limiter, Caller::default(), NOW, &mut datagram);
    let Verdict::Reply { len, .. } = verdict else { return (verdict, Vec::new()) };
    memory.truncate(len);
    stamp(snapshot, policy, NOW + Interval::from_micros(5), &mut memory);
    (verdict, memory)
}

fn reply(snapshot: &Snapshot, from: &str, bytes: &[u8]) -> Header {
    let (verdict, reply) = ask(snapshot, from, bytes);
    Header::parse(&reply).unwrap_or_else(|| panic!("no reply: {verdict:?}"))
}

fn dropped(from: &str, bytes: &[u8]) -> DropReason {
    match ask(&synchronised(), from, bytes).0 {
        Verdict::Drop(reason) => reason,
        Verdict::Reply { .. } => panic!("answered {bytes:02x?} from {from}"),
    }
}

#[test]
fn a_client_gets_every_field_it_needs() {
    let header = reply(&synchronised(), "192.0.2.9:40000", &request(4, Mode::Client));
    assert_eq!(header.flags, Flags { leap: Leap::None, version: 4, mode: Mode::Server });
    assert_eq!((header.stratum, header.poll, header.precision), (2, 6, -24));
    assert_eq!(header.root_delay, NtpShort::from_bits(0x100));
    assert_eq!(header.reference_id.to_string(), "192.0.2.1");
    assert_eq!(header.origin.to_bits(), 0x0123_4567_89AB_CDEF);
    // 1 ms and 0.1 s of 15 ppm, rounded up to the wire's 15 µs.
    assert!(header.root_dispersion.interval() >= Interval::from_nanos(1_001_500));
    assert!(header.root_dispersion.interval() <= Interval::from_nanos(1_016_760));
    let served = |t: NtpTimestamp| t.unfold(NOW) - NOW - Interval::from_millis(250);
    let (t2, t3) = (served(header.receive), served(header.transmit));
    assert!(t2 >= Interval::from_micros(-40) && t2 <= Interval::from_nanos(-39_999), "{t2:?}");
    assert!(t3 <= Interval::from_micros(5) && t3 >= Interval::from_nanos(4_999), "{t3:?}");
    assert_eq!((header.receive.to_bits() & 1, header.transmit.to_bits() & 1), (1, 0));
}

#[test]
fn versions_1_to_4_are_echoed_and_the_rest_is_silence() {
    for version in 1..=4 {
        let header = reply(&synchronised(), "192.0.2.9:123", &request(version, Mode::Client));
        assert_eq!((header.flags.version, header.flags.mode), (version, Mode::Server));
    }
    for version in [0, 5, 6, 7] {
        let reason = dropped("192.0.2.9:40000", &request(version, Mode::Client));
        assert_eq!(reason, DropReason::Version);
    }
}

#[test]
fn only_requests_are_answered() {
    use Mode::*;
    let answered = |version, mode, from| {
        let (verdict, bytes) = ask(&synchronised(), from, &request(version, mode));
        matches!(verdict, Verdict::Reply { .. }).then(|| Flags::from_octet(bytes[0]).mode)
    };
    for version in 1..=4 {
        assert_eq!(answered(version, Client, "192.0.2.9:40000"), Some(Server));
        assert_eq!(answered(version, SymmetricActive, "192.0.2.9:123"), Some(SymmetricPassive));
        for mode in [SymmetricPassive, Server, Broadcast, Control, Private] {
            assert_eq!(answered(version, mode, "192.0.2.9:40000"), None, "{version} {mode:?}");
        }
    }
    assert_eq!(answered(1, Reserved, "192.0.2.9:40000"), Some(Server));
    assert_eq!(answered(1, Reserved, "192.0.2.9:123"), None);
    assert_eq!(answered(2, Reserved, "192.0.2.9:40000"), None);
    assert_eq!(answered(4, Reserved, "192.0.2.9:40000"), None);
}

#[test]
fn no_answer_is_ever_answered() {
    // Whatever first octet provokes a reply, that reply provokes none: no two servers can loop.
    for octet in 0..=255u8 {
        let mut bytes = request(4, Mode::Client);
        bytes[0] = octet;
        for from in ["192.0.2.9:123", "192.0.2.9:40000"] {
            let (_, first) = ask(&synchronised(), from, &bytes);
            if !first.is_empty() {
                let (_, second) = ask(&synchronised(), from, &first);
                assert!(second.is_empty(), "{octet:#04x} from {from}");
            }
        }
    }
}

#[test]
fn never_more_out_than_in_over_every_first_octet_and_length() {
    let mut answered = 0;
    for octet in 0..=255u8 {
        for len in (0..=600).chain([1_000, 1_500, 2_000]) {
            let mut bytes = vec![0u8; len];
            if let Some(first) = bytes.first_mut() {
                *first = octet;
            }
            let (_, reply) = ask(&synchronised(), "192.0.2.9:40000", &bytes);
            assert!(reply.len() <= len, "{octet:#04x} × {len}");
            answered += usize::from(!reply.is_empty());
        }
    }
    assert!(answered >= 16, "the sweep must reach the answering path");
}

#[test]
fn reflectors_and_whole_networks_are_no_clients() {
    let bytes = request(4, Mode::Client);
    for port in [0, 7, 13, 17, 19] {
        assert_eq!(dropped(&format!("192.0.2.9:{port}"), &bytes), DropReason::SourcePort);
    }
    for from in
        ["224.0.1.1:123", "255.255.255.255:40000", "0.0.0.0:40000", "[ff05::101]:123", "[::]:9"]
    {
        assert_eq!(dropped(from, &bytes), DropReason::SourceAddress, "{from}");
    }
    for from in ["192.0.2.9:123", "192.0.2.9:40000", "127.0.0.1:9", "[2001:db8::1]:123"] {
        assert!(!ask(&synchronised(), from, &bytes).1.is_empty(), "{from}");
    }
}

#[test]
fn lengths_are_judged_by_reason() {
    let from = "192.0.2.9:40000";
    let with = |version, trailer: &[u8]| [&request(version, Mode::Client), trailer].concat();
    let field = |len: u16, octets: usize| {
        let mut field = vec![0u8; octets];
        field[2..4].copy_from_slice(&len.to_be_bytes());
        field
    };
    assert_eq!(dropped(from, &[]), DropReason::Short);
    assert_eq!(dropped(from, &request(4, Mode::Client)[..47]), DropReason::Short);
    assert_eq!(dropped(from, &with(4, &[0; 1])), DropReason::Alignment);
    assert_eq!(dropped(from, &with(4, &[0; 4])), DropReason::CryptoNak);
    assert_eq!(dropped(from, &with(3, &[0; 28])), DropReason::Code);
    for len in [0, 3, 30, 0xFFFC] {
        assert_eq!(dropped(from, &with(4, &field(len, 28))), DropReason::ExtensionField);
    }
    // A field nobody here knows is skipped, and not sent back.
    assert_eq!(ask(&synchronised(), from, &with(4, &field(28, 28))).1.len(), HEADER_LEN);
    let mut memory = request(4, Mode::Client);
    let mut datagram =
        Datagram { source: source(from), received: None, bytes: &mut memory, truncated: true };
    let verdict = answer(
        &Announcement::at(&synchronised(), NOW),
        &synchronised(),
        &Policy::default(),
        &mut Limiter::default(),
        Caller::default(),
        NOW,
        &mut datagram,
    );
    assert_eq!(verdict, Verdict::Drop(DropReason::Long));
}

#[test]
fn a_key_nobody_knows_is_refused_in_so_many_words() {
    for code in [20, 24] {
        let bytes = [request(4, Mode::Client), vec![0xAA; code]].concat();
        let (verdict, reply) = ask(&synchronised(), "192.0.2.9:40000", &bytes);
        assert!(matches!(verdict, Verdict::Reply { len: 52, answered } if answered.crypto_nak));
        assert_eq!(reply[HEADER_LEN..], [0; 4]);
    }
}

#[test]
fn an_unsynchronised_server_says_so_instead_of_going_silent() {
    let fresh = Snapshot::unsynchronised(NOW, -24);
    let header = reply(&fresh, "192.0.2.9:40000", &request(4, Mode::Client));
    assert_eq!(header.flags.leap, Leap::Unsynchronised);
    assert_eq!((header.stratum, header.reference_id), (0, ReferenceId::INIT));
    assert_eq!(header.origin.to_bits(), 0x0123_4567_89AB_CDEF);
    assert!(!header.transmit.is_zero() && !header.receive.is_zero());
}

#[test]
fn a_snapshot_that_is_not_refreshed_is_not_believed() {
    let expired = Snapshot { valid_until: NOW - Interval::from_nanos(1), ..synchronised() };
    let header = reply(&expired, "192.0.2.9:40000", &request(4, Mode::Client));
    assert_eq!((header.flags.leap, header.stratum), (Leap::Unsynchronised, 0));
    assert_eq!(header.reference_id, ReferenceId::STALE);
    let set_back = Snapshot { epoch: NOW + Interval::from_secs(60), ..synchronised() };
    let header = reply(&set_back, "192.0.2.9:40000", &request(4, Mode::Client));
    assert_eq!(header.flags.leap, Leap::Unsynchronised);
}

#[test]
fn without_a_plausible_stamp_the_moment_of_reading_is_the_arrival() {
    let snapshot = synchronised();
    let t2 = |received| {
        let mut memory = request(4, Mode::Client);
        let from = source("192.0.2.9:40000");
        let mut datagram =
            Datagram { source: from, received, bytes: &mut memory, truncated: false };
        answer(
            &Announcement::at(&snapshot, NOW),
            &snapshot,
            &Policy::default(),
            &mut Limiter::default(),
            Caller::default(),
            NOW,
            &mut datagram,
        );
        Header::parse(&memory).unwrap().receive.unfold(NOW) - Interval::from_millis(250)
    };
    assert_eq!(t2(None), NOW);
    assert_eq!(t2(Some(NOW + Interval::from_secs(5))), NOW, "clock set back since");
    assert_eq!(t2(Some(NOW - Interval::from_secs(3_600))), NOW, "clock set forward since");
    assert_eq!(t2(Some(NOW - Interval::from_millis(5))), NOW - Interval::from_millis(5));
}

#[test]
fn a_clock_set_back_between_arrival_and_departure_does_not_reverse_a_reply() {
    let snapshot = synchronised();
    let (_, mut bytes) = ask(&snapshot, "192.0.2.9:40000", &request(4, Mode::Client));
    stamp(&snapshot, &Policy::default(), NOW - Interval::from_secs(10), &mut bytes);
    let header = Header::parse(&bytes).unwrap();
    let turnaround = header.transmit.to_bits().wrapping_sub(header.receive.to_bits());
    assert_eq!(turnaround, 1);
}

#[test]
fn polls_out_of_range_are_brought_into_it() {
    for (asked, told) in [(0x80, 0), (-1i8 as u8, 0), (6, 6), (17, 17), (18, 17), (127, 17)] {
        let mut bytes = request(4, Mode::Client);
        bytes[field::POLL] = asked;
        assert_eq!(reply(&synchronised(), "192.0.2.9:40000", &bytes).poll, told);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn whatever_comes_in_the_answer_is_short_sound_and_no_question(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        flags in any::<u8>(),
        port in any::<u16>(),
        ip in any::<u32>(),
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = flags;
        }
        let from = SocketAddr::new(IpAddr::from(ip.to_be_bytes()), port).to_string();
        let (verdict, sent) = ask(&synchronised(), &from, &bytes);
        prop_assert!(sent.len() <= bytes.len());
        if let Verdict::Reply { len, .. } = verdict {
            prop_assert!(len == sent.len() && len >= HEADER_LEN);
            let header = Header::parse(&sent).unwrap();
            prop_assert_eq!(header.origin, Header::parse(&bytes).unwrap().transmit);
            prop_assert!(header.transmit.since(header.receive) >= Interval::ZERO);
            prop_assert!(matches!(header.flags.mode, Mode::Server | Mode::SymmetricPassive));
        }
    }
}

#[test]
fn access_rules_withhold_the_time_and_nothing_else_is_said() {
    let rule = |network: &str, length, restrictions| AccessRule {
        network: Network::new(network.parse().unwrap(), length).unwrap(),
        from_ntp_port: false,
        restrictions,
    };
    let access = Access::new(&[
        rule("0.0.0.0", 0, Restrictions::NO_TIME),
        rule("192.0.2.0", 24, Restrictions::NO_QUERY),
        rule("192.0.2.64", 26, Restrictions::CURRENT_VERSION_ONLY),
        rule("192.0.2.128", 25, Restrictions::KEYED_ONLY),
    ]);
    let policy = Policy { access, ..Policy::default() };
    let (plain, keyed) =
        (request(3, Mode::Client), [request(3, Mode::Client), vec![0xAA; 20]].concat());
    for (from, bytes, expected) in [
        ("198.51.100.1:40000", &plain, Some(DropReason::Access)),
        ("192.0.2.1:40000", &plain, None),
        ("192.0.2.65:40000", &plain, Some(DropReason::Version)),
        ("192.0.2.65:40000", &request(4, Mode::Client), None),
        ("192.0.2.129:40000", &plain, Some(DropReason::Access)),
        ("192.0.2.129:40000", &keyed, None),
        ("[2001:db8::1]:40000", &plain, None),
    ] {
        let dropped = match ask_by(&policy, &synchronised(), from, bytes).0 {
            Verdict::Drop(reason) => Some(reason),
            Verdict::Reply { .. } => None,
        };
        assert_eq!(dropped, expected, "{from}");
    }
}
