//! `worlds`: the table of worlds beside chrony's figures.
//!
//! Must never: call a goal met that took more packets than chrony's.

use std::process::ExitCode;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use timeball_sim::{Broken, Figures, Named, Scenario, median, sign_test, worlds};

use crate::cli::WorldsOptions;
use crate::table::{number, table};
use crate::{EXIT_BROKEN, EXIT_MISSED, campaign, fail};

/// The outcome of one world, as JSON has it.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    world: String,
    seeds: Vec<u64>,
    runs: Vec<Figures>,
    medians: Figures,
    /// Whether the goal was met, at no more packets than chrony's.
    met: bool,
}

struct Run {
    figures: Figures,
    broken: Option<Broken>,
    seconds: f64,
}

pub(crate) fn run(options: &WorldsOptions) -> ExitCode {
    let chosen = match chosen(options) {
        Ok(chosen) => chosen,
        Err(problem) => return fail(&problem),
    };
    let earlier = match options.against.as_deref().map(read).transpose() {
        Ok(earlier) => earlier,
        Err(problem) => return fail(&problem),
    };
    let (outcomes, broken) = measure(&chosen, options, |scenario| scenario);
    let other = if options.null {
        Some(measure(&chosen, options, |scenario| Scenario { nonces: NULL_NONCES, ..scenario }).0)
    } else {
        earlier
    };
    if options.json {
        match serde_json::to_string_pretty(&outcomes) {
            Ok(text) => println!("{text}"),
            Err(error) => return fail(&error.to_string()),
        }
    } else {
        print!("{}", report(&chosen, &outcomes, other.as_deref()));
    }
    if broken {
        ExitCode::from(EXIT_BROKEN)
    } else if options.strict && !outcomes.iter().all(|outcome| outcome.met) {
        ExitCode::from(EXIT_MISSED)
    } else {
        ExitCode::SUCCESS
    }
}

fn chosen(options: &WorldsOptions) -> Result<Vec<Named>, String> {
    let all = worlds();
    let known = |name: &String| all.iter().any(|world| world.name.eq_ignore_ascii_case(name));
    if let Some(name) = options.names.iter().find(|name| !known(name)) {
        let names: Vec<_> = all.iter().map(|world| world.name).collect();
        return Err(format!("no world is called {name:?}; there are {}", names.join(", ")));
    }
    let wanted = |world: &Named| {
        options.names.is_empty()
            || options.names.iter().any(|name| world.name.eq_ignore_ascii_case(name))
    };
    Ok(all.into_iter().filter(wanted).collect())
}

fn read(path: &std::path::Path) -> Result<Vec<Outcome>, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("{}: {error}; make it with `worlds --json`", path.display()))
}

/// Runs everything; true if a promise was broken.
fn measure(
    chosen: &[Named],
    options: &WorldsOptions,
    change: impl Fn(Scenario) -> Scenario,
) -> (Vec<Outcome>, bool) {
    let scenario = |world: &Named| {
        let mut scenario = change(world.scenario.clone());
        if let Some(waits) = options.waits {
            scenario.servers.iter_mut().for_each(|server| server.waits = waits);
        }
        if options.burst { scenario.with_burst() } else { scenario }
    };
    let scenarios: Vec<_> = chosen.iter().map(scenario).collect();
    let jobs: Vec<_> = scenarios
        .iter()
        .flat_map(|scenario| options.seeds.iter().map(move |seed| (scenario, seed)))
        .collect();
    let runs = campaign::run(&jobs, |&(scenario, seed)| one(scenario, seed));
    let seeds: Vec<u64> = options.seeds.iter().collect();
    let mut broken = false;
    let mut outcomes = Vec::new();
    for (world, runs) in chosen.iter().zip(runs.chunks(seeds.len())) {
        for (run, seed) in runs.iter().zip(&seeds) {
            if let Some(problem) = &run.broken {
                eprintln!("{} seed {seed}: {problem}", world.name);
                broken = true;
            }
        }
        if options.time {
            let seconds = median(runs.iter().map(|run| run.seconds));
            let simulated = world.scenario.seconds as f64;
            let speed = 1e3 * seconds * 1e4 / simulated;
            eprintln!("{:8}  {speed:.1} ms per 10 000 s", world.name);
        }
        let figures: Vec<_> = runs.iter().map(|run| run.figures).collect();
        let medians = Figures::medians(&figures);
        let met = world.faults(&medians).is_empty();
        let world = world.name.to_owned();
        outcomes.push(Outcome { world, seeds: seeds.clone(), runs: figures, medians, met });
    }
    (outcomes, broken)
}

fn one(scenario: &Scenario, seed: u64) -> Run {
    let began = Instant::now();
    let (world, result) = scenario.run(seed);
    let seconds = began.elapsed().as_secs_f64();
    Run { figures: Figures::of(&world, scenario.window), broken: result.err(), seconds }
}

/// What was met, or why it was not.
fn verdict(world: &Named, medians: &Figures) -> String {
    let faults = world.faults(medians);
    if !faults.is_empty() {
        return format!("missed: {}", faults.join(", "));
    }
    let stretched = world.stretch_us.is_some_and(|stretch_us| medians.rms_s * 1e6 <= stretch_us);
    if stretched { "met, stretch too".to_owned() } else { "met".to_owned() }
}

fn report(chosen: &[Named], outcomes: &[Outcome], other: Option<&[Outcome]>) -> String {
    const HEADING: [&str; 18] = [
        "world",
        "RMS µs",
        "goal",
        "stretch",
        "chrony",
        "p95",
        "chrony",
        "worst",
        "chrony",
        "sync s",
        "chrony",
        "poll s",
        "chrony",
        "ppm believed",
        "served",
        "chrony",
        "claim µs",
        "verdict",
    ];
    let mut rows = vec![HEADING.map(str::to_owned).to_vec()];
    for (world, outcome) in chosen.iter().zip(outcomes) {
        let (m, chrony) = (&outcome.medians, &world.chrony);
        let micros = |seconds: f64| number(Some(seconds * 1e6));
        let mut verdict = verdict(world, m);
        if let Some(other) = other.and_then(|o| o.iter().find(|o| o.world == outcome.world)) {
            verdict = format!("{verdict}; {}", paired(outcome, other));
        }
        rows.push(vec![
            world.name.to_owned(),
            micros(m.rms_s),
            number(Some(world.goal_us)),
            number(world.stretch_us),
            number(Some(chrony.rms_us)),
            micros(m.p95_s),
            number(Some(chrony.p95_us)),
            micros(m.worst_s),
            number(Some(chrony.worst_us)),
            number(m.sync_s.map(|s| s as f64)),
            number(chrony.sync_s),
            number(Some(m.poll_s)),
            number(chrony.poll_s),
            number(Some(m.believed_ppm)),
            number(Some(m.served_ppm)),
            number(chrony.frequency_ppm),
            micros(m.distance_s),
            verdict,
        ]);
    }
    table(&rows)
}

/// Ours against the other's RMS, seed by seed.
fn paired(ours: &Outcome, other: &Outcome) -> String {
    let theirs = |seed| other.seeds.iter().position(|s| s == seed).map(|at| other.runs[at].rms_s);
    let pairs: Vec<(f64, f64)> = ours
        .seeds
        .iter()
        .zip(&ours.runs)
        .filter_map(|(seed, run)| Some((run.rms_s, theirs(seed)?)))
        .collect();
    let ratio = median(pairs.iter().map(|(ours, theirs)| ours / theirs));
    let z = sign_test(pairs.iter().copied());
    let judged = if z.abs() < SIGNIFICANT { "no difference" } else { "a difference" };
    format!("{:+.1} % on {} pairs, z {z:+.1}: {judged}", 100.0 * (ratio - 1.0), pairs.len())
}

/// Deviations of the sign test that luck makes once in twenty times.
const SIGNIFICANT: f64 = 2.0;
/// Another stream of nonces than the usual one.
const NULL_NONCES: u64 = 9;
