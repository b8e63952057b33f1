//! What a worker is told about its clients: a table that never changes, replaced as a whole.
//!
//! The control plane leaves a new policy for each worker; the worker takes it at its next batch and gives
//! the old one back, because freeing a table of ten thousand rules is no work for it.
//!
//! Must never: make a worker wait, allocate or free; or leave two workers with a half-changed table.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use timeball_wire::Keys;

use crate::Access;

/// Everything a worker consults about a client.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Who may have what.
    pub access: Access,
    /// The keys by which requests are verified and replies signed.
    pub keys: Keys,
}

/// The control plane's end: where a new policy is left for one worker.
#[derive(Debug)]
pub struct PolicySender {
    inbox: Arc<ArrayQueue<Arc<Policy>>>,
    returned: Arc<ArrayQueue<Arc<Policy>>>,
}

/// The worker's end.
#[derive(Debug)]
pub struct PolicyReceiver {
    current: Arc<Policy>,
    inbox: Arc<ArrayQueue<Arc<Policy>>>,
    returned: Arc<ArrayQueue<Arc<Policy>>>,
}

/// The two ends for one worker, which starts with `policy`.
pub fn policy_exchange(policy: Arc<Policy>) -> (PolicySender, PolicyReceiver) {
    let inbox = Arc::new(ArrayQueue::new(1));
    let returned = Arc::new(ArrayQueue::new(RETURNED_MAX));
    let sender = PolicySender { inbox: Arc::clone(&inbox), returned: Arc::clone(&returned) };
    (sender, PolicyReceiver { current: policy, inbox, returned })
}

impl PolicySender {
    /// Has the worker go by `policy` from its next batch on; one it has not taken yet is forgotten.
    ///
    /// Only one thread may send to a worker at a time.
    pub fn send(&self, policy: Arc<Policy>) {
        while self.returned.pop().is_some() {}
        self.inbox.force_push(policy);
    }

    /// True once there is no worker at the other end.
    pub fn is_orphan(&self) -> bool {
        Arc::strong_count(&self.inbox) == 1
    }
}

impl PolicyReceiver {
    /// The policy now: a new one if there is one.
    #[inline]
    pub fn refresh(&mut self) -> &Policy {
        if !self.inbox.is_empty()
            && let Some(new) = self.inbox.pop()
        {
            let returned = self.returned.push(std::mem::replace(&mut self.current, new));
            debug_assert!(returned.is_ok(), "there is room: see RETURNED_MAX");
        }
        &self.current
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
    use super::*;

    fn is(policy: &Policy, expected: &Arc<Policy>) -> bool {
        std::ptr::eq(policy, Arc::as_ptr(expected))
    }

    #[test]
    fn the_latest_policy_counts_and_the_old_one_goes_back() {
        let policies: Vec<Arc<Policy>> = (0..4).map(|_| Arc::default()).collect();
        let (sender, mut receiver) = policy_exchange(Arc::clone(&policies[0]));
        assert!(is(receiver.refresh(), &policies[0]));
        sender.send(Arc::clone(&policies[1]));
        sender.send(Arc::clone(&policies[2]));
        assert_eq!(Arc::strong_count(&policies[1]), 1, "never taken, so forgotten by the sender");
        assert!(is(receiver.refresh(), &policies[2]) && is(receiver.refresh(), &policies[2]));
        assert_eq!(Arc::strong_count(&policies[0]), 2, "waits to be freed by the sender");
        sender.send(Arc::clone(&policies[3]));
        assert_eq!(Arc::strong_count(&policies[0]), 1);
        assert!(is(receiver.refresh(), &policies[3]));
        assert!(!sender.is_orphan());
        drop(receiver);
        assert!(sender.is_orphan());
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
