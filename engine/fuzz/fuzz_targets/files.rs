//! Any text as a file that is read at the start: keys, leap seconds, drift, state. It is refused with a
//! reason, or what it says is possible and reads back as it was written.
//!
//! Input: 1 octet for which it is, then the text.
#![no_main]

use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use timeball::config::{KeyFile, KeyFormat, KeySettings};
use timeball_discipline::{LeapTable, drift, state};
use timeball_time::Timestamp;

fuzz_target!(|input: &[u8]| {
    let Some((&which, bytes)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    match which % 5 {
        0 => keys(&text, KeyFormat::Ntpd),
        1 => keys(&text, KeyFormat::Chrony),
        2 => leap_seconds(&text),
        3 => {
            if let Ok(rate) = drift::parse(&text) {
                assert!(rate.as_ppm().is_finite() && drift::parse(&drift::format(rate)).is_ok());
            }
        }
        _ => {
            if let Ok(kept) = state::parse(&text, BOOT) {
                assert_eq!(state::parse(&state::format(&kept, BOOT), BOOT), Ok(kept));
            }
        }
    }
});

fn keys(text: &str, format: KeyFormat) {
    let settings = KeySettings::all_of(PathBuf::from("/fuzz.keys"), format);
    match KeyFile::parse(Path::new("/fuzz.keys"), text, &settings) {
        Ok(file) => assert!(file.untrusted.is_empty(), "all are trusted"),
        Err(wrong) => assert!(!wrong.problems.is_empty()),
    }
}

fn leap_seconds(text: &str) {
    if let Ok(table) = LeapTable::parse(text) {
        for midnight_s in [0, 1_483_228_800, 1_798_761_600, i64::MAX / 1_000_000_000] {
            let midnight = Timestamp::from_nanos(midnight_s * 1_000_000_000);
            let _ = (table.leap_before(midnight), table.tai_offset_s(midnight));
        }
    }
}

const BOOT: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
