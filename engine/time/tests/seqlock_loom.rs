//! Every interleaving of one writer and one reader of the sequence lock, by loom.
//!
//! Built only with `--cfg loom`. `tests/run` builds it three times: as it is, where it must pass, and
//! with `--cfg omit_writer_fence` and `--cfg omit_reader_fence`, where it must find the torn read.
#![cfg(loom)]

use std::sync::Arc;

use timeball_time::seqlock::SeqLock;

#[test]
fn a_reader_sees_both_words_of_one_write_or_nothing() {
    loom::model(|| {
        let lock = Arc::new(SeqLock::new([0, 0]));
        let writer = {
            let lock = Arc::clone(&lock);
            loom::thread::spawn(move || {
                lock.write([1, 1]);
                lock.write([2, 2]);
            })
        };
        for _ in 0..2 {
            if let Some((sequence, [left, right])) = lock.try_read() {
                assert_eq!(left, right, "torn read at sequence {sequence}");
                assert_eq!(sequence, 2 * left, "words of another write");
            }
        }
        writer.join().unwrap();
        assert_eq!(lock.try_read(), Some((4, [2, 2])));
    });
}
