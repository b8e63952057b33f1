//! A search against a server whose capacity is known, by real sockets and a real clock.
//!
//! The server is a token bucket over the kernel's stamps of arrival, so what it answers does not depend on
//! when it gets to run, only on when requests came.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use timeball_load::{
    Expectation, FindOptions, Level, Load, LoadError, Options, Pattern, find, run,
};
use timeball_sys::{ListenOptions, MmsgIo, ServerSocket, Waker, listen};
use timeball_time::{Realtime, Timestamp};
use timeball_wire::{HEADER_LEN, PacketIo, Wait};

/// Answers [`RATE_HZ`] requests a second, and [`DEPTH`] more at once after a pause.
struct Bucket {
    tokens: f64,
    last: Timestamp<Realtime>,
}

impl Bucket {
    fn takes(&mut self, arrival: Timestamp<Realtime>) -> bool {
        let gone_s = (arrival - self.last).as_secs_f64();
        self.tokens = (self.tokens + gone_s * RATE_HZ).min(DEPTH);
        self.last = arrival;
        let is_taken = self.tokens >= 1.0;
        if is_taken {
            self.tokens -= 1.0;
        }
        is_taken
    }
}

fn serve(io: &mut MmsgIo, stop: &AtomicBool) {
    let mut bucket = Bucket { tokens: DEPTH, last: io.now() };
    while !stop.load(Ordering::Relaxed) {
        for index in 0..io.receive(Wait::Block).expect("datagrams") {
            let datagram = io.datagram(index);
            let arrival = datagram.received.expect("a stamp: the generator has them in force");
            if datagram.bytes.len() != HEADER_LEN || !bucket.takes(arrival) {
                continue;
            }
            // A server's answer of version 4, with the request's transmit timestamp as its origin.
            datagram.bytes[0] = 0x24;
            datagram.bytes.copy_within(40..48, 24);
            io.reply(index, HEADER_LEN);
        }
        io.send(&mut |_, _| {}).expect("loopback");
    }
}

/// A server that runs until it is dropped.
struct Stub {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<thread::JoinHandle<()>>,
}

impl Stub {
    fn start(sockets: Vec<ServerSocket>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, (ready, waker)) = (stop.clone(), mpsc::channel());
        // A carrier stays on its thread.
        let thread = thread::spawn(move || {
            let mut io = MmsgIo::new(sockets).expect("an eventfd");
            ready.send(io.waker()).expect("awaited");
            serve(&mut io, &stopped);
        });
        Self { stop, waker: waker.recv().expect("the stub"), thread: Some(thread) }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stub");
        }
    }
}

#[test]
fn five_searches_find_the_capacity_of_a_server_within_five_percent() {
    let here = "127.0.0.1:0".parse().expect("an address");
    let options = ListenOptions { receive_buffer_bytes: 8 << 20, ..ListenOptions::new(here) };
    let sockets = listen(&options).expect("loopback").sockets;
    let target = sockets[0].address();
    let _stub = Stub::start(sockets);

    let level = Level { loss_max: LOSS_MAX, p99_max: None, error_p99_max: None };
    let search = FindOptions { first_hz: 3_000, precision: 0.04, ..FindOptions::new(level) };
    // What the bucket lets through in a trial, and what may be lost beside it.
    let truth_hz = (RATE_HZ + DEPTH / TRIAL_S) / (1.0 - LOSS_MAX);
    for _ in 0..5 {
        let found = find(&search, |step| {
            let mut options = Options::new(target, "127.0.0.0/8".parse().expect("a network"));
            let pattern = Pattern::Constant;
            options.load = Load::Open { pattern, rate_hz: step.rate_hz };
            options.duration = Duration::from_secs_f64(TRIAL_S);
            options.timeout = Duration::from_millis(100);
            options.expectation = Expectation::Echo;
            run(&options, &AtomicBool::new(false))
        });
        let found = found.unwrap_or_else(|error: LoadError| panic!("{error}"));
        println!("{} of {truth_hz:.0}: {found:?}", found.rate_hz);
        let ratio = f64::from(found.rate_hz) / truth_hz;
        assert!((0.95..=1.05).contains(&ratio), "{ratio} of {truth_hz}: {found:?}");
    }
}

/// Slow enough for an unoptimised generator and stub on a busy machine.
const RATE_HZ: f64 = 10_000.0;
/// So many requests may come at once: a sender that slept for 20 ms makes up for it.
const DEPTH: f64 = 200.0;
const LOSS_MAX: f64 = 0.001;
const TRIAL_S: f64 = 0.2;
