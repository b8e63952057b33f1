//! What a worker is told about its clients: a table that never changes, replaced as a whole.
//!
//! The control plane leaves a new policy for each worker; the worker takes it at its next batch and gives
//! the old one back, because freeing a table of ten thousand rules is no work for it. A policy under which
//! a worker remembers more or fewer clients than before comes with a new [`Limiter`] for it; otherwise it
//! keeps the one it has, and all that is in it.
//!
//! Must never: make a worker wait, allocate or free; or leave two workers with a half-changed table.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;
use timeball_wire::Keys;

use crate::{Access, Limiter, Limits, Sifted};

/// Everything a worker consults about a client.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Who may have what.
    pub access: Access,
    /// The keys by which requests are verified and replies signed.
    pub keys: Keys,
    /// How much a client may ask for.
    pub limits: Limits,
    /// Whose requests over the limit are answered, because few of them come through.
    pub sifted: Arc<Sifted>,
}

/// A policy but for its keys, for a reader that can follow no pointers and calls nobody: the program in the
/// driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyWords {
    /// Where the rules for IPv4 and IPv6 begin in `rules`, and those for packets from port 123, two a word;
    /// mode and leak of the limits; interval and tolerance of a client and of a site; the key of the hash.
    pub head: [u64; 10],
    /// Nodes of tries.
    pub rules: Vec<[u64; 2]>,
}

impl Policy {
    /// The same rules and limits as words.
    pub fn to_words(&self) -> PolicyWords {
        let (rules, roots) = self.access.lay_out();
        let [v4, v6, ntp_v4, ntp_v6] = roots.map(u64::from);
        let mut head = [0; 10];
        head[..2].copy_from_slice(&[v4 | v6 << 32, ntp_v4 | ntp_v6 << 32]);
        head[2..].copy_from_slice(&self.limits.to_words());
        PolicyWords { head, rules }
    }
}

/// The control plane's end: where a new policy is left for one worker.
#[derive(Debug)]
pub struct PolicySender {
    inbox: Arc<ArrayQueue<Parcel>>,
    returned: Arc<ArrayQueue<Parcel>>,
    /// How many clients the worker remembers under the policy it was sent last; `None`: it has no limiter.
    clients: Option<AtomicUsize>,
}

/// The worker's end.
#[derive(Debug)]
pub struct PolicyReceiver {
    current: Arc<Policy>,
    limiter: Limiter,
    inbox: Arc<ArrayQueue<Parcel>>,
    returned: Arc<ArrayQueue<Parcel>>,
}

/// What goes one way, and what it replaced the other.
#[derive(Debug)]
struct Parcel {
    policy: Arc<Policy>,
    limiter: Option<Limiter>,
}

/// The two ends for one thread that only looks things up, and starts with `policy`. Its limiter remembers
/// nobody, so nobody is limited.
pub fn policy_exchange(policy: Arc<Policy>) -> (PolicySender, PolicyReceiver) {
    exchange(policy, Limiter::default(), None)
}

/// The two ends for one worker, which starts with `policy` and a limiter as that has it.
pub fn worker_exchange(policy: Arc<Policy>) -> (PolicySender, PolicyReceiver) {
    let (limiter, clients) = (Limiter::new(&policy.limits), policy.limits.clients());
    exchange(policy, limiter, Some(AtomicUsize::new(clients)))
}

fn exchange(
    policy: Arc<Policy>,
    limiter: Limiter,
    clients: Option<AtomicUsize>,
) -> (PolicySender, PolicyReceiver) {
    let inbox = Arc::new(ArrayQueue::new(1));
    let returned = Arc::new(ArrayQueue::new(RETURNED_MAX));
    let sender =
        PolicySender { inbox: Arc::clone(&inbox), returned: Arc::clone(&returned), clients };
    (sender, PolicyReceiver { current: policy, limiter, inbox, returned })
}

impl PolicySender {
    /// Has the worker go by `policy` from its next batch on; one it has not taken yet is forgotten.
    ///
    /// Only one thread may send to a worker at a time.
    pub fn send(&self, policy: Arc<Policy>) {
        while self.returned.pop().is_some() {}
        let new = self.new_limiter(&policy.limits);
        let limiter = self.inbox.pop().and_then(|untaken| untaken.limiter);
        self.inbox.force_push(Parcel { policy, limiter: new.or(limiter) });
    }

    /// The limiter for `limits`, if the worker has none of that size.
    fn new_limiter(&self, limits: &Limits) -> Option<Limiter> {
        let before = self.clients.as_ref()?.swap(limits.clients(), Ordering::Relaxed);
        (before != limits.clients()).then(|| Limiter::new(limits))
    }

    /// True once there is no worker at the other end.
    pub fn is_orphan(&self) -> bool {
        Arc::strong_count(&self.inbox) == 1
    }
}

impl PolicyReceiver {
    /// The policy now, a new one if there is one, and the limiter that goes with it.
    #[inline]
    pub fn refresh(&mut self) -> (&Policy, &mut Limiter) {
        if !self.inbox.is_empty()
            && let Some(new) = self.inbox.pop()
        {
            let limiter = new.limiter.map(|mut limiter| {
                limiter.count_on(&self.limiter);
                std::mem::replace(&mut self.limiter, limiter)
            });
            let policy = std::mem::replace(&mut self.current, new.policy);
            let returned = self.returned.push(Parcel { policy, limiter });
            debug_assert!(returned.is_ok(), "there is room: see RETURNED_MAX");
        }
        (&self.current, &mut self.limiter)
    }
}

impl Default for PolicyReceiver {
    /// The default policy, for good.
    fn default() -> Self {
        policy_exchange(Arc::default()).1
    }
}

/// Between two sends the worker can take what lay there before the first of them was emptied out, and what
/// was sent: it never gives back more than these before the sender empties the queue again.
const RETURNED_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use timeball_time::{Interval, Timestamp};

    use super::*;
    use crate::limiter::Pace;
    use crate::{HashKey, LimitMode, LimitSettings};

    fn is(policy: &Policy, expected: &Arc<Policy>) -> bool {
        std::ptr::eq(policy, Arc::as_ptr(expected))
    }

    #[test]
    fn the_latest_policy_counts_and_the_old_one_goes_back() {
        let policies: Vec<Arc<Policy>> = (0..4).map(|_| Arc::default()).collect();
        let (sender, mut receiver) = policy_exchange(Arc::clone(&policies[0]));
        assert!(is(receiver.refresh().0, &policies[0]));
        sender.send(Arc::clone(&policies[1]));
        sender.send(Arc::clone(&policies[2]));
        assert_eq!(Arc::strong_count(&policies[1]), 1, "never taken, so forgotten by the sender");
        assert!(is(receiver.refresh().0, &policies[2]) && is(receiver.refresh().0, &policies[2]));
        assert_eq!(Arc::strong_count(&policies[0]), 2, "waits to be freed by the sender");
        sender.send(Arc::clone(&policies[3]));
        assert_eq!(Arc::strong_count(&policies[0]), 1);
        assert!(is(receiver.refresh().0, &policies[3]));
        assert!(!sender.is_orphan());
        drop(receiver);
        assert!(sender.is_orphan());
    }

    #[test]
    fn a_new_limiter_comes_when_the_number_of_clients_changes_even_if_its_policy_is_overtaken() {
        let policy = |clients, seconds| {
            let settings = LimitSettings {
                mode: LimitMode::On,
                interval: Interval::from_secs(seconds),
                burst: NonZeroU32::MIN,
                leak: NonZeroU32::MAX,
                clients,
            };
            let limits = Limits::new(&settings, HashKey([1, 2]));
            Arc::new(Policy { limits, ..Policy::default() })
        };
        let now = Timestamp::from_nanos(1_764_000_000_000_000_000);
        let (sender, mut receiver) = worker_exchange(policy(8, 10));
        let mut asks = || {
            let (policy, limiter) = receiver.refresh();
            limiter.judge(limiter.caller([192, 0, 2, 1].into()), false, &policy.limits, now)
        };
        assert_eq!((asks(), asks()), (Pace::Answer, Pace::TooOften));
        sender.send(policy(8, 20));
        assert_eq!(asks(), Pace::TooOften, "the same limiter remembers");
        sender.send(policy(16, 20));
        sender.send(policy(16, 30));
        assert_eq!((asks(), asks()), (Pace::Answer, Pace::TooOften), "a new one knows nobody");
    }

    #[test]
    fn a_worker_never_frees_a_policy_however_the_two_interleave() {
        let (sender, mut receiver) = policy_exchange(Arc::default());
        let worker = std::thread::spawn(move || {
            for _ in 0..300_000 {
                // Asserts that there is room for what goes back.
                receiver.refresh();
            }
        });
        while !worker.is_finished() {
            sender.send(Arc::default());
        }
        worker.join().unwrap();
    }
}
