//! One association: whom to ask, when to ask again, and what the answers have said so far.
//!
//! ```text
//! unresolved ──▶ resolving ──▶ polling ──DENY, RSTR──▶ refused
//!     ▲              │           │  ▲                    │
//!     └──── failed ──┴─ silent ──┘  └──── hours later ───┘
//! ```
//!
//! Polling opens with a burst (iburst): four requests 2 s apart, which suffice for the first time, then
//! gaps of 4, 8, 16 and 32 s: the same eight packets that ntpd sends in a row, but with a lever arm of a
//! minute, which measures the frequency ten times better. A source that has come back after silence is
//! asked the same way, from its first answer on: an absent one gets no bursts.
//!
//! The poll interval then doubles while the oscillator's wander over the next interval stays below
//! [`WANDER_SHARE`] of a single measurement's jitter: asking more often would only measure noise.
//!
//! Must never: have two requests open; send faster than a server asked us to in a RATE kiss whose origin
//! matched; act on one whose origin did not.

use core::net::{IpAddr, SocketAddr};

use md5::{Digest, Md5};
use timeball_time::{Free, Interval, Monotonic, ReferenceId, Timestamp};

use crate::action::{Action, Actions, Event, SourceId};
use crate::config::{SourceConfig, Target};
use crate::exchange::{Exchange, FREQUENCY_TOLERANCE, Sample};
use crate::filter::{Filter, FrequencyPrior, JUMP_SAMPLES, Point, Verdict};
use crate::limits::{ADDRESSES_MAX, POLL_MAX};
use crate::rejection::{Kiss, Rejection};

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
    reach: u8,
    poll: i8,
    poll_floor: i8,
    /// Requests sent since the burst began.
    burst: usize,
    rechecks: usize,
    unanswered: u32,
    requests: u64,
    answers: u64,
    resolve_failures: u32,
    rejections: [u64; Rejection::COUNT],
    filter: Filter,
    last: Option<Sample<Free>>,
    /// The last authentic answer was one not to be believed.
    unfit: Option<Rejection>,
}

impl Source {
    pub(crate) fn new(
        id: SourceId,
        config: SourceConfig,
        now: Timestamp<Monotonic>,
        prior: FrequencyPrior,
    ) -> Self {
        let min_poll = config.min_poll.clamp(0, POLL_MAX);
        let config = SourceConfig {
            min_poll,
            max_poll: config.max_poll.clamp(min_poll, POLL_MAX),
            ..config
        };
        let (addresses, state) = match &config.target {
            Target::Address(address) => (vec![address.ip()], State::Polling),
            Target::Name { .. } => (Vec::new(), State::Unresolved),
        };
        Self {
            id,
            poll: min_poll,
            poll_floor: min_poll,
            burst: if config.iburst { 0 } else { BURST_GAPS_S.len() },
            config,
            addresses,
            address: 0,
            state,
            due: now,
            exchange: None,
            reach: 0,
            rechecks: 0,
            unanswered: 0,
            requests: 0,
            answers: 0,
            resolve_failures: 0,
            rejections: [0; Rejection::COUNT],
            filter: Filter::new(prior),
            last: None,
            unfit: None,
        }
    }

    /// Does what is due: look up the name, or send the next request. True if the source became
    /// unreachable by it.
    pub(crate) fn on_timer(
        &mut self,
        now: Timestamp<Monotonic>,
        free: Timestamp<Free>,
        prior: FrequencyPrior,
        random: &mut dyn FnMut() -> u64,
        out: &mut Actions,
    ) -> bool {
        if now < self.due || !out.has_room() {
            return false;
        }
        match self.state {
            State::Unresolved => self.resolve(now, out),
            // The host has not reported: as good as a failure.
            State::Resolving => self.on_resolved(now, &[], prior, out),
            State::Refused => {
                self.poll_floor = self.config.min_poll;
                self.restart(now, prior);
                self.state = if self.is_named() { State::Unresolved } else { State::Polling };
            }
            State::Polling => return self.poll(now, free, prior, random, out),
        }
        false
    }

    fn resolve(&mut self, now: Timestamp<Monotonic>, out: &mut Actions) {
        self.state = State::Resolving;
        self.due = now + RESOLVE_WAIT;
        out.push(Action::Resolve { source: self.id });
    }

    pub(crate) fn on_resolved(
        &mut self,
        now: Timestamp<Monotonic>,
        addresses: &[IpAddr],
        prior: FrequencyPrior,
        out: &mut Actions,
    ) {
        if self.state != State::Resolving {
            return;
        }
        if addresses.is_empty() {
            if self.resolve_failures == 0 {
                out.note(Event::ResolveFailed { source: self.id });
            }
            let exponent = self.resolve_failures.min(RESOLVE_BACKOFF_MAX);
            self.resolve_failures += 1;
            self.state = State::Unresolved;
            self.due = now + Interval::from_nanos(RESOLVE_RETRY.nanos() << exponent);
            return;
        }
        self.resolve_failures = 0;
        let before = self.remote();
        self.addresses = addresses.iter().copied().take(ADDRESSES_MAX).collect();
        // If the one that went silent is still among them, go on with the one after it.
        let silent = before.and_then(|b| self.addresses.iter().position(|&a| a == b.ip()));
        self.address = silent.map_or(0, |at| (at + 1) % self.addresses.len());
        self.state = State::Polling;
        self.due = now;
        self.unanswered = 0;
        if self.remote() != before {
            self.restart(now, prior);
            if let Some(remote) = self.remote() {
                out.note(Event::AddressChanged { source: self.id, remote });
            }
        }
    }

    fn poll(
        &mut self,
        now: Timestamp<Monotonic>,
        free: Timestamp<Free>,
        prior: FrequencyPrior,
        random: &mut dyn FnMut() -> u64,
        out: &mut Actions,
    ) -> bool {
        let was_reachable = self.reach != 0;
        if self.exchange.take().is_some() {
            self.unanswered = self.unanswered.saturating_add(1);
        }
        if self.unanswered >= UNANSWERED_MAX && self.is_named() {
            self.leave_address(now, prior, out);
            return was_reachable;
        }
        let Some(remote) = self.remote() else { return false };
        self.reach <<= 1;
        let exchange = Exchange::new(random(), free);
        out.push(Action::Send { source: self.id, remote, request: exchange.request() });
        self.exchange = Some(exchange);
        self.requests += 1;
        self.due = now + self.gap(random());
        let lost = was_reachable && self.reach == 0;
        if lost {
            out.note(Event::Unreachable { source: self.id });
        }
        lost
    }

    /// After too many requests without an answer: the next address, or a new look at the name.
    fn leave_address(
        &mut self,
        now: Timestamp<Monotonic>,
        prior: FrequencyPrior,
        out: &mut Actions,
    ) {
        self.unanswered = 0;
        if self.address + 1 >= self.addresses.len() {
            self.state = State::Unresolved;
            self.due = now;
            return;
        }
        self.address += 1;
        self.restart(now, prior);
        if let Some(remote) = self.remote() {
            out.note(Event::AddressChanged { source: self.id, remote });
        }
    }

    /// Time to the next request, and one step further in the burst.
    fn gap(&mut self, random: u64) -> Interval {
        if self.filter.is_suspicious() && self.rechecks < JUMP_SAMPLES {
            self.rechecks += 1;
            return RECHECK_GAP;
        }
        if let Some(&seconds) = BURST_GAPS_S.get(self.burst) {
            self.burst += 1;
            return Interval::from_secs(seconds);
        }
        // Up to 1/64 longer or shorter, so that clients do not meet again and again at one server.
        let nominal = Interval::from_poll(self.poll.max(self.poll_floor));
        let share = (random % 2048) as i64 - 1024;
        nominal + Interval::from_nanos((nominal.nanos() >> 16) * share)
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
            Ok(sample) => Ok(self.take_in(sample, now, context, out)),
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
        self.unfit = None;
        if self.reach == 0 || self.answers == 1 {
            out.note(Event::Reachable { source: self.id });
            self.burst_again(now);
        }
        self.reach |= 1;
        let resolution =
            Interval::from_poll(context.precision) + Interval::from_poll(sample.precision);
        let verdict = self.filter.insert(Point {
            time: sample.time(),
            offset: sample.offset,
            delay: sample.delay.max(resolution),
            resolution,
        });
        if matches!(verdict, Verdict::Taken | Verdict::Jumped) {
            self.last = Some(sample);
        }
        match verdict {
            Verdict::Taken => {
                self.rechecks = 0;
                self.adapt_poll();
            }
            Verdict::Suspect => self.due = self.due.min(now + RECHECK_GAP),
            Verdict::Jumped => {
                self.rechecks = 0;
                self.poll = self.config.min_poll.max(self.poll_floor);
                self.due = self.due.min(now + RECHECK_GAP);
                out.note(Event::SourceJumped { source: self.id });
            }
            Verdict::Stale => {}
        }
        verdict
    }

    /// A source heard again after silence is asked in a burst, unless it is in one.
    fn burst_again(&mut self, now: Timestamp<Monotonic>) {
        if self.config.iburst
            && self.burst >= BURST_GAPS_S.len()
            && self.poll_floor <= self.config.min_poll
        {
            self.burst = 0;
            self.poll = self.config.min_poll;
            self.due = self.due.min(now + RECHECK_GAP);
        }
    }

    fn refuse(&mut self, rejection: Rejection, now: Timestamp<Monotonic>, out: &mut Actions) {
        let counter = &mut self.rejections[rejection.index()];
        *counter = counter.saturating_add(1);
        if !rejection.is_authentic() {
            return;
        }
        self.exchange = None;
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
                self.burst = BURST_GAPS_S.len();
                self.rechecks = JUMP_SAMPLES;
                self.poll_floor = (self.poll.max(self.poll_floor) + 1).min(POLL_MAX);
                self.due = now + Interval::from_poll(self.poll_floor);
            }
            Kiss::Deny | Kiss::Restrict => {
                self.state = State::Refused;
                self.due = now + REFUSED_WAIT;
                self.reach = 0;
            }
        }
    }

    fn adapt_poll(&mut self) {
        let Some(estimate) = self.filter.estimate() else { return };
        let ceiling = (self.filter.len().saturating_sub(RAMP_START) / RAMP_POINTS) as i8;
        let ceiling = self.config.min_poll.saturating_add(ceiling).min(self.config.max_poll);
        let allowed = WANDER_SHARE * estimate.jitter();
        let mut poll = self.config.min_poll;
        // At most POLL_MAX turns.
        while poll < ceiling {
            let next = Interval::from_poll(poll + 1).as_secs_f64();
            if estimate.wander() * next.powf(1.5) / 3f64.sqrt() > allowed {
                break;
            }
            poll += 1;
        }
        // One step at a time, so that one odd likelihood does not throw the interval about.
        self.poll = poll.clamp(self.poll - 1, self.poll + 1).max(self.config.min_poll);
    }

    /// Forgets what was measured (another server, or a clock that cannot be trusted) and asks at once.
    pub(crate) fn restart(&mut self, now: Timestamp<Monotonic>, prior: FrequencyPrior) {
        self.exchange = None;
        self.filter.reset(prior);
        self.last = None;
        self.unfit = None;
        self.reach = 0;
        self.answers = 0;
        self.requests = 0;
        self.rechecks = 0;
        self.poll = self.config.min_poll;
        self.burst = if self.config.iburst { 0 } else { BURST_GAPS_S.len() };
        if self.state == State::Polling || self.state == State::Refused {
            self.due = now;
        }
    }

    /// Drops a request under way: its times are no longer comparable.
    pub(crate) fn abandon(&mut self) {
        self.exchange = None;
    }

    /// Points before its estimate is worth anything.
    const fn points_needed(&self) -> usize {
        if self.config.iburst { READY_POINTS_BURST } else { READY_POINTS }
    }

    /// Whether its estimate may take part in selection.
    pub(crate) fn is_fit(&self) -> bool {
        self.state == State::Polling
            && self.reach != 0
            && self.unfit.is_none()
            && self.filter.len() >= self.points_needed()
    }

    /// Whether it has not yet had its chance: selection waits for it as for a possible dissenter.
    pub(crate) fn is_pending(&self) -> bool {
        let patience = if self.answers > 0 { PENDING_REQUESTS_HEARD } else { PENDING_REQUESTS };
        match self.state {
            State::Unresolved | State::Resolving => {
                self.resolve_failures == 0 && self.addresses.is_empty()
            }
            State::Polling => {
                self.unfit.is_none()
                    && self.filter.len() < self.points_needed()
                    && self.requests < patience
            }
            State::Refused => false,
        }
    }

    /// Root distance at `now` without the part that the estimate's deviation contributes.
    pub(crate) fn distance(&self, now: Timestamp<Free>) -> Option<Distance> {
        let (sample, estimate) = (self.last.as_ref()?, self.filter.estimate()?);
        let age = (now - sample.received).max(Interval::ZERO);
        let sd = Interval::from_secs_f64(BOUND_SD * estimate.offset_sd_at(now));
        Some(Distance {
            delay: sample.root_delay.interval() + self.filter.delay_min(),
            dispersion: sample.root_dispersion.interval()
                + sample.dispersion
                + sd
                + FREQUENCY_TOLERANCE.over(age),
        })
    }

    pub(crate) fn reference_id(&self) -> ReferenceId {
        self.remote().map_or(ReferenceId::default(), |remote| reference_id_of(remote.ip()))
    }

    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        let port = match &self.config.target {
            Target::Address(address) => return Some(*address),
            Target::Name { port, .. } => *port,
        };
        self.addresses.get(self.address).map(|&address| SocketAddr::new(address, port))
    }

    fn is_named(&self) -> bool {
        matches!(self.config.target, Target::Name { .. })
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
        self.poll.max(self.poll_floor)
    }

    pub(crate) const fn last(&self) -> Option<&Sample<Free>> {
        self.last.as_ref()
    }

    pub(crate) const fn rejections(&self) -> &[u64; Rejection::COUNT] {
        &self.rejections
    }

    pub(crate) const fn requests(&self) -> u64 {
        self.requests
    }

    pub(crate) const fn unfit(&self) -> Option<Rejection> {
        self.unfit
    }
}

/// What judging an answer needs to know of us.
pub(crate) struct Context<'a> {
    /// log2 seconds: the local clock's resolution.
    pub(crate) precision: i8,
    /// The reference IDs by which our clients know us.
    pub(crate) own_ids: &'a [ReferenceId],
}

/// The two parts of a root distance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Distance {
    /// Root delay: counts half.
    pub(crate) delay: Interval,
    /// Root dispersion.
    pub(crate) dispersion: Interval,
}

impl Distance {
    pub(crate) fn total(self) -> Interval {
        self.delay.half() + self.dispersion
    }
}

/// How a server at `address` is named by its clients (RFC 5905 section 7.3).
pub fn reference_id_of(address: IpAddr) -> ReferenceId {
    match address.to_canonical() {
        IpAddr::V4(v4) => ReferenceId::from_octets(v4.octets()),
        IpAddr::V6(v6) => {
            let digest: [u8; 16] = Md5::digest(v6.octets()).into();
            ReferenceId::from_octets([digest[0], digest[1], digest[2], digest[3]])
        }
    }
}

/// Gaps after the first eight requests, in seconds.
const BURST_GAPS_S: [i64; 7] = [2, 2, 2, 4, 8, 16, 32];
/// Gap to the request that confirms or refutes a suspicion.
const RECHECK_GAP: Interval = Interval::from_secs(2);
/// A host that has not reported on a name by now will not.
const RESOLVE_WAIT: Interval = Interval::from_secs(15);
/// Wait after a failed look-up; doubles [`RESOLVE_BACKOFF_MAX`] times, to about 17 minutes.
const RESOLVE_RETRY: Interval = Interval::from_secs(4);
const RESOLVE_BACKOFF_MAX: u32 = 8;
/// How long a server that denied us service is left alone.
const REFUSED_WAIT: Interval = Interval::from_secs(8 * 3600);
/// Requests without an answer before another address is tried: as many as the reach register holds.
const UNANSWERED_MAX: u32 = 8;
/// Points before a source may be selected.
const READY_POINTS: usize = 3;
/// The same in a burst, where points are close together and cheap.
const READY_POINTS_BURST: usize = 4;
/// Requests after which a silent source is no longer waited for.
const PENDING_REQUESTS: u64 = 4;
/// Requests after which one that answered some is no longer waited for.
const PENDING_REQUESTS_HEARD: u64 = 8;
/// Deviations of the estimate that enter the error bound.
pub(crate) const BOUND_SD: f64 = 4.0;
/// Wander over the next interval, as a share of one measurement's jitter, up to which polls are spaced.
const WANDER_SHARE: f64 = 0.3;
/// Points before the interval may grow, and per doubling after.
const RAMP_START: usize = 6;
const RAMP_POINTS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_ids_are_addresses_or_digests() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(reference_id_of(v4).octets(), [192, 0, 2, 1]);
        assert_eq!(reference_id_of(mapped), reference_id_of(v4));
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_ne!(reference_id_of(v6), reference_id_of("2001:db8::2".parse().unwrap()));
    }
}
