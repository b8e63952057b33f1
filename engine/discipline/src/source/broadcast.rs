//! A source that was heard of: it has announced itself, by broadcast or in answer to a manycast request.
//!
//! It is asked like any other source, with the key it announced itself with. If it broadcasts, it is asked
//! only until the round trip is known (the calibrating volley) and then listened to: a broadcast has no
//! answer, so its time is taken half a round trip after it was sent.
//!
//! ```text
//! vacant ──heard──▶ polling ──calibrated──▶ listening
//!    ▲                 │  ▲                  │    │
//!    └──── silent ─────┘  └── implausible ───┘    │
//!    └──────────────────── silent ────────────────┘
//! ```
//!
//! A broadcast proves nothing of its own age, even signed: anybody may record it, and send it late or again.
//! So its transmit timestamp must be later than that of any before, and what it says must agree with what
//! is known of its server; if it does not, the server is asked, with a nonce that no recording holds.
//!
//! Must never: take a time from a broadcast that is older than one taken before.

use core::net::SocketAddr;

use timeball_time::{Free, Interval, Monotonic, NtpTimestamp, Timestamp};
use timeball_wire::Header;

use super::{Context, NEVER, Source, State};
use crate::action::{Actions, Event};
use crate::broadcast::Announced;
use crate::config::Target;
use crate::exchange::{FREQUENCY_TOLERANCE, Sample, check_state};
use crate::filter::{FrequencyPrior, Verdict};
use crate::limits::POLL_MAX;
use crate::rejection::Rejection;
use crate::returning::Absence;

/// A server that was heard of.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) remote: SocketAddr,
    /// What its broadcasts have told so far, if it broadcasts.
    listening: Option<Listening>,
}

#[derive(Clone, Copy, Debug)]
struct Listening {
    /// The round trip, if it is known beforehand: no volley then.
    delay: Option<Interval>,
    /// Transmit timestamp of the newest broadcast.
    newest: NtpTimestamp,
    /// Time between broadcasts.
    interval: Interval,
}

impl Source {
    /// True if nobody holds this place.
    pub(crate) fn is_vacant(&self) -> bool {
        self.state == State::Vacant
    }

    /// True if a server that is heard of may have this place.
    pub(crate) fn is_free_to_hear(&self) -> bool {
        self.is_vacant() && self.config.target == Target::Heard
    }

    /// True if whoever holds this place was heard of and has been silent for long.
    pub(crate) fn is_replaceable(&self) -> bool {
        self.heard.is_some() && self.reach == 0 && self.unanswered > 1
    }

    /// Gives this place to a server that was heard of.
    pub(crate) fn occupy(
        &mut self,
        announced: &Announced,
        now: Timestamp<Monotonic>,
        prior: FrequencyPrior,
        out: &mut Actions,
    ) {
        let listening = announced.broadcast.map(|broadcast| Listening {
            delay: broadcast.delay,
            newest: broadcast.header.transmit,
            interval: interval(&broadcast.header),
        });
        self.heard = Some(Heard { remote: announced.remote, listening });
        self.config.key.clone_from(&announced.key);
        self.pace.forgive();
        self.unanswered = 0;
        self.state = State::Polling;
        self.restart(now, prior);
        if let Some(Listening { delay: Some(_), interval, .. }) = listening {
            self.state = State::Listening;
            self.due = now + interval + interval.half();
        }
        out.note(Event::AddressChanged { source: self.id, remote: announced.remote });
    }

    /// Gives the place up.
    pub(super) fn vacate(&mut self, prior: FrequencyPrior, out: &mut Actions) {
        out.note(Event::Unreachable { source: self.id });
        self.heard = None;
        self.config.key = None;
        self.state = State::Vacant;
        self.absence = Absence::default();
        self.restart(NEVER, prior);
        self.due = NEVER;
    }

    /// Goes over from asking to listening when the round trip is known well enough.
    pub(super) fn listen_if_calibrated(&mut self, now: Timestamp<Monotonic>) {
        let Some(listening) = self.heard.as_ref().and_then(|heard| heard.listening) else { return };
        if self.state == State::Polling && self.is_fit() {
            self.state = State::Listening;
            self.exchange = None;
            self.due = now + listening.interval + listening.interval.half();
        }
    }

    /// A broadcast was due and has not come. True if the source became unreachable by it.
    pub(super) fn miss_broadcast(&mut self, prior: FrequencyPrior, out: &mut Actions) -> bool {
        let Some(listening) = self.heard.as_ref().and_then(|heard| heard.listening) else {
            return false;
        };
        let was_reachable = self.reach != 0;
        self.reach <<= 1;
        self.due = self.due + listening.interval;
        if self.reach == 0 {
            self.vacate(prior, out);
        }
        was_reachable && self.reach == 0
    }

    /// Judges a broadcast of the server that holds this place; it has been authenticated as far as it
    /// has to be.
    pub(crate) fn on_broadcast(
        &mut self,
        header: &Header,
        received: Timestamp<Free>,
        now: Timestamp<Monotonic>,
        context: &Context<'_>,
        out: &mut Actions,
    ) -> Result<Verdict, Rejection> {
        let result = self.judge_broadcast(header, received, now, context);
        match result {
            Ok(Some(sample)) => {
                let due = self.due;
                self.reach <<= 1;
                let verdict = self.take_in(sample, now, context, out);
                self.due = due;
                Ok(verdict)
            }
            Ok(None) => Ok(Verdict::Stale),
            Err(rejection) => {
                let counter = &mut self.rejections[rejection.index()];
                *counter = counter.saturating_add(1);
                Err(rejection)
            }
        }
    }

    /// What a broadcast says of its server's time; nothing yet while the server is being asked.
    fn judge_broadcast(
        &mut self,
        header: &Header,
        received: Timestamp<Free>,
        now: Timestamp<Monotonic>,
        context: &Context<'_>,
    ) -> Result<Option<Sample<Free>>, Rejection> {
        let Some(listening) = self.heard.as_mut().and_then(|heard| heard.listening.as_mut()) else {
            return Err(Rejection::NoRequest);
        };
        if header.transmit.since(listening.newest) <= Interval::ZERO {
            return Err(Rejection::Replayed);
        }
        check_state(header)?;
        if header.stratum > 1 && context.own_ids.contains(&header.reference_id) {
            return Err(Rejection::Loop);
        }
        listening.newest = header.transmit;
        listening.interval = interval(header);
        if self.state != State::Listening {
            return Ok(None);
        }
        self.due = now + listening.interval + listening.interval.half();
        let delay = listening.delay.unwrap_or(self.filter.delay_min());
        let offset = header.transmit.dated() - received + delay.half();
        let known = self.filter.estimate().map(|estimate| estimate.offset_at(received));
        if listening.delay.is_none() && known.is_some_and(|o| (o - offset).abs() > DISAGREEMENT_MAX)
        {
            self.state = State::Polling;
            self.pace.restart();
            self.due = now;
            return Err(Rejection::Implausible);
        }
        Ok(Some(sample(header, received, offset, delay, context.precision)))
    }
}

fn sample(
    header: &Header,
    received: Timestamp<Free>,
    offset: Interval,
    delay: Interval,
    precision: i8,
) -> Sample<Free> {
    let resolution = Interval::from_poll(precision) + Interval::from_poll(header.precision);
    Sample {
        sent: received - delay,
        received,
        offset,
        delay,
        turnaround: Interval::ZERO,
        dispersion: resolution + FREQUENCY_TOLERANCE.over(delay),
        leap: header.flags.leap,
        stratum: timeball_time::Stratum::new(header.stratum),
        poll: header.poll,
        precision: header.precision,
        root_delay: header.root_delay,
        root_dispersion: header.root_dispersion,
        reference_id: header.reference_id,
        reference_time: header.reference,
    }
}

fn interval(header: &Header) -> Interval {
    Interval::from_poll(header.poll.clamp(0, POLL_MAX))
}

/// A broadcast that is further from what is known of its server was delayed, or the server's clock was set.
const DISAGREEMENT_MAX: Interval = Interval::from_millis(128);
