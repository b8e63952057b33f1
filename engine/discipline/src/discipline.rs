//! The state machine: events in, actions out.
//!
//! The host calls one of the `on_…` functions for whatever happens, with the clocks read at that
//! moment, and carries out what comes back in [`Actions`]; besides it calls
//! [`Discipline::on_timer`] at [`Discipline::next_wakeup`]. Nothing here reads a clock, draws a
//! random number or touches a socket, so a simulator runs the very same code.
//!
//! ```text
//! on_datagram ─▶ Source ─▶ Filter ─▶ election ─▶ Reference ─┐
//! on_timer ───▶ requests, heartbeat ────────────────────────┴▶ Servo ─▶ Snapshot
//! every call ─▶ Books: has anybody touched the clock?
//! ```
//!
//! Must never: publish a time as synchronised whose error bound it does not know.

use core::net::IpAddr;

use timeball_time::{
    ClockReading, Free, Interval, Monotonic, NtpTimestamp, Rate, Realtime, ReferenceId, Snapshot,
    Timestamp,
};

use crate::action::{Actions, Event, SourceId, Steered};
use crate::books::Books;
use crate::config::{Config, Steering};
use crate::election::{Election, Reference, elect};
use crate::filter::{FrequencyPrior, Verdict};
use crate::kernel::KernelSteering;
use crate::leap::LeapWatch;
use crate::limits::SOURCES_MAX;
use crate::publish::DRIFT_SAVE_GAP;
use crate::reference_id::reference_id_of;
use crate::rejection::Rejection;
use crate::selection::Tally;
use crate::servo::Servo;
use crate::source::{Context, Source};
use crate::state::STATE_SAVE_GAP;
use crate::status::Basis;

/// Keeps the time: one for a server, driven by one thread.
#[derive(Clone, Debug)]
pub struct Discipline {
    pub(crate) config: Config,
    pub(crate) precision: i8,
    pub(crate) own_ids: Vec<ReferenceId>,
    pub(crate) books: Books,
    pub(crate) sources: Vec<Source>,
    pub(crate) tallies: Vec<Tally>,
    pub(crate) peer: Option<usize>,
    pub(crate) usable: usize,
    pub(crate) reference: Option<Reference>,
    /// What was known before those who testify became too few.
    pub(crate) holdover: Option<Reference>,
    /// When any source was heard last.
    heard: Timestamp<Free>,
    pub(crate) basis: Basis,
    /// Why the time is not synchronised, when it is not.
    pub(crate) kiss: ReferenceId,
    pub(crate) servo: Servo,
    pub(crate) kernel: KernelSteering,
    /// What the kernel applies while the free clock runs as it does: nothing, or, if others steer it,
    /// what they had it apply when first looked at.
    pub(crate) unsteered: Option<Rate>,
    pub(crate) leap: LeapWatch,
    /// The kernel clock still has a leap second to slew.
    pub(crate) leap_to_slew: bool,
    pub(crate) snapshot: Snapshot,
    pub(crate) reference_time: NtpTimestamp,
    /// Nobody has been told a time to rely on since the start or the last suspend.
    pub(crate) fresh: bool,
    pub(crate) panicked: bool,
    disagreement_noted: bool,
    /// Since when the sources have had their chance to answer.
    pub(crate) began: Timestamp<Monotonic>,
    pub(crate) heartbeat: Timestamp<Monotonic>,
    pub(crate) frequency: Rate,
    frequency_known: bool,
    pub(crate) saved: Option<(Timestamp<Monotonic>, Rate)>,
    pub(crate) state_saved: Option<Timestamp<Monotonic>>,
    pub(crate) updates: u64,
    pub(crate) steps: u64,
    pub(crate) foreign_steps: u64,
}

impl Discipline {
    /// A discipline at the start of the program.
    ///
    /// `precision` is the kernel clock's, log2 seconds; `drift` the frequency kept from the last
    /// run. [`Discipline::snapshot`] is what to serve until the first [`crate::Action::Publish`].
    pub fn new(config: Config, now: ClockReading, precision: i8, drift: Option<Rate>) -> Self {
        let applied = match config.steering {
            Steering::Virtual => Rate::ZERO,
            Steering::Kernel { frequency } => frequency,
        };
        let books = Books::new(&now, applied);
        let frequency = drift.unwrap_or(applied);
        let free = books.free(now.realtime);
        let prior = drift.map_or(FrequencyPrior::UNKNOWN, FrequencyPrior::learned);
        let sources: Vec<_> = (0u16..)
            .zip(config.sources.iter().take(SOURCES_MAX))
            .map(|(id, source)| Source::new(SourceId(id), source.clone(), now.monotonic, prior))
            .collect();
        let snapshot = Snapshot::unsynchronised(now.realtime, precision);
        let mut discipline = Self {
            own_ids: reference_ids(&config.own_addresses),
            kernel: KernelSteering::new(config.steering),
            unsteered: None,
            servo: Servo::new(free, frequency, snapshot.dispersion_rate),
            leap: LeapWatch::new(config.leap_table.clone()),
            leap_to_slew: false,
            tallies: vec![Tally::Reject; sources.len()],
            config,
            precision,
            books,
            sources,
            peer: None,
            usable: 0,
            reference: None,
            holdover: None,
            heard: free,
            basis: Basis::Nothing,
            kiss: ReferenceId::INIT,
            snapshot,
            reference_time: NtpTimestamp::ZERO,
            fresh: true,
            panicked: false,
            disagreement_noted: false,
            began: now.monotonic,
            heartbeat: now.monotonic,
            frequency,
            frequency_known: drift.is_some(),
            saved: drift.map(|drift| (now.monotonic, drift)),
            state_saved: None,
            updates: 0,
            steps: 0,
            foreign_steps: 0,
        };
        discipline.publish(&now, false, &mut Actions::default());
        discipline
    }

    /// What is being served.
    pub const fn snapshot(&self) -> Snapshot {
        self.snapshot
    }

    /// What was done to the kernel clock, as the discipline has it.
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// Frequency of truth against the free-running clock, as believed.
    pub const fn frequency(&self) -> Rate {
        self.frequency
    }

    /// When [`Discipline::on_timer`] is to be called next.
    pub fn next_wakeup(&self) -> Timestamp<Monotonic> {
        let own = self.leap.wakeup().map_or(self.heartbeat, |leap| leap.min(self.heartbeat));
        self.sources.iter().map(Source::due).fold(own, Ord::min)
    }

    /// Sends what is due and keeps the snapshot fresh.
    ///
    /// `random` must be unpredictable from outside: it makes the nonces.
    pub fn on_timer(
        &mut self,
        now: ClockReading,
        random: &mut dyn FnMut() -> u64,
        out: &mut Actions,
    ) {
        let mut changed = self.observe(&now, out);
        let prior = self.prior();
        let free = self.books.free(now.realtime);
        let mut lost = false;
        for source in &mut self.sources {
            lost |= source.on_timer(now.monotonic, free, self.heard, prior, random, out);
        }
        if lost {
            self.hold_election(&now, None, out);
        }
        changed |= lost || now.monotonic >= self.heartbeat;
        if changed {
            self.publish(&now, false, out);
        }
        self.save_drift(now.monotonic, free, DRIFT_SAVE_GAP, out);
        self.save_state(&now, STATE_SAVE_GAP, out);
    }

    /// The program is about to end: asks for what the next start would like to know.
    pub fn on_stop(&mut self, now: ClockReading, out: &mut Actions) {
        let free = self.books.free(now.realtime);
        self.save_drift(now.monotonic, free, Interval::ZERO, out);
        self.save_state(&now, Interval::ZERO, out);
    }

    /// Judges a datagram that arrived on the socket of `source`; `received` is the kernel's stamp.
    ///
    /// Returns why it was not believed, already counted.
    pub fn on_datagram(
        &mut self,
        source: SourceId,
        datagram: &[u8],
        received: Option<Timestamp<Realtime>>,
        now: ClockReading,
        out: &mut Actions,
    ) -> Result<(), Rejection> {
        let changed = self.observe(&now, out);
        let plausible = |stamp: &Timestamp<Realtime>| {
            *stamp <= now.realtime && now.realtime - *stamp <= STAMP_AGE_MAX
        };
        let received = received.filter(plausible).unwrap_or(now.realtime);
        let received = self.books.free(received);
        let context = Context { precision: self.precision, own_ids: &self.own_ids };
        let Some(association) = self.sources.get_mut(source.index()) else {
            return Err(Rejection::NoRequest);
        };
        let was_fit = association.is_fit();
        let result = association.on_datagram(datagram, received, now.monotonic, &context, out);
        let withdrawn = was_fit && !association.is_fit();
        let news = withdrawn || matches!(result, Ok(Verdict::Taken | Verdict::Jumped));
        self.heard_from(news.then_some(source.index()), changed, &now, out);
        result.map(|_| ())
    }

    /// After something arrived: lets the sources decide anew if one has `news`, and publishes what has
    /// changed.
    pub(crate) fn heard_from(
        &mut self,
        news: Option<usize>,
        changed: bool,
        now: &ClockReading,
        out: &mut Actions,
    ) {
        if news.is_some() {
            self.heard = self.books.free(now.realtime);
            let measured = self.hold_election(now, news, out);
            self.publish(now, measured, out);
        } else if changed {
            self.publish(now, false, out);
        }
    }

    /// The kernel's stamp of the departure of `source`'s last request.
    pub fn on_transmitted(&mut self, source: SourceId, stamp: Timestamp<Realtime>) {
        let stamp = self.books.free(stamp);
        if let Some(source) = self.sources.get_mut(source.index()) {
            source.on_transmitted(stamp);
        }
    }

    /// `source`'s last request could not be sent.
    pub fn on_send_failed(&mut self, source: SourceId) {
        if let Some(source) = self.sources.get_mut(source.index()) {
            source.on_send_failed();
        }
    }

    /// Somebody may have set the clock (TFD_TIMER_CANCEL_ON_SET): corrected within this call.
    pub fn on_clock_changed(&mut self, now: ClockReading, out: &mut Actions) {
        self.observe(&now, out);
        self.publish(&now, false, out);
    }

    /// What became of the last [`crate::Action::Steer`]; `now` is read directly after it.
    pub fn on_steered(&mut self, result: Steered, now: ClockReading, out: &mut Actions) {
        let enter_step = self.kernel.reported(result, now.monotonic, out);
        match result {
            Steered::Frequency(applied) => {
                self.observe(&now, out);
                self.books.set_frequency(&now, applied);
            }
            Steered::Stepped(amount) if enter_step => {
                let observed = self.books.stepped(&now, amount);
                self.after_step();
                self.note_foreign(observed.step, out);
            }
            Steered::Stepped(_) | Steered::Refused => {
                self.observe(&now, out);
            }
        }
        self.publish(&now, false, out);
    }

    /// Clients reach this server by these addresses from now on.
    pub fn on_own_addresses(&mut self, addresses: &[IpAddr]) {
        self.own_ids = reference_ids(addresses);
    }

    /// Enters what the clocks show; true if readers need a new mapping.
    pub(crate) fn observe(&mut self, now: &ClockReading, out: &mut Actions) -> bool {
        let mut observed = self.books.observe(now);
        if observed.step != Interval::ZERO {
            self.servo.kernel_stepped();
        }
        let leapt = self.observe_leap(now, &mut observed, out);
        if observed.step != Interval::ZERO {
            self.after_step();
            if !self.kernel.claims(observed.step) {
                self.note_foreign(observed.step, out);
            }
        }
        if observed.suspended != Interval::ZERO {
            out.note(Event::Suspended { length: observed.suspended });
            self.start_over(now.monotonic);
        }
        leapt || observed.step != Interval::ZERO || observed.suspended != Interval::ZERO
    }

    /// The kernel clock was stepped: requests under way span it and are of no use.
    fn after_step(&mut self) {
        self.servo.kernel_stepped();
        for source in &mut self.sources {
            source.abandon();
        }
    }

    fn note_foreign(&mut self, amount: Interval, out: &mut Actions) {
        if amount != Interval::ZERO {
            self.foreign_steps += 1;
            out.note(Event::ForeignStep { amount });
        }
    }

    /// After a suspend: frequency is all that is left of what was known.
    fn start_over(&mut self, now: Timestamp<Monotonic>) {
        let prior = self.prior();
        for source in &mut self.sources {
            source.restart(now, prior);
        }
        self.servo.kernel_stepped();
        self.reference = None;
        self.holdover = None;
        self.basis = Basis::Nothing;
        self.kiss = ReferenceId::STEP;
        self.fresh = true;
        self.panicked = false;
        self.peer = None;
        self.tallies.fill(Tally::Reject);
        self.usable = 0;
        self.began = now;
    }

    pub(crate) fn prior(&self) -> FrequencyPrior {
        if self.frequency_known {
            FrequencyPrior::learned(self.frequency)
        } else {
            FrequencyPrior::UNKNOWN
        }
    }

    /// Lets the sources decide anew. True if `heard`, the source just heard, has had a say in it.
    pub(crate) fn hold_election(
        &mut self,
        now: &ClockReading,
        heard: Option<usize>,
        out: &mut Actions,
    ) -> bool {
        let free = self.books.free(now.realtime);
        let distance_max = self.config.max_root_distance;
        if heard.is_some() {
            self.recall(now.monotonic);
        }
        let wait_for_all = self.basis != Basis::Sources;
        let election = elect(&self.sources, free, distance_max, wait_for_all, self.peer);
        self.note_election(&election, wait_for_all, out);
        self.keep_holdover(election.has_majority);
        self.usable = election.usable;
        let chosen =
            |index: usize| matches!(election.tallies[index], Tally::Candidate | Tally::SystemPeer);
        let measured = heard.is_some_and(chosen);
        let reference = election.reference.filter(|r| self.is_witnessed(r, &election, free));
        let contradicted = election.reference.is_some() && reference.is_none();
        self.tallies = election.tallies;
        if contradicted {
            self.tallies.fill(Tally::Reject);
        }
        self.peer = election.peer;
        let Some(reference) = reference else { return false };
        let reference = self.admit_holdover(reference, free);
        if measured && !self.is_panic(&reference, now, out) {
            self.reference = Some(reference);
            self.follow(now, out);
            return true;
        }
        false
    }

    /// Whether a few survivors of many sources may be followed: what we know ourselves must not
    /// contradict them. Otherwise the liars left over when the honest fall silent would win.
    fn is_witnessed(&self, new: &Reference, election: &Election, now: Timestamp<Free>) -> bool {
        let survivors = election
            .tallies
            .iter()
            .filter(|tally| matches!(tally, Tally::Candidate | Tally::SystemPeer))
            .count();
        let sources = self.sources.iter().filter(|source| !source.is_vacant()).count();
        if self.basis != Basis::Sources || 2 * survivors > sources {
            return true;
        }
        let Some(own) = &self.reference else { return true };
        let apart = (new.estimate.offset_at(now) - own.estimate.offset_at(now)).abs();
        apart <= new.distance(now) + own.distance(now)
    }

    fn note_election(&mut self, election: &Election, wait_for_all: bool, out: &mut Actions) {
        for (id, (before, after)) in (0u16..).zip(self.tallies.iter().zip(&election.tallies)) {
            if *after == Tally::Falseticker && *before != Tally::Falseticker {
                out.note(Event::Falseticker { source: SourceId(id) });
            }
        }
        if let Some(peer) = election.peer
            && self.peer != Some(peer)
        {
            out.note(Event::PeerSelected { source: SourceId(peer as u16) });
        }
        let settled = election.awaited == 0 || !wait_for_all;
        let disagree = election.usable > 0 && election.reference.is_none() && settled;
        if disagree && !self.disagreement_noted {
            out.note(Event::NoMajority);
        }
        self.disagreement_noted = disagree;
    }

    fn is_panic(&mut self, new: &Reference, now: &ClockReading, out: &mut Actions) -> bool {
        let Some(limit) = self.config.panic_threshold else { return false };
        let free = self.books.free(now.realtime);
        let amount = new.estimate.offset_at(free) - self.servo.offset(free, now.realtime);
        let panic = !self.fresh && self.basis != Basis::Local && amount.abs() > limit;
        if panic && !self.panicked {
            out.note(Event::Panic { amount });
            self.basis = Basis::Nothing;
            self.reference = None;
            self.kiss = ReferenceId::LOST;
        }
        self.panicked = panic;
        panic
    }

    /// Makes the served clock follow the reference: by a step if it must, else by slewing.
    fn follow(&mut self, now: &ClockReading, out: &mut Actions) {
        let Some(reference) = &self.reference else { return };
        let free = self.books.free(now.realtime);
        let target = reference.estimate.offset_at(free);
        let residual = target - self.servo.offset(free, now.realtime);
        self.updates += 1;
        self.frequency = Rate::from_ratio(reference.estimate.frequency());
        self.frequency_known |= reference.estimate.frequency_sd_at(free) <= FREQUENCY_KNOWN_SD;
        let allowed = self.steps_allowed();
        let first = self.basis != Basis::Sources && self.fresh;
        let step = allowed && (first || residual.abs() > self.config.step_threshold);
        let frequency = reference.estimate.frequency();
        self.servo.draw(free, now.realtime, Some(target), frequency, step);
        if step && residual.abs() > self.config.step_threshold {
            self.steps += 1;
            out.note(Event::Stepped { amount: residual });
        }
        if self.basis != Basis::Sources {
            let moved = if step { residual } else { Interval::ZERO };
            out.note(Event::Synchronised { moved });
        }
        self.basis = Basis::Sources;
        self.fresh = false;
        self.reference_time = self.servo.reference_time();
    }

    pub(crate) fn steps_allowed(&self) -> bool {
        self.config.step_limit.is_none_or(|limit| self.updates <= u64::from(limit))
    }
}

pub(crate) fn reference_ids(addresses: &[IpAddr]) -> Vec<ReferenceId> {
    addresses.iter().map(|&address| reference_id_of(address)).collect()
}

/// A kernel stamp older than this is not this packet's.
const STAMP_AGE_MAX: Interval = Interval::from_secs(5);
/// A frequency surer than this is worth remembering.
const FREQUENCY_KNOWN_SD: f64 = 1e-6;
