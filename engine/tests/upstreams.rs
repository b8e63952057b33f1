//! Real and known upstreams: what they serve, we serve, to within their jitter, without touching the clock.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Host, Scratch, chronyd, peer, text};
use timeball_responder::{PolicyReceiver, Worker};
use timeball_sys::{Backend, Carrier, ListenOptions, UringOptions, listen, realtime};
use timeball_time::{
    Interval, Leap, LeapKind, LeapMaker, LeapSecond, Publisher, Rate, ReferenceId, Snapshot,
    Stratum, Timestamp,
};
use timeball_wire::Wait;

/// Follows the sources named, in order.
fn config(listen: &str, sources: &[&str]) -> String {
    let source = |address: &&str| format!("[[source]]\naddress = \"{address}\"\n");
    let sources: String = sources.iter().map(source).collect();
    format!("[server]\nlisten = [\"{listen}\"]\n{sources}")
}

/// Asks `server` until it says it is synchronised, and returns its answer.
fn synchronised(host: &Host, server: &str) -> serde_json::Value {
    let deadline = Instant::now() + common::PATIENCE;
    loop {
        let said = host.query(&[server]);
        if said["best"] == server {
            return said["servers"][0]["time"].clone();
        }
        assert!(Instant::now() < deadline, "never synchronised: {said}");
    }
}

#[test]
fn chronyd_is_followed_to_within_its_jitter() {
    let host = Host::new();
    let _upstream = chronyd(&host, &["port 1123", "local stratum 5"]);
    let mut ours = host.serve(&config("127.0.0.1:123", &["127.0.0.1:1123"]));
    ours.wait_for("synchronised");
    let time = synchronised(&host, "127.0.0.1:123");
    assert_eq!(time["stratum"], 6, "{time}");
    assert_eq!(time["reference_id"], "127.0.0.1", "{time}");
    // Both serve one kernel clock, and ours was never touched: what differs is our estimate of theirs.
    assert!(time["offset_s"].as_f64().unwrap().abs() < 500e-6, "{time}");
}

#[test]
fn ntpsec_ntpd_is_followed_to_within_its_jitter() {
    let host = Host::new();
    let config_file = Scratch::file(
        "ntp.conf",
        "refclock local\nfudge 127.127.1.0 stratum 7\ntos orphan 7 orphanwait 0\n",
    );
    let mut command = host.command(peer("ntpsec/usr/sbin/ntpd"));
    command.args(["-n", "-N", "-g", "-c"]).arg(&config_file.path);
    let _upstream = common::Daemon::start(command);
    let _ours = host.serve(&config("127.0.0.1:11123", &["127.0.0.1:123"]));
    let time = synchronised(&host, "127.0.0.1:11123");
    assert!(time["offset_s"].as_f64().unwrap().abs() < 500e-6, "{time}");
}

#[test]
fn a_pool_is_several_servers_of_one_name_and_one_that_goes_is_replaced() {
    let host = Host::new();
    let names = Scratch::file(
        "hosts",
        "127.0.0.2 pool.example.net\n127.0.0.3 pool.example.net\n127.0.0.4 pool.example.net\n",
    );
    let upstream = |address: &str| {
        let bind = format!("bindaddress {address}");
        chronyd(&host, &["port 123", "local stratum 5", &bind])
    };
    let mut upstreams: Vec<_> =
        ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|address| (address, upstream(address))).into();
    let config = "[server]\nlisten = [\"127.0.0.1:11123\"]\n[[source]]\n\
                  address = \"pool.example.net\"\nmax_sources = 2\niburst = false\n\
                  min_poll = 0\nmax_poll = 0\n";
    let server = common::Controlled::named(&host, &names, config);
    let addresses = |report: &serde_json::Value| -> Vec<String> {
        let sources = report["sources"].as_array().unwrap().iter();
        let good = sources.filter(|source| source["reach"].as_u64() > Some(0));
        let address = |source: &serde_json::Value| {
            source["address"].as_str().unwrap_or_default().trim_end_matches(":123").to_owned()
        };
        good.map(address).collect()
    };
    let report = server.wait_until("two servers answer", |report| addresses(report).len() == 2);
    let first = addresses(&report);
    assert_ne!(first[0], first[1], "{report:#}");
    assert_eq!(report["sources"][0]["name"], "pool.example.net:123 (1)");
    upstreams.retain(|(address, _)| *address != first[0]);
    let report = server.wait_until("another has taken its place", |report| {
        let now = addresses(report);
        now.len() == 2 && !now.contains(&first[0])
    });
    assert_eq!(addresses(&report)[1], first[1], "{report:#}");
}

/// The real responder over a real socket, in this process, serving a known time.
struct KnownUpstream {
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl KnownUpstream {
    fn serving(offset: Interval, rate: Rate) -> Self {
        let now = realtime();
        let snapshot = Snapshot {
            leap: Leap::None,
            stratum: Stratum::new(1),
            reference_id: ReferenceId::from_octets(*b"TEST"),
            reference_time: timeball_time::NtpTimestamp::floor(now + offset),
            root_dispersion: Interval::from_micros(10),
            dispersion_rate: Rate::ZERO,
            offset,
            rate,
            ..Snapshot::unsynchronised(now, -24)
        };
        Self::of(snapshot)
    }

    /// That second is inserted `lead` after the start.
    fn leaping(lead: Interval) -> (Self, Interval) {
        let now = realtime();
        let midnight = Timestamp::from_nanos(NEW_YEAR_2027_NS);
        let offset = midnight - lead - now.reinterpret();
        let (kind, made_by) = (LeapKind::Insert, LeapMaker::Mapping);
        let snapshot = Snapshot {
            leap: Leap::Insert,
            stratum: Stratum::new(1),
            reference_id: ReferenceId::from_octets(*b"TEST"),
            reference_time: timeball_time::NtpTimestamp::floor(now + offset),
            dispersion_rate: Rate::ZERO,
            offset,
            leap_second: Some(LeapSecond { midnight, kind, made_by }),
            ..Snapshot::unsynchronised(now, -24)
        };
        (Self::of(snapshot), offset)
    }

    fn of(snapshot: Snapshot) -> Self {
        let group = listen(&ListenOptions::new("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = group.address.to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let publisher = Publisher::new(snapshot);
            let (carrier, _) =
                Carrier::open(Backend::Mmsg, UringOptions::default(), group.sockets).unwrap();
            let mut worker =
                Worker::new(carrier, publisher.reader(), PolicyReceiver::default(), Arc::default());
            while !stopped.load(Ordering::Relaxed) {
                if worker.turn(Wait::Poll).unwrap() == 0 {
                    thread::sleep(Duration::from_micros(200));
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for KnownUpstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// `timeball serve` on loopback, not in a namespace: it has to reach this process.
fn serve(config: &str) -> (common::Daemon, String, Scratch) {
    let file = Scratch::file("timeball.toml", config);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_timeball"));
    command.arg("serve").arg(&file.path);
    let mut daemon = common::Daemon::start(command);
    let line = daemon.wait_for("listening");
    daemon.wait_for("ready");
    let address = line.split_whitespace().last().unwrap().to_owned();
    (daemon, address, file)
}

fn offset_of(server: &str) -> Option<f64> {
    time_of(server)["offset_s"].as_f64()
}

fn time_of(server: &str) -> serde_json::Value {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_timeball"))
        .args(["query", "--json", server])
        .output()
        .unwrap();
    let mut said: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    said["servers"][0]["time"].take()
}

#[test]
fn a_known_offset_is_served_on_and_the_kernel_clock_stays_as_it_is() {
    let upstream = KnownUpstream::serving(Interval::from_millis(2_500), Rate::ZERO);
    let (mut ours, address, _file) = serve(&config("127.0.0.1:0", &[&upstream.address]));
    ours.wait_for("synchronised");
    let offset_s = offset_of(&address).expect("synchronised");
    assert!((offset_s - 2.5).abs() < 500e-6, "{offset_s}");
}

#[test]
fn two_that_agree_win_over_one_that_lies() {
    let honest = [
        KnownUpstream::serving(Interval::from_millis(100), Rate::ZERO),
        KnownUpstream::serving(Interval::from_millis(100), Rate::ZERO),
    ];
    let liar = KnownUpstream::serving(Interval::from_secs(5), Rate::ZERO);
    let sources = [liar.address.as_str(), &honest[0].address, &honest[1].address];
    let (mut ours, address, _file) = serve(&config("127.0.0.1:0", &sources));
    ours.wait_for("synchronised");
    ours.wait_for(&format!("{}: disagrees with the majority", liar.address));
    let offset_s = offset_of(&address).expect("synchronised");
    assert!((offset_s - 0.1).abs() < 500e-6, "{offset_s}");
}

#[test]
fn without_any_answer_the_local_clock_takes_over_and_it_is_said_what_is_waited_for() {
    let config =
        format!("{}[local]\nstratum = 9\nwait_s = 2\n", config("127.0.0.1:0", &["127.0.0.1:9"]));
    let (mut ours, address, _file) = serve(&config);
    assert_eq!(offset_of(&address), None, "not before its time");
    ours.signal("USR1");
    ours.wait_for("waiting for");
    ours.wait_for("serving the local clock");
    let offset_s = offset_of(&address).expect("the local clock");
    assert!(offset_s.abs() < 500e-6, "{offset_s}");
}

#[test]
fn the_frequency_is_kept_in_a_whole_file() {
    let upstream = KnownUpstream::serving(Interval::ZERO, Rate::ZERO);
    let drift = Scratch::file("drift", "not a number\n");
    let config = format!(
        "{}[clock]\ndrift_file = \"{}\"\n",
        config("127.0.0.1:0", &[&upstream.address]),
        drift.path.display()
    );
    let (mut ours, _, _file) = serve(&config);
    // A damaged file is named and costs the head start only.
    ours.wait_for("drift");
    ours.wait_for("synchronised");
    ours.signal("TERM");
    assert_eq!(ours.finish().0, Some(0));
}

#[test]
fn a_restart_serves_at_once_by_the_state_file_even_with_no_upstream_left() {
    let upstream = KnownUpstream::serving(Interval::from_millis(100), Rate::ZERO);
    let state = Scratch::file("state", "timeball state 1\nboot of another kind\n");
    let config = format!(
        "{}[clock]\nstate_file = \"{}\"\n",
        config("127.0.0.1:0", &[&upstream.address]),
        state.path.display()
    );
    let (mut ours, _, _file) = serve(&config);
    ours.wait_for("the state file is damaged; delete it; starting without it");
    ours.wait_for("synchronised");
    let kept = || std::fs::read_to_string(&state.path).unwrap().contains("digest");
    let deadline = Instant::now() + common::PATIENCE;
    while !kept() {
        assert!(Instant::now() < deadline, "not kept");
        std::thread::sleep(Duration::from_millis(20));
    }
    ours.signal("TERM");
    assert_eq!(ours.finish().0, Some(0));
    drop(upstream);
    let (mut ours, address, _file) = serve(&config);
    ours.wait_for("serving by what was known");
    let offset_s = offset_of(&address).expect("at once");
    assert!((offset_s - 0.1).abs() < 1e-3, "{offset_s}");
}

/// 1 January 2027, 00:00:00 UTC.
const NEW_YEAR_2027_NS: i64 = 1_798_761_600_000_000_000;

#[test]
fn a_leap_second_of_an_upstream_is_announced_made_and_smeared() {
    let (upstream, offset) = KnownUpstream::leaping(Interval::from_secs(20));
    let offset_s = offset.as_secs_f64();
    let smeared = "[server]\nlisten_smeared = [\"127.0.0.1:0\"]\nsmear_s = 3600\n";
    let config = config("127.0.0.1:0", &[&upstream.address]).replace("[server]\n", smeared);
    let (mut ours, _, _file) = serve(&config);
    let line = ours.wait_for("listening");
    let [utc, smeared] = line.split_whitespace().skip(1).collect::<Vec<_>>()[..2] else {
        panic!("{line}");
    };
    ours.wait_for("leap second tonight");
    let near = |time: &serde_json::Value, expected_s: f64| {
        let found = time["offset_s"].as_f64().expect("synchronised");
        // Some weeks in an f64 of seconds are good to a nanosecond.
        assert!((found - expected_s).abs() < 1e-3, "{found} {expected_s}");
    };
    let before = time_of(utc);
    assert_eq!(before["leap"], 1, "{before}");
    near(&before, offset_s);
    ours.wait_for("leap second: 23:59:60 UTC is inserted just now");
    let after = time_of(utc);
    assert_eq!(after["leap"], 0, "{after}");
    near(&after, offset_s - 1.0);
    let smeared = time_of(smeared);
    assert_eq!(smeared["leap"], 0, "{smeared}");
    assert!(smeared["reference_id"].as_str().unwrap().starts_with("254."), "{smeared}");
    // In the middle of its window, give or take the seconds this test has taken.
    let behind = smeared["offset_s"].as_f64().unwrap() - offset_s;
    assert!((behind + 0.5).abs() < 0.05, "{behind}");
}
