//! Another configuration for the discipline thread: made ready beside it, taken up by it between two waits.
//!
//! Must never: leave anything to be done by the discipline thread that can fail or take its time.

use std::io;
use std::sync::Arc;

use timeball_discipline::{Config, SourceId};
use timeball_sys::{Waker, reading};

use super::super::almanac::{Almanac, List};
use super::super::keeper::Keeper;
use super::super::whereabouts::Whereabouts;
use super::{Clockwork, chronicle};
use crate::config::{LeapMode, Plan, Source};
use crate::statistics::Chronicle;

/// All that is new. Of what may stay as it is, `None`.
#[derive(Debug)]
pub(in crate::serve) struct Change {
    config: Config,
    sources: Vec<Source>,
    names: Arc<[String]>,
    kernel_leaps: bool,
    keeper: Option<Option<Keeper>>,
    state_keeper: Option<Option<Keeper>>,
    chronicle: Option<Option<Chronicle>>,
    /// With the list as it was read.
    almanac: Option<(Option<Almanac>, List)>,
    whereabouts: Whereabouts,
}

impl Change {
    /// What changes for a discipline thread, woken by `waker`, when `new`, which it is told as `config`,
    /// takes the place of `old`.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(in crate::serve) fn new(
        (old, new): (&Plan, &Plan),
        config: Config,
        whereabouts: Whereabouts,
        waker: Waker,
    ) -> io::Result<Self> {
        let (was, is) = (&old.clock, &new.clock);
        let keeper = |was, is: &Option<_>| {
            (was != is).then(|| is.clone().map(Keeper::start).transpose()).transpose()
        };
        let almanac = |path: &Option<std::path::PathBuf>| {
            let list = path.as_deref().map(List::read).unwrap_or_default();
            let start = |path| Almanac::start(path, &list, waker.clone());
            let almanac = path.clone().map(start).transpose()?;
            io::Result::Ok((almanac, list))
        };
        Ok(Self {
            config: Config { own_addresses: whereabouts.known().to_vec(), ..config },
            sources: new.asked_sources(),
            names: Arc::from(new.source_names()),
            kernel_leaps: is.leap_second == LeapMode::Kernel,
            keeper: keeper(&was.drift_file, &is.drift_file)?,
            state_keeper: keeper(&was.state_file, &is.state_file)?,
            chronicle: (old.statistics != new.statistics).then(|| chronicle(new)).transpose()?,
            almanac: (was.leap_file != is.leap_file).then(|| almanac(&is.leap_file)).transpose()?,
            whereabouts,
        })
    }
}

impl Clockwork {
    /// Takes `change` up.
    pub(super) fn change(&mut self, change: Change) {
        // What was asked for so far was asked of the sources by their old numbers.
        self.perform();
        let Change { mut config, sources, names, keeper, state_keeper, almanac, .. } = change;
        match almanac {
            Some((almanac, list)) => {
                config.leap_table = list.table;
                self.almanac = almanac;
            }
            None => {
                config.leap_table = self.discipline.leap_table().cloned();
                self.almanac.iter().for_each(Almanac::look_now);
            }
        }
        let origins = self.discipline.reconfigure(config, reading(), &mut self.actions);
        let mut links = std::mem::take(&mut self.links);
        let mut link = |id: SourceId| links.get_mut(id.index()).and_then(Option::take);
        self.links = origins.iter().map(|origin| origin.and_then(&mut link)).collect();
        (self.sources, self.names) = (sources, names);
        if let Some(chronicle) = &mut self.chronicle {
            let origins: Vec<_> =
                origins.iter().map(|origin| origin.map(SourceId::index)).collect();
            chronicle.rearrange(&origins);
        }
        if let Some(chronicle) = change.chronicle {
            self.chronicle = chronicle;
        }
        if let Some(keeper) = keeper {
            self.keeper = keeper;
        }
        if let Some(keeper) = state_keeper {
            self.state_keeper = keeper;
        }
        self.kernel.make_leaps(change.kernel_leaps);
        self.whereabouts = change.whereabouts;
    }
}
