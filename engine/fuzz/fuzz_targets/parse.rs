//! Any octets: header and trailer never panic, never look beyond the end, and agree with themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use timeball_wire::{HEADER_LEN, Header, Trailer};

fuzz_target!(|bytes: &[u8]| {
    let header = Header::parse(bytes);
    assert_eq!(header.is_some(), bytes.len() >= HEADER_LEN);
    if let Some(header) = header {
        assert_eq!(header.encode(), bytes[..HEADER_LEN]);
        if let Ok(trailer) = Trailer::parse(header.flags.version, bytes) {
            assert_eq!(HEADER_LEN + trailer.fields_len + trailer.code_len, bytes.len());
        }
    }
});
