//! One association: whom to ask, when to ask again, and what the answers have said so far.
//!
//! ```text
//! unresolved ──▶ resolving ──▶ polling ──DENY, RSTR──▶ refused
//!     ▲              │           │  ▲                    │
//!     └──── failed ──┴─ silent ──┘  └──── hours later ───┘
//! ```
//!
//! A source that has come back after silence is asked in a burst ([`crate::pace`]) from its first
//! answer on: an absent one gets none.
//!
//! Must never: have two requests open; send faster than a server asked us to in a RATE kiss whose
//! origin matched; act on one whose origin did not.

mod broadcast;
mod naming;

use core::net::IpAddr;

use timeball_time::{Free, Interval, Monotonic, Rate, ReferenceId, Timestamp};

use crate::action::{Action, Actions, Event, SourceId};
use crate::config::{SourceConfig, Target};
use crate::distance::{Distance, Proof, Proven};
use crate::exchange::{Exchange, Sample};
use crate::filter::{Filter, FrequencyPrior, Point, Verdict};
use crate::pace::{Pace, RECHECK_GAP};
use crate::reference_id::reference_id_of;
use crate::rejection::{Kiss, Rejection};
use crate::returning::Absence;

use broadcast::Heard;
use naming::RESOLVE_RETRY;

/// Where an association stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its name has no address yet; will be asked for.
    Unresolved,
    /// Its name is being looked up.
    Resolving,
    /// It is being asked for the time.
    Polling,
    /// It denied us service; left alone for hours.
    Refused,
    /// Its broadcasts are listened to; it was asked before, to learn how far it is.
    Listening,
    /// Nobody yet: a place for a server that is heard of, or for one more of a pool.
    Vacant,
}

/// One association.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    id: SourceId,
    config: SourceConfig,
    addresses: Vec<IpAddr>,
    address: usize,
    state: State,
    /// When to act next.
    due: Timestamp<Monotonic>,
    exchange: Option<Exchange<Free>>,
    /// The server that holds this place, if it was heard of and not configured.
    heard: Option<Heard>,
    reach: u8,
    pace: Pace,
    unanswered: u32,
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    resolve_failures: u32,
    pub(crate) rejections: [u64; Rejection::COUNT],
    filter: Filter,
    last: Option<Sample<Free>>,
    proof: Option<Proof>,
    /// The last authentic answer was one not to be believed.
    pub(crate) unfit: Option<Rejection>,
    pub(crate) absence: Absence,
}

impl Source {
    pub(crate) fn new(
        id: SourceId,
        config: SourceConfig,
        now: Timestamp<Monotonic>,
        prior: FrequencyPrior,
    ) -> Self {
        let (addresses, state) = match &config.target {
            Target::Address(address) => (vec![address.ip()], State::Polling),
            Target::Name { .. } | Target::Pool { .. } => (Vec::new(), State::Unresolved),
            Target::Heard => (Vec::new(), State::Vacant),
        };
        Self {
            id,
            pace: Pace::new(&config),
            config,
            addresses,
            address: 0,
            state,
            due: if state == State::Vacant { NEVER } else { now },
            exchange: None,
            heard: None,
            reach: 0,
            unanswered: 0,
            requests: 0,
            answers: 0,
            resolve_failures: 0,
            rejections: [0; Rejection::COUNT],
            filter: Filter::new(prior),
            last: None,
            proof: None,
            unfit: None,
            absence: Absence::default(),
        }
    }

    /// Has another number and goes by other settings from now on, but for where it is. With another key it
    /// starts anew: what was measured was not signed with it.
    pub(crate) fn reconfigure(
        &mut self,
        id: SourceId,
        config: &SourceConfig,
        now: Timestamp<Monotonic>,
        prior: FrequencyPrior,
    ) {
        self.id = id;
        if config.target == Target::Heard {
            return;
        }
        self.pace.reconfigure(config);
        let rekeyed = config.key.is_some() && config.key != self.config.key;
        self.config = config.clone();
        if rekeyed {
            self.restart(now, prior);
        } else if self.state == State::Polling {
            self.due = self.due.min(now + Interval::from_poll(self.pace.poll()));
        }
    }

    /// Does what is due: look up the name, or send the next request. True if the source became
    /// unreachable by it. `heard`: when any source was heard last.
    pub(crate) fn on_timer(
        &mut self,
        now: Timestamp<Monotonic>,
        free: Timestamp<Free>,
        heard: Timestamp<Free>,
        prior: FrequencyPrior,
        random: &mut dyn FnMut() -> u64,
        out: &mut Actions,
    ) -> bool {
        if now < self.due || !out.has_room() {
            return false;
        }
        match self.state {
            State::Unresolved | State::Vacant => self.resolve(now, out),
            // The host has not reported: as good as a failure.
            State::Resolving => self.on_resolved(now, &[], prior, out),
            State::Refused => {
                self.pace.forgive();
                self.restart(now, prior);
                self.state = if self.is_named() { State::Unresolved } else { State::Polling };
            }
            State::Polling => return self.poll(now, free, heard, prior, random, out),
            State::Listening => return self.miss_broadcast(prior, out),
        }
        false
    }

    fn poll(
        &mut self,
        now: Timestamp<Monotonic>,
        free: Timestamp<Free>,
        heard: Timestamp<Free>,
        prior: FrequencyPrior,
        random: &mut dyn FnMut() -> u64,
        out: &mut Actions,
    ) -> bool {
        let was_reachable = self.reach != 0;
        if let Some(exchange) = self.exchange.take() {
            self.unanswered = self.unanswered.saturating_add(1);
            self.absence.missed(heard > exchange.sent());
        }
        if self.unanswered >= UNANSWERED_MAX && self.is_named() {
            self.leave_address(now, prior, out);
            return was_reachable;
        }
        if self.unanswered >= UNANSWERED_MAX && self.heard.is_some() {
            self.vacate(prior, out);
            return was_reachable;
        }
        let Some(remote) = self.remote() else { return false };
        self.reach <<= 1;
        let exchange = Exchange::new(random(), free, self.config.key.clone());
        out.push(Action::Send { source: self.id, remote, request: exchange.request() });
        self.exchange = Some(exchange);
        self.requests += 1;
        self.due = now + self.pace.gap(self.filter.is_suspicious(), random());
        let lost = was_reachable && self.reach == 0;
        if lost {
            out.note(Event::Unreachable { source: self.id });
        }
        lost
    }

    pub(crate) fn on_transmitted(&mut self, stamp: Timestamp<Free>) {
        if let Some(exchange) = &mut self.exchange {
            exchange.transmitted(stamp);
        }
    }

    pub(crate) fn on_send_failed(&mut self) {
        // Counts as unanswered: a network that cannot be reached is no better than a silent server.
        if self.exchange.take().is_some() {
            self.unanswered = self.unanswered.saturating_add(1);
            self.absence.missed(false);
        }
    }

    /// Judges an answer; `Ok` if there is a new measurement.
    pub(crate) fn on_datagram(
        &mut self,
        datagram: &[u8],
        received: Timestamp<Free>,
        now: Timestamp<Monotonic>,
        context: &Context<'_>,
        out: &mut Actions,
    ) -> Result<Verdict, Rejection> {
        let result = self.judge(datagram, received, context);
        match result {
            Ok(sample) => {
                let verdict = self.take_in(sample, now, context, out);
                self.listen_if_calibrated(now);
                Ok(verdict)
            }
            Err(rejection) => {
                self.refuse(rejection, now, out);
                Err(rejection)
            }
        }
    }

    fn judge(
        &mut self,
        datagram: &[u8],
        received: Timestamp<Free>,
        context: &Context<'_>,
    ) -> Result<Sample<Free>, Rejection> {
        let exchange = self.exchange.as_mut().ok_or(Rejection::NoRequest)?;
        let sample = exchange.accept(datagram, received, context.precision)?;
        // A stratum 1 server's reference ID is a code, not an address.
        if sample.stratum.get() > 1 && context.own_ids.contains(&sample.reference_id) {
            return Err(Rejection::Loop);
        }
        Ok(sample)
    }

    fn take_in(
        &mut self,
        sample: Sample<Free>,
        now: Timestamp<Monotonic>,
        context: &Context<'_>,
        out: &mut Actions,
    ) -> Verdict {
        self.exchange = None;
        self.unanswered = 0;
        self.answers += 1;
        self.absence.over();
        self.unfit = None;
        if self.reach == 0 || self.answers == 1 {
            out.note(Event::Reachable { source: self.id });
            if sample.reference_id.is_smeared() {
                out.note(Event::Smeared { source: self.id });
            }
            if self.pace.burst_again() {
                self.due = self.due.min(now + RECHECK_GAP);
            }
        }
        self.reach |= 1;
        let resolution =
            Interval::from_poll(context.precision) + Interval::from_poll(sample.precision);
        let before = self.filter.estimate().copied();
        let verdict = self.filter.insert(Point {
            time: sample.time(),
            offset: sample.offset,
            delay: sample.delay.max(resolution),
            resolution,
        });
        if matches!(verdict, Verdict::Taken | Verdict::Jumped) {
            let before = before.filter(|_| verdict == Verdict::Taken);
            self.proof = self.filter.estimate().map(|estimate| {
                Proof::renew(estimate, &sample, self.filter.points(), self.proof.zip(before))
            });
            self.last = Some(sample);
        }
        match verdict {
            Verdict::Taken => {
                if let Some(estimate) = self.filter.estimate() {
                    self.pace.adapt(estimate, self.filter.len());
                }
            }
            Verdict::Suspect if self.pace.suspect() => {
                self.due = self.due.min(now + RECHECK_GAP);
            }
            Verdict::Jumped => {
                self.pace.relearn();
                self.due = self.due.min(now + RECHECK_GAP);
                out.note(Event::SourceJumped { source: self.id });
            }
            Verdict::Suspect | Verdict::Stale => {}
        }
        verdict
    }

    /// What is proven beyond half the least delay, which the root delay accounts for, of an estimate
    /// with this `frequency`.
    pub(crate) fn proven(&self, frequency: f64) -> Proven {
        let (error, skew) = self
            .proof
            .map_or((Interval::ZERO, Rate::ZERO), |proof| (proof.error, proof.skew(frequency)));
        let error = (error - self.filter.delay_min().half()).max(Interval::ZERO);
        Proven { error, skew }
    }

    fn refuse(&mut self, rejection: Rejection, now: Timestamp<Monotonic>, out: &mut Actions) {
        let counter = &mut self.rejections[rejection.index()];
        *counter = counter.saturating_add(1);
        if !rejection.is_authentic() {
            if *counter == 1 && rejection.is_of_key() {
                out.note(Event::NotAuthentic { source: self.id, rejection });
            }
            return;
        }
        self.exchange = None;
        self.absence.settle();
        let first = self.unfit != Some(rejection);
        self.unfit = Some(rejection);
        match rejection {
            Rejection::KissOfDeath(kiss) => self.obey(kiss, first, now, out),
            Rejection::Loop if first => out.note(Event::Loop { source: self.id }),
            _ => {}
        }
    }

    fn obey(&mut self, kiss: Kiss, first: bool, now: Timestamp<Monotonic>, out: &mut Actions) {
        if first {
            out.note(Event::KissReceived { source: self.id, kiss });
        }
        match kiss {
            Kiss::Rate => {
                // Asked less often it still is a good source.
                self.unfit = None;
                self.due = now + self.pace.slow_down();
            }
            Kiss::Deny | Kiss::Restrict => {
                let pool = matches!(self.config.target, Target::Pool { .. });
                self.state = if pool { State::Unresolved } else { State::Refused };
                self.due = if pool { now } else { now + REFUSED_WAIT };
                self.reach = 0;
            }
        }
    }

    /// Forgets what was measured (another server, or a clock not to be trusted) and asks at once.
    pub(crate) fn restart(&mut self, now: Timestamp<Monotonic>, prior: FrequencyPrior) {
        self.exchange = None;
        self.filter.reset(prior);
        self.last = None;
        self.proof = None;
        self.unfit = None;
        self.reach = 0;
        self.answers = 0;
        self.requests = 0;
        self.pace.restart();
        if self.state == State::Listening {
            self.state = State::Polling;
        }
        let asks = matches!(self.state, State::Polling | State::Refused);
        if asks && !self.pace.is_slowed() {
            self.due = now;
        }
    }

    /// Asks it, or for its address, soon and a few times, to see whether it is there; false if it wants
    /// to be asked less.
    pub(crate) fn hasten(&mut self, now: Timestamp<Monotonic>) -> bool {
        let may = !self.pace.is_slowed();
        if may {
            self.pace.recall();
            match self.state {
                State::Polling => self.due = self.due.min(now + RECHECK_GAP),
                State::Unresolved => self.due = self.due.min(now + RESOLVE_RETRY),
                _ => {}
            }
        }
        may
    }

    /// Drops a request under way: its times are no longer comparable.
    pub(crate) fn abandon(&mut self) {
        self.exchange = None;
    }

    /// A leap second of `shift`: what was measured moves along, and a request that spans it is dropped.
    pub(crate) fn leap(&mut self, shift: Interval) {
        self.exchange = None;
        self.filter.leap(shift);
        if let Some(sample) = &mut self.last {
            sample.offset += shift;
        }
    }

    /// Points before its estimate is worth anything.
    const fn points_needed(&self) -> usize {
        if self.config.iburst { READY_POINTS_BURST } else { READY_POINTS }
    }

    /// Whether its estimate may take part in selection.
    pub(crate) fn is_fit(&self) -> bool {
        matches!(self.state, State::Polling | State::Listening)
            && self.reach != 0
            && self.unfit.is_none()
            && self.filter.len() >= self.points_needed()
    }

    /// Whether it may still come to vote: selection counts it as a possible dissenter until then.
    pub(crate) fn is_pending(&self) -> bool {
        let patience = (self.points_needed() + PENDING_REQUESTS_MORE) as u64;
        match self.state {
            State::Unresolved | State::Resolving => {
                self.resolve_failures == 0 && self.addresses.is_empty()
            }
            State::Polling => {
                self.unfit.is_none()
                    && self.filter.len() < self.points_needed()
                    && (self.reach != 0 || self.requests < patience)
            }
            State::Refused | State::Listening | State::Vacant => false,
        }
    }

    /// Root distance by way of it at `now`.
    pub(crate) fn distance(&self, now: Timestamp<Free>) -> Option<Distance> {
        let (sample, estimate) = (self.last.as_ref()?, self.filter.estimate()?);
        let proven = self.proven(estimate.frequency());
        Some(Distance::of(estimate, sample, self.filter.delay_min(), proven, now))
    }

    pub(crate) fn reference_id(&self) -> ReferenceId {
        self.remote().map_or(ReferenceId::default(), |remote| reference_id_of(remote.ip()))
    }

    pub(crate) const fn due(&self) -> Timestamp<Monotonic> {
        self.due
    }

    pub(crate) const fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(crate) const fn config(&self) -> &SourceConfig {
        &self.config
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) const fn reach(&self) -> u8 {
        self.reach
    }

    pub(crate) fn poll_exponent(&self) -> i8 {
        self.pace.poll()
    }

    pub(crate) const fn last(&self) -> Option<&Sample<Free>> {
        self.last.as_ref()
    }
}

/// What judging an answer needs to know of us.
pub(crate) struct Context<'a> {
    /// log2 seconds: the local clock's resolution.
    pub(crate) precision: i8,
    /// The reference IDs by which our clients know us.
    pub(crate) own_ids: &'a [ReferenceId],
}

/// When a vacant place is due.
const NEVER: Timestamp<Monotonic> = Timestamp::from_nanos(i64::MAX);
/// How long a server that denied us service is left alone.
const REFUSED_WAIT: Interval = Interval::from_secs(8 * 3600);
/// Requests without an answer before another address is tried: as many as the reach register holds.
const UNANSWERED_MAX: u32 = 8;
/// Points before a source may be selected; in a burst points are close together and cheap.
const READY_POINTS: usize = 3;
const READY_POINTS_BURST: usize = 4;
/// Requests without any answer, beyond the points needed, before a source is no longer waited for.
const PENDING_REQUESTS_MORE: usize = 2;
