//! The generator's accuracy on a real clock and real sockets. What a busy machine does to either end is in
//! the notes of the server as it is in the report. Rates and gaps, though, are the machine's own; they are
//! for a quiet one, and run by
//!
//! ```text
//! cargo test --release -p timeball-load --test live -- --ignored --test-threads 1 --nocapture
//! ```

use std::cell::Cell;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use timeball_load::{Expectation, Load, Options, Part, Pattern, Report, Schedule, run};
use timeball_sys::{ListenOptions, MmsgIo, listen, realtime};
use timeball_time::{Interval, Realtime, Timestamp};
use timeball_wire::{PacketIo, Wait};

/// A server that answers each request after the delay that `delay` says for its number and moment.
struct Stub {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Vec<Note>>>,
}

/// What the stub knows of a request: its number, the delay imposed on it, and when its reply was sent, in
/// nanoseconds, since 1970.
type Note = (u32, i64, i64);

impl Stub {
    fn start(delay: impl Fn(u64, Instant) -> Duration + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        socket.set_nonblocking(true).expect("an option");
        let address = socket.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || serve(&socket, &delay, &stopped));
        Self { address, stop, thread: Some(thread) }
    }

    /// What it really did.
    fn notes(mut self) -> Vec<Note> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("started").join().expect("the stub")
    }
}

fn serve(
    socket: &UdpSocket,
    delay: &dyn Fn(u64, Instant) -> Duration,
    stop: &AtomicBool,
) -> Vec<Note> {
    type Waiting = std::cmp::Reverse<(Instant, u64, Instant, [u8; 48], SocketAddr)>;
    let mut waiting: BinaryHeap<Waiting> = BinaryHeap::new();
    let (mut notes, mut bytes, mut number) = (Vec::new(), [0; 48], 0);
    while !stop.load(Ordering::Relaxed) {
        while let Ok((_, source)) = socket.recv_from(&mut bytes) {
            let now = Instant::now();
            let mut reply = bytes;
            reply[0] = 0x24;
            reply.copy_within(40..48, 24);
            let due = now + delay(number, now);
            waiting.push(std::cmp::Reverse((due, number, now, reply, source)));
            number += 1;
        }
        while let Some(std::cmp::Reverse((due, _, came, reply, source))) = waiting.peek()
            && *due <= Instant::now()
        {
            let sent_ns = realtime().nanos();
            let _ = socket.send_to(reply, source);
            // The low half of the nonce is the request's number.
            let number = u32::from_be_bytes(*reply[24..32].last_chunk().expect("eight octets"));
            notes.push((number, came.elapsed().as_nanos() as i64, sent_ns));
            waiting.pop();
        }
    }
    notes
}

fn offer(target: SocketAddr, pattern: Pattern, rate_hz: u32, seconds: u64) -> Report {
    let options = options(target, pattern, rate_hz, seconds);
    run(&options, &AtomicBool::new(false)).expect("a run")
}

fn options(target: SocketAddr, pattern: Pattern, rate_hz: u32, seconds: u64) -> Options {
    let mut options = Options::new(target, "127.0.0.0/8".parse().expect("a network"));
    options.load = Load::Open { pattern, rate_hz };
    options.duration = Duration::from_secs(seconds);
    options.timeout = Duration::from_secs(5);
    options.expectation = Expectation::Echo;
    options
}

/// On any machine: more delay than this can come on top, less cannot.
#[test]
fn a_server_that_stops_for_100_ms_shows_it_in_full() {
    let until = Cell::new(None);
    let stub = Stub::start(move |number, now| {
        if number == 500 {
            until.set(Some(now + Duration::from_millis(100)));
        }
        until.get().map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    });
    let report = offer(stub.address, Pattern::Constant, 1_000, 2);
    let notes = stub.notes();
    assert_eq!(report.answered + report.lost, report.sent);
    let longest = notes.iter().map(|note| note.1).max().expect("answers");
    assert!(longest >= 100_000_000, "the stub stood still: {longest}");
    // Three digits are kept.
    assert!(report.latency.quantile(1.0) >= longest / 1_001 * 1_000, "{report:?}");
    // Two of two thousand requests were meant to leave in the first two milliseconds of it.
    assert!(report.latency.quantile(0.999) > 95_000_000, "{report:?}");
}

/// Within 2 % or 1 µs of what the server noted: for each request the time from its intended moment, which
/// follows from the common start, to the moment at which its reply was sent.
#[test]
fn percentiles_are_those_that_the_server_noted() {
    // 2 ms and an exponential delay of mean 5 ms, by a hash of the request's number.
    let stub = Stub::start(|number, _| {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let unit = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        Duration::from_secs_f64(0.002 - (1.0 - unit).max(1e-9).ln() * 0.005)
    });
    let mut options = options(stub.address, Pattern::Poisson, 3_000, 2);
    let start = realtime() + Interval::from_millis(500);
    options.start_at = Some(start);
    let report = run(&options, &AtomicBool::new(false)).expect("a run");
    let mut notes = stub.notes();
    assert_eq!(report.answered, notes.len() as u64, "{report:?}");
    assert!(notes.len() > 1_000, "the stub's own buffer may have lost some: {report:?}");
    notes.sort_unstable();
    let mut schedule = Schedule::new(Pattern::Poisson, 3_000, Part::WHOLE, start, options.seed);
    let (mut latencies, mut at) = (Vec::new(), 0);
    for (number, _, sent_ns) in notes {
        (at..number).for_each(|_| schedule.advance());
        at = number;
        latencies.push(sent_ns - schedule.next().nanos());
    }
    latencies.sort_unstable();
    for quantile in [0.5, 0.9, 0.99, 0.999] {
        let noted = latencies[(latencies.len() as f64 * quantile).ceil() as usize - 1];
        let seen = report.latency.quantile(quantile);
        println!("{quantile}: {seen} ns seen, {noted} ns noted");
        assert!((seen - noted).abs() <= (noted / 50).max(1_000), "{quantile}: {seen} and {noted}");
    }
}

#[test]
#[ignore = "needs a quiet machine; see the top of the file"]
fn the_rate_asked_is_the_rate_sent_up_to_four_fifths_of_the_most() {
    let sink = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let target = sink.local_addr().expect("bound");
    let most = offer(target, Pattern::Constant, 50_000_000, 1).sent_per_s();
    let asked = (most * 0.8) as u32;
    for pattern in [Pattern::Constant, Pattern::Bursts { size: 64 }] {
        let report = offer(target, pattern, asked, 3);
        let (sent, wanted) = (report.sent as f64, f64::from(asked) * 3.0);
        println!("{pattern:?}: {sent} of {wanted} sent, at most {most}/s");
        assert!((sent - wanted).abs() <= wanted / 1_000.0, "{pattern:?}: {sent} of {wanted}");
        assert!(!report.is_generators(), "{:?}", report.limits());
    }
}

/// The gaps between arrivals pass a Kolmogorov–Smirnov test against the exponential distribution at the
/// 0.1 % level.
#[test]
#[ignore = "needs a quiet machine; see the top of the file"]
fn poisson_requests_arrive_with_exponential_gaps() {
    let here = "127.0.0.1:0".parse().expect("an address");
    let sockets = listen(&ListenOptions::new(here)).expect("loopback").sockets;
    let target = sockets[0].address();
    let mut io = MmsgIo::new(sockets).expect("an eventfd");
    let waker = io.waker();
    let generator = thread::spawn(move || {
        let report = offer(target, Pattern::Poisson, 1_000, 10);
        waker.wake();
        report
    });
    let mut arrivals = Vec::new();
    loop {
        let count = io.receive(Wait::Block).expect("datagrams");
        if count == 0 {
            break;
        }
        // By the kernel's stamps: this thread wakes up later than some gaps last.
        arrivals.extend((0..count).filter_map(|index| io.datagram(index).received));
        io.send(&mut |_, _| {}).expect("nothing to send");
    }
    let report = generator.join().expect("the generator");
    assert_eq!(arrivals.len() as u64, report.sent, "each arrives with a stamp");
    let gap = |pair: &[Timestamp<Realtime>]| (pair[1] - pair[0]).as_secs_f64() * 1_000.0;
    let mut gaps: Vec<f64> = arrivals.windows(2).map(gap).collect();
    gaps.sort_by(f64::total_cmp);
    let count = gaps.len() as f64;
    let distance = |(k, gap): (usize, &f64)| {
        let expected = 1.0 - (-gap).exp();
        (expected - k as f64 / count).abs().max((expected - (k + 1) as f64 / count).abs())
    };
    let deviation = gaps.iter().enumerate().map(distance).fold(0.0, f64::max);
    println!("{deviation} over {count} gaps");
    assert!(deviation < 1.95 / count.sqrt(), "{deviation} over {count} gaps");
}
