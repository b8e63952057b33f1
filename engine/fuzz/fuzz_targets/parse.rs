//! Any octets: header and trailer never panic, never look beyond the end, and agree with themselves; and no
//! broadcast is believed for its key that was not signed with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use timeball_discipline::open_broadcast;
use timeball_wire::{Algorithm, HEADER_LEN, Header, Key, KeyId, Keys, Mode, Trailer, Trusted};

fuzz_target!(|bytes: &[u8]| {
    let header = Header::parse(bytes);
    assert_eq!(header.is_some(), bytes.len() >= HEADER_LEN);
    if let Some(header) = header {
        assert_eq!(header.encode(), bytes[..HEADER_LEN]);
        if let Ok(trailer) = Trailer::parse(header.flags.version, bytes) {
            assert_eq!(HEADER_LEN + trailer.fields_len + trailer.code_len, bytes.len());
        }
    }
    broadcast(bytes);
});

/// No fuzzer guesses a code, so what follows is judged bare, and then signed with the one trusted key.
fn broadcast(bytes: &[u8]) {
    let key = Key::new(KeyId(1), Algorithm::Aes128Cmac, &[7; 16]).unwrap();
    let keys = Keys::new(vec![Trusted { key: key.clone(), peers: Vec::new() }]);
    let source = [192, 0, 2, 1].into();
    assert!(open_broadcast(bytes, source, &keys, true).is_err());
    if let Ok((header, key)) = open_broadcast(bytes, source, &keys, false) {
        assert_eq!((header.flags.mode, key.is_none()), (Mode::Broadcast, true));
    }
    let mut signed = bytes.to_vec();
    signed.resize(bytes.len() + key.code_len(), 0);
    key.sign(&mut signed, key.code_len());
    if let Ok((header, key)) = open_broadcast(&signed, source, &keys, true) {
        assert_eq!((header.flags.mode, key.is_some()), (Mode::Broadcast, true));
    }
}
