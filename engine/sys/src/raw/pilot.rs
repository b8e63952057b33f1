//! Keeps the workers' table of next hops in step with the kernel's: waits for word of a change, takes
//! it in, publishes.
//!
//! How long a worker may go by what is no longer so: from the kernel's change until its word has been
//! taken in, which is at once unless another change was published within the last [`PAUSE`]; and if
//! this thread does not get to run, until the table's time is up ([`GOOD_FOR`]), after which everything
//! goes by sockets.
//!
//! A neighbour that is stale goes by the socket, so that the kernel asks for it. That the kernel has
//! begun to ask it does not tell; so neighbours are looked at again every second while there is a stale
//! one.
//!
//! Must never: publish a table of which it knows that word was lost.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use socket2::Socket;
use timeball_time::{Interval, Monotonic, Timestamp};

use super::chart::Chart;
use super::hops::Hops;
use super::port::Port;
use super::tables::Tables;
use crate::clock::monotonic;
use crate::netlink::{self, ANSWER_MAX, Messages, Netlink};

/// The one who publishes.
#[derive(Debug)]
pub struct Pilot {
    chart: Arc<Chart>,
    netlink: Netlink,
    news: Socket,
    tables: Tables,
    /// Something has changed that is not published yet.
    has_news: bool,
    /// More than neighbours may have changed since they were read.
    is_outdated: bool,
    /// Nothing is published before.
    not_before: Timestamp<Monotonic>,
    /// Ports whose queues were not free yet, and where they belong.
    offshore: Vec<(Port, Arc<ArrayQueue<Port>>)>,
}

impl Pilot {
    /// After how long it looks without being told.
    pub const AGAIN: Interval = Interval::from_secs(1);

    pub(super) fn new(chart: Arc<Chart>) -> io::Result<Self> {
        let news = netlink::listen(GROUPS)?;
        let mut netlink = Netlink::open()?;
        let tables = read(&mut netlink)?;
        Ok(Self {
            chart,
            netlink,
            news,
            tables,
            has_news: true,
            is_outdated: false,
            not_before: monotonic(),
            offshore: Vec::new(),
        })
    }

    /// The plain devices: index, name, queues.
    pub(super) fn devices(&self) -> Vec<(u32, String, u32)> {
        let plain = self.tables.links.iter().filter(|(_, link)| link.address.is_some());
        plain.map(|(interface, link)| (*interface, link.name.clone(), link.queues)).collect()
    }

    /// Has `port` brought to its `quay` as soon as its queue is free.
    pub(super) fn moor(&mut self, port: Port, quay: Arc<ArrayQueue<Port>>) {
        self.offshore.push((port, quay));
    }

    /// Takes in what has changed, and publishes it. To be called when its socket ([`AsFd`]) is
    /// readable, and after the time that it returns.
    ///
    /// # Errors
    /// When the kernel's tables cannot be read: what was published then runs out, unless a later turn
    /// succeeds; the next is due after [`Pilot::AGAIN`].
    pub fn turn(&mut self) -> io::Result<Interval> {
        self.hear();
        let begun = monotonic();
        let wait = self.not_before - begun;
        if wait > Interval::ZERO && (self.has_news || self.is_outdated) {
            return Ok(wait);
        }
        self.take_in()?;
        let good_until = begun + GOOD_FOR;
        if std::mem::take(&mut self.has_news) {
            self.chart.publish(Hops::new(&self.tables), good_until);
            // Large tables that change all the time are not to cost more than a fifth of a core.
            let took = (monotonic() - begun).nanos();
            self.not_before = begun + PAUSE.max(Interval::from_nanos(took.saturating_mul(5)));
        } else {
            self.chart.renew(good_until);
        }
        self.bind_ports();
        Ok(Self::AGAIN)
    }

    /// Reads again what may have changed without a word.
    fn take_in(&mut self) -> io::Result<()> {
        if self.is_outdated {
            self.tables = read(&mut self.netlink)?;
        } else if self.tables.has_stale() {
            // Half read it is worth nothing.
            self.is_outdated = true;
            self.tables.read_neighbours(&mut self.netlink)?;
        } else {
            return Ok(());
        }
        self.is_outdated = false;
        self.has_news = true;
        Ok(())
    }

    /// Brings the ports to their quays whose queues are free now.
    fn bind_ports(&mut self) {
        let chart = &mut self.offshore;
        for (port, quay) in std::mem::take(chart) {
            match port.bind() {
                // There is room: it is its own quay.
                Ok(()) => drop(quay.push(port)),
                Err(_) => chart.push((port, quay)),
            }
        }
    }

    /// Reads what the kernel has told.
    fn hear(&mut self) {
        let mut bytes = [0; ANSWER_MAX];
        for _ in 0..MESSAGES_MAX {
            match self.news.read(&mut bytes) {
                Ok(0) => break,
                Ok(len) => {
                    self.has_news = true;
                    for message in Messages(&bytes[..len]) {
                        self.is_outdated |= self.tables.hear(&message);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // There was so much that some was lost.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.is_outdated = true;
                }
                Err(_) => break,
            }
        }
    }
}

impl AsFd for Pilot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}

/// Reads everything, again if it changes meanwhile.
fn read(netlink: &mut Netlink) -> io::Result<Tables> {
    let mut tables = Tables::read(netlink);
    for _ in 0..READS_MAX {
        match tables {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                tables = Tables::read(netlink);
            }
            _ => break,
        }
    }
    tables
}

/// Devices, neighbours, routes and rules.
const GROUPS: u32 = (libc::RTMGRP_LINK
    | libc::RTMGRP_NEIGH
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV4_RULE
    | libc::RTMGRP_IPV6_ROUTE) as u32
    | RTMGRP_IPV6_RULE;
/// uapi/linux/rtnetlink.h: RTNLGRP_IPV6_RULE, as a bit.
const RTMGRP_IPV6_RULE: u32 = 1 << 18;

/// Between two tables.
const PAUSE: Interval = Interval::from_millis(10);
/// A table that is not renewed for so long is not believed.
const GOOD_FOR: Interval = Interval::from_secs(5);
/// Readings taken in one turn.
const MESSAGES_MAX: usize = 256;
const READS_MAX: usize = 4;
