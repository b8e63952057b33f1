//! Requests with an authentication code, judged and answered without a socket.

use timeball_responder::{
    Access, AccessRule, Announcement, Caller, DropReason, Limiter, Network, Policy, Restrictions,
    Verdict, answer, stamp,
};
use timeball_time::{Interval, Leap, NtpTimestamp, Realtime, Snapshot, Stratum, Timestamp};
use timeball_wire::{
    Algorithm, Datagram, Flags, HEADER_LEN, Header, KEY_ID_LEN, Key, KeyId, Keys, Mode, Trusted,
};

const NOW: Timestamp<Realtime> = Timestamp::from_nanos(1_764_000_000_123_456_789);

fn key(id: u32, algorithm: Algorithm) -> Key {
    let secret = &[0x17; 32][..algorithm.secret_len().unwrap_or(11)];
    Key::new(KeyId(id), algorithm, secret).unwrap()
}

/// Keys 1 to 8, one of each kind; key 99 is for 192.0.2.0/24 alone.
fn policy() -> Policy {
    let everybody = |key| Trusted { key, peers: Vec::new() };
    let mut keys: Vec<_> =
        (1..).zip(Algorithm::NAMES).map(|(id, (_, kind))| everybody(key(id, kind))).collect();
    let peers = vec![Network::new("192.0.2.0".parse().unwrap(), 24).unwrap()];
    keys.push(Trusted { key: key(99, Algorithm::Aes128Cmac), peers });
    Policy { keys: Keys::new(keys), ..Policy::default() }
}

fn request(version: u8, mode: Mode) -> Vec<u8> {
    let header = Header {
        transmit: NtpTimestamp::from_bits(0x0123_4567_89AB_CDEF),
        ..Header::new(Flags { leap: Leap::None, version, mode })
    };
    header.encode().to_vec()
}

fn signed(mut packet: Vec<u8>, key: &Key, code_len: usize) -> Vec<u8> {
    packet.resize(packet.len() + code_len, 0);
    key.sign(&mut packet, code_len);
    packet
}

fn ask(policy: &Policy, from: &str, bytes: &[u8]) -> (Verdict, Vec<u8>) {
    let fresh = Snapshot::unsynchronised(NOW, -24);
    let snapshot = Snapshot { leap: Leap::None, stratum: Stratum::new(2), ..fresh };
    let mut memory = bytes.to_vec();
    let source = from.parse().unwrap();
    let received = Some(NOW - Interval::from_micros(40));
    let mut datagram = Datagram { source, received, bytes: &mut memory, truncated: false };
    let announcement = Announcement::at(&snapshot, NOW);
    let (limiter, caller) = (&mut Limiter::default(), Caller::default());
    let verdict = answer(&announcement, &snapshot, policy, limiter, caller, NOW, &mut datagram);
    let Verdict::Reply { len, .. } = verdict else { return (verdict, Vec::new()) };
    memory.truncate(len);
    stamp(&snapshot, policy, NOW + Interval::from_micros(5), &mut memory);
    (verdict, memory)
}

fn is_nak(verdict: Verdict, reply: &[u8]) -> bool {
    matches!(verdict, Verdict::Reply { len: 52, answered } if answered.crypto_nak && !answered.signed)
        && reply[HEADER_LEN..] == [0; 4]
}

#[test]
fn a_signed_request_is_answered_signed_with_the_same_key_and_in_the_same_length() {
    for (id, (_, algorithm)) in (1..).zip(Algorithm::NAMES) {
        let key = key(id, algorithm);
        let whole = KEY_ID_LEN + algorithm.digest_len();
        for (version, code_len) in [(4, key.code_len()), (3, key.code_len()), (3, whole)] {
            for mode in [Mode::Client, Mode::SymmetricActive] {
                let asked = signed(request(version, mode), &key, code_len);
                let (verdict, reply) = ask(&policy(), "192.0.2.9:123", &asked);
                assert!(matches!(verdict, Verdict::Reply { answered, .. } if answered.signed));
                assert_eq!(reply.len(), asked.len(), "{key:?}");
                let (message, code) = reply.split_at(HEADER_LEN);
                assert!(key.verifies(version, message, code), "{key:?} {version} {mode:?}");
                let header = Header::parse(&reply).unwrap();
                assert!(!header.transmit.is_zero(), "the code covers the transmit timestamp");
            }
        }
    }
}

#[test]
fn extension_fields_are_covered_by_the_code_and_not_sent_back() {
    let key = key(7, Algorithm::Aes128Cmac);
    let mut field = vec![0xAB; 28];
    field[2..4].copy_from_slice(&28u16.to_be_bytes());
    let packet = [request(4, Mode::Client), field].concat();
    let mut asked = signed(packet, &key, key.code_len());
    let (_, reply) = ask(&policy(), "192.0.2.9:123", &asked);
    assert_eq!(reply.len(), HEADER_LEN + key.code_len());
    assert!(key.verifies(4, &reply[..HEADER_LEN], &reply[HEADER_LEN..]));
    asked[HEADER_LEN + 10] ^= 1;
    let (verdict, reply) = ask(&policy(), "192.0.2.9:123", &asked);
    assert!(is_nak(verdict, &reply));
}

#[test]
fn a_code_that_cannot_be_verified_gets_a_crypto_nak_and_no_more() {
    let good = key(7, Algorithm::Aes128Cmac);
    let asked = signed(request(4, Mode::Client), &good, good.code_len());
    for octet in 1..asked.len() {
        let mut damaged = asked.clone();
        damaged[octet] ^= 0x10;
        let (verdict, reply) = ask(&policy(), "192.0.2.9:40000", &damaged);
        assert!(is_nak(verdict, &reply), "octet {octet}");
        assert_eq!(
            Header::parse(&reply).unwrap().origin,
            Header::parse(&damaged).unwrap().transmit
        );
    }
    // A number nobody has, and a whole SHA-512 digest where version 4 has no room for one.
    for (key, code_len) in [(key(50, Algorithm::Sha1), 24), (key(7, Algorithm::Sha1), 24)] {
        let asked = signed(request(4, Mode::Client), &key, code_len);
        let (verdict, reply) = ask(&policy(), "192.0.2.9:40000", &asked);
        assert!(is_nak(verdict, &reply), "{key:?}");
    }
}

#[test]
fn a_key_for_certain_peers_is_unknown_to_others() {
    let key = key(99, Algorithm::Aes128Cmac);
    let asked = signed(request(4, Mode::Client), &key, key.code_len());
    let (_, reply) = ask(&policy(), "192.0.2.9:40000", &asked);
    assert!(key.verifies(4, &reply[..HEADER_LEN], &reply[HEADER_LEN..]));
    for from in ["203.0.113.5:40000", "[2001:db8::1]:40000"] {
        let (verdict, reply) = ask(&policy(), from, &asked);
        assert!(is_nak(verdict, &reply), "{from}");
    }
}

#[test]
fn who_must_have_a_key_gets_no_time_without_a_good_one() {
    let rule = AccessRule {
        network: Network::new("203.0.113.0".parse().unwrap(), 24).unwrap(),
        from_ntp_port: false,
        restrictions: Restrictions::KEYED_ONLY,
    };
    let policy = Policy { access: Access::new(&[rule]), ..policy() };
    let good = key(7, Algorithm::Aes128Cmac);
    let bare = request(4, Mode::Client);
    let from = "203.0.113.9:40000";
    assert_eq!(ask(&policy, from, &bare).0, Verdict::Drop(DropReason::Access));
    let (verdict, reply) =
        ask(&policy, from, &signed(bare.clone(), &key(50, good.algorithm()), 20));
    assert!(is_nak(verdict, &reply));
    let (_, reply) = ask(&policy, from, &signed(bare, &good, 20));
    assert!(good.verifies(4, &reply[..HEADER_LEN], &reply[HEADER_LEN..]));
}

#[test]
fn a_replay_is_answered_afresh_and_gives_nobody_an_old_reply() {
    // A server keeps nothing, so it cannot know a replay: its answer is to the replayed nonce, of use to
    // nobody who waits for another.
    let key = key(7, Algorithm::Aes128Cmac);
    let asked = signed(request(4, Mode::Client), &key, key.code_len());
    let (_, first) = ask(&policy(), "192.0.2.9:123", &asked);
    let (_, second) = ask(&policy(), "198.51.100.1:123", &asked);
    assert_eq!(first[..], second[..]);
    let (verdict, _) = ask(&policy(), "192.0.2.9:123", &first);
    assert_eq!(verdict, Verdict::Drop(DropReason::Mode), "a signed reply is no request");
}
