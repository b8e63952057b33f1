//! A search against a server whose capacity is known, by real sockets and a real clock.
//!
//! The server answers so many requests of each load and no more, so what it can do does not depend on how
//! busy the machine is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use timeball_load::{
    Ask, Expectation, FindOptions, Level, Load, LoadError, Options, Pattern, Trial, find,
};
use timeball_sys::{ListenOptions, MmsgIo, ServerSocket, Waker, listen};
use timeball_wire::{HEADER_LEN, PacketIo, Wait};

fn serve(io: &mut MmsgIo, stop: &AtomicBool) {
    let (mut salt, mut left) = ([0; 4], 0);
    while !stop.load(Ordering::Relaxed) {
        for index in 0..io.receive(Wait::Block).expect("datagrams") {
            let datagram = io.datagram(index);
            let request: &mut [u8; HEADER_LEN] = datagram.bytes.try_into().expect("a header");
            // The upper half of a request's transmit timestamp is its load's own.
            if request[40..44] != salt {
                salt.copy_from_slice(&request[40..44]);
                left = QUOTA;
            }
            if left > 0 {
                left -= 1;
                // A server's answer of version 4, with that timestamp as its origin.
                request[0] = 0x24;
                request.copy_within(40..48, 24);
                io.reply(index, HEADER_LEN);
            }
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
    // What it answers of a load does not depend on the machine's pace.
    let search = FindOptions {
        first_hz: Some(2_000),
        precision: 0.04,
        paced: false,
        ..FindOptions::new(level)
    };
    let truth_hz = f64::from(QUOTA) / TRIAL_S / (1.0 - LOSS_MAX);
    for _ in 0..5 {
        let found = find(&search, |step| {
            let mut options = Options::new(target, "127.0.0.0/8".parse().expect("a network"));
            let Ask::Rate(rate_hz) = step.ask else { panic!("{step:?}") };
            options.load = Load::Open { pattern: Pattern::Constant, rate_hz };
            options.duration = Duration::from_secs_f64(TRIAL_S);
            options.timeout = Duration::from_millis(250);
            options.expectation = Expectation::Echo;
            // In one interval, so that no moment is forgiven.
            let every = options.duration;
            Trial::offer(&options, &AtomicBool::new(false), every, &mut |_| {})
        });
        let found = found.unwrap_or_else(|error: LoadError| panic!("{error}"));
        println!("{} of {truth_hz:.0}: {found:?}", found.rate_hz);
        let ratio = f64::from(found.rate_hz) / truth_hz;
        assert!((0.95..=1.05).contains(&ratio), "{ratio} of {truth_hz}: {found:?}");
    }
}

/// Requests of a load that are answered: few enough for an unoptimised generator on a busy machine.
const QUOTA: u32 = 1_000;
const LOSS_MAX: f64 = 0.001;
const TRIAL_S: f64 = 0.2;
