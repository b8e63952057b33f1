//! Two workers that answer one after the other, for somebody who looks at their every access.
//!
//! They are made in the order in which the server makes them. Whoever is not at work waits in the kernel, so
//! that nobody else's accesses are among a worker's.
//!
//! Must never: spin, or let two threads run at once.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use timeball_responder::{
    Access, AccessRule, Census, Clerk, Counters, HashKey, LimitMode, LimitSettings, Limits,
    Network, Policy, PolicyReceiver, Restrictions, Worker, worker_exchange,
};
use timeball_sys::{Backend, Carrier, ListenOptions, ServerSocket, UringOptions, listen, realtime};
use timeball_time::{Leap, Publisher, Reader, Snapshot};
use timeball_wire::{Flags, Header, Mode, Wait};

/// What the two have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Together {
    /// What workers of the server have: nothing that they write.
    Nothing,
    /// What they must not have.
    Counters,
}

impl Together {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Counters => "counters",
        }
    }
}

/// Stores here tell where a worker's accesses begin and end: two for each.
pub(crate) static MARKS: [CachePadded<AtomicU64>; 2 * WORKERS] =
    [const { CachePadded::new(AtomicU64::new(0)) }; 2 * WORKERS];

/// What a worker's thread needs.
struct Job {
    backend: Backend,
    sockets: Vec<ServerSocket>,
    clock: Reader,
    policy: PolicyReceiver,
    counters: Arc<CachePadded<Counters>>,
    clerk: Clerk,
    /// By which it is told to go on, and tells that it has come so far.
    cue: UnixStream,
}

/// A worker's thread, seen from outside.
struct Hand {
    address: SocketAddr,
    cue: UnixStream,
}

/// What lackey looks at.
pub(crate) fn run(backend: &str, together: &str) -> ExitCode {
    let backend = if backend == "uring" { Backend::Uring } else { Backend::Mmsg };
    // Among valgrind's own lines, at once and by itself, so that it comes before what it explains.
    let marks = format!("\nmarks {:x} {}\n", MARKS.as_ptr() as usize, size_of_val(&MARKS));
    std::io::stderr().write_all(marks.as_bytes()).expect("somebody reads");
    let publisher = Publisher::new(Snapshot::unsynchronised(realtime(), -24));
    let policy = Arc::new(limiting());
    let common: Arc<CachePadded<Counters>> = Arc::default();
    let mut hands: Vec<Hand> = (0..WORKERS)
        .map(|number| {
            let own = Arc::default();
            let shares = together == Together::Counters.name();
            let counters = if shares { Arc::clone(&common) } else { own };
            start(number, backend, &publisher, &policy, counters)
        })
        .collect();
    for hand in &mut hands {
        ask(hand.address);
        hand.signal();
        hand.wait();
    }
    ExitCode::SUCCESS
}

fn start(
    number: usize,
    backend: Backend,
    publisher: &Publisher,
    policy: &Arc<Policy>,
    counters: Arc<CachePadded<Counters>>,
) -> Hand {
    let group = listen(&ListenOptions::new("127.0.0.1:0".parse().expect("an address")))
        .expect("a free port");
    let (cue, theirs) = UnixStream::pair().expect("two sockets");
    let (_sender, policy) = worker_exchange(Arc::clone(policy));
    let job = Job {
        backend,
        sockets: group.sockets,
        clock: publisher.reader(),
        policy,
        counters,
        clerk: Clerk::new(Arc::new(Census::new(HashKey([1, 2])))),
        cue: theirs,
    };
    std::thread::spawn(move || work(number, job));
    let mut hand = Hand { address: group.address, cue };
    hand.wait();
    hand
}

fn work(number: usize, job: Job) {
    let Job { backend, sockets, clock, policy, counters, clerk, mut cue } = job;
    let (carrier, _) = Carrier::open(backend, UringOptions::default(), sockets).expect("a carrier");
    let mut worker = Worker::new(carrier, clock, policy, counters).with_clerk(clerk);
    let (mut word, tell) = ([0], [0]);
    cue.write_all(&tell).expect("somebody waits");
    cue.read_exact(&mut word).expect("told to go on");
    // Until whoever gave the cue waits in the kernel.
    (0..YIELDS).for_each(|_| std::thread::yield_now());
    MARKS[2 * number].store(1, Ordering::SeqCst);
    let mut answered = 0;
    while answered < REQUESTS {
        answered += worker.turn(Wait::Block).expect("a carrier that carries");
    }
    MARKS[2 * number + 1].store(1, Ordering::SeqCst);
    cue.write_all(&tell).expect("somebody waits");
    // Until the process ends: nothing is torn down while the other is looked at.
    let _ = cue.read(&mut word);
}

impl Hand {
    fn wait(&mut self) {
        self.cue.read_exact(&mut [0]).expect("the worker lives");
    }

    fn signal(&mut self) {
        self.cue.write_all(&[0]).expect("the worker lives");
    }
}

/// Sends what one worker is to answer, from several clients.
fn ask(server: SocketAddr) {
    let mut request =
        Header::new(Flags { leap: Leap::None, version: 4, mode: Mode::Client }).encode();
    for number in 0..CLIENTS {
        let client =
            UdpSocket::bind((Ipv4Addr::new(127, 0, 1, 1 + number as u8), 0)).expect("loopback");
        for turn in 0..REQUESTS / CLIENTS {
            // A transmit timestamp of its own.
            request[47] = turn as u8;
            client.send_to(&request, server).expect("there is room");
        }
    }
}

/// Limits for everybody, which are observed: each request is judged, and answered.
fn limiting() -> Policy {
    let settings =
        LimitSettings { mode: LimitMode::Observe, clients: 4096, ..LimitSettings::USUAL };
    let everybody = AccessRule {
        network: Network::new([0; 4].into(), 0).expect("no bits"),
        from_ntp_port: false,
        restrictions: Restrictions::LIMITED,
    };
    let (access, limits) = (Access::new(&[everybody]), Limits::new(&settings, HashKey([1, 2])));
    Policy { access, limits, ..Policy::default() }
}

const WORKERS: usize = 2;
/// As many as a receive buffer holds.
const REQUESTS: usize = 192;
const CLIENTS: usize = 8;
const YIELDS: usize = 200;
