//! The program ends, and starts again on the same machine with what it kept.

use timeball_discipline::state::Outdated;
use timeball_discipline::{Config, Discipline};

use super::{PRECISION, World};
use crate::S;
use crate::figures::Look;

impl World {
    /// The program ends in an orderly way.
    pub fn end(&mut self) {
        self.discipline.on_stop(self.clock.reading(), &mut self.actions);
        self.carry_out();
    }

    /// Nothing runs for so many `seconds`; the machine does.
    pub fn pass(&mut self, seconds: i64) {
        self.move_to(self.clock.now() + seconds * S);
        self.looks.extend((0..seconds).map(|_| Look::ASLEEP));
    }

    /// The program starts with `config` and what it kept last; says whether that could be taken up.
    pub fn start(&mut self, config: Config) -> Result<(), Outdated> {
        let now = self.clock.reading();
        self.discipline = Discipline::new(config, now, PRECISION, self.drift_saved);
        // Another run has other promises to keep; its books begin where it begins.
        self.promises.slept();
        self.disturbed = self.clock.now();
        self.snapshot = self.discipline.snapshot();
        let Some(state) = self.state_saved else { return Ok(()) };
        let restored = self.discipline.restore(&state, now, &mut self.actions);
        self.carry_out();
        restored
    }
}
