//! Where server and clients meet: on loopback, or over a `veth` between two namespaces.
//!
//! Must never: make a difference to what is measured but the network between the two.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::{Attempt, BenchError};
use crate::host::is_root;
use crate::namespace::{POPULATION, Pair, SERVER};

/// The kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum On {
    /// 127.0.0.0/8; needs no privilege.
    Loopback,
    /// Two network namespaces joined by a veth; needs root.
    Veth,
}

impl On {
    /// Its name on the command line and in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Veth => "veth",
        }
    }
}

/// Who takes the packets that arrive for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// Whoever sent them: the clients' core.
    Sender,
    /// The server's core in software interrupts, as a network card would have it.
    ServerCore,
    /// A kernel thread on the server's core, at this real-time priority.
    Thread(u8),
}

/// A network that is up.
#[derive(Debug)]
pub(crate) enum Place {
    /// 127.0.0.0/8 of a namespace of ours, or the machine's own.
    Loopback(Option<Pair>),
    /// Two namespaces of ours.
    Veth(Pair),
}

impl Place {
    /// Makes the network.
    pub(crate) fn make(on: On, arrivals: Arrivals, core: usize) -> Result<Self, BenchError> {
        match on {
            On::Loopback if is_root() => Ok(Self::Loopback(Some(Pair::make()?))),
            On::Loopback => Ok(Self::Loopback(None)),
            On::Veth => {
                let pair = Pair::make()?;
                match arrivals {
                    Arrivals::Sender => {}
                    Arrivals::ServerCore => pair.steer_arrivals(core)?,
                    Arrivals::Thread(priority) => pair.thread_arrivals(core, priority)?,
                }
                Ok(Self::Veth(pair))
            }
        }
    }

    /// An address for a server that is started now; `port` is the only one it can serve on.
    pub(crate) fn address(&self, port: Option<u16>) -> Result<SocketAddr, BenchError> {
        let ip = match self {
            Self::Loopback(_) => LOOPBACK,
            Self::Veth(_) => SERVER,
        };
        match (self, port) {
            (Self::Loopback(None), Some(port)) => Err(BenchError::NotPermitted(format!(
                "a server that must have port {port} runs in a namespace only, which takes root; leave it \
                 out with --only"
            ))),
            (_, Some(port)) => Ok(SocketAddr::new(ip, port)),
            (Self::Loopback(None), None) => {
                let socket = UdpSocket::bind((ip, 0));
                let socket = socket.attempting(|| "finding a free port".to_owned())?;
                socket.local_addr().attempting(|| "finding a free port".to_owned())
            }
            // The namespace is ours alone, but a ring can hold a killed server's socket for a
            // moment.
            _ => {
                let turn = TURNS.fetch_add(1, Ordering::Relaxed) % PORTS;
                Ok(SocketAddr::new(ip, PORT_FIRST + turn))
            }
        }
    }

    /// The clients' network.
    pub(crate) const fn population(&self) -> (IpAddr, u8) {
        match self {
            Self::Loopback(_) => (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
            Self::Veth(_) => POPULATION,
        }
    }

    /// What goes before a server's command.
    pub(crate) fn server_prefix(&self) -> Vec<String> {
        match self {
            Self::Loopback(None) => Vec::new(),
            Self::Loopback(Some(pair)) | Self::Veth(pair) => pair.server_prefix(),
        }
    }

    /// What goes before the generator's command.
    pub(crate) fn client_prefix(&self) -> Vec<String> {
        match self {
            Self::Loopback(None) => Vec::new(),
            Self::Loopback(Some(pair)) => pair.server_prefix(),
            Self::Veth(pair) => pair.clients_prefix(),
        }
    }
}

static TURNS: AtomicU16 = AtomicU16::new(0);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORT_FIRST: u16 = 11_123;
const PORTS: u16 = 10_000;
