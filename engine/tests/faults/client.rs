//! Clients that ask without pause and judge every reply.
//!
//! What must hold of each: it answers one question, asked by whom it reaches; there is at most one; it is no
//! longer than the question; it did not leave before the question came; and what it says of the time is
//! true within what it claims (the truth is the kernel's clock plus a known offset, for both sides).

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use timeball_sys::realtime;
use timeball_time::{Interval, Leap, NtpTimestamp, Realtime, Timestamp};
use timeball_wire::{Flags, HEADER_LEN, Header, Mode};

use crate::random::Random;
use crate::upstream::OFFSET_NS;

/// What the clients have seen.
#[derive(Clone)]
pub(crate) struct Clients(Arc<Mutex<Seen>>);

struct Seen {
    wrong: Vec<String>,
    asked: u64,
    answered: u64,
    synchronised: u64,
    last_answer: Instant,
    last_synchronised: Instant,
}

/// A question that may still be answered.
struct Asked {
    at: Timestamp<Realtime>,
    client: usize,
    answered: bool,
}

impl Clients {
    /// Starts asking `servers` in turn, from `addresses` in turn (those of the server's family).
    pub(crate) fn start(servers: Vec<SocketAddr>, addresses: &[SocketAddr], seed: u64) -> Self {
        let now = Instant::now();
        let seen = Seen {
            wrong: Vec::new(),
            asked: 0,
            answered: 0,
            synchronised: 0,
            last_answer: now,
            last_synchronised: now,
        };
        let clients = Self(Arc::new(Mutex::new(seen)));
        for server in servers {
            let own = addresses.iter().filter(|own| own.is_ipv4() == server.is_ipv4());
            let sockets: Vec<_> = own.map(|own| UdpSocket::bind(own).unwrap()).collect();
            sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
            let (clients, random) = (clients.clone(), Random::new(seed));
            thread::spawn(move || ask(&clients, server, &sockets, random));
        }
        clients
    }

    /// What should never have been seen.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.0.lock().unwrap().wrong.clone()
    }

    /// When the last answer came, and the last that said it was synchronised.
    pub(crate) fn last(&self) -> [Instant; 2] {
        let seen = self.0.lock().unwrap();
        [seen.last_answer, seen.last_synchronised]
    }

    /// Asked, answered, answered as synchronised.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let seen = self.0.lock().unwrap();
        [seen.asked, seen.answered, seen.synchronised]
    }

    fn complain(&self, what: String) {
        let mut seen = self.0.lock().unwrap();
        if seen.wrong.len() < COMPLAINTS_MAX {
            seen.wrong.push(what);
        }
    }
}

fn ask(clients: &Clients, server: SocketAddr, sockets: &[UdpSocket], mut random: Random) {
    let mut open: HashMap<u64, Asked> = HashMap::new();
    for number in 0usize.. {
        let client = number % sockets.len();
        let nonce = random.next() | 1;
        let mut request = [0; HEADER_LEN];
        request[0] = 4 << 3 | Mode::Client as u8;
        request[40..].copy_from_slice(&nonce.to_be_bytes());
        let at = realtime();
        // Without a way to the server it cannot be sent.
        if sockets[client].send_to(&request, server).is_ok() {
            open.insert(nonce, Asked { at, client, answered: false });
            clients.0.lock().unwrap().asked += 1;
        }
        let next = Instant::now() + GAP;
        while Instant::now() < next {
            let mut idle = true;
            for (client, socket) in sockets.iter().enumerate() {
                let mut reply = [0; 2048];
                while let Ok((len, from)) = socket.recv_from(&mut reply) {
                    idle = false;
                    if let Err(wrong) = judge(clients, &mut open, client, &reply[..len], realtime())
                    {
                        clients.complain(format!("{from}: {wrong}"));
                    }
                }
            }
            if idle {
                thread::sleep(Duration::from_micros(300));
            }
        }
        if number % 1024 == 0 {
            let now = realtime();
            open.retain(|_, asked| now - asked.at < REMEMBERED);
        }
    }
}

fn judge(
    clients: &Clients,
    open: &mut HashMap<u64, Asked>,
    client: usize,
    reply: &[u8],
    now: Timestamp<Realtime>,
) -> Result<(), String> {
    let header = Header::parse(reply).ok_or("too short")?;
    let asked = open.get_mut(&header.origin.to_bits()).ok_or("nobody asked this")?;
    if asked.client != client {
        return Err("for another client".to_owned());
    }
    if core::mem::replace(&mut asked.answered, true) {
        return Err("a second reply".to_owned());
    }
    if reply.len() > HEADER_LEN || header.flags.mode != Mode::Server {
        return Err(format!("{} octets of {:?}", reply.len(), header.flags.mode));
    }
    let synchronised = header.flags.leap != Leap::Unsynchronised;
    if synchronised {
        judge_claim(&header, asked.at, now)?;
    }
    let mut seen = clients.0.lock().unwrap();
    seen.answered += 1;
    seen.last_answer = Instant::now();
    if synchronised {
        seen.synchronised += 1;
        seen.last_synchronised = Instant::now();
    }
    Ok(())
}

/// It was asked at `asked` and read at `now`, by the kernel's clock: what was true when it left lies between.
fn judge_claim(
    header: &Header,
    asked: Timestamp<Realtime>,
    now: Timestamp<Realtime>,
) -> Result<(), String> {
    let truth = |at: Timestamp<Realtime>| NtpTimestamp::floor(at + Interval::from_nanos(OFFSET_NS));
    let distance = header.root_delay.interval().half() + header.root_dispersion.interval();
    if header.transmit.since(header.receive) < Interval::ZERO {
        return Err("left before it came".to_owned());
    }
    let early = header.transmit.since(truth(asked));
    let late = header.transmit.since(truth(now));
    if early < Interval::ZERO - distance || late > distance {
        return Err(format!(
            "claims to be right within {distance:?} and is off: {early:?} after it was asked, {late:?} \
             after it was read; stratum {}, refid {:?}",
            header.stratum, header.reference_id
        ));
    }
    Ok(())
}

/// Between the questions to one server.
const GAP: Duration = Duration::from_millis(10);
/// How long a question can be answered: longer than the server is ever stopped.
const REMEMBERED: Interval = Interval::from_secs(20);
const COMPLAINTS_MAX: usize = 20;

#[test]
fn whatever_is_wrong_with_a_reply_is_seen() {
    let second = Interval::from_secs(1);
    let spoilt = |spoil: &dyn Fn(&mut Header)| judged(spoil, 0, HEADER_LEN).unwrap_err();
    assert_eq!(judged(&|_| {}, 0, HEADER_LEN), Ok(()));
    assert_eq!(judged(&|_| {}, 0, HEADER_LEN - 1).unwrap_err(), "too short");
    assert_eq!(judged(&|_| {}, 0, HEADER_LEN + 4).unwrap_err(), "52 octets of Server");
    assert_eq!(judged(&|_| {}, 1, HEADER_LEN).unwrap_err(), "for another client");
    assert_eq!(spoilt(&|reply| reply.origin = reply.receive), "nobody asked this");
    assert_eq!(spoilt(&|reply| reply.flags.mode = Mode::Broadcast), "48 octets of Broadcast");
    let left = |by| move |reply: &mut Header| reply.transmit = reply.transmit.plus(by);
    assert_eq!(spoilt(&left(Interval::ZERO - second)), "left before it came");
    assert!(spoilt(&left(second)).contains("claims to be right within"));
}

#[test]
fn a_second_reply_is_seen() {
    let (clients, mut open, reply) = answered_at(realtime());
    let mut judge = || judge(&clients, &mut open, 0, &reply.encode(), realtime());
    assert_eq!(judge(), Ok(()));
    assert_eq!(judge(), Err("a second reply".to_owned()));
}

/// What is said of a good reply to client 0 that was spoilt and has `len` octets, when `client` gets it.
#[cfg(test)]
fn judged(spoil: &dyn Fn(&mut Header), client: usize, len: usize) -> Result<(), String> {
    let now = realtime();
    let (clients, mut open, mut reply) = answered_at(now);
    spoil(&mut reply);
    let mut octets = reply.encode().to_vec();
    octets.resize(len, 0);
    judge(&clients, &mut open, client, &octets, now)
}

/// One question of client 0, and the right answer to it at the moment `now`.
#[cfg(test)]
fn answered_at(now: Timestamp<Realtime>) -> (Clients, HashMap<u64, Asked>, Header) {
    let truth = NtpTimestamp::floor(now + Interval::from_nanos(OFFSET_NS));
    let flags = Flags { leap: Leap::None, version: 4, mode: Mode::Server };
    let origin = NtpTimestamp::from_bits(7);
    let reply = Header { origin, receive: truth, transmit: truth, ..Header::new(flags) };
    let asked = Asked { at: now, client: 0, answered: false };
    (Clients::start(Vec::new(), &[], 0), HashMap::from([(7, asked)]), reply)
}
