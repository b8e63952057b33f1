//! A thousand million reads of the snapshot beside a writer that never rests: none of them torn.
//!
//! `tests/model-check` runs it in release mode; it takes some ten seconds there.
#![cfg(not(loom))]

use std::sync::atomic::{AtomicBool, Ordering};

use timeball_time::{Interval, NtpTimestamp, Publisher, Reader, Snapshot, Timestamp};

/// A snapshot whose parts all say `k`.
fn marked(k: i64) -> Snapshot {
    Snapshot {
        offset: Interval::from_nanos(k),
        root_dispersion: Interval::from_nanos(k),
        reference_time: NtpTimestamp::from_bits(k as u64),
        valid_until: Timestamp::from_nanos(k),
        ..Snapshot::unsynchronised(Timestamp::from_nanos(k), -24)
    }
}

/// Reads `count` times; every view must be of one piece, and no older than the one before.
fn read(reader: &mut Reader, count: u64) -> u64 {
    let (mut last, mut changes) = (0, 0);
    for _ in 0..count {
        let view = reader.refresh();
        let k = view.epoch.nanos();
        let whole = view.offset.nanos() == k
            && view.root_dispersion.nanos() == k
            && view.reference_time.to_bits() == k as u64
            && view.valid_until.nanos() == k;
        assert!(whole && k >= last, "{view:?} after {last}");
        changes += u64::from(k != last);
        last = k;
    }
    changes
}

#[test]
#[ignore = "takes minutes unless built for release"]
fn a_thousand_million_reads_are_whole_and_in_order() {
    let mut publisher = Publisher::new(marked(0));
    let mut readers = [publisher.reader(), publisher.reader()];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let counts = readers.each_mut().map(|reader| scope.spawn(move || read(reader, READS / 2)));
        let writer = scope.spawn(|| {
            let mut k = 0;
            while !done.load(Ordering::Relaxed) {
                k += 1;
                publisher.publish(marked(k));
                // Without a pause hardly any read would fall between two writes.
                for _ in 0..PAUSE {
                    std::hint::spin_loop();
                }
            }
        });
        let changes: u64 = counts.into_iter().map(|count| count.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        println!("{READS} reads, {changes} of them of a new snapshot");
        assert!(changes > 100_000, "the writer must have been at work");
    });
}

const READS: u64 = 1_000_000_000;
const PAUSE: u32 = 32;
