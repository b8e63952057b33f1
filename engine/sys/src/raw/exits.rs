//! What replies can leave by besides their sockets: opened while there are privileges, kept for the
//! life of the process, and lent to one worker after another.
//!
//! Each worker has a socket for frames that serves all devices, and, by `AF_XDP`, a port at each
//! device: the queue of its own number, if the device has so many. A port lies at its quay until a
//! worker takes it, and again when that worker ends, so that the next of a reload has it. The queue of
//! a port may still be a predecessor's: the pilot binds it once it is free.
//!
//! Must never: open anything after the start.

use std::fmt;
use std::io;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use socket2::Socket;

use super::chart::{Chart, ChartReader};
use super::courier::Berth;
use super::packet;
use super::pilot::Pilot;
use super::port::Port;

/// How replies leave around the kernel's IP layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transmit {
    /// By `AF_PACKET`.
    Packet,
    /// By `AF_XDP` where it can be had, else by `AF_PACKET`.
    Xdp,
}

/// What there is to leave by.
#[derive(Debug)]
pub struct Exits {
    transmit: Transmit,
    chart: Arc<Chart>,
    /// One for each worker.
    sockets: Vec<Socket>,
    quays: Vec<Quay>,
    /// Why some devices have no port, in words.
    notes: Vec<String>,
}

/// Where a port lies that no worker has.
#[derive(Debug)]
struct Quay {
    worker: usize,
    interface: u32,
    /// The device's name.
    name: String,
    port: Arc<ArrayQueue<Port>>,
}

/// One worker's.
#[derive(Debug)]
pub struct Exit {
    pub(super) chart: ChartReader,
    pub(super) packet: Socket,
    pub(super) berths: Vec<Berth>,
}

/// Why there is no way around the kernel's IP layer; the remedy is in the text.
#[derive(Debug, thiserror::Error)]
pub enum ExitsError {
    /// Frames may not be sent.
    #[error(
        "not permitted to send Ethernet frames (AF_PACKET): grant CAP_NET_RAW (systemd: \
         AmbientCapabilities=CAP_NET_RAW), or set transmit = \"socket\""
    )]
    NotPermitted,
    /// Anything else.
    #[error("{step}: {cause}")]
    Other {
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
}

impl Exits {
    /// Opens what `workers` need to transmit so, and returns it with the pilot who is to keep it in
    /// step with the kernel's tables.
    ///
    /// # Errors
    /// [`ExitsError`].
    pub fn open(transmit: Transmit, workers: usize) -> Result<(Self, Pilot), ExitsError> {
        let sockets = (0..workers).map(|_| packet::open()).collect::<io::Result<Vec<_>>>();
        let sockets = sockets.map_err(|cause| match cause.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => ExitsError::NotPermitted,
            _ => ExitsError::Other { step: "opening a socket for frames", cause },
        })?;
        let chart = Arc::<Chart>::default();
        let unreadable = |cause| ExitsError::Other {
            step: "reading the kernel's routes and neighbours (netlink)",
            cause,
        };
        let mut pilot = Pilot::new(Arc::clone(&chart)).map_err(unreadable)?;
        let mut exits = Self { transmit, chart, sockets, quays: Vec::new(), notes: Vec::new() };
        if transmit == Transmit::Xdp {
            exits.open_ports(workers, &mut pilot);
        }
        // Binds what is free, so that the first reply finds its way.
        pilot.turn().map_err(unreadable)?;
        Ok((exits, pilot))
    }

    fn open_ports(&mut self, workers: usize, pilot: &mut Pilot) {
        for (interface, name, queues) in pilot.devices().into_iter().take(DEVICES_MAX) {
            for worker in 0..workers.min(queues as usize) {
                match Port::open(interface, worker as u32) {
                    Ok(port) => {
                        let quay = Arc::new(ArrayQueue::new(1));
                        pilot.moor(port, Arc::clone(&quay));
                        self.quays.push(Quay { worker, interface, name: name.clone(), port: quay });
                    }
                    Err(cause) => {
                        self.notes.push(format!("no AF_XDP on {name} ({cause}): AF_PACKET there"));
                        break;
                    }
                }
            }
        }
    }

    /// What worker `worker` leaves by, and how that is called.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub fn of(&self, worker: usize) -> io::Result<(Exit, String)> {
        let socket = &self.sockets[worker % self.sockets.len()];
        let own = || self.quays.iter().filter(|quay| quay.worker == worker);
        let berth = |quay: &Quay| Berth {
            interface: quay.interface,
            quay: Arc::clone(&quay.port),
            port: None,
        };
        let names: Vec<_> = own().map(|quay| quay.name.as_str()).collect();
        let text = match names.as_slice() {
            [] => "AF_PACKET".to_owned(),
            names => format!("AF_XDP on {}, else AF_PACKET", names.join(", ")),
        };
        let berths = own().map(berth).collect();
        Ok((Exit { chart: self.chart.join(), packet: socket.try_clone()?, berths }, text))
    }

    /// What the operator should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How replies leave.
    pub const fn transmit(&self) -> Transmit {
        self.transmit
    }
}

impl fmt::Display for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packet => "AF_PACKET",
            Self::Xdp => "AF_XDP",
        })
    }
}

/// Devices that get ports; each port locks half a mebibyte.
const DEVICES_MAX: usize = 8;
