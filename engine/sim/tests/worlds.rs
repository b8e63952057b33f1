//! The simulator's worlds in the tests: conditions hold for every seed, figures keep to their goals, odd
//! worlds break no promise, and what once failed is run again.

use std::thread;

use timeball_sim::{Condition, Figures, Named, conditions, odd_world, worlds};

/// Does `work` for every job, on two threads.
fn side_by_side<Job: Sync, Outcome: Send>(
    jobs: &[Job],
    work: impl Fn(&Job) -> Outcome + Sync,
) -> Vec<Outcome> {
    let (first, second) = jobs.split_at(jobs.len() / 2);
    let run = |jobs: &[Job]| jobs.iter().map(&work).collect::<Vec<_>>();
    thread::scope(|scope| {
        let other = scope.spawn(|| run(second));
        let mut outcomes = run(first);
        outcomes.extend(other.join().expect("the other half"));
        outcomes
    })
}

fn assert_none(faults: &[Option<String>]) {
    let faults: Vec<&str> = faults.iter().flatten().map(String::as_str).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn conditions_hold_for_every_seed() {
    let all = conditions();
    let jobs: Vec<(&Condition, u64)> =
        all.iter().flat_map(|condition| (1..=SEEDS).map(move |seed| (condition, seed))).collect();
    let faults = side_by_side(&jobs, |(condition, seed)| {
        let (world, result) = condition.scenario.run(*seed);
        let broken = result.err().map(|broken| broken.to_string());
        let fault = broken.or_else(|| condition.outcome.fault(&world))?;
        Some(format!("{}, seed {seed}: {fault}", condition.name))
    });
    assert_none(&faults);
}
const SEEDS: u64 = 5;

/// Runs the odd worlds of `seeds`; says which broke a promise, and how many ended synchronised.
fn odd_worlds(seeds: &[u64]) -> (Vec<Option<String>>, usize) {
    let outcomes = side_by_side(seeds, |&seed| {
        let (world, result) = odd_world(seed).run(seed);
        let fault = result.err().map(|broken| {
            format!("seed {seed}: {broken}\nThe world it draws:\n{:#?}", odd_world(seed))
        });
        (fault, world.is_synchronised())
    });
    let synchronised = outcomes.iter().filter(|(_, synchronised)| *synchronised).count();
    (outcomes.into_iter().map(|(fault, _)| fault).collect(), synchronised)
}

#[test]
fn odd_worlds_break_no_promise() {
    let seeds: Vec<u64> = (0..ODD_WORLDS).collect();
    let (faults, synchronised) = odd_worlds(&seeds);
    assert_none(&faults);
    assert!(100 * synchronised >= 95 * seeds.len(), "only {synchronised} are synchronised");
}

#[test]
fn what_once_failed_holds_now() {
    let text = include_str!("regressions.txt").lines().filter(|line| !line.starts_with('#'));
    let seeds: Vec<u64> = text
        .filter_map(|line| line.split_whitespace().next())
        .map(|seed| seed.parse().expect("a seed at the beginning of the line"))
        .collect();
    assert!(!seeds.is_empty());
    assert_none(&odd_worlds(&seeds).0);
}

#[test]
fn goals_are_met_in_the_named_worlds() {
    let all = worlds();
    let seeds = |world: &Named| if world.scenario.seconds > 20_000 { 6 } else { 20 };
    let jobs: Vec<(&Named, u64)> =
        all.iter().flat_map(|w| (1001..1001 + seeds(w)).map(move |seed| (w, seed))).collect();
    let runs = side_by_side(&jobs, |(world, seed)| {
        let (ended, result) = world.scenario.run(*seed);
        let fault = result.err().map(|broken| format!("{}, seed {seed}: {broken}", world.name));
        (world.name, Figures::of(&ended, world.scenario.window), fault)
    });
    assert_none(&runs.iter().map(|(_, _, fault)| fault.clone()).collect::<Vec<_>>());
    let missed = all.iter().map(|world| {
        let runs = runs.iter().filter(|(name, _, _)| *name == world.name);
        let medians = Figures::medians(&runs.map(|(_, figures, _)| *figures).collect::<Vec<_>>());
        let faults = world.faults(&medians);
        (!faults.is_empty()).then(|| format!("{}: {}", world.name, faults.join(", ")))
    });
    assert_none(&missed.collect::<Vec<_>>());
}

#[test]
fn a_seed_is_a_run() {
    let run = |seed| {
        let (world, result) = odd_world(seed).run(seed);
        (world.looks, world.sent, world.steers, result)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).0, run(4).0);
}

#[test]
fn clients_are_answered_and_change_nothing() {
    let scenario = &worlds()[0].scenario;
    let quiet = timeball_sim::Scenario { clients_every_s: 1e9, ..scenario.clone() };
    let busy = timeball_sim::Scenario { clients_every_s: 1.0, ..scenario.clone() };
    let ((quiet, _), (busy, result)) = (quiet.run(7), busy.run(7));
    assert_eq!(result, Ok(()));
    assert!(busy.replies() > 5_000 && quiet.replies() < 200, "{}", busy.replies());
    assert_eq!((busy.looks, busy.sent), (quiet.looks, quiet.sent));
}

/// Odd worlds run each time; `timeball-sim swarm` runs any number of others.
const ODD_WORLDS: u64 = 400;
