//! Notices when more comes than the workers can take, and has the kernel hold the heaviest senders back.
//!
//! What finds a worker's queue full is lost, whoever sent it. The kernel counts that for each socket, and
//! the workers' censuses say who sends how much: so once a second those who are far over their limit are
//! named to the kernel ([`HoldBack`]), which lets one in a few of their datagrams through, before they take
//! a place in the queue; and to the workers ([`Sifted`](timeball_responder::Sifted)), who answer these,
//! because the share that is promised to whoever is over the limit has been taken already. It is made
//! smaller only when even that share would be more than workers should have to spare. Nothing is done while
//! little is asked and nothing is lost, and who comes to his senses is let go.
//!
//! Where the network is below the workers, what is too much is lost in a device, and no socket knows: so what
//! the heavy senders ask together counts as well.
//!
//! Must never: hold back who is not limited, or take part in the work of a worker.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use timeball_responder::{
    Caller, HashKey, LimitMode, Policy, PolicyReceiver, Restrictions, Senders,
};
use timeball_sys::{HoldBack, ListenGroup, ServerSocket, realtime};
use timeball_wire::HEADER_LEN;

use crate::report::{Overflow, Witness, some_of};

/// Looks after the queues of all workers.
pub(super) struct FloodWatch {
    queues: Vec<Queue>,
    policy: PolicyReceiver,
    witness: Witness,
    seen: Senders,
    looked: Instant,
    /// Whom the kernel holds back, and since when.
    held: BTreeMap<IpAddr, Instant>,
    /// One in so many of their datagrams comes through.
    pass_one_in: NonZeroU32,
    /// By what workers know their clients.
    key: HashKey,
    overflow: Overflow,
    /// When it was last said that something is lost.
    told: Option<Instant>,
    /// When it was last said who is held back.
    named: Option<Instant>,
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
            pass_one_in: NonZeroU32::MIN,
            key: witness.censuses.key(),
            overflow: witness.board.overflow(),
            told: None,
            named: None,
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
        let (heavy_hz, held) = self.choose(&rates, lost > 0, now);
        let pass_one_in = self.share(heavy_hz);
        if !held.keys().eq(self.held.keys()) || pass_one_in != self.pass_one_in {
            (self.held, self.pass_one_in) = (held, pass_one_in);
            self.hold_back();
        }
        self.tell_workers();
        if lost > 0 && !held_any {
            self.tell(lost, now);
        }
        self.overflow.senders = self.held.keys().map(IpAddr::to_string).collect();
        self.witness.board.show_overflow(self.overflow.clone());
    }

    /// What each known sender sends in a second; who is held back sends as many times what comes through.
    fn rates(&mut self, senders: &Senders, elapsed: Duration) -> Vec<(IpAddr, f64)> {
        let pass_one_in = f64::from(self.pass_one_in.get());
        let seconds = elapsed.as_secs_f64().max(SHORTEST_S);
        let rate = |(sender, datagrams)| {
            let sender = held_as(sender);
            let factor = if self.held.contains_key(&sender) { pass_one_in } else { 1.0 };
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
    /// `lost` or they ask for too much together; and those who are held back already, until they ask for
    /// less. Says also what all of these ask for in a second.
    fn choose(
        &mut self,
        rates: &[(IpAddr, f64)],
        lost: bool,
        now: Instant,
    ) -> (f64, BTreeMap<IpAddr, Instant>) {
        let policy = self.policy.refresh().0;
        let heavy = policy.limits.client_hz() * TIMES_THE_LIMIT;
        let stays = |sender, rate| {
            let since: Option<&Instant> = self.held.get(&sender);
            since.is_some_and(|&since| {
                rate >= heavy / 2.0 || now.duration_since(since) < HELD_AT_LEAST
            })
        };
        let mut candidates: Vec<(IpAddr, f64)> = Vec::new();
        let mut room = [HoldBack::V4_MAX, HoldBack::V6_MAX];
        for &(sender, rate) in rates {
            let left = &mut room[usize::from(sender.is_ipv6())];
            let is_heavy = rate >= heavy || stays(sender, rate);
            if is_heavy && *left > 0 && is_limited(policy, sender) {
                *left -= 1;
                candidates.push((sender, rate));
            }
        }
        let heavy_hz = candidates.iter().map(|(_, rate)| rate).sum();
        let come = lost || heavy_hz >= TOGETHER_HZ * self.queues.len() as f64;
        let chosen = candidates.into_iter().filter(|&(sender, rate)| come || stays(sender, rate));
        let since = |sender| self.held.get(&sender).copied().unwrap_or(now);
        (heavy_hz, chosen.map(|(sender, _)| (sender, since(sender))).collect())
    }

    /// One in how many comes through when `heavy_hz` are sent by those who are held back: the share that is
    /// promised, or as much of it as workers should have to spare.
    fn share(&mut self, heavy_hz: f64) -> NonZeroU32 {
        let promised = self.policy.refresh().0.limits.leak();
        let spare_hz = SPARE_HZ * self.queues.len() as f64;
        let needed = (heavy_hz / spare_hz).min(f64::from(PASS_ONE_IN_MAX)) as u32;
        let needed =
            NonZeroU32::new(needed.next_power_of_two()).map_or(promised, |it| it.max(promised));
        // What is asked for is never exactly the same; a share that is a little small stays.
        let is_near = self.pass_one_in.get() == 2 * needed.get();
        if is_near && !self.held.is_empty() { self.pass_one_in } else { needed }
    }

    /// Tells the kernel whom to hold back.
    fn hold_back(&mut self) {
        let policy = self.policy.refresh().0;
        let mut senders: Vec<_> = self.held.keys().copied().collect();
        let wanted = HoldBack {
            senders: &senders,
            pass_one_in: self.pass_one_in,
            // Who signs with a key of ours is not limited, and only a worker can tell.
            spare_longer_than: (!policy.keys.is_empty()).then_some(HEADER_LEN as u32),
        };
        let each = self.queues.iter().map(|queue| queue.socket().hold_back(&wanted));
        let outcome = each
            .collect::<std::io::Result<Vec<_>>>()
            .map(|held| held.into_iter().min().unwrap_or(0));
        match outcome {
            Ok(held) => senders.truncate(held),
            Err(error) => {
                tracing::warn!("the kernel refuses to hold senders back: {error}");
                senders.clear();
            }
        }
        self.held.retain(|sender, _| senders.contains(sender));
        let now = Instant::now();
        if senders.is_empty() {
            tracing::debug!("nobody is held back");
        } else if self.named.is_none_or(|named| now.duration_since(named) >= NAMED_EVERY) {
            self.named = Some(now);
            let senders: Vec<_> = senders.iter().map(IpAddr::to_string).collect();
            tracing::warn!("held back, for asking too much: {}", some_of(&senders));
        }
    }

    /// Tells the workers whose requests are sifted: again and again, because a new policy knows nobody.
    fn tell_workers(&mut self) {
        let senders = self.held.keys().map(|&sender| Caller::of(sender, self.key));
        self.policy.refresh().0.sifted.show(senders);
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

/// Far over the limit: so many times what a client may ask for in the long run.
const TIMES_THE_LIMIT: f64 = 16.0;
/// Who is held back stays so for a while, or he would come and go.
const HELD_AT_LEAST: Duration = Duration::from_secs(10);
/// What the heavy senders may ask for together, of each queue and in a second, before they are held back
/// though nothing is lost.
const TOGETHER_HZ: f64 = 50_000.0;
/// How many answers a second each queue has to spare for them: a few hundredths of what a core gives, because
/// their datagrams have taken most of it before they were dropped.
const SPARE_HZ: f64 = 12_500.0;
/// The least share.
const PASS_ONE_IN_MAX: u32 = 64;
/// How often those who are held back are named.
const NAMED_EVERY: Duration = Duration::from_secs(60);
/// How often it is said that something is lost.
const TOLD_EVERY: Duration = Duration::from_secs(3600);
/// A rate is of no shorter time.
const SHORTEST_S: f64 = 0.1;
