//! Who asks, and what: senders share a load out among themselves, answers to hostile packets are told
//! apart from everything else, and what a server does to one cohort is seen there.

mod answer;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use answer::{reply_to, serve};
use timeball_load::{Chatty, Fault, Load, Options, Pattern, Report, Senders, run};

fn options(target: SocketAddr) -> Options {
    let mut options = Options::new(target, "127.0.0.0/8".parse().expect("a network"));
    options.load = Load::Open { pattern: Pattern::Constant, rate_hz: 1_000 };
    options.duration = Duration::from_millis(600);
    options.timeout = Duration::from_secs(1);
    options
}

fn offer(options: &Options) -> Report {
    run(options, &AtomicBool::new(false)).expect("a run")
}

#[test]
fn three_senders_together_offer_exactly_what_one_would() {
    let target = serve(|_, reply, send| send(&reply));
    let patterns = [Pattern::Constant, Pattern::Bursts { size: 20 }, Pattern::Crowd];
    for pattern in patterns {
        let mut options = options(target);
        options.load = Load::Open { pattern, rate_hz: 1_000 };
        options.senders = Senders::Floating(3);
        let report = offer(&options);
        // Of a crowd, 600 ms see the one turn of a second.
        let due = if pattern == Pattern::Crowd { 1_000 } else { 600 };
        assert_eq!(report.sent + report.unsent + report.missed, due, "{pattern:?}: {report:?}");
        assert_eq!(report.answered + report.lost, report.sent, "{pattern:?}");
        // The stub's own buffer holds no more than some hundred at once.
        assert!(report.answered > 100, "{pattern:?}: {report:?}");
    }
}

#[test]
fn answers_to_hostile_packets_are_counted_apart_and_with_their_size() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let target = socket.local_addr().expect("bound");
    // Answers requests rightly, and what is shorter with thrice as much; the rest not at all.
    std::thread::spawn(move || {
        let mut bytes = [0; 2_048];
        while let Ok((len, source)) = socket.recv_from(&mut bytes) {
            let _ = match <&[u8; 48]>::try_from(&bytes[..len]) {
                Ok(request) => socket.send_to(&reply_to(request), source),
                Err(_) if len < 48 => socket.send_to(&bytes[..len * 3], source),
                Err(_) => Ok(0),
            };
        }
    });
    let mut options = options(target);
    options.mix = "v4=4,short=1,mode6=1,mode7=1,long=1,bad-field=1".parse().expect("a mix");
    let report = offer(&options);
    let hostile = &report.hostile;
    for provocation in [hostile.short, hostile.mode6, hostile.mode7] {
        assert!(provocation.sent > 20 && provocation.answered > 0, "{hostile:?}");
        // None of the buffers here holds less than all of it.
        assert!(provocation.answered <= provocation.sent, "{hostile:?}");
        let ratio = provocation.octets_sent / provocation.sent * 3;
        assert_eq!(provocation.octets_answered, provocation.answered * ratio, "{hostile:?}");
    }
    assert_eq!(hostile.long.answered + hostile.bad_field.answered, 0, "{hostile:?}");
    let faults = report.faults.total() - report.faults_of(Fault::Late);
    assert_eq!((faults, report.answered), (0, report.sent - report.lost));
    assert_eq!(report.latency.count(), report.answered, "nothing hostile is in the latency");
}

#[test]
fn an_abuser_that_is_sent_away_is_seen_as_such_and_the_others_are_not_touched() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let target = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut bytes = [0; 48];
        while let Ok((_, source)) = socket.recv_from(&mut bytes) {
            let mut reply = reply_to(&bytes);
            // The network's first client.
            if source.ip().to_string() == "127.0.0.1" {
                reply[0] = 0xE4;
                reply[1] = 0;
                reply[12..16].copy_from_slice(b"RATE");
            }
            let _ = socket.send_to(&reply, source);
        }
    });
    let mut options = options(target);
    options.behaviour.abuser_share = 0.3;
    options.behaviour.chatty = Chatty { share: 0.2, clients: 5 };
    let report = offer(&options);
    let cohorts = report.cohorts;
    assert!(cohorts.abuser.sent > 100 && cohorts.chatty.sent > 50, "{cohorts:?}");
    assert_eq!(cohorts.abuser.answered, 0, "{cohorts:?}");
    assert_eq!(cohorts.well_behaved.refused + cohorts.chatty.refused, 0, "{cohorts:?}");
    assert_eq!(cohorts.abuser.refused, report.faults_of(Fault::Refused));
    assert!(cohorts.abuser.refused * 2 >= cohorts.abuser.sent, "{cohorts:?}");
    assert!(cohorts.well_behaved.answered * 2 >= cohorts.well_behaved.sent, "{cohorts:?}");
}
