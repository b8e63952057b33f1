//! Where server and clients meet: on loopback, or over a `veth` between two namespaces.
//!
//! Must never: make a difference to what is measured but the network between the two.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use clap::ValueEnum;
use serde::Serialize;

use crate::error::{Attempt, BenchError};
use crate::namespace::{POPULATION, Pair, SERVER};

/// The kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum On {
    /// 127.0.0.0/8; needs no privilege.
    Loopback,
    /// Two network namespaces joined by a veth; needs root.
    Veth,
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
    /// The machine's own.
    Loopback,
    /// Ours.
    Veth(Pair),
}

impl Place {
    /// Makes the network.
    pub(crate) fn make(on: On, arrivals: Arrivals, core: usize) -> Result<Self, BenchError> {
        match on {
            On::Loopback => Ok(Self::Loopback),
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

    /// An address for a server that is started now.
    pub(crate) fn free_address(&self) -> Result<SocketAddr, BenchError> {
        match self {
            Self::Loopback => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
                let socket = socket.attempting(|| "finding a free port".to_owned())?;
                socket.local_addr().attempting(|| "finding a free port".to_owned())
            }
            // The namespace is ours alone, but a ring can hold a killed server's socket for a
            // moment.
            Self::Veth(_) => {
                let turn = VETH_TURNS.fetch_add(1, Ordering::Relaxed) % VETH_PORTS;
                Ok(SocketAddr::new(SERVER, VETH_PORT_FIRST + turn))
            }
        }
    }

    /// The clients' network.
    pub(crate) const fn population(&self) -> (IpAddr, u8) {
        match self {
            Self::Loopback => (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
            Self::Veth(_) => POPULATION,
        }
    }

    /// What goes before a server's command.
    pub(crate) fn server_prefix(&self) -> Vec<String> {
        match self {
            Self::Loopback => Vec::new(),
            Self::Veth(pair) => pair.server_prefix(),
        }
    }

    /// What goes before the generator's command.
    pub(crate) fn client_prefix(&self) -> Vec<String> {
        match self {
            Self::Loopback => Vec::new(),
            Self::Veth(pair) => pair.clients_prefix(),
        }
    }
}

static VETH_TURNS: AtomicU16 = AtomicU16::new(0);
const VETH_PORT_FIRST: u16 = 11_123;
const VETH_PORTS: u16 = 10_000;
