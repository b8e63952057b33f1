//! The generator's accuracy on a real clock and real sockets. A busy machine is itself a delay nobody
//! imposed, so all but the first are for a quiet one, and run by
//!
//! ```text
//! cargo test --release -p timeball-load --test live -- --ignored --test-threads 1
//! ```

use std::cell::Cell;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use timeball_load::{Expectation, Load, Options, Pattern, Report, run};

/// A server that answers each request after the delay that `delay` says for its number and moment.
struct Stub {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Vec<i64>>>,
}

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

    /// The delays it really imposed, in nanoseconds, rising.
    fn notes(mut self) -> Vec<i64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut notes = self.thread.take().expect("started").join().expect("the stub");
        notes.sort_unstable();
        notes
    }
}

fn serve(
    socket: &UdpSocket,
    delay: &dyn Fn(u64, Instant) -> Duration,
    stop: &AtomicBool,
) -> Vec<i64> {
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
            let _ = socket.send_to(reply, source);
            notes.push(came.elapsed().as_nanos() as i64);
            waiting.pop();
        }
    }
    notes
}

fn offer(target: SocketAddr, pattern: Pattern, rate_hz: u32, seconds: u64) -> Report {
    let mut options = Options::new(target, "127.0.0.0/8".parse().expect("a network"));
    options.load = Load::Open { pattern, rate_hz };
    options.duration = Duration::from_secs(seconds);
    options.timeout = Duration::from_secs(5);
    options.expectation = Expectation::Echo;
    run(&options, &AtomicBool::new(false)).expect("a run")
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
    let longest = *notes.last().expect("answers");
    assert!(longest >= 100_000_000, "the stub stood still: {longest}");
    // Three digits are kept.
    assert!(report.latency.quantile(1.0) >= longest / 1_001 * 1_000, "{report:?}");
    // Two of two thousand requests were meant to leave in the first two milliseconds of it.
    assert!(report.latency.quantile(0.999) > 95_000_000, "{report:?}");
}

#[test]
#[ignore = "needs a quiet machine; see the top of the file"]
fn percentiles_are_those_that_the_server_noted() {
    // Exponential, of mean 5 ms, by a hash of the request's number.
    let stub = Stub::start(|number, _| {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let unit = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        Duration::from_secs_f64(0.002 - (1.0 - unit).max(1e-9).ln() * 0.005)
    });
    let report = offer(stub.address, Pattern::Poisson, 5_000, 10);
    let notes = stub.notes();
    assert_eq!(report.answered, notes.len() as u64);
    for quantile in [0.5, 0.99, 0.999] {
        let noted = notes[(notes.len() as f64 * quantile) as usize];
        let seen = report.latency.quantile(quantile);
        println!("{quantile}: {seen} ns seen, {noted} ns noted");
        assert!((seen - noted).abs() <= noted / 50, "{quantile}: {seen} and {noted}");
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
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("an option");
    let target = socket.local_addr().expect("bound");
    let listener = thread::spawn(move || {
        let mut arrivals = Vec::new();
        while socket.recv_from(&mut [0; 64]).is_ok() {
            arrivals.push(Instant::now());
        }
        arrivals
    });
    offer(target, Pattern::Poisson, 1_000, 10);
    let arrivals = listener.join().expect("the listener");
    let gap = |pair: &[Instant]| (pair[1] - pair[0]).as_secs_f64() * 1_000.0;
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
