//! The generator against real sockets: every request answered by a plain echo is counted as
//! answered, and every way in which a server can misbehave is counted under its own name.

mod answer;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use answer::{now_ntp, reply_to, serve};
use timeball_load::{Expectation, Fault, Load, Options, Pattern, Population, Report, run};
use timeball_sys::baseline;

fn options(target: SocketAddr, requests_max: u32) -> Options {
    let population = "127.0.0.0/8".parse::<Population>().expect("a network");
    let mut options = Options::new(target, population);
    options.requests_max = requests_max;
    options.duration = Duration::from_secs(10);
    options
}

fn offer(options: &Options) -> Report {
    run(options, &AtomicBool::new(false)).expect("a run")
}

/// Runs 16 requests against a server that spoils every reply in one way.
fn faults(
    expectation: Expectation,
    spoil: impl Fn(u64, [u8; 48], &dyn Fn(&[u8])) + Send + 'static,
) -> Report {
    let mut options = options(serve(spoil), 16);
    options.load = Load::Closed { window: 16 };
    options.timeout = Duration::from_millis(300);
    options.expectation = expectation;
    offer(&options)
}

#[test]
fn a_closed_loop_against_either_plain_echo_is_answered_in_full() {
    for batched in [true, false] {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let mut options = options(socket.local_addr().expect("bound"), 2_000);
        std::thread::spawn(move || {
            if batched { baseline::serve_mmsg(&socket) } else { baseline::serve_single(&socket) }
        });
        options.load = Load::Closed { window: 32 };
        options.timeout = Duration::from_secs(5);
        options.stamp_one_in = 3;
        let report = offer(&options);
        assert_eq!((report.sent, report.answered, report.lost), (2_000, 2_000, 0), "{report:?}");
        assert!(report.faults.total() == 0, "{report:?}");
        assert_eq!(report.causality_violations, 0);
        assert_eq!(report.latency.count(), 2_000);
        assert_eq!(report.offset.count(), 667, "one in three was stamped");
        assert!(
            report.latency.quantile(0.0) > 0 && report.receive_error.quantile(0.0) >= 0,
            "{report:?}"
        );
    }
}

#[test]
fn an_open_loop_counts_from_the_intended_moment_and_from_several_ports() {
    // As many as a socket's default buffer holds: a stub that is kept waiting loses none.
    const ALL: u32 = 192;
    let address = serve(|_, reply, send| send(&reply));
    let mut options = options(address, ALL);
    options.load = Load::Open { pattern: Pattern::Bursts { size: 64 }, rate_hz: 6_400 };
    options.ports = 4;
    options.timeout = Duration::from_secs(5);
    let report = offer(&options);
    assert_eq!((report.sent + report.unsent, report.lost), (u64::from(ALL), 0), "{report:?}");
    assert_eq!(report.answered, report.sent);
    assert_eq!(report.lag.count(), u64::from(ALL));
    // A reply cannot come before its request was handed over, and that is never before the
    // intention.
    let (lag, latency) = (report.lag.distribution(), report.latency.distribution());
    assert!(lag.min_ns >= 0 && latency.min_ns > lag.min_ns, "{lag:?} {latency:?}");
    assert!(report.elapsed_s >= 0.02, "two pauses of ten milliseconds: {report:?}");
}

#[test]
fn every_misbehaviour_has_its_name() {
    type Spoil = fn(u64, [u8; 48], &dyn Fn(&[u8]));
    let cases: [(Fault, Spoil); 9] = [
        (Fault::Long, |_, reply, send| send(&[&reply[..], &[0; 4]].concat())),
        (Fault::Short, |_, reply, send| send(&reply[..47])),
        (Fault::Mode, |_, reply, send| send(&with(reply, 0, &[0x25]))),
        (Fault::Version, |_, reply, send| send(&with(reply, 0, &[0x1C]))),
        (Fault::Leap, |_, reply, send| send(&with(reply, 0, &[0xE4]))),
        (Fault::Stratum, |_, reply, send| send(&with(reply, 1, &[0]))),
        (Fault::ZeroTime, |_, reply, send| send(&with(reply, 40, &[0; 8]))),
        (Fault::Origin, |_, reply, send| send(&with(reply, 24, &[1; 8]))),
        (Fault::ReceivedBeforeSent, |_, reply, send| {
            send(&with(reply, 32, &(now_ntp() - (1 << 32)).to_be_bytes()));
        }),
    ];
    for (fault, spoil) in cases {
        let report = faults(Expectation::Server, spoil);
        assert_eq!(report.faults_of(fault), 16, "{fault:?}: {report:?}");
        assert_eq!(report.answered, 0, "{fault:?}");
        assert_eq!(report.causality_violations, if fault.is_causality() { 16 } else { 0 });
    }
}

#[test]
fn times_from_the_future_and_backwards_are_told_apart() {
    let future = faults(Expectation::Server, |_, reply, send| {
        send(&with(reply, 40, &(now_ntp() + (1 << 32)).to_be_bytes()));
    });
    assert_eq!(future.faults_of(Fault::ArrivedBeforeTransmitted), 16, "{future:?}");
    let backwards = faults(Expectation::Server, |_, reply, send| {
        send(&with(reply, 32, &(now_ntp() + (1 << 32)).to_be_bytes()));
    });
    assert_eq!(backwards.faults_of(Fault::TransmittedBeforeReceived), 16, "{backwards:?}");
}

#[test]
fn the_second_reply_to_a_request_is_a_duplicate_and_not_an_answer() {
    let report = faults(Expectation::Server, |_, reply, send| {
        send(&reply);
        send(&reply);
    });
    assert_eq!(report.answered, 16, "{report:?}");
    // The last one may come when nobody listens any more.
    assert!(report.faults_of(Fault::Duplicate) >= 15, "{report:?}");
}

#[test]
fn a_reply_from_another_address_is_a_stray_and_the_request_lost() {
    let report = {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let other = UdpSocket::bind("127.0.0.2:0").expect("loopback");
        let mut options = options(socket.local_addr().expect("bound"), 4);
        std::thread::spawn(move || {
            let mut bytes = [0; 48];
            while let Ok((_, source)) = socket.recv_from(&mut bytes) {
                let _ = other.send_to(&reply_to(&bytes), source);
            }
        });
        options.timeout = Duration::from_millis(200);
        offer(&options)
    };
    assert_eq!((report.faults_of(Fault::Stray), report.lost), (4, 4), "{report:?}");
}

#[test]
fn unanswered_requests_are_lost_and_the_window_goes_on() {
    let report = faults(Expectation::Server, |number, reply, send| {
        if number % 2 == 0 {
            send(&reply);
        }
    });
    assert_eq!((report.answered, report.lost), (8, 8), "{report:?}");
}

#[test]
fn a_raised_flag_ends_the_run_and_keeps_what_was_counted() {
    let stop = AtomicBool::new(false);
    stop.store(true, Ordering::Relaxed);
    let options = options("127.0.0.1:9".parse().expect("an address"), 1_000);
    let report = run(&options, &stop).expect("a report");
    assert!(report.interrupted && report.sent == 0 && report.elapsed_s < 9.0, "{report:?}");
}

#[test]
fn a_target_that_is_not_this_machine_is_refused() {
    let options = options("192.0.2.1:123".parse().expect("an address"), 1);
    let refused = run(&options, &AtomicBool::new(false));
    assert!(matches!(refused, Err(timeball_load::LoadError::OutOfScope(_))));
}

#[test]
fn a_report_survives_its_way_to_another_process() {
    let report = faults(Expectation::Server, |_, reply, send| send(&reply));
    let text = serde_json::to_string(&report).expect("plain numbers");
    let back: Report = serde_json::from_str(&text).expect("the same");
    assert_eq!((back.answered, back.latency), (report.answered, report.latency));
}

fn with(mut reply: [u8; 48], at: usize, value: &[u8]) -> [u8; 48] {
    reply[at..at + value.len()].copy_from_slice(value);
    reply
}
