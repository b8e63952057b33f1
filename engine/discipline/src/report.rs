//! Building a [`Status`] from the discipline.
//!
//! Must never: change anything.

use timeball_time::{ClockReading, Free, Interval, Leap, Rate, Timestamp};

use crate::discipline::Discipline;
use crate::filter::Filter;
use crate::source::{Source, State};
use crate::status::{
    Basis, HISTORY_SHOWN, LastAnswer, LocalStatus, PastAnswer, SourceStatus, Status, Waiting,
};

impl Discipline {
    /// Everything there is to know, at `now`.
    pub fn status(&self, now: ClockReading) -> Status {
        let free = self.books.free(now.realtime);
        let served = self.servo.offset(free, now.realtime);
        let estimate = self.reference.map(|reference| reference.estimate);
        let sources = self.sources.iter().zip(&self.tallies);
        Status {
            snapshot: self.snapshot,
            basis: self.basis,
            waiting: self.waiting(),
            frequency: self.frequency,
            frequency_error: estimate
                .map_or(Rate::ZERO, |e| Rate::from_ratio(e.frequency_sd_at(free))),
            correction: self.snapshot.served(now.realtime).reinterpret() - now.realtime,
            residual: estimate.map_or(Interval::ZERO, |e| e.offset_at(free) - served),
            offset_error: estimate
                .map_or(Interval::ZERO, |e| Interval::from_secs_f64(e.offset_sd_at(free))),
            steering: self.kernel.status(self.books.frequency()),
            steps: self.steps,
            foreign_steps: self.foreign_steps,
            updates: self.updates,
            root_distance: self.reference.map(|reference| reference.distance(free)),
            max_root_distance: self.config.max_root_distance,
            leap_ahead: self.leap.ahead(),
            tai_offset_s: self.tai_offset_s(now),
            local: self.config.local.map(|local| {
                let wait = if self.sources.is_empty() { Interval::ZERO } else { local.wait };
                let left = self.began + wait - now.monotonic;
                LocalStatus { stratum: local.stratum, wait: left.max(Interval::ZERO) }
            }),
            system_peer: self.peer,
            sources: sources
                .map(|(source, &tally)| SourceStatus {
                    tally,
                    ..source_status(source, &now, free, served)
                })
                .collect(),
        }
    }

    fn waiting(&self) -> Waiting {
        if self.snapshot.leap != Leap::Unsynchronised {
            return Waiting::Nothing;
        }
        let pending = self.sources.iter().filter(|source| source.is_pending()).count();
        let unnamed = |s: &Source| matches!(s.state(), State::Unresolved | State::Resolving);
        if self.panicked {
            Waiting::Operator
        } else if self.basis == Basis::Sources {
            Waiting::Distance
        } else if self.sources.iter().any(unnamed)
            && self.sources.iter().all(|s| s.remote().is_none())
        {
            Waiting::Names
        } else if pending > 0 {
            Waiting::Answers(pending)
        } else if self.usable > 0 {
            Waiting::Majority(self.usable)
        } else {
            Waiting::Sources
        }
    }
}

fn source_status(
    source: &Source,
    now: &ClockReading,
    free: Timestamp<Free>,
    served: Interval,
) -> SourceStatus {
    let estimate = source.filter().estimate();
    let seconds = Interval::from_secs_f64;
    SourceStatus {
        config: source.config().clone(),
        remote: source.remote(),
        state: source.state(),
        tally: crate::Tally::Reject,
        reach: if matches!(source.state(), State::Polling | State::Listening) {
            source.reach()
        } else {
            0
        },
        poll: source.poll_exponent(),
        when: source.last().map(|sample| free - sample.received),
        next: source.due() - now.monotonic,
        offset: estimate.map(|e| e.offset_at(free) - served),
        offset_error: estimate.map(|e| seconds(e.offset_sd_at(free))),
        frequency: estimate.map(|e| Rate::from_ratio(e.frequency())),
        delay: estimate.map(|_| source.filter().delay_min()),
        jitter: estimate.map(|e| seconds(e.jitter())),
        root_distance: source.distance(free).map(crate::distance::Distance::total),
        points: source.filter().len(),
        history: history(source.filter(), free, served),
        last: source.last().map(|sample| LastAnswer {
            offset: sample.offset - served,
            delay: sample.delay,
            leap: sample.leap,
            stratum: sample.stratum,
            precision: sample.precision,
            poll: sample.poll,
            root_delay: sample.root_delay.interval(),
            root_dispersion: sample.root_dispersion.interval(),
            reference_id: sample.reference_id,
            reference_time: sample.reference_time,
        }),
        unfit: source.unfit,
        requests: source.requests,
        answers: source.answers,
        rejections: source.rejections,
    }
}

fn history(filter: &Filter, free: Timestamp<Free>, served: Interval) -> Vec<PastAnswer> {
    let Some(estimate) = filter.estimate() else { return Vec::new() };
    let now = estimate.offset_at(free);
    let newest = filter.points().iter().rev().take(HISTORY_SHOWN);
    newest
        .map(|point| PastAnswer {
            age: free - point.time,
            offset: point.offset + (now - estimate.offset_at(point.time)) - served,
            delay: point.delay,
        })
        .collect()
}
