//! The load generator's programs over a `veth` in a network namespace: their requests are right in every
//! octet, and what is wrong with a reply is seen, whatever it is.
//!
//! That takes root; without, every test says that it was skipped.

#[path = "../fast_path/frame.rs"]
#[expect(dead_code, reason = "more is compared elsewhere")]
mod frame;
#[path = "../network/namespace.rs"]
mod namespace;
mod stub;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use frame::Frame;
use namespace::{in_namespace, ip};
use stub::{CASES, Case, SERVER, Stub};
use timeball_sys::traffic::driver::{
    Account, Companion, Company, Driver, DriverError, DriverOptions, FAULTS, Flaw, Measure,
    Moments, Watch,
};
use timeball_sys::traffic::{Link, MacAddress};
use timeball_sys::xdp::{Mode, Program};
use timeball_sys::{Interface, realtime};
use timeball_time::Interval;

fn options(target: &str, network: (&str, u8), moments: Moments) -> DriverOptions {
    let target: SocketAddr = target.parse().expect("an address");
    let mut request = [0; 48];
    request[0] = 0x23;
    let first: IpAddr = network.0.parse().expect("an address");
    DriverOptions {
        target,
        link: Link {
            interface: index_of("client"),
            local: MacAddress::new(frame::CLIENT),
            next_hop: MacAddress::new(SERVER),
            first_port: 40_000,
            ports: 3,
        },
        network: (first, network.1),
        first_client: first,
        clients: 200,
        request,
        reply_mode: 4,
        moments,
        batch: 64,
        requests_max: u32::MAX,
        room: 1 << 12,
        is_echo: false,
        has_one_clock: true,
        company: Company::default(),
        salt: 0x0123_4567_89AB_CDEF,
        seed: 7,
    }
}

/// Two devices; a `veth` takes frames from programs only while its other end has one.
fn with_devices(test: impl FnOnce(&Program) + Send + 'static) {
    in_namespace(|| {
        ip(
            "link add client address 02:00:00:00:00:0c type veth peer name server address 02:00:00:00:00:0e",
        )?;
        ip("link set client up")?;
        ip("link set server up")?;
        match Program::load() {
            Ok(program) => test(&program),
            Err(error) => eprintln!("skipped: {error}"),
        }
        Ok(())
    });
}

fn index_of(name: &str) -> u32 {
    let all = Interface::all().expect("netlink");
    all.iter().find(|one| one.name == name).expect("made above").index
}

/// Lends the kernel a thread while `work` is done, which is told how to wait.
fn lending<T>(
    driver: &Driver,
    work: impl FnOnce(&dyn Fn(&str, &mut dyn FnMut() -> bool)) -> T,
) -> T {
    /// However the work ends, the thread comes back.
    struct Recall<'a>(&'a Driver, thread::ScopedJoinHandle<'a, Result<(), DriverError>>);
    impl Drop for Recall<'_> {
        fn drop(&mut self) {
            self.0.stop();
            while !self.1.is_finished() {
                self.0.recall();
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    thread::scope(|scope| {
        let lent = Recall(driver, scope.spawn(|| driver.offer()));
        let deadline = Instant::now() + Duration::from_secs(60);
        work(&|what, is_so| {
            while !is_so() {
                assert!(!lent.1.is_finished() && Instant::now() < deadline, "{what}");
                thread::sleep(Duration::from_millis(1));
            }
        })
    })
}

/// Offers until `is_enough`; then waits for what is still in flight.
fn offer(driver: &Driver, length: Interval, mut is_enough: impl FnMut() -> bool) -> Account {
    lending(driver, |until| {
        until("the kernel begins", &mut || driver.is_awake());
        let start = realtime();
        driver.begin(start, start + length);
        until("enough was sent", &mut || is_enough());
        driver.stop();
        until("sending ends", &mut || driver.ended().is_some());
    });
    let mut watch = driver.watch();
    await_replies(&mut watch);
    watch.take()
}

/// Until nothing is in flight, or half a second has passed since it was sent.
fn await_replies(watch: &mut Watch<'_>) {
    while watch.give_up(realtime() - Interval::from_millis(500)).expect("frames leave") {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn requests_are_right_in_every_octet_and_come_from_every_client() {
    with_devices(|program| {
        let server = index_of("server");
        let _at = program.attach(server, Mode::Native).expect("an interface");
        let families = [
            ("192.0.2.1:123", ("10.77.0.0", 16)),
            ("[2001:db8::1]:123", ("2001:db8:9:0:0:0:0:fff0", 64)),
        ];
        for (target, network) in families {
            let mut stub = Stub::at(server);
            let options = DriverOptions {
                requests_max: 800,
                ..options(target, network, Moments::Poisson(1_000))
            };
            let driver = Driver::open(options.clone()).expect("root may");
            let (mut clients, mut nonces) = (HashSet::new(), HashSet::new());
            let account = offer(&driver, Interval::from_secs(100), || {
                while let Some(request) = stub.receive() {
                    assert_eq!(request.to, options.target);
                    assert_eq!((request.destination, request.source), (SERVER, frame::CLIENT));
                    assert!(request.dont_fragment || target.starts_with('['));
                    assert_eq!(request.payload[..40], [&[0x23][..], &[0; 39]].concat());
                    clients.insert(request.from);
                    nonces.insert(request.payload[40..].to_vec());
                }
                // A machine that stands still for a moment drops what its queues cannot hold.
                clients.len() == 200 && nonces.len() > 600
            });
            assert!(account.sent <= 800 && account.lost == account.sent, "{account:?}");
            let first: IpAddr = network.0.parse().expect("an address");
            assert!(clients.contains(&SocketAddr::new(first, 40_000)), "the first client asks");
            let ports: HashSet<u16> = clients.iter().map(SocketAddr::port).collect();
            assert_eq!(ports, HashSet::from([40_000, 40_001, 40_002]));
        }
    });
}

#[test]
fn each_wrong_reply_is_counted_by_its_reason_and_none_in_the_latency() {
    with_devices(|program| {
        let server = index_of("server");
        let _at = program.attach(server, Mode::Native).expect("an interface");
        let families =
            [("192.0.2.1:123", ("10.77.0.0", 16)), ("[2001:db8::1]:123", ("2001:db8:9::", 64))];
        for (target, network) in families {
            let mut stub = Stub::at(server);
            let all = (CASES.len() * ROUNDS) as u32;
            let options = DriverOptions {
                requests_max: all,
                ..options(target, network, Moments::Constant(500))
            };
            let driver = Driver::open(options).expect("root may");
            let cases = CASES.iter().filter(|case| case.is_for(target));
            let mut expected = [0; FAULTS];
            cases
                .clone()
                .filter_map(Case::fault)
                .for_each(|fault| expected[fault] += ROUNDS as u64);
            let wrong = cases.filter(|case| !case.is_valid()).count();
            let mut answered = 0;
            let account = offer(&driver, Interval::from_secs(100), || {
                while let Some(request) = stub.receive() {
                    stub.answer(&request, &CASES[answered % CASES.len()]);
                    answered += 1;
                }
                // What was sent last has come to the programs, too.
                answered == all as usize && driver.watch().take().faults == expected
            });
            assert_eq!(account.faults, expected, "{target}");
            assert_eq!(account.answered, ((CASES.len() - wrong) * ROUNDS) as u64, "{target}");
            let causality: u64 = expected[stub::RECEIVED_BEFORE_SENT..][..3].iter().sum();
            assert_eq!(account.causality_violations, causality, "{target}");
            assert_eq!(account.sent, account.answered + causality + account.lost, "{target}");
            let latencies = account.values.iter().filter(|value| value.measure == Measure::Latency);
            assert_eq!(latencies.map(|value| value.count).sum::<u64>(), account.answered);
            assert!(account.sums_ns[Measure::Latency as usize] > 0);
        }
    });
}

#[test]
fn what_is_not_for_a_client_goes_on_to_the_kernel() {
    with_devices(|program| {
        let server = index_of("server");
        let _at = program.attach(server, Mode::Native).expect("an interface");
        ip("addr add 203.0.113.2/24 dev client").expect("an address");
        ip("addr add 10.77.0.5/32 dev client").expect("an address of a client");
        let options = options("192.0.2.1:123", ("10.77.0.0", 16), Moments::Constant(1_000));
        let driver = Driver::open(options).expect("root may");
        let mut stub = Stub::at(server);
        let account = offer(&driver, Interval::from_millis(50), || driver.ended().is_some());
        assert_eq!(account.faults.iter().sum::<u64>(), 0);
        // Another host's datagram, and one to a client's address by another port.
        for to in ["203.0.113.2:40001", "10.77.0.5:39999"] {
            let socket = std::net::UdpSocket::bind(to).expect("its port");
            socket.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
            stub.send_to(to.parse().expect("an address"));
            let (len, _) = socket.recv_from(&mut [0; 64]).expect("it passes");
            assert_eq!(len, 48);
        }
        assert_eq!(driver.watch().take().faults.iter().sum::<u64>(), 0);
    });
}

#[test]
fn a_closed_loop_keeps_its_window_and_goes_on_when_replies_are_lost() {
    with_devices(|program| {
        let server = index_of("server");
        let _at = program.attach(server, Mode::Native).expect("an interface");
        let mut stub = Stub::at(server);
        let options = options("192.0.2.1:123", ("10.77.0.0", 16), Moments::Window(8));
        let driver = Driver::open(options).expect("root may");
        let mut seen = 0;
        let mut watch = driver.watch();
        offer(&driver, Interval::from_secs(100), || {
            watch.give_up(realtime() - Interval::from_millis(200)).expect("frames leave");
            while let Some(request) = stub.receive() {
                // The first eight are never answered, which frees their room later.
                if seen >= 8 {
                    stub.answer(&request, &CASES[0]);
                }
                seen += 1;
            }
            seen >= 100
        });
        let account = watch.take();
        assert!(account.answered >= 80, "{account:?}");
        assert!(account.lost >= 8 && account.lost <= 16, "{}", account.lost);
    });
}

#[test]
fn companions_go_along_as_they_are_and_replies_to_them_are_counted_apart() {
    with_devices(|program| {
        let server = index_of("server");
        let _at = program.attach(server, Mode::Native).expect("an interface");
        let mut stub = Stub::at(server);
        let mut payload = vec![0; 48];
        payload[..3].copy_from_slice(&[0x23, 0, 9]);
        let companion = Companion { port: 123, payload: payload.clone(), flaw: None };
        // Nobody sees the spoilt ones, or the test would fail.
        let flaws = [Flaw::DatagramSum, Flaw::Header, Flaw::Protocol, Flaw::Cut];
        let spoilt = flaws.map(|flaw| Companion { flaw: Some(flaw), ..companion.clone() });
        let members = [vec![companion], spoilt.into()].concat();
        let company = Company { members, each: 5, with: 2, reply_len: 48 };
        let moments = Moments::Constant(1_000);
        let options =
            DriverOptions { company, ..options("192.0.2.1:123", ("10.77.0.0", 16), moments) };
        let driver = Driver::open(options).expect("root may");
        let mut seen = 0;
        let account = offer(&driver, Interval::from_secs(100), || {
            while let Some(frame) = stub.receive_any() {
                let Some(request) = Frame::read(&frame) else { continue };
                let is_companion = request.from.port() == 40_003;
                assert_eq!(is_companion, request.payload == payload, "{request:?}");
                seen += u64::from(is_companion);
                stub.answer(&request, &CASES[0]);
            }
            seen >= 100
        });
        // Five with every other request; of each five one is answered, but for what a queue drops.
        let expected = account.sent / 2 * 5;
        assert!(account.along <= expected && account.along + 5 > expected, "{account:?}");
        assert!((50..=account.along / 5 + 1).contains(&account.along_answered), "{account:?}");
        assert_eq!(account.faults.iter().sum::<u64>(), 0, "{account:?}");
        assert!(account.answered > 0 && account.answered + account.lost == account.sent);
    });
}

#[test]
fn a_device_without_room_for_programs_frames_and_one_with_a_program_are_told() {
    with_devices(|program| {
        // Nobody is at the other end.
        let options = options("192.0.2.1:123", ("10.77.0.0", 16), Moments::Constant(100_000));
        let driver = Driver::open(options.clone()).expect("root may");
        lending(&driver, |until| {
            driver.begin(realtime(), realtime() + Interval::from_secs(60));
            let mut watch = driver.watch();
            let mut error = None;
            until("somebody notices", &mut || {
                error = watch.give_up(realtime() - Interval::from_secs(9)).err();
                error.is_some()
            });
            assert!(matches!(error, Some(DriverError::Refused { .. })), "{error:?}");
        });
        drop(driver);
        let _at = program.attach(index_of("client"), Mode::Native).expect("an interface");
        let error = Driver::open(options).expect_err("somebody else's program");
        assert!(matches!(error, DriverError::Taken { .. }), "{error}");
    });
}

/// How often each kind of reply is given.
const ROUNDS: usize = 4;
