//! `conditions`: what must hold whatever the figures.
//!
//! Must never: call a condition held that one seed did not hold.

use std::process::ExitCode;

use timeball_sim::{Condition, conditions};

use crate::cli::ConditionsOptions;
use crate::{EXIT_BROKEN, campaign};

pub(crate) fn run(options: &ConditionsOptions) -> ExitCode {
    let all = conditions();
    let jobs: Vec<(&Condition, u64)> = all
        .iter()
        .flat_map(|condition| options.seeds.iter().map(move |seed| (condition, seed)))
        .collect();
    let faults = campaign::run(&jobs, |(condition, seed)| {
        let (world, result) = condition.scenario.run(*seed);
        let broken = result.err().map(|broken| broken.to_string());
        broken.or_else(|| condition.outcome.fault(&world))
    });
    let mut held = true;
    let seeds = jobs.len() / all.len();
    for (jobs, faults) in jobs.chunks(seeds).zip(faults.chunks(seeds)) {
        let failed: Vec<_> =
            jobs.iter().zip(faults).filter_map(|(job, f)| Some((job.1, f.as_ref()?))).collect();
        let mark = if failed.is_empty() { "holds" } else { "FAILS" };
        println!("{mark}  {:>3} of {seeds}  {}", seeds - failed.len(), jobs[0].0.name);
        for (seed, fault) in &failed {
            println!("         seed {seed}: {fault}");
        }
        held &= failed.is_empty();
    }
    if held { ExitCode::SUCCESS } else { ExitCode::from(EXIT_BROKEN) }
}
