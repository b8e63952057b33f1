//! A source with a key: nothing counts but what is signed with it, not even a kiss or a refusal.

mod common;

use std::sync::Arc;

use common::{NONCE, T1, at, reply};
use timeball_discipline::{Exchange, Kiss, Rejection};
use timeball_time::{Realtime, ReferenceId};
use timeball_wire::{Algorithm, HEADER_LEN, Header, Key, KeyId};

fn key(id: u32, secret: u8) -> Key {
    Key::new(KeyId(id), Algorithm::Aes128Cmac, &[secret; 16]).unwrap()
}

fn exchange() -> Exchange<Realtime> {
    Exchange::new(NONCE, at(T1), Some(Arc::new(key(5, 1))))
}

fn header() -> Header {
    reply(NONCE)
}

fn signed(header: &Header, key: &Key) -> Vec<u8> {
    let mut packet = header.encode().to_vec();
    packet.resize(HEADER_LEN + key.code_len(), 0);
    key.sign(&mut packet, key.code_len());
    packet
}

fn judge(exchange: &mut Exchange<Realtime>, packet: &[u8]) -> Option<Rejection> {
    exchange.accept(packet, at(T1 + 3_000_000), -24).err()
}

#[test]
fn a_request_is_signed_with_the_key() {
    let request = exchange().request();
    assert_eq!(request.len(), HEADER_LEN + 20);
    let (message, code) = request.split_at(HEADER_LEN);
    assert!(key(5, 1).verifies(4, message, code) && !key(5, 2).verifies(4, message, code));
    assert_eq!(Exchange::new(NONCE, at(T1), None).request().len(), HEADER_LEN);
}

#[test]
fn only_a_reply_signed_with_our_key_is_believed_and_others_do_not_use_the_nonce_up() {
    let mut exchange = exchange();
    let bare = header().encode();
    assert_eq!(judge(&mut exchange, &bare), Some(Rejection::Unsigned));
    for stranger in [key(5, 2), key(6, 1)] {
        let forged = signed(&header(), &stranger);
        assert_eq!(judge(&mut exchange, &forged), Some(Rejection::Code));
    }
    let good = signed(&header(), &key(5, 1));
    for octet in 0..good.len() {
        let mut damaged = good.clone();
        damaged[octet] ^= 0x40;
        assert!(judge(&mut exchange, &damaged).is_some_and(|why| !why.is_authentic()), "{octet}");
    }
    assert_eq!(judge(&mut exchange, &good), None);
    assert_eq!(judge(&mut exchange, &good), Some(Rejection::Duplicate), "replayed");
}

#[test]
fn a_signed_reply_to_an_earlier_request_is_worth_nothing() {
    let mut later = Exchange::new(NONCE + 1, at(T1), Some(Arc::new(key(5, 1))));
    assert_eq!(judge(&mut later, &signed(&header(), &key(5, 1))), Some(Rejection::Origin));
}

#[test]
fn a_crypto_nak_is_counted_and_changes_nothing() {
    let nak = [&header().encode()[..], &[0; 4]].concat();
    for mut exchange in [exchange(), Exchange::new(NONCE, at(T1), None)] {
        assert_eq!(judge(&mut exchange, &nak), Some(Rejection::CryptoNak));
        assert!(!Rejection::CryptoNak.is_authentic());
    }
    let mut exchange = exchange();
    judge(&mut exchange, &nak);
    assert_eq!(judge(&mut exchange, &signed(&header(), &key(5, 1))), None);
}

#[test]
fn a_kiss_of_death_counts_only_when_it_is_signed() {
    let kiss = Header { stratum: 0, reference_id: ReferenceId::from_octets(*b"DENY"), ..header() };
    let mut exchange = exchange();
    assert_eq!(judge(&mut exchange, &kiss.encode()), Some(Rejection::Unsigned));
    assert_eq!(judge(&mut exchange, &signed(&kiss, &key(5, 9))), Some(Rejection::Code));
    let denied = judge(&mut exchange, &signed(&kiss, &key(5, 1)));
    assert_eq!(denied, Some(Rejection::KissOfDeath(Kiss::Deny)));
}
