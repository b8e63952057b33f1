//! What is counted: each thing that is done for a packet, and a whole turn of a worker.
//!
//! Must never: have its work optimised away: each case asserts its answer.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use hdrhistogram::Histogram;
use timeball_responder::{
    Access, AccessRule, Announcement, Caller, Census, Clerk, DropReason, LimitMode, Limiter,
    Network, Policy, Restrictions, Verdict, Worker, answer, stamp, worker_exchange,
};
use timeball_time::Publisher;
use timeball_wire::{Algorithm, BATCH_MAX, HEADER_LEN, Header, Key, KeyId, Keys, Trusted, Wait};

use crate::fixture::{FullBatches, KEY, NONCE, NOW, client, datagram, limiting, request, snapshot};

/// One thing to count.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Does it as often as asked.
    pub(crate) run: fn(u32),
}

pub(crate) static CASES: [Case; 13] = [
    Case { name: "parse a header", run: parse },
    Case { name: "read the snapshot", run: read_snapshot },
    Case { name: "announce a moment", run: announce },
    Case { name: "answer and stamp", run: reply },
    Case { name: "answer and stamp, AES-CMAC", run: reply_signed },
    Case { name: "answer and stamp, with limits", run: reply_limited },
    Case { name: "drop a short packet", run: drop_short },
    Case { name: "look up access, 10 000 rules", run: look_up },
    Case { name: "note a client", run: note },
    Case { name: "record in a histogram", run: record },
    Case { name: "a worker's turn of 64", run: turn },
    Case { name: "a worker's turn of 64, limits and census", run: turn_protected },
    Case { name: "a worker's turn of 64, neither", run: turn_unprotected },
];

fn parse(turns: u32) {
    let octets = request();
    for _ in 0..turns {
        let header = Header::parse(black_box(&octets)).expect("48 octets");
        assert_eq!(black_box(header).transmit.to_bits(), NONCE);
    }
}

fn read_snapshot(turns: u32) {
    let publisher = Publisher::new(snapshot(7));
    let mut reader = publisher.reader();
    for _ in 0..turns {
        assert_eq!(black_box(&mut reader).refresh().offset.nanos(), 7);
    }
}

fn announce(turns: u32) {
    let snapshot = snapshot(0);
    for _ in 0..turns {
        let announcement = Announcement::at(black_box(&snapshot), NOW);
        assert_eq!(black_box(announcement).leap(), snapshot.leap);
    }
}

fn reply(turns: u32) {
    answer_to(&request(), &Policy::default(), turns);
}

fn reply_signed(turns: u32) {
    let key = Key::new(KeyId(1), Algorithm::Aes128Cmac, &[7; 16]).expect("the right length");
    let mut asked = request().to_vec();
    asked.resize(HEADER_LEN + key.code_len(), 0);
    key.sign(&mut asked, key.code_len());
    let keys = Keys::new(vec![Trusted { key, peers: Vec::new() }]);
    answer_to(&asked, &Policy { keys, ..Policy::default() }, turns);
}

/// From a client that was just heard.
fn reply_limited(turns: u32) {
    answer_to(&request(), &limiting(LimitMode::Observe), turns);
}

fn answer_to(asked: &[u8], policy: &Policy, turns: u32) {
    let snapshot = snapshot(0);
    let announcement = Announcement::at(&snapshot, NOW);
    let (mut bytes, mut limiter) = (asked.to_vec(), Limiter::new(&policy.limits));
    for _ in 0..turns {
        bytes.copy_from_slice(asked);
        let mut datagram = datagram(&mut bytes);
        let caller = limiter.caller(datagram.source.ip());
        let verdict =
            answer(&announcement, &snapshot, policy, &mut limiter, caller, NOW, &mut datagram);
        assert!(matches!(verdict, Verdict::Reply { len, .. } if len == asked.len()));
        stamp(&snapshot, policy, NOW, datagram.bytes);
    }
}

fn drop_short(turns: u32) {
    let snapshot = snapshot(0);
    let announcement = Announcement::at(&snapshot, NOW);
    let (policy, mut limiter) = (Policy::default(), Limiter::default());
    let mut bytes = request();
    for _ in 0..turns {
        let mut datagram = datagram(&mut bytes[..12]);
        let caller = Caller::default();
        let verdict =
            answer(&announcement, &snapshot, &policy, &mut limiter, caller, NOW, &mut datagram);
        assert!(matches!(verdict, Verdict::Drop(DropReason::Short)));
    }
}

fn look_up(turns: u32) {
    let mut state = 1_u32;
    // Numerical Recipes' generator: any will do that is always the same.
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    let rule = |address: u32| AccessRule {
        network: Network::new(IpAddr::from(address.to_be_bytes()), 24).expect("up to 32"),
        from_ntp_port: false,
        restrictions: Restrictions::NO_TIME,
    };
    let addresses: Vec<u32> = (0..10_000).map(|_| random()).collect();
    let access = Access::new(&addresses.iter().map(|&address| rule(address)).collect::<Vec<_>>());
    for &address in addresses.iter().cycle().take(turns as usize) {
        let source = (address.to_be_bytes(), 40_000).into();
        assert!(access.restrictions(black_box(&source)).contains(Restrictions::NO_TIME));
    }
}

fn note(turns: u32) {
    let mut clerk = Clerk::new(Arc::new(Census::new(KEY)));
    for turn in 0..turns as usize {
        if turn % BATCH_MAX == 0 {
            clerk.begin(NOW, BATCH_MAX);
        }
        let source = black_box(client(turn)).ip();
        clerk.note(source, Caller::of(source, KEY), true);
    }
}

fn record(turns: u32) {
    let mut histogram =
        Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("sound bounds");
    for turn in 0..turns {
        histogram.saturating_record(black_box(20_000 + u64::from(turn) * 64));
    }
    assert_eq!(histogram.len(), turns.into());
}

fn turn(turns: u32) {
    turn_of(LimitMode::Off, true, turns);
}

fn turn_protected(turns: u32) {
    turn_of(LimitMode::Observe, true, turns);
}

fn turn_unprotected(turns: u32) {
    turn_of(LimitMode::Off, false, turns);
}

fn turn_of(mode: LimitMode, is_noted: bool, turns: u32) {
    let publisher = Publisher::new(snapshot(0));
    let (_sender, policy) = worker_exchange(Arc::new(limiting(mode)));
    let (counters, batches) = (Arc::default(), FullBatches::of(BATCH_MAX));
    let mut worker = Worker::new(batches, publisher.reader(), policy, Arc::clone(&counters));
    if is_noted {
        worker = worker.with_clerk(Clerk::new(Arc::new(Census::new(KEY))));
    }
    for _ in 0..turns {
        assert_eq!(worker.turn(Wait::Poll), Ok(BATCH_MAX));
    }
    assert_eq!(counters.totals().answers(), u64::from(turns) * BATCH_MAX as u64);
}
