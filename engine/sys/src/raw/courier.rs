//! A worker's way out around the kernel's IP layer: looks up, writes headers, hands frames to the
//! device.
//!
//! Of each reply of a turn it notes whether it can take it and how; the batch stamps and sends those
//! chunk by chunk, and the others by their sockets. One that is refused goes by its socket after all.
//!
//! Must never: allocate, lock or log per packet; take a reply that it has no plain way for.

use core::ops::Range;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use timeball_time::{Interval, Realtime, Timestamp};
use timeball_wire::{BATCH_MAX, Fallback};

use super::CHUNK;
use super::chart::ChartReader;
use super::exits::Exit;
use super::packet::PacketSender;
use super::port::Port;
use crate::clock::realtime;
use crate::departure::Departure;
use crate::headers::{ETHERNET_LEN, Headers, headers_len};
use crate::server::ServerSocket;

/// What a worker sends frames by.
#[derive(Debug)]
pub(crate) struct Courier {
    chart: ChartReader,
    /// How far replies of each socket may go.
    hops: Vec<u8>,
    /// The table may be believed in this turn.
    is_good: bool,
    packet: PacketSender,
    berths: Vec<Berth>,
    /// For each reply of the turn.
    courses: Vec<Option<Course>>,
    /// Of frames by `AF_PACKET`, and by `AF_XDP`.
    departures: [Departure; 2],
    /// When the sample that is under way was begun.
    begun: Option<Timestamp<Realtime>>,
    /// Replies given to their sockets, by reason.
    fallbacks: [u64; Fallback::ALL.len()],
}

/// Where the port of a device's queue is when no worker has it, and the port when this one has it.
#[derive(Debug)]
pub(super) struct Berth {
    pub(super) interface: u32,
    pub(super) quay: Arc<ArrayQueue<Port>>,
    pub(super) port: Option<Port>,
}

/// How a reply leaves.
#[derive(Clone, Copy, Debug)]
struct Course {
    headers: Headers,
    interface: u32,
    exit: Way,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Packet,
    /// By the port of this berth.
    Port(u8),
}

impl Courier {
    pub(crate) fn new(exit: Exit, sockets: &[ServerSocket]) -> Self {
        let Exit { chart, packet, berths } = exit;
        Self {
            chart,
            hops: sockets.iter().map(ServerSocket::hops).collect(),
            is_good: false,
            packet: PacketSender::new(packet),
            berths,
            courses: Vec::with_capacity(BATCH_MAX),
            departures: [Departure::new(), Departure::new()],
            begun: None,
            fallbacks: [0; Fallback::ALL.len()],
        }
    }

    /// Begins a turn.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.courses.clear();
        self.is_good = self.chart.refresh();
        for berth in &mut self.berths {
            if berth.port.is_none() && !berth.quay.is_empty() {
                berth.port = berth.quay.pop();
            }
        }
    }

    /// Decides how the next reply leaves, of `len` octets, whose own socket is number `socket`.
    #[inline]
    pub(crate) fn plan(&mut self, socket: u16, source: SocketAddr, target: SocketAddr, len: usize) {
        let course = self.course(self.hops[usize::from(socket)], source, target, len);
        if let Err(reason) = course {
            self.fallbacks[reason as usize] += 1;
        }
        self.courses.push(course.ok());
    }

    fn course(
        &self,
        hops: u8,
        source: SocketAddr,
        target: SocketAddr,
        len: usize,
    ) -> Result<Course, Fallback> {
        if !self.is_good {
            return Err(Fallback::Unready);
        }
        if !may_leave(source.ip()) || source.is_ipv4() != target.is_ipv4() {
            return Err(Fallback::Local);
        }
        let packet_len = (headers_len(target.is_ipv6()) - ETHERNET_LEN + len) as u32;
        let hop = self.chart.hops().towards(target, packet_len)?;
        let afloat = |berth: &Berth| berth.interface == hop.interface && berth.port.is_some();
        let berth = self.berths.iter().position(afloat);
        Ok(Course {
            headers: Headers { local: hop.local, next_hop: hop.next_hop, hops, source, target },
            interface: hop.interface,
            exit: berth.map_or(Way::Packet, |berth| Way::Port(berth as u8)),
        })
    }

    /// Whether reply `place` goes by its socket.
    #[inline]
    pub(crate) fn leaves_to_socket(&self, place: usize) -> bool {
        self.courses.get(place).is_none_or(Option::is_none)
    }

    /// The replies from `start` on that the next system call is to send: none if it has no room. Those
    /// that do not go by their sockets, by one way; with `alone`, or to sample when it leaves, one.
    pub(crate) fn chunk(&mut self, start: usize, alone: bool) -> Range<usize> {
        let Some(Some(first)) = self.courses.get(start) else { return start..start };
        let exit = first.exit;
        let room = match exit {
            Way::Packet => CHUNK,
            Way::Port(berth) => self.berths[usize::from(berth)].port.as_mut().map_or(0, Port::room),
        };
        let most = if alone || self.departure(exit).is_due() { room.min(1) } else { room };
        let same = |course: &&Option<Course>| course.is_some_and(|course| course.exit == exit);
        start..start + self.courses[start..].iter().take(most).take_while(same).count()
    }

    /// When the first of the replies of `chunk` will leave, and how long each takes, from this moment
    /// on.
    pub(crate) fn departs(&mut self, chunk: &Range<usize>) -> (Timestamp<Realtime>, Interval) {
        let Some(Some(first)) = self.courses.get(chunk.start) else {
            return (realtime(), Interval::ZERO);
        };
        let exit = first.exit;
        let now = realtime();
        let departure = self.departure(exit);
        let sampled = departure.begin(now, chunk.len());
        let times = (now + departure.first(), departure.each());
        self.begun = sampled.then_some(now);
        times
    }

    /// Makes a frame of reply `place`, the `at`th of its chunk; its payload is final.
    #[inline]
    pub(crate) fn load(&mut self, place: usize, at: usize, payload: &[u8]) {
        let Some(Some(course)) = self.courses.get(place) else { return };
        let start = headers_len(course.headers.target.is_ipv6());
        let len = start + payload.len();
        let frame = match course.exit {
            Way::Packet => self.packet.frame(at, course.interface, len),
            Way::Port(berth) => match &mut self.berths[usize::from(berth)].port {
                Some(port) => port.frame(len),
                None => return,
            },
        };
        frame[start..].copy_from_slice(payload);
        course.headers.write(false, frame);
    }

    /// Sends the replies of `chunk`, all loaded; says how many are gone. Of the others the first goes
    /// by its socket, and those behind it may be tried again.
    pub(crate) fn send(&mut self, chunk: Range<usize>) -> usize {
        let Some(Some(first)) = self.courses.get(chunk.start) else { return 0 };
        let exit = first.exit;
        let sent = match exit {
            Way::Packet => self.packet.send(chunk.len(), self.begun.is_some()),
            Way::Port(berth) => match &mut self.berths[usize::from(berth)].port {
                Some(port) => port.send(),
                None => 0,
            },
        };
        if sent > 0 {
            self.learn(exit)
        } else {
            self.give_up(chunk.start)
        }
        sent
    }

    /// Leaves reply `place` to its socket.
    pub(crate) fn give_up(&mut self, place: usize) {
        self.courses[place] = None;
        self.fallbacks[Fallback::Full as usize] += 1;
    }

    /// Replies given to their sockets, by reason.
    pub(crate) const fn fallbacks(&self) -> [u64; Fallback::ALL.len()] {
        self.fallbacks
    }

    /// Takes in how long a departure took.
    fn learn(&mut self, exit: Way) {
        let begun = self.begun.take();
        match (exit, begun) {
            (Way::Packet, _) if self.departures[0].is_waiting() => {
                let departed = self.packet.departed();
                self.departures[0].learn(departed);
            }
            // The kernel stamps no departure of these. A frame leaves within the call that sends it, and
            // later than after the third part of the least that such a call takes: before, the call has
            // been entered, a packet made and the frame copied.
            (Way::Port(_), Some(begun)) => {
                let took = (realtime() - begun).nanos() / 3;
                self.departures[1].learn(Some(begun + Interval::from_nanos(took)));
            }
            _ => {}
        }
    }

    fn departure(&mut self, exit: Way) -> &mut Departure {
        &mut self.departures[usize::from(exit != Way::Packet)]
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        if let Some(port) = self.port.take() {
            // There is room: it was taken from there.
            let _ = self.quay.push(port);
        }
    }
}

/// Whether the kernel would let a packet from `source` leave this machine.
#[inline]
fn may_leave(source: IpAddr) -> bool {
    !(source.is_unspecified() || source.is_loopback() || source.is_multicast())
}
