//! What the program holds against whom: the workers' policy, as words.
//!
//! The program has room for two policies (`bpf/policy.h`). A new one is written where the one that does not
//! count lies, and counts from the store of one word on. All of it is memory, so it takes neither a
//! privilege nor a system call, and any thread can do it.
//!
//! Must never: write to what counts, or be laid out otherwise than `struct policies` in bpf/policy.h.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use super::mapped::{Mapped, Shared};

/// Words of a policy without its rules; bpf/policy.h says what they are.
pub const POLICY_WORDS: usize = 10;
/// Rules that there is room for, counted as the program finds them: nodes and slots of tries.
pub const RULES_MAX: usize = 1 << 17;

/// More rules than the program has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the access rules take {0} places of a table that has {RULES_MAX}; name larger networks, or fewer"
)]
pub struct TooManyRules(pub usize);

/// `struct policies`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Policies {
    /// Its lowest bit says which of the two counts; 0: none.
    generation: AtomicU64,
    /// Sets of the ledger for each processor.
    sets: AtomicU64,
    of: [[AtomicU64; POLICY_WORDS]; 2],
}

/// `struct rule`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Rule([AtomicU64; 2]);

// SAFETY: `repr(C)` and made of `AtomicU64`.
unsafe impl Shared for Policies {}
// SAFETY: as above.
unsafe impl Shared for Rule {}

/// Where a policy is put into force in the driver.
#[derive(Debug)]
pub struct Guard {
    policies: Mapped<Policies>,
    rules: Mapped<Rule>,
    /// The last one that was given out.
    generation: u64,
}

impl Guard {
    /// With the policy that is in force, if any; without, nothing is answered.
    pub(super) fn new(policies: Mapped<Policies>, rules: Mapped<Rule>, sets: usize) -> Self {
        policies.values()[0].sets.store(sets as u64, Ordering::Relaxed);
        let generation = policies.values()[0].generation.load(Ordering::Relaxed);
        Self { policies, rules, generation }
    }

    /// Puts the policy of these words into force for every request from now on.
    ///
    /// # Errors
    /// [`TooManyRules`]; then none is in force, and workers answer everything.
    pub fn write(
        &mut self,
        words: [u64; POLICY_WORDS],
        rules: &[[u64; 2]],
    ) -> Result<(), TooManyRules> {
        let policies = &self.policies.values()[0];
        if rules.len() > RULES_MAX {
            policies.generation.store(0, Ordering::Release);
            return Err(TooManyRules(rules.len()));
        }
        self.generation += 1;
        let place = self.generation as usize & 1;
        // Whoever still reads what lay there before has read a generation that must not count any more when
        // this is written.
        fence(Ordering::Release);
        fill(&policies.of[place], &words);
        for (room, rule) in self.rules.values()[place * RULES_MAX..].iter().zip(rules) {
            fill(&room.0, rule);
        }
        policies.generation.store(self.generation, Ordering::Release);
        Ok(())
    }
}

fn fill(room: &[AtomicU64], words: &[u64]) {
    room.iter().zip(words).for_each(|(room, word)| room.store(*word, Ordering::Relaxed));
}

/// Octets of a set of the ledger, and how many clients it holds.
const SET_OCTETS: usize = 64;
const SET_CLIENTS: usize = 8;
/// As much as the ledgers of all processors may take together, of memory that the kernel cannot put
/// elsewhere; where there are many processors, each has less.
const LEDGER_OCTETS_MAX: usize = 64 << 20;

/// Sets for each of so many processors: for as many clients as a worker remembers, if there is room.
pub(super) fn sets(clients: usize, processors: usize) -> usize {
    let wanted = clients.div_ceil(SET_CLIENTS).max(1).next_power_of_two();
    let room = LEDGER_OCTETS_MAX / SET_OCTETS / processors.max(1);
    wanted.min(1 << room.max(1).ilog2())
}
