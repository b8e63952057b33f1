//! An upstream of known time: the production worker over a real socket, in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use timeball_responder::{PolicyReceiver, Worker};
use timeball_sys::{Backend, Carrier, ListenOptions, UringOptions, listen, realtime};
use timeball_time::{
    Interval, Leap, NtpTimestamp, Publisher, Rate, ReferenceId, Snapshot, Stratum,
};
use timeball_wire::Wait;

/// Truth minus the kernel's clock, nanoseconds: so that whoever serves the kernel's clock is caught.
pub(crate) const OFFSET_NS: i64 = 2_500_000_000;

/// The running upstream; it ends with the process.
#[derive(Clone)]
pub(crate) struct Upstream {
    lie_ns: Arc<AtomicI64>,
    silent: Arc<AtomicBool>,
}

impl Upstream {
    /// Serves the truth on `address`.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let group = listen(&ListenOptions::new(address)).unwrap();
        let upstream = Self { lie_ns: Arc::default(), silent: Arc::default() };
        let control = upstream.clone();
        thread::spawn(move || {
            let mut publisher = Publisher::new(snapshot(0));
            let (carrier, _) =
                Carrier::open(Backend::Mmsg, UringOptions::default(), group.sockets).unwrap();
            let policy = PolicyReceiver::default();
            let mut worker = Worker::new(carrier, publisher.reader(), policy, Arc::default());
            let mut published = 0;
            loop {
                let lie_ns = control.lie_ns.load(Ordering::Relaxed);
                if lie_ns != published {
                    publisher.publish(snapshot(lie_ns));
                    published = lie_ns;
                }
                let silent = control.silent.load(Ordering::Relaxed);
                if silent || worker.turn(Wait::Poll).unwrap() == 0 {
                    thread::sleep(Duration::from_micros(500));
                }
            }
        });
        upstream
    }

    /// From now on it is so far off.
    pub(crate) fn lie(&self, by_ns: i64) {
        self.lie_ns.store(by_ns, Ordering::Relaxed);
    }

    /// From now on it answers nobody, or everybody.
    pub(crate) fn be_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }
}

fn snapshot(lie_ns: i64) -> Snapshot {
    let (now, offset) = (realtime(), Interval::from_nanos(OFFSET_NS + lie_ns));
    Snapshot {
        leap: Leap::None,
        stratum: Stratum::new(1),
        reference_id: ReferenceId::from_octets(*b"TEST"),
        reference_time: NtpTimestamp::floor(now + offset),
        root_dispersion: Interval::from_micros(10),
        dispersion_rate: Rate::ZERO,
        offset,
        ..Snapshot::unsynchronised(now, -24)
    }
}
