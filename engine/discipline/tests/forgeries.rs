//! A million replies that the server did not send: none is believed, and none keeps the true one out.

mod common;

use common::{NONCE, T1, at, reply};
use timeball_discipline::{Exchange, Kiss, Rejection};
use timeball_time::{Leap, NtpTimestamp, ReferenceId};
use timeball_wire::{Flags, Header};

/// The same as a kiss-o'-death, which would silence or slow the client down.
fn kiss(origin: u64, code: &[u8; 4]) -> Header {
    let header = reply(origin);
    let flags = Flags { leap: Leap::Unsynchronised, ..header.flags };
    Header { stratum: 0, reference_id: ReferenceId::from_octets(*code), flags, ..header }
}

/// SplitMix64.
fn guess(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[test]
fn of_a_million_forgeries_none_is_believed_and_the_true_reply_still_is() {
    let mut exchange = Exchange::new(NONCE, at(T1), None);
    let received = at(T1 + 3_000_000);
    let mut accept = |header: Header| exchange.accept(&header.encode(), received, -24);
    for n in 0..1_000_000 {
        let origin = match n % 4 {
            // Nothing (CVE-2015-8138), one bit beside it, the time of sending, or anything.
            0 => 0,
            1 => NONCE ^ 1 << (n / 4 % 64),
            2 => NtpTimestamp::floor(at(T1 + n as i64)).to_bits(),
            _ => guess(n),
        };
        let forged = match n / 4 % 3 {
            0 => reply(origin),
            // CVE-2015-7704: nobody else may slow it down or turn it away.
            1 => kiss(origin, b"RATE"),
            _ => kiss(origin, b"DENY"),
        };
        let refused = accept(forged).expect_err("not its reply");
        assert!(matches!(refused, Rejection::OriginZero | Rejection::Origin), "{n}: {refused:?}");
    }
    assert!(accept(reply(NONCE)).is_ok(), "the true one is not kept out");
    for _ in 0..1000 {
        assert_eq!(
            accept(reply(NONCE)).err(),
            Some(Rejection::Duplicate),
            "recorded and played again"
        );
        assert_eq!(accept(kiss(NONCE, b"DENY")).err(), Some(Rejection::Duplicate));
    }
}

#[test]
fn a_true_kiss_asks_for_less_and_for_nothing_else() {
    let mut exchange = Exchange::new(NONCE, at(T1), None);
    let told = exchange.accept(&kiss(NONCE, b"RATE").encode(), at(T1 + 3_000_000), -24);
    assert_eq!(told.err(), Some(Rejection::KissOfDeath(Kiss::Rate)));
}
