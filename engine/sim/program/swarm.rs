//! `swarm`: many odd worlds, and those in which a promise broke.
//!
//! Must never: report a failure without what it takes to see it again.

use std::process::ExitCode;

use timeball_sim::odd_world;

use crate::cli::SwarmOptions;
use crate::{EXIT_BROKEN, campaign};

pub(crate) fn run(options: &SwarmOptions) -> ExitCode {
    let seeds: Vec<u64> = (options.from..).take(options.count as usize).collect();
    let outcomes = campaign::run(&seeds, |&seed| {
        let (world, result) = odd_world(seed).run(seed);
        (seed, result.err(), world.is_synchronised(), world.replies(), world.looks.len())
    });
    let failed: Vec<_> = outcomes.iter().filter_map(|o| Some((o.0, o.1.as_ref()?))).collect();
    if let Some((seed, _)) = failed.first() {
        println!("seed {seed} draws {:#?}\n", odd_world(*seed));
    }
    for (seed, broken) in &failed {
        println!("seed {seed}: {broken}");
    }
    let synchronised = outcomes.iter().filter(|outcome| outcome.2).count();
    let replies: u64 = outcomes.iter().map(|outcome| outcome.3).sum();
    let seconds: usize = outcomes.iter().map(|outcome| outcome.4).sum();
    println!(
        "{} worlds, {seconds} seconds, {replies} replies: a promise was broken in {}; \
         synchronised at the end: {synchronised}",
        outcomes.len(),
        failed.len(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_BROKEN) }
}
