//! Who asks how often: the many that poll in turn, some that ask too much, and one that abuses.
//!
//! The population's first client is the abuser if there is one, then come the chatty clients, then the
//! well-behaved, who take turns so that each polls at its own even pace. The shares are of all packets.
//! A server that limits by client should answer the well-behaved in full whatever the others do; so
//! answers are counted by cohort.
//!
//! Must never: let the packets of one cohort move the turns of another.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::schedule::Part;

/// A group of clients that behave alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Cohort {
    /// Polls in turn with all others.
    WellBehaved,
    /// A few clients that send a large share.
    Chatty,
    /// One client with a share of its own.
    Abuser,
}

/// The shares of the cohorts; what is left is the well-behaved clients'.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Behaviour {
    /// The chatty clients.
    pub chatty: Chatty,
    /// The abuser's share of all packets, 0 to 1.
    pub abuser_share: f64,
}

/// Chatty clients; written `SHARE:CLIENTS`, as in `0.2:100`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Chatty {
    /// Their share of all packets, 0 to 1.
    pub share: f64,
    /// How many they are.
    pub clients: u32,
}

impl FromStr for Chatty {
    type Err = BehaviourError;

    fn from_str(text: &str) -> Result<Self, BehaviourError> {
        let unreadable = || BehaviourError::Text { text: text.to_owned() };
        let (share, clients) = text.split_once(':').ok_or_else(unreadable)?;
        let share = share.parse().map_err(|_| unreadable())?;
        let clients = clients.parse().map_err(|_| unreadable())?;
        Ok(Self { share, clients })
    }
}

impl Behaviour {
    /// Fails unless the shares make sense together and `population` clients are enough for all cohorts.
    pub fn check(&self, population: u32) -> Result<(), BehaviourError> {
        let shares = [self.chatty.share, self.abuser_share];
        let total: f64 = shares.iter().sum();
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || total > 1.0 {
            return Err(BehaviourError::Shares);
        }
        let needed = u64::from(self.set_apart()) + u64::from(total < 1.0);
        if u64::from(population) < needed {
            return Err(BehaviourError::TooFew { population, needed });
        }
        Ok(())
    }

    /// Clients that are not well-behaved.
    const fn set_apart(&self) -> u32 {
        let chatty = if self.chatty.share > 0.0 {
            if self.chatty.clients == 0 { 1 } else { self.chatty.clients }
        } else {
            0
        };
        chatty.saturating_add((self.abuser_share > 0.0) as u32)
    }
}

/// Why clients cannot behave so; whoever asked for it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BehaviourError {
    /// Not written as a share and a number.
    #[error("{text:?} is no share of chatty clients; write 0.2:100 for 20 % from 100 clients")]
    Text {
        /// What was written.
        text: String,
    },
    /// Shares beyond all there is.
    #[error("shares of clients are 0 to 1, and together at most 1")]
    Shares,
    /// Not enough addresses.
    #[error("{population} clients are too few for these shares; at least {needed} are needed")]
    TooFew {
        /// Clients there are.
        population: u32,
        /// Clients it takes.
        needed: u64,
    },
}

/// Whose turn it is: the state of one sender's part of the clients.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    /// Below this a draw is the abuser's.
    abuser_bound: u64,
    /// Below this, the chatty clients'.
    chatty_bound: u64,
    /// First client and number of clients, by cohort.
    ranges: [(u64, u64); 3],
    /// Packets so far, by cohort.
    counts: [u64; 3],
    /// Packets that one client sends before it is the next one's turn.
    run: u64,
    part: Part,
}

impl Turns {
    /// `run` packets of a client follow each other; at least 1.
    pub(crate) fn new(behaviour: Behaviour, population: u32, run: u64, part: Part) -> Self {
        let abusers = u64::from(behaviour.abuser_share > 0.0);
        let apart = u64::from(behaviour.set_apart());
        let bound = |share: f64| (share * DRAWS).round() as u64;
        let rest = u64::from(population).saturating_sub(apart).max(1);
        Self {
            abuser_bound: bound(behaviour.abuser_share),
            chatty_bound: bound(behaviour.abuser_share + behaviour.chatty.share),
            ranges: [(apart, rest), (abusers, (apart - abusers).max(1)), (0, 1)],
            counts: [0; 3],
            run: run.max(1),
            part,
        }
    }

    /// Whether all clients are well-behaved, so that no draw is needed.
    pub(crate) const fn is_even(&self) -> bool {
        self.chatty_bound == 0
    }

    /// The client whose turn it is by `draw`, a uniform number.
    #[inline]
    pub(crate) fn next(&mut self, draw: u32) -> (u64, Cohort) {
        let cohort = match u64::from(draw) {
            draw if draw < self.abuser_bound => Cohort::Abuser,
            draw if draw < self.chatty_bound => Cohort::Chatty,
            _ => Cohort::WellBehaved,
        };
        let count = &mut self.counts[cohort as usize];
        // The senders deal the clients out among themselves.
        let turn = *count / self.run * u64::from(self.part.of) + u64::from(self.part.index);
        *count += 1;
        let (first, size) = self.ranges[cohort as usize];
        (first + turn % size, cohort)
    }

    /// Takes back the last turn of `cohort`: nothing was sent.
    pub(crate) const fn take_back(&mut self, cohort: Cohort) {
        self.counts[cohort as usize] -= 1;
    }
}

/// Requests of one cohort and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// Requests sent.
    pub sent: u64,
    /// Valid replies.
    pub answered: u64,
    /// Replies with a kiss code that sends the client away.
    pub refused: u64,
}

/// What came of the requests of each cohort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Treatments {
    /// The many.
    pub well_behaved: Treatment,
    /// The few that ask too much.
    pub chatty: Treatment,
    /// The one.
    pub abuser: Treatment,
}

impl Treatments {
    /// What came of the requests of `cohort`.
    #[inline]
    pub const fn of_mut(&mut self, cohort: Cohort) -> &mut Treatment {
        match cohort {
            Cohort::WellBehaved => &mut self.well_behaved,
            Cohort::Chatty => &mut self.chatty,
            Cohort::Abuser => &mut self.abuser,
        }
    }

    /// Every cohort and what came of its requests.
    pub const fn all(&self) -> [(Cohort, Treatment); 3] {
        [
            (Cohort::WellBehaved, self.well_behaved),
            (Cohort::Chatty, self.chatty),
            (Cohort::Abuser, self.abuser),
        ]
    }

    /// Adds what `other` has counted.
    pub fn add(&mut self, other: &Self) {
        for (cohort, more) in other.all() {
            let sum = self.of_mut(cohort);
            sum.sent += more.sent;
            sum.answered += more.answered;
            sum.refused += more.refused;
        }
    }
}

/// How many numbers may be drawn.
const DRAWS: f64 = (1u64 << 32) as f64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn behaviour(share: f64, clients: u32, abuser_share: f64) -> Behaviour {
        Behaviour { chatty: Chatty { share, clients }, abuser_share }
    }

    /// How often each client had its turn, in 100 000 turns with draws spread evenly.
    fn turns(behaviour: Behaviour, population: u32) -> HashMap<u64, u32> {
        let mut turns = Turns::new(behaviour, population, 1, Part::WHOLE);
        let mut seen = HashMap::new();
        for k in 0..100_000u32 {
            *seen.entry(turns.next(k.wrapping_mul(2_654_435_769)).0).or_default() += 1;
        }
        seen
    }

    #[test]
    fn well_behaved_clients_poll_evenly() {
        let seen = turns(Behaviour::default(), 1_000);
        assert!(seen.len() == 1_000 && seen.values().all(|count| *count == 100));
    }

    #[test]
    fn each_cohort_has_its_clients_and_its_share() {
        let seen = turns(behaviour(0.3, 10, 0.2), 1_000);
        assert_eq!(seen.len(), 1_000);
        assert!(seen[&0].abs_diff(20_000) < 50, "the abuser: {}", seen[&0]);
        assert!((1..=10).all(|client| seen[&client].abs_diff(3_000) < 20), "the chatty");
        assert!((11..1_000).all(|client| (49..=52).contains(&seen[&client])), "the rest");
    }

    #[test]
    fn senders_deal_the_clients_out_and_runs_stay_together() {
        let mut seen = Vec::new();
        for index in 0..2 {
            let mut turns = Turns::new(Behaviour::default(), 4, 2, Part { index, of: 2 });
            seen.extend((0..4).map(|_| turns.next(0).0));
        }
        assert_eq!(seen, [0, 0, 2, 2, 1, 1, 3, 3]);
    }

    #[test]
    fn a_turn_taken_back_is_the_next_again() {
        let mut turns = Turns::new(behaviour(0.5, 2, 0.0), 9, 1, Part::WHOLE);
        let first = turns.next(0);
        turns.take_back(first.1);
        assert_eq!(turns.next(0), first);
    }

    #[test]
    fn impossible_shares_and_too_few_clients_are_refused() {
        for (share, clients, abuser) in [(-0.1, 1, 0.0), (0.7, 1, 0.7), (0.0, 0, 1.5)] {
            let checked = behaviour(share, clients, abuser).check(100);
            assert_eq!(checked, Err(BehaviourError::Shares));
        }
        assert_eq!(behaviour(0.5, 10, 0.1).check(12), Ok(()));
        let error = behaviour(0.5, 10, 0.1).check(11).unwrap_err();
        assert_eq!(error, BehaviourError::TooFew { population: 11, needed: 12 });
        assert_eq!(behaviour(0.0, 0, 1.0).check(1), Ok(()), "the abuser alone");
        assert!("0.5".parse::<Chatty>().is_err() && "x:1".parse::<Chatty>().is_err());
        assert_eq!("0.2:100".parse(), Ok(Chatty { share: 0.2, clients: 100 }));
    }
}
