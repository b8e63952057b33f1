//! What a picture of a run shows beyond its looks: single answers, and what the discipline believed.
//!
//! Must never: be kept by a run nobody draws; it costs a status per second.

use timeball_discipline::{SourceId, Status};

/// The inner life of a run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Answers believed.
    pub answers: Vec<Answer>,
    /// One for each second, from the first on.
    pub estimates: Vec<Option<Believed>>,
}

/// One answer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Answer {
    /// True seconds since the start.
    pub at_s: f64,
    /// Whose.
    pub source: SourceId,
    /// The time it gives minus the true one, seconds.
    pub error: f64,
}

/// What the discipline believed the time to be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Believed {
    /// Believed minus true time, seconds.
    pub error: f64,
    /// Its own idea of that error, seconds.
    pub deviation: f64,
}

impl Trace {
    /// `source` was believed at `at_s`, when served time was off by `served_error`.
    pub(crate) fn answer(
        &mut self,
        at_s: f64,
        source: SourceId,
        status: &Status,
        served_error: f64,
    ) {
        let last = status.sources.get(source.index()).and_then(|source| source.last);
        if let Some(last) = last {
            let error = served_error + last.offset.as_secs_f64();
            self.answers.push(Answer { at_s, source, error });
        }
    }

    /// A second has passed.
    pub(crate) fn second(&mut self, status: &Status, served_error: f64) {
        let believes = status.updates > 0;
        self.estimates.push(believes.then(|| Believed {
            error: served_error + status.residual.as_secs_f64(),
            deviation: status.offset_error.as_secs_f64(),
        }));
    }

    /// Seconds have passed in which nobody believed anything.
    pub(crate) fn sleep(&mut self, seconds: usize) {
        self.estimates.resize(self.estimates.len() + seconds, None);
    }
}
