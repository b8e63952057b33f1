//! Many odd worlds drawn from seeds: in none may the promises break that [`World`] checks
//! every second. A failure prints the options it was drawn with; the seed reproduces it.

use timeball_discipline::{Config, Steering};
use timeball_sim::{ClockModel, Kernel, Random, Server, World, config};
use timeball_time::Rate;

#[derive(Debug)]
struct Options {
    seed: u64,
    model: ClockModel,
    servers: Vec<Server>,
    kernel: Option<Kernel>,
    iburst: bool,
    steps: Option<u32>,
}

/// Ten to a power between the two given.
fn log_uniform(random: &mut Random, low: f64, high: f64) -> f64 {
    10f64.powf(low + (high - low) * random.uniform())
}

fn draw(seed: u64) -> Options {
    let random = &mut Random::new(seed, 77);
    let count = 1 + (random.bits() % 5) as usize;
    let base = log_uniform(random, -4.5, -1.5);
    let jitter = base * log_uniform(random, -2.0, 0.3);
    let liars = (count - 1) / 2;
    let server = |k: usize, random: &mut Random| Server {
        base: base * (0.5 + random.uniform()),
        jitter,
        asymmetry: 0.45 * (random.uniform() * 2.0 - 1.0),
        loss: if random.uniform() < 0.3 { random.uniform() * 0.6 } else { 0.0 },
        lie: if k < liars { (random.uniform() - 0.5) * 20.0 } else { 0.0 },
        ..Server::default()
    };
    let servers = (0..count).map(|k| server(k, random)).collect();
    Options {
        seed,
        model: ClockModel {
            offset: (random.uniform() - 0.5) * log_uniform(random, -3.0, 3.0),
            frequency: (random.uniform() - 0.5) * 8e-4,
            wander: log_uniform(random, -10.5, -7.0),
            ..ClockModel::default()
        },
        servers,
        kernel: [None, Some(Kernel::Obeys), Some(Kernel::Clamps(1e-4)), Some(Kernel::Refuses)]
            [(random.bits() % 4) as usize],
        iburst: random.uniform() < 0.75,
        steps: [None, None, Some(1)][(random.bits() % 3) as usize],
    }
}

fn run(options: &Options) -> World {
    let steering = match options.kernel {
        None => Steering::Virtual,
        Some(_) => Steering::Kernel { frequency: Rate::ZERO },
    };
    let mut config =
        Config { steering, step_limit: options.steps, ..config(options.servers.len()) };
    config.sources.iter_mut().for_each(|source| source.iburst = options.iburst);
    let servers = options.servers.clone();
    let mut world = World::new(options.seed, config, options.model, servers);
    world.kernel = options.kernel.unwrap_or(Kernel::Obeys);
    world.run_to(3_000);
    world.step_clock((Random::new(options.seed, 78).uniform() - 0.5) * 100.0, true);
    world.run_to(6_000);
    world.servers.iter_mut().for_each(|server| server.silent = true);
    world.run_to(9_000);
    world.servers.iter_mut().for_each(|server| server.silent = false);
    world.suspend(100, 0.3);
    world.run_to(12_000);
    world
}

#[test]
fn no_world_breaks_a_promise() {
    let mut synchronised = 0;
    for seed in 0..SEEDS {
        let options = draw(seed);
        let result = std::panic::catch_unwind(|| run(&options));
        let world = result.unwrap_or_else(|_| panic!("{options:#?}"));
        synchronised += u64::from(world.is_synchronised());
    }
    assert!(10 * synchronised >= 9 * SEEDS, "only {synchronised} of {SEEDS} are synchronised");
}

const SEEDS: u64 = if cfg!(debug_assertions) { 30 } else { 300 };
