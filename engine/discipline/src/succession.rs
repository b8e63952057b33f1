//! One program takes the place of another that still serves.
//!
//! Beside what a restart gets ([`State`]) the successor gets what is being served this very moment, and
//! goes on from there without a jump: what the old one still had to slew, the new one slews.
//!
//! Must never: serve what its predecessor could not have served.

use timeball_time::{ClockReading, Leap, Snapshot};

use crate::action::Actions;
use crate::discipline::Discipline;
use crate::state::{Outdated, State};
use crate::status::Basis;

/// What a successor takes over.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Legacy {
    /// All that is known of the clock, if it rests on sources.
    pub state: Option<State>,
    /// What is being served.
    pub snapshot: Snapshot,
}

impl Discipline {
    /// What a successor would take over now.
    pub fn legacy(&self, now: &ClockReading) -> Legacy {
        Legacy { state: self.state(now), snapshot: self.snapshot }
    }

    /// Goes on where a predecessor stands that has left `legacy`; to be called before anything else.
    ///
    /// # Errors
    /// [`Outdated`]; nothing is changed then.
    pub fn succeed(
        &mut self,
        legacy: &Legacy,
        now: ClockReading,
        out: &mut Actions,
    ) -> Result<(), Outdated> {
        let Legacy { state, snapshot } = legacy;
        if let Some(state) = state {
            return self.take_up(state, Some(*snapshot), now, out);
        }
        // Without sources it was the local clock, if there is one now, too.
        if snapshot.leap != Leap::Unsynchronised && self.config.local.is_some() {
            self.servo.go_on_from(Some(*snapshot));
            self.basis = Basis::Local;
            self.publish(&now, true, out);
        }
        Ok(())
    }
}
