//! A world as data: everything about a run but its seed.
//!
//! Named worlds, drawn worlds and tests all say what they want here, so that whatever fails can be
//! printed whole and run again.
//!
//! Must never: hold anything that makes two runs of one seed differ.

use timeball_discipline::{Config, Steering};
use timeball_time::{LeapSecond, Rate};

use crate::clock::ClockModel;
use crate::figures::Window;
use crate::promises::Broken;
use crate::server::Server;
use crate::world::{Host, Kernel, NONCE_STREAM, World, config};

/// A world that can be run with any seed.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the discipline is told.
    pub config: Config,
    /// The client's clock.
    pub clock: ClockModel,
    /// The servers upstream, in the order of the sources.
    pub servers: Vec<Server>,
    /// The frequency kept from an earlier run.
    pub drift: Option<Rate>,
    /// What the kernel does with commands.
    pub kernel: Kernel,
    /// How fast the machine is.
    pub host: Host,
    /// The notice that the clock was set comes before the report of our own step.
    pub notice_first: bool,
    /// What goes wrong on the way, in order.
    pub incidents: Vec<(i64, Incident)>,
    /// Clients ask every so many seconds on average.
    pub clients_every_s: f64,
    /// The leap second there is.
    pub leap: Option<LeapSecond>,
    /// Length in true seconds.
    pub seconds: i64,
    /// From when it is judged.
    pub window: Window,
    /// The stream of the requests' nonces, and so of their dither: two runs that differ in nothing else
    /// show what luck alone makes.
    pub nonces: u64,
}

/// Something that happens to the world at an appointed second.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Incident {
    /// Somebody sets the kernel clock forward; the host is told at once, or finds out.
    ClockStepped {
        /// Seconds.
        by_s: f64,
        /// Whether the kernel's notice comes.
        told: bool,
    },
    /// Somebody sets the frequency that the kernel applies.
    FrequencySet(f64),
    /// The machine sleeps.
    Suspended {
        /// Seconds.
        for_s: i64,
        /// By how much the kernel's count of it is off, seconds.
        error_s: f64,
    },
    /// Servers stop answering, or answer again.
    Silence {
        /// The first of them.
        from: usize,
        /// Whether they are silent.
        silent: bool,
    },
    /// After silence the first server is back, and only when it has been heard are the others.
    FirstBack {
        /// So many seconds later.
        others_after_s: i64,
    },
    /// Servers begin to be off by this many seconds.
    Lie {
        /// The first of them; all after it say the same.
        from: usize,
        /// Server minus true time.
        lie: f64,
    },
    /// The discipline's thread is stuck.
    Stalled {
        /// Seconds.
        for_s: i64,
    },
    /// A majority of the servers lies from now on: no promise about the error can be kept.
    Dishonest,
}

impl Scenario {
    /// Ten thousand seconds with `servers` in the default world, asked without a burst.
    pub fn new(servers: Vec<Server>) -> Self {
        let mut config = config(servers.len());
        config.sources.iter_mut().for_each(|source| source.iburst = false);
        Self {
            config,
            clock: ClockModel::default(),
            servers,
            drift: None,
            kernel: Kernel::Obeys,
            host: Host::default(),
            notice_first: false,
            incidents: Vec::new(),
            clients_every_s: 10.0,
            leap: None,
            seconds: 10_000,
            window: Window::Synchronised,
            nonces: NONCE_STREAM,
        }
    }

    /// The same with a burst of requests at the start.
    #[must_use]
    pub fn with_burst(mut self) -> Self {
        self.config.sources.iter_mut().for_each(|source| source.iburst = true);
        self
    }

    /// The same with a kernel clock that is steered.
    #[must_use]
    pub fn steered(mut self, kernel: Kernel) -> Self {
        self.config.steering = Steering::Kernel { frequency: Rate::ZERO };
        self.kernel = kernel;
        self
    }

    /// Whether the kernel clock is to be steered.
    pub const fn is_steered(&self) -> bool {
        matches!(self.config.steering, Steering::Kernel { .. })
    }

    /// Its beginning.
    pub fn open(&self, seed: u64) -> World {
        let (clock, servers) = (self.clock, self.servers.clone());
        let mut world = World::with_drift(seed, self.config.clone(), clock, servers, self.drift);
        world.kernel = self.kernel;
        world.host = self.host;
        world.notice_first = self.notice_first;
        world.leap = self.leap;
        world.serve(seed, self.clients_every_s);
        world.use_nonces(seed, self.nonces);
        world.honest =
            2 * self.servers.iter().filter(|s| s.is_honest()).count() > self.servers.len();
        world
    }

    /// Runs it to the end, or to the first promise broken.
    pub fn run(&self, seed: u64) -> (World, Result<(), Broken>) {
        let mut world = self.open(seed);
        let result = self.finish(&mut world);
        (world, result)
    }

    /// Runs `world`, which was opened by this scenario, to its end or to the first promise broken.
    pub fn finish(&self, world: &mut World) -> Result<(), Broken> {
        for &(at, incident) in &self.incidents {
            world.advance_to(at)?;
            incident.befall(world)?;
        }
        world.advance_to(self.seconds)
    }
}

impl Incident {
    fn befall(self, world: &mut World) -> Result<(), Broken> {
        match self {
            Self::ClockStepped { by_s, told } => world.step_clock(by_s, told),
            Self::FrequencySet(frequency) => world.set_kernel_frequency(frequency),
            Self::Suspended { for_s, error_s } => world.suspend(for_s, error_s),
            Self::Silence { from, silent } => {
                world.servers[from..].iter_mut().for_each(|server| server.silent = silent);
            }
            Self::Lie { from, lie } => {
                world.servers[from..].iter_mut().for_each(|server| server.lie = lie);
            }
            Self::Stalled { for_s } => world.stall(for_s),
            Self::FirstBack { others_after_s } => return first_back(world, others_after_s),
            Self::Dishonest => world.honest = false,
        }
        Ok(())
    }
}

fn first_back(world: &mut World, others_after_s: i64) -> Result<(), Broken> {
    let answers = |world: &World| world.discipline.status(world.reading()).sources[0].answers;
    for (index, server) in world.servers.iter_mut().enumerate() {
        server.silent = index > 0;
    }
    let (before, mut second) = (answers(world), world.elapsed() as i64);
    let patience = second + FIRST_BACK_WITHIN_S;
    while answers(world) == before && second < patience {
        second += 1;
        world.advance_to(second)?;
    }
    world.advance_to(second + others_after_s)?;
    world.servers.iter_mut().for_each(|server| server.silent = false);
    Ok(())
}

/// Nobody is asked less often in the odd worlds, but an answer may be lost, or none be to be had.
const FIRST_BACK_WITHIN_S: i64 = 1_100;
