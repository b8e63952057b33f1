//! The policy in force, and everybody who goes by it: workers, the control thread, the LAN thread, the
//! program in the driver.
//!
//! There is one policy at a time. It is replaced whole when the configuration is read again, and amended
//! by the gatekeeper when the addresses behind names have changed; one that still works for an earlier
//! configuration is not heard any more.
//!
//! Must never: let two go by different configurations for longer than a batch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use timeball_responder::{
    Access, Policy, PolicyReceiver, PolicySender, policy_exchange, worker_exchange,
};
use timeball_sys::xdp::Guard;

/// Where policies are given out.
#[derive(Debug)]
pub(super) struct Desk(Mutex<Papers>);

#[derive(Debug)]
struct Papers {
    policy: Arc<Policy>,
    edition: Edition,
    receivers: Vec<PolicySender>,
    guard: Option<Guard>,
}

/// Which configuration a policy belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Edition(u64);

impl Desk {
    /// A desk that gives out `policy`.
    pub(super) fn new(policy: Policy) -> Self {
        let (policy, edition) = (Arc::new(policy), Edition::default());
        Self(Mutex::new(Papers { policy, edition, receivers: Vec::new(), guard: None }))
    }

    /// One more who goes by the policy, but limits nobody; it is forgotten when it is dropped.
    pub(super) fn join(&self) -> PolicyReceiver {
        self.enter(policy_exchange)
    }

    /// One more worker, which remembers its clients as the policy says; likewise.
    pub(super) fn join_as_worker(&self) -> PolicyReceiver {
        self.enter(worker_exchange)
    }

    /// Keeps the program in the driver at the policy, by its `guard`.
    pub(super) fn keep_in(&self, guard: Guard) {
        let mut papers = self.papers();
        papers.guard = Some(guard);
        papers.tell_driver();
    }

    fn enter(&self, exchange: fn(Arc<Policy>) -> (PolicySender, PolicyReceiver)) -> PolicyReceiver {
        let mut papers = self.papers();
        let (sender, receiver) = exchange(Arc::clone(&papers.policy));
        papers.receivers.push(sender);
        receiver
    }

    /// Puts the policy of another configuration into force.
    pub(super) fn replace(&self, policy: Policy) -> Edition {
        let mut papers = self.papers();
        papers.edition.0 += 1;
        papers.give_out(policy);
        papers.edition
    }

    /// Puts another access table of the configuration of `edition` into force, if that still counts.
    pub(super) fn amend(&self, edition: Edition, access: Access) {
        let mut papers = self.papers();
        if papers.edition == edition {
            let policy = Policy { access, ..Policy::clone(&papers.policy) };
            papers.give_out(policy);
        }
    }

    /// Which configuration's policy is in force.
    pub(super) fn edition(&self) -> Edition {
        self.papers().edition
    }

    fn papers(&self) -> MutexGuard<'_, Papers> {
        // Every change is a single assignment, so what a panic left behind is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Papers {
    fn give_out(&mut self, policy: Policy) {
        self.policy = Arc::new(policy);
        self.tell_driver();
        self.receivers.retain(|receiver| !receiver.is_orphan());
        self.receivers.iter().for_each(|receiver| receiver.send(Arc::clone(&self.policy)));
    }

    fn tell_driver(&mut self) {
        let Some(guard) = &mut self.guard else { return };
        let words = self.policy.to_words();
        if let Err(error) = guard.write(words.head, &words.rules) {
            tracing::warn!("fast path: {error}; workers answer everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use timeball_responder::{AccessRule, Network, Restrictions};

    use super::*;

    fn refusing(address: &str) -> Access {
        let network = Network::host(address.parse().unwrap());
        let restrictions = Restrictions::NO_TIME;
        Access::new(&[AccessRule { network, from_ntp_port: false, restrictions }])
    }

    fn refuses(policy: &Policy, address: &str) -> bool {
        policy.access.restrictions(&address.parse().unwrap()) == Restrictions::NO_TIME
    }

    #[test]
    fn everybody_gets_what_counts_and_amendments_of_the_past_do_not() {
        let desk = Desk::new(Policy::default());
        let mut early = desk.join();
        let edition = desk.replace(Policy { access: refusing("192.0.2.1"), ..Policy::default() });
        let mut late = desk.join();
        for receiver in [&mut early, &mut late] {
            assert!(refuses(receiver.refresh().0, "192.0.2.1:9"));
        }
        desk.amend(edition, refusing("192.0.2.2"));
        assert!(
            refuses(early.refresh().0, "192.0.2.2:9") && refuses(late.refresh().0, "192.0.2.2:9")
        );
        let next = desk.replace(Policy::default());
        desk.amend(edition, refusing("192.0.2.3"));
        assert!(!refuses(early.refresh().0, "192.0.2.3:9") && next != edition);
        drop(late);
        desk.replace(Policy::default());
        assert_eq!(desk.papers().receivers.len(), 1);
    }
}
