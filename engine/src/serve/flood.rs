//! Notices when more comes than the workers can take, and has the kernel hold the heaviest senders back.
//!
//! What finds a worker's queue full is lost, whoever sent it. The kernel counts that for each socket, and
//! the workers' censuses say who sends how much: so once a second those who are far over their limit are
//! named to the kernel ([`HoldBack`]), which lets one in a few of their datagrams through, before they take
//! a place in the queue. Nothing is done while nothing is lost, and who comes to his senses is let go.
//!
//! Must never: hold back who is not limited, or take part in the work of a worker.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use timeball_responder::{LimitMode, Policy, PolicyReceiver, Restrictions, Senders};
use timeball_sys::{HELD_BACK_MAX, HoldBack, ListenGroup, ServerSocket, realtime};
use timeball_wire::HEADER_LEN;

use crate::report::{Overflow, Witness};

/// Looks after the queues of all workers.
pub(super) struct FloodWatch {
    queues: Vec<Queue>,
    policy: PolicyReceiver,
    witness: Witness,
    seen: Senders,
    looked: Instant,
    /// Whom the kernel holds back, and since when.
    held: BTreeMap<IpAddr, Instant>,
    overflow: Overflow,
    /// When it was last said that something is lost.
    told: Option<Instant>,
    /// What may be the matter with the host.
    remedy: String,
}

/// One socket that receives.
struct Queue {
    group: Arc<ListenGroup>,
    socket: usize,
    dropped: u32,
}

impl Queue {
    fn socket(&self) -> &ServerSocket {
        &self.group.sockets[self.socket]
    }

    /// Datagrams lost here since the last look.
    fn lost(&mut self) -> u64 {
        let dropped = self.socket().dropped().unwrap_or(self.dropped);
        let lost = dropped.wrapping_sub(self.dropped);
        self.dropped = dropped;
        lost.into()
    }
}

impl FloodWatch {
    /// Looks after the sockets of `groups`, going by `policy`; `remedy` says what may be the matter with the
    /// host when they are full.
    pub(super) fn new(
        groups: impl Iterator<Item = Arc<ListenGroup>>,
        policy: PolicyReceiver,
        witness: &Witness,
        remedy: String,
    ) -> Self {
        let queues_of = |group: Arc<ListenGroup>| {
            let sockets = 0..group.sockets.len();
            sockets.map(move |socket| Queue { group: Arc::clone(&group), socket, dropped: 0 })
        };
        let mut watch = Self {
            queues: groups.flat_map(queues_of).collect(),
            policy,
            witness: witness.clone(),
            seen: Senders::default(),
            looked: Instant::now(),
            held: BTreeMap::new(),
            overflow: witness.board.overflow(),
            told: None,
            remedy,
        };
        // What was lost before is not for this one to tell; nor does it hold anybody back for another.
        for queue in &mut watch.queues {
            queue.lost();
        }
        watch.hold_back();
        watch
    }

    /// Looks once.
    pub(super) fn look(&mut self) {
        let lost = self.queues.iter_mut().map(Queue::lost).sum::<u64>();
        let held_any = !self.held.is_empty();
        let counted =
            if held_any { &mut self.overflow.held_back } else { &mut self.overflow.queue_full };
        *counted += lost;
        let (now, before) = (Instant::now(), self.looked);
        self.looked = now;
        let senders = self.witness.censuses.senders(realtime());
        let rates = self.rates(&senders, now.duration_since(before));
        self.seen = senders;
        let held = self.choose(&rates, lost > 0, now);
        if !held.keys().eq(self.held.keys()) {
            self.held = held;
            self.hold_back();
        }
        if lost > 0 && !held_any {
            self.tell(lost, now);
        }
        self.overflow.senders = self.held.keys().map(IpAddr::to_string).collect();
        self.witness.board.show_overflow(self.overflow.clone());
    }

    /// What each known sender sends in a second; who is held back sends as many times what comes through.
    fn rates(&mut self, senders: &Senders, elapsed: Duration) -> Vec<(IpAddr, f64)> {
        let leak = f64::from(self.policy.refresh().0.limits.leak().get());
        let seconds = elapsed.as_secs_f64().max(SHORTEST_S);
        let rate = |(sender, datagrams)| {
            let sender = held_as(sender);
            let factor = if self.held.contains_key(&sender) { leak } else { 1.0 };
            (sender, datagrams as f64 * factor / seconds)
        };
        let mut rates: BTreeMap<IpAddr, f64> = BTreeMap::new();
        for (sender, more) in senders.since(&self.seen).map(rate) {
            *rates.entry(sender).or_default() += more;
        }
        let mut rates: Vec<_> = rates.into_iter().collect();
        rates.sort_by(|one, other| other.1.total_cmp(&one.1));
        rates
    }

    /// Whom to hold back from now on: of those who are far over their limit the worst, if anything was
    /// `lost`; and those who are held back already, until they ask for less.
    fn choose(
        &mut self,
        rates: &[(IpAddr, f64)],
        lost: bool,
        now: Instant,
    ) -> BTreeMap<IpAddr, Instant> {
        let policy = self.policy.refresh().0;
        let heavy = policy.limits.client_hz() * TIMES_THE_LIMIT;
        let mut chosen = BTreeMap::new();
        for &(sender, rate) in rates {
            let since = self.held.get(&sender).copied();
            let stays = since.is_some_and(|since| {
                rate >= heavy / 2.0 || now.duration_since(since) < HELD_AT_LEAST
            });
            let comes = lost && rate >= heavy;
            if (stays || comes) && is_limited(policy, sender) && chosen.len() < HELD_BACK_MAX {
                chosen.insert(sender, since.unwrap_or(now));
            }
        }
        chosen
    }

    /// Tells the kernel whom to hold back.
    fn hold_back(&mut self) {
        let policy = self.policy.refresh().0;
        let senders: Vec<_> = self.held.keys().copied().collect();
        let wanted = HoldBack {
            senders: &senders,
            pass_one_in: policy.limits.leak(),
            // Who signs with a key of ours is not limited, and only a worker can tell.
            spare_longer_than: (!policy.keys.is_empty()).then_some(HEADER_LEN as u32),
        };
        let outcome: std::io::Result<()> =
            self.queues.iter().try_for_each(|queue| queue.socket().hold_back(&wanted));
        match outcome {
            Ok(()) if senders.is_empty() => tracing::debug!("nobody is held back"),
            Ok(()) => tracing::warn!("held back, for asking too much: {}", named(&senders)),
            Err(error) => tracing::warn!("the kernel refuses to hold senders back: {error}"),
        }
    }

    /// Says that requests are lost, now and then.
    fn tell(&mut self, lost: u64, now: Instant) {
        if self.told.is_none_or(|told| now.duration_since(told) >= TOLD_EVERY) {
            self.told = Some(now);
            tracing::warn!(
                "{lost} requests lost in a second: the workers' queues were full; {}",
                self.remedy
            );
        }
    }
}

/// By what a sender is held back: of an IPv6 address the /64 counts.
fn held_as(sender: IpAddr) -> IpAddr {
    match sender {
        IpAddr::V4(_) => sender,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

fn is_limited(policy: &Policy, sender: IpAddr) -> bool {
    // From a port without rules of its own.
    let source = (sender, u16::MAX).into();
    policy.limits.mode() == LimitMode::On
        && policy.access.restrictions(&source).contains(Restrictions::LIMITED)
}

fn named(senders: &[IpAddr]) -> String {
    let mut names: Vec<_> = senders.iter().take(NAMED_MAX).map(IpAddr::to_string).collect();
    if senders.len() > NAMED_MAX {
        names.push(format!("and {} more", senders.len() - NAMED_MAX));
    }
    names.join(", ")
}

/// Far over the limit: so many times what a client may ask for in the long run.
const TIMES_THE_LIMIT: f64 = 16.0;
/// Who is held back stays so for a while, or he would come and go.
const HELD_AT_LEAST: Duration = Duration::from_secs(10);
/// How often it is said that something is lost.
const TOLD_EVERY: Duration = Duration::from_secs(3600);
/// A rate is of no shorter time.
const SHORTEST_S: f64 = 0.1;
/// How many are named in a line.
const NAMED_MAX: usize = 5;
