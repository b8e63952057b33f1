//! The LAN thread: broadcasts sent and heard, requests to a group answered and sent.
//!
//! It has sockets of its own beside the workers', so that nothing of the broadcast family costs them
//! anything, and it checks every code before the discipline hears of a packet. What it finds it hands to the
//! discipline; what it sends and answers comes from the snapshot, like the workers' replies.
//!
//! Must never: hand on what is not authenticated as the config demands; answer more than one datagram for
//! one; take more than its share of packets between two looks at the clock.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::Sender;
use timeball_discipline::{
    Announced, Broadcast, Exchange, Rejection, Request, Search, open_broadcast,
};
use timeball_responder::{Announcement, PolicyReceiver, Verdict, answer, stamp};
use timeball_sys::sandbox::{Role, confine};
use timeball_sys::{LanSocket, ListenError, Taken, Waiter, Waker, monotonic, precision, realtime};
use timeball_time::{
    Interval, Leap, Monotonic, NtpTimestamp, Reader, Realtime, Snapshot, Timestamp,
};
use timeball_wire::{Datagram, Flags, Header, Key, Keys, Mode, field};

use crate::config::{self, BroadcastTo, ManycastClient};
use crate::thread::Thread;

/// The sockets, opened while there are privileges.
#[derive(Debug)]
pub(super) struct LanSockets {
    /// At most one of each family.
    shared: Vec<LanSocket>,
    /// One for each group that is asked.
    asking: Vec<LanSocket>,
}

impl LanSockets {
    /// Opens what `lan` needs beside the sockets at `listening`.
    ///
    /// # Errors
    /// The first [`ListenError`].
    pub(super) fn open(lan: &config::Lan, listening: &[SocketAddr]) -> Result<Self, ListenError> {
        let groups = lan.listens.iter().flat_map(|listens| &listens.groups).chain(&lan.answers);
        let groups: Vec<IpAddr> = groups.copied().collect();
        let sent: Vec<IpAddr> = lan.broadcasts.iter().map(|to| to.target.ip()).collect();
        let mut shared = Vec::new();
        for v4 in [true, false] {
            let ours = |ip: &&IpAddr| ip.is_ipv4() == v4;
            let hears_broadcasts = v4 && lan.listens.is_some();
            if !hears_broadcasts && groups.iter().chain(&sent).find(ours).is_none() {
                continue;
            }
            let near = listening.iter().find(|address| address.is_ipv4() == v4);
            let port = near.map_or(config::Listen::PORT, SocketAddr::port);
            let socket = LanSocket::beside(SocketAddr::new(any(v4), port))?;
            join(&socket, groups.iter().filter(ours));
            shared.push(socket);
        }
        let asking = |asked: &ManycastClient| {
            LanSocket::apart(SocketAddr::new(any(asked.group.is_ipv4()), 0))
        };
        Ok(Self { shared, asking: lan.asks.iter().map(asking).collect::<Result<_, _>>()? })
    }
}

/// A group that cannot be joined now may be when a network has come up.
fn join<'g>(socket: &LanSocket, groups: impl Iterator<Item = &'g IpAddr>) {
    for group in groups {
        if let Err(error) = socket.join(*group) {
            tracing::warn!("{group}: cannot be joined: {error}; will be tried again");
        }
    }
}

const fn any(v4: bool) -> IpAddr {
    if v4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}

/// Where what was heard goes: the discipline thread.
#[derive(Clone, Debug)]
pub(super) struct Ear {
    pub(super) inbox: Sender<Announced>,
    pub(super) waker: Waker,
}

/// The LAN thread, ready to run.
pub(super) struct Lan {
    plan: config::Lan,
    sockets: Vec<LanSocket>,
    keys: Keys,
    clock: Reader,
    policy: PolicyReceiver,
    ear: Ear,
    waiter: Waiter,
    sending: Vec<Sending>,
    asking: Vec<Asking>,
    rejoin: Timestamp<Monotonic>,
    /// One bit for each reason for which a broadcast was refused before.
    told: u32,
    stop: Arc<AtomicBool>,
}

/// One target of broadcasts.
struct Sending {
    to: BroadcastTo,
    key: Option<Key>,
    due: Timestamp<Monotonic>,
    /// Transmit timestamp of the last one, by which it is known if it comes back.
    last: NtpTimestamp,
    failed: bool,
}

/// One group that is asked for servers.
struct Asking {
    group: SocketAddr,
    key: Option<Arc<Key>>,
    socket: LanSocket,
    search: Search,
    exchange: Option<Exchange<Realtime>>,
}

impl Lan {
    /// What `plan` asks for, over `sockets`, with the time of `clock`; `keys` has every key it names.
    ///
    /// # Errors
    /// When the process may open no more file descriptors.
    pub(super) fn new(
        plan: &config::Lan,
        sockets: LanSockets,
        keys: &Keys,
        clock: Reader,
        policy: PolicyReceiver,
        ear: Ear,
    ) -> io::Result<Self> {
        let now = monotonic();
        let key = |used: Option<config::KeyUse>| used.and_then(|used| keys.by_id(used.id)).cloned();
        let sending = plan.broadcasts.iter().map(|to| Sending {
            key: key(to.key),
            to: to.clone(),
            due: now,
            last: NtpTimestamp::ZERO,
            failed: false,
        });
        let asking = plan.asks.iter().zip(sockets.asking).map(|(asked, socket)| Asking {
            group: asked.group,
            key: key(asked.key).map(Arc::new),
            socket,
            search: Search::new(asked.ttl, asked.poll, asked.servers, now),
            exchange: None,
        });
        Ok(Self {
            sending: sending.collect(),
            asking: asking.collect(),
            plan: plan.clone(),
            sockets: sockets.shared,
            keys: keys.clone(),
            clock,
            policy,
            ear,
            waiter: Waiter::new()?,
            rejoin: now + REJOIN,
            told: 0,
            stop: Arc::default(),
        })
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses one.
    pub(super) fn start(self) -> io::Result<Thread> {
        let (pulse, stop) = (self.waiter.pulse(), Arc::clone(&self.stop));
        Thread::start("lan", pulse, stop, move || {
            if let Err(error) = self.run() {
                tracing::error!("LAN thread: {error}; no more broadcasts from here on");
            }
        })
    }

    fn run(mut self) -> io::Result<()> {
        confine(Role::Network, &[]).map_err(io::Error::other)?;
        let mut resume = monotonic();
        while !self.stop.load(Ordering::Acquire) {
            self.on_timer(monotonic());
            let sending = self.sending.iter().map(|sending| sending.due);
            let asking = self.asking.iter().map(|asking| asking.search.due());
            let deadline = sending.chain(asking).fold(self.rejoin, Ord::min);
            if monotonic() < resume {
                // The kernel drops meanwhile what does not fit the sockets.
                self.waiter.wait(deadline.min(resume), &[])?;
                continue;
            }
            let apart = self.asking.iter().map(|asking| asking.socket.as_fd());
            let fds: Vec<BorrowedFd<'_>> =
                self.sockets.iter().map(AsFd::as_fd).chain(apart).collect();
            self.waiter.wait(deadline, &fds)?;
            if self.hear() + self.collect() >= DATAGRAMS_PER_WAKEUP {
                resume = monotonic() + PAUSE;
            }
        }
        Ok(())
    }

    fn on_timer(&mut self, now: Timestamp<Monotonic>) {
        if now >= self.rejoin {
            self.rejoin = now + REJOIN;
            let groups = self.plan.listens.iter().flat_map(|listens| &listens.groups);
            for group in groups.chain(&self.plan.answers) {
                for socket in &self.sockets {
                    // What went wrong was said at the start; of the other family it always does.
                    let _ = socket.join(*group);
                }
            }
        }
        for sending in self.sending.iter_mut().filter(|sending| now >= sending.due) {
            sending.due = now + Interval::from_poll(sending.to.poll);
            let v4 = sending.to.target.is_ipv4();
            let socket = self.sockets.iter().find(|socket| socket.is_ipv4() == v4);
            if let Some(socket) = socket {
                sending.send(socket, self.clock.refresh());
            }
        }
        for asking in self.asking.iter_mut().filter(|asking| now >= asking.search.due()) {
            asking.ask(now);
        }
    }

    /// Takes what has arrived for many; says how many there were.
    fn hear(&mut self) -> usize {
        let mut count = 0;
        for at in 0..self.sockets.len() {
            let mut bytes = [0; DATAGRAM_MAX];
            while count < DATAGRAMS_PER_WAKEUP {
                // An error is of an earlier answer, and of no interest.
                let Ok(Some(taken)) = self.sockets[at].receive(&mut bytes) else { break };
                count += 1;
                if taken.truncated || taken.len == 0 {
                    continue;
                }
                match Flags::from_octet(bytes[0]).mode {
                    Mode::Broadcast => self.on_broadcast(&taken, &bytes[..taken.len]),
                    Mode::Client => self.on_request(at, &taken, &mut bytes[..taken.len]),
                    _ => {}
                }
            }
        }
        count
    }

    fn on_broadcast(&mut self, taken: &Taken, bytes: &[u8]) {
        let Some(listens) = &self.plan.listens else { return };
        let opened = open_broadcast(bytes, taken.source.ip(), &self.keys, listens.authenticate);
        let (header, key) = match opened {
            Ok(opened) => opened,
            Err(rejection) => return self.tell(taken.source, rejection),
        };
        if self.sending.iter().any(|sending| sending.last == header.transmit) {
            return;
        }
        let announced = Announced {
            remote: taken.source,
            key: key.cloned().map(Arc::new),
            broadcast: Some(Broadcast {
                header,
                received: taken.stamp.unwrap_or_else(realtime),
                delay: listens.delay.map(|delay| delay + delay),
            }),
        };
        self.ear.tell(announced);
    }

    /// Says why a broadcast is not believed, once for each reason: anybody can send one.
    fn tell(&mut self, source: SocketAddr, rejection: Rejection) {
        let bit = 1 << rejection.index();
        if self.told & bit == 0 {
            tracing::warn!("a broadcast from {source} is not believed: {rejection}");
        }
        self.told |= bit;
    }

    /// Answers a request to a group, if this server is of use to the client.
    fn on_request(&mut self, at: usize, taken: &Taken, bytes: &mut [u8]) {
        if self.plan.answers.is_empty() {
            return;
        }
        let now = realtime();
        let snapshot = &self.clock.refresh().settled(now);
        let announcement = Announcement::at(snapshot, now);
        let asked = bytes.get(field::STRATUM).map_or(0, |&stratum| stratum);
        let theirs = if asked == 0 { u8::MAX } else { asked };
        let of_use =
            announcement.leap() != Leap::Unsynchronised && announcement.header().stratum < theirs;
        if !of_use {
            return;
        }
        let (source, received) = (taken.source, taken.stamp);
        let mut datagram = Datagram { source, received, bytes, truncated: false };
        let (policy, limiter) = self.policy.refresh();
        let caller = limiter.caller(source.ip());
        let verdict = answer(&announcement, snapshot, policy, limiter, caller, now, &mut datagram);
        // Who asks with a key that is not known here is looking for another server.
        let Verdict::Reply { len, answered } = verdict else { return };
        if !answered.crypto_nak {
            stamp(snapshot, policy, realtime(), &mut bytes[..len]);
            let _ = self.sockets[at].answer(taken, &bytes[..len]);
        }
    }

    /// Takes the answers to what was asked; says how many there were.
    fn collect(&mut self) -> usize {
        let mut count = 0;
        for asking in &mut self.asking {
            let mut bytes = [0; DATAGRAM_MAX];
            while count < DATAGRAMS_PER_WAKEUP {
                let Ok(Some(taken)) = asking.socket.receive(&mut bytes) else { break };
                count += 1;
                if asking.accepts(&taken, &bytes[..taken.len]) {
                    let (remote, key) = (taken.source, asking.key.clone());
                    self.ear.tell(Announced { remote, key, broadcast: None });
                }
            }
        }
        count
    }
}

impl Sending {
    /// Sends one broadcast, unless the time is not known.
    fn send(&mut self, socket: &LanSocket, snapshot: &Snapshot) {
        let now = realtime();
        let snapshot = snapshot.settled(now);
        let announcement = Announcement::at(&snapshot, now);
        if announcement.leap() == Leap::Unsynchronised {
            return;
        }
        let header = announcement.header();
        let header = Header {
            flags: Flags { mode: Mode::Broadcast, ..header.flags },
            poll: self.to.poll,
            transmit: NtpTimestamp::floor(snapshot.served(realtime())),
            ..header
        };
        self.last = header.transmit;
        let packet = Request::new(header.encode(), self.key.as_ref());
        let sent = socket.announce(&packet, self.to.target, self.to.ttl);
        if let (Err(error), false) = (&sent, self.failed) {
            tracing::warn!("{}: cannot broadcast: {error}; will be tried again", self.to.target);
        }
        self.failed = sent.is_err();
    }
}

impl Asking {
    fn ask(&mut self, now: Timestamp<Monotonic>) {
        let Some(ttl) = self.search.next(now) else { return };
        let Ok(nonce) = getrandom::u64() else { return };
        let exchange = Exchange::new(nonce, realtime(), self.key.clone());
        if let Err(error) = self.socket.announce(&exchange.request(), self.group, ttl) {
            tracing::debug!("{}: cannot be asked: {error}", self.group);
        }
        self.exchange = Some(exchange);
    }

    /// Whether this is a server's good answer to what was asked, and the server a new one.
    fn accepts(&mut self, taken: &Taken, bytes: &[u8]) -> bool {
        // Many may answer one request; each is judged as if it were the only one.
        let Some(mut exchange) = self.exchange.clone() else { return false };
        let arrival = taken.stamp.unwrap_or_else(realtime);
        let good = exchange.accept(bytes, arrival, precision()).is_ok();
        good && self.search.on_answer(taken.source)
    }
}

impl Ear {
    /// Hands `announced` on, unless the discipline is far behind: there will be more of it.
    fn tell(&self, announced: Announced) {
        if self.inbox.try_send(announced).is_ok() {
            self.waker.wake();
        }
    }
}

/// Longer than any broadcast or request that anybody could believe.
const DATAGRAM_MAX: usize = 1024;
/// Then the clock is looked at again, and the sockets are left alone for [`PAUSE`].
const DATAGRAMS_PER_WAKEUP: usize = 64;
const PAUSE: Interval = Interval::from_millis(10);
/// Interfaces come up, and groups have to be joined on each.
const REJOIN: Interval = Interval::from_secs(60);
