//! How much each client gets: a worker's own memory of who asked how often.
//!
//! Each client has an allowance ([`Limits`]). What is over it is mostly not answered: one request in a few
//! is, by chance, because whoever can forge a client's address could otherwise use the limit to silence it
//! (CVE-2015-7705). A client that is not remembered has its allowance whole, so whatever the table cannot
//! hold is let through.
//!
//! When more is asked than can be answered, strangers wait: a request of somebody who has not asked
//! before is mostly dropped, but remembered, and the next one is no stranger's. Those who have been
//! clients all along get their answers meanwhile.
//!
//! Nothing is shared between workers: a client always meets the same one.
//!
//! Must never: silence anybody altogether, allocate for a request, or read a clock.

use core::net::IpAddr;

use timeball_time::{Interval, Realtime, Timestamp};
use timeball_wire::BATCH_MAX;

use crate::caller::Caller;
use crate::keyed_hash::HashKey;
use crate::ledger::{Ledger, Place, Record};
use crate::limits::{Budget, LimitMode, Limits, Ticks, ticks_of};

/// One worker's limiter.
#[derive(Debug)]
pub struct Limiter {
    /// By which clients are known; it stays while limits change.
    key: HashKey,
    ledger: Ledger,
    random: Random,
    /// When the allowance of kisses is whole again.
    kisses_whole_at: Ticks,
    full_batches: u32,
    /// There is too much to do until then.
    overloaded_until: Option<Ticks>,
    tally: LimiterTally,
}

/// What the limiter has done since the worker began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LimiterTally {
    /// Requests over the limit that were answered all the same, by chance.
    pub leaked: u64,
    /// Requests over the limit that were answered by a kiss of death.
    pub kisses: u64,
    /// Requests answered because the limits are only observed.
    pub observed: u64,
    /// Ledger forgotten for want of room.
    pub forgotten: u64,
    /// Batches while more came than could be answered.
    pub overloaded: u64,
}

/// What a client gets for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// An answer.
    Answer,
    /// A kiss of death: it asks too often, and is told so.
    Kiss,
    /// Nothing: it asks too often.
    TooOften,
    /// Nothing: it is a stranger, and there is too much to do.
    Stranger,
}

/// What is known of who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// It has asked before, within its limits.
    Client,
    /// It has not, as far as is remembered.
    Stranger,
    /// It is over its limits.
    Over,
}

/// An allowance as it is found, before it is charged.
struct Account {
    place: Place,
    budget: Budget,
    debt: u64,
}

impl Account {
    const fn allows(&self) -> bool {
        self.budget.allows(self.debt)
    }
}

impl Limiter {
    /// A limiter for one worker with the table that `limits` ask for. All memory is taken here.
    pub fn new(limits: &Limits) -> Self {
        let key = limits.key();
        Self {
            key,
            ledger: Ledger::new(limits.clients()),
            random: Random(key.hash::<8>(SEED)),
            kisses_whole_at: Ticks::from_bits(0),
            full_batches: 0,
            overloaded_until: None,
            tally: LimiterTally::default(),
        }
    }

    /// What was done so far.
    pub const fn tally(&self) -> LimiterTally {
        self.tally
    }

    /// Goes on counting where `before` stopped.
    pub(crate) const fn count_on(&mut self, before: &Self) {
        self.tally = before.tally;
    }

    /// Notes how many datagrams the worker has found at the moment `now`: full batches one after another
    /// mean that its queue never empties.
    #[inline]
    pub fn on_batch(&mut self, datagrams: usize, now: Timestamp<Realtime>) {
        let now = Ticks::of(now);
        let full = datagrams == BATCH_MAX;
        self.full_batches = if full { self.full_batches.saturating_add(1) } else { 0 };
        if self.full_batches >= OVERLOAD_BATCHES {
            self.overloaded_until = Some(now.plus(OVERLOAD_HELD));
        }
        // A clock that was set back must not hold it for longer.
        self.overloaded_until =
            self.overloaded_until.filter(|until| (1..=OVERLOAD_HELD).contains(&until.since(now)));
        self.tally.overloaded += u64::from(self.overloaded_until.is_some());
    }

    /// By what clients are known.
    pub(crate) const fn key(&self) -> HashKey {
        self.key
    }

    /// Who asks from `source`.
    pub const fn caller(&self, source: IpAddr) -> Caller {
        Caller::of(source, self.key)
    }

    /// Fetches what is known of all `callers` of a batch.
    ///
    /// Each is somewhere else in a table that is larger than the caches. Waiting for one after the other
    /// would take longer than judging them; here all are waited for at once, because nothing depends on
    /// what is read. It has a use nevertheless, so that no compiler leaves it out: it is stirred into the
    /// random numbers.
    #[inline]
    pub(crate) fn expect(&mut self, callers: &[Caller]) {
        let mut seen = 0;
        for caller in callers {
            seen ^= self.ledger.glance(caller.client);
            if let Some(site) = caller.site {
                seen ^= self.ledger.glance(site.get());
            }
        }
        self.random.0 ^= seen;
    }

    /// What `caller` gets for a request at the moment `now` by `limits`; it is charged for it. `kiss`: it
    /// may be told that it asks too often.
    #[inline]
    pub(crate) fn judge(
        &mut self,
        caller: Caller,
        kiss: bool,
        limits: &Limits,
        now: Timestamp<Realtime>,
    ) -> Pace {
        if limits.mode() == LimitMode::Off {
            return Pace::Answer;
        }
        let now = Ticks::of(now);
        let client = self.account(caller.client, limits.client(), now);
        let standing = match caller.site {
            None => self.charge([client], now),
            // An IPv6 client has its own allowance and a part in that of its /48: what is over one of them
            // is charged to neither.
            Some(site) => {
                let site = self.account(site.get(), limits.site(), now);
                self.charge([client, site], now)
            }
        };
        match standing {
            Standing::Client => Pace::Answer,
            Standing::Stranger if self.has_time_for_a_stranger() => Pace::Answer,
            _ if limits.mode() == LimitMode::Observe => {
                self.tally.observed += 1;
                Pace::Answer
            }
            Standing::Stranger => Pace::Stranger,
            Standing::Over => self.over(kiss, limits, now),
        }
    }

    /// Looks up the allowance of the client or site of this `hash`.
    #[inline(always)]
    fn account(&self, hash: u64, budget: Budget, now: Ticks) -> Account {
        let place = self.ledger.find(hash);
        let debt = if place.is_new() { 0 } else { place.whole_at().since(now) };
        // Beyond the horizon is a moment of the past, or of a clock that was set back since.
        let debt = if debt <= budget.horizon() { debt } else { 0 };
        Account { place, budget, debt }
    }

    /// Charges a request to all of `accounts`, of which the first is the client's own; or to none.
    #[inline(always)]
    fn charge<const N: usize>(&mut self, accounts: [Account; N], now: Ticks) -> Standing {
        if !accounts.iter().all(Account::allows) {
            return Standing::Over;
        }
        for Account { place, budget, debt } in &accounts {
            let record =
                Record { whole_at: now.plus(budget.charged(*debt)), returned: !place.is_new() };
            let forgets = self.ledger.note(*place, record, now.plus(budget.horizon()));
            self.tally.forgotten += u64::from(forgets);
        }
        if accounts[0].place.is_new() { Standing::Stranger } else { Standing::Client }
    }

    /// Notes that a request over the limit is answered nevertheless: few of its sender's come through.
    pub(crate) const fn count_sifted(&mut self) {
        self.tally.leaked += 1;
    }

    fn has_time_for_a_stranger(&mut self) -> bool {
        self.overloaded_until.is_none() || self.random.one_in(STRANGERS_ONE_IN)
    }

    /// What somebody gets who is over the limit.
    fn over(&mut self, kiss: bool, limits: &Limits, now: Ticks) -> Pace {
        if self.random.one_in(limits.leak().get()) {
            self.tally.leaked += 1;
            return Pace::Answer;
        }
        let debt = self.kisses_whole_at.since(now);
        let debt = if debt <= KISSES.horizon() { debt } else { 0 };
        if !kiss || !KISSES.allows(debt) {
            return Pace::TooOften;
        }
        self.kisses_whole_at = now.plus(KISSES.charged(debt));
        self.tally.kisses += 1;
        Pace::Kiss
    }
}

impl Default for Limiter {
    /// Remembers nobody, and so limits nobody.
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

/// Splitmix64 (Steele, Lea and Flood, 2014), from a secret seed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// True once in `n` times, by chance.
    fn one_in(&mut self, n: u32) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // The highest bits of the product are uniform below `n`.
        (u128::from(mixed) * u128::from(n)) >> 64 == 0
    }
}

/// What is hashed for the seed: no /64 that is in use.
const SEED: u64 = u64::MAX;
/// So many full batches mean overload: more datagrams than a receive buffer holds.
const OVERLOAD_BATCHES: u32 = 16;
/// How long overload is taken to last after the last sign of it: finding it out anew costs as many
/// answers as a receive buffer holds.
const OVERLOAD_HELD: u64 = ticks_of(Interval::from_millis(250));
/// One in so many strangers is answered at once even then.
const STRANGERS_ONE_IN: u32 = 16;
/// A worker's kisses of death: ten a second, so that nobody can be shot at with them.
const KISSES: Budget = Budget::new(ticks_of(Interval::from_millis(100)), 10);
