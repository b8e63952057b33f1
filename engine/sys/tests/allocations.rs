//! A million answers over real sockets, by both carriers, without one allocation in the worker's thread.
//!
//! The allocator below counts per thread, so that the client beside it does not matter.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use timeball_responder::{
    Access, AccessRule, Census, Clerk, Counters, HashKey, LimitMode, LimitSettings, Limits,
    Network, Policy, Restrictions, Worker, worker_exchange,
};
use timeball_sys::{Backend, Carrier, ListenOptions, ReplyPath, UringOptions, listen, realtime};
use timeball_time::{Publisher, Snapshot};
use timeball_wire::{Algorithm, Key, KeyId, Keys, Trusted, Wait};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // Fails only while the thread is being torn down.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// JUSTIFICATION: an allocator cannot be written without `unsafe`.
// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // JUSTIFICATION: as above.
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // JUSTIFICATION: as above.
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // JUSTIFICATION: as above.
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers `answers` requests by `backend`; returns how often the worker's thread used the allocator.
fn allocations(backend: Backend, replies: ReplyPath, answers: u64) -> u64 {
    let group = listen(&ListenOptions::new("127.0.0.1:0".parse().unwrap())).unwrap();
    let server = group.address;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let counters: Arc<crossbeam::utils::CachePadded<Counters>> = Arc::default();
    let shared = Arc::clone(&counters);
    let (send, receive) = mpsc::channel();
    let worker = thread::spawn(move || {
        let publisher = Publisher::new(Snapshot::unsynchronised(realtime(), -24));
        let options = UringOptions { replies, ..UringOptions::default() };
        let (carrier, _) = Carrier::open(backend, options, group.sockets).unwrap();
        send.send(carrier.waker()).unwrap();
        let trusted = Trusted { key: key(), peers: Vec::new() };
        let policy = Policy { keys: Keys::new(vec![trusted]), ..limiting() };
        let (_sender, policy) = worker_exchange(Arc::new(policy));
        let clerk = Clerk::new(Arc::new(Census::new(HashKey([1, 2]))));
        let mut worker = Worker::new(carrier, publisher.reader(), policy, shared).with_clerk(clerk);
        // The first turn may set up what later turns use again.
        worker.turn(Wait::Block).unwrap();
        let before = ALLOCATIONS.get();
        while !stopped.load(Ordering::Relaxed) {
            worker.turn(Wait::Block).unwrap();
        }
        ALLOCATIONS.get() - before
    });
    let waker = receive.recv().unwrap();
    ask_until(&counters, server, answers);
    stop.store(true, Ordering::Relaxed);
    waker.wake();
    worker.join().unwrap()
}

/// Limits for everybody, which are observed: each request is judged, and answered.
fn limiting() -> Policy {
    let settings = LimitSettings { mode: LimitMode::Observe, ..LimitSettings::USUAL };
    let everybody = AccessRule {
        network: Network::new([0; 4].into(), 0).unwrap(),
        from_ntp_port: false,
        restrictions: Restrictions::LIMITED,
    };
    let (access, limits) = (Access::new(&[everybody]), Limits::new(&settings, HashKey([1, 2])));
    Policy { access, limits, ..Policy::default() }
}

/// The key of some requests.
fn key() -> Key {
    Key::new(KeyId(1), Algorithm::Aes128Cmac, &[7; 16]).unwrap()
}

/// Sends requests, good ones, signed ones and bad, until the worker has answered `answers`.
fn ask_until(counters: &Counters, server: std::net::SocketAddr, answers: u64) {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let good = [&[0x23u8][..], &[0; 47]].concat();
    let key = key();
    let mut signed = good.clone();
    signed.resize(good.len() + key.code_len(), 0);
    key.sign(&mut signed, key.code_len());
    let bad = [0x16u8; 12];
    let mut reply = [0; 128];
    while counters.totals().answers() < answers {
        for _ in 0..BURST {
            client.send(&good).unwrap();
        }
        client.send(&signed).unwrap();
        client.send(&bad).unwrap();
        for _ in 0..=BURST {
            if client.recv(&mut reply).is_err() {
                break;
            }
        }
    }
    let totals = counters.totals();
    assert!(totals.drops() > 0 && totals.signed > 0, "refusing and signing are part of it");
    assert!(totals.limiter.observed > 0, "and limiting");
}

#[test]
fn a_million_answers_allocate_nothing() {
    for (backend, replies, answers) in [
        (Backend::Auto, ReplyPath::default(), 1_000_000),
        (Backend::Auto, ReplyPath::Ring, 100_000),
        (Backend::Mmsg, ReplyPath::default(), 100_000),
    ] {
        let allocations = allocations(backend, replies, answers);
        assert_eq!(allocations, 0, "{backend:?}, replies by {replies}");
    }
}

const BURST: usize = 64;
