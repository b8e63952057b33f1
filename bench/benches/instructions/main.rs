//! Instructions of everything on the packet path, counted by callgrind, against a kept baseline.
//!
//! Times on a shared machine move by a fifth within an hour; the number of instructions does not move at
//! all. So this is the gate: what a turn costs may not grow by more than 2 % unseen.
//!
//! ```text
//! cargo bench -p timeball-bench --bench instructions             compare; fails on growth
//! cargo bench -p timeball-bench --bench instructions -- accept   what is measured is the new baseline
//! ```
//!
//! Each case is run in a process of its own for two numbers of turns; their difference is free of what comes
//! before the first turn.
//!
//! Must never: compare counts of different compilers or processors as if they were of one.

mod baseline;
mod callgrind;
mod cases;
#[path = "../fixture/mod.rs"]
mod fixture;
#[path = "../fixture/valgrind.rs"]
mod valgrind;

use std::process::ExitCode;

use baseline::{Baseline, Verdict};
use cases::CASES;

fn main() -> ExitCode {
    // Cargo adds a word of its own.
    let words: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => compare(),
        ["accept"] => measure().and_then(|measured| measured.write().map(|()| true)),
        ["run", case, turns] => return run(case, turns),
        _ => Err("usage: instructions [accept]".to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::from(2)
        }
    }
}

/// Says what every case costs now and did cost; false if one has grown too much.
fn compare() -> Result<bool, String> {
    let kept = Baseline::read()?;
    let now = measure()?;
    if let Some(difference) = now.made_otherwise(&kept) {
        println!(
            "\nThe baseline is of another build ({difference}), so nothing is judged here. Renew it: {ACCEPT}"
        );
        return Ok(true);
    }
    let verdicts = now.against(&kept);
    println!("\n{:<34} {:>10} {:>10} {:>8}", "instructions a turn", "baseline", "now", "");
    for (case, verdict) in &verdicts {
        println!("{case:<34} {verdict}");
    }
    let grown = verdicts.iter().filter(|(_, verdict)| verdict.fails()).count();
    if grown > 0 {
        println!(
            "\n{grown} of them must not stay so. If it is worth its price, say so with: {ACCEPT}"
        );
    } else if verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Less { .. })) {
        println!("\nCheaper than the baseline; keep it so: {ACCEPT}");
    }
    Ok(grown == 0)
}

fn measure() -> Result<Baseline, String> {
    let mut measured = Baseline::of_this_build()?;
    for case in &CASES {
        eprintln!("counting {}", case.name);
        measured.insert(case.name, callgrind::instructions(case.name)?);
    }
    Ok(measured)
}

/// What callgrind looks at.
fn run(name: &str, turns: &str) -> ExitCode {
    let case = CASES.iter().find(|case| case.name == name);
    let (Some(case), Ok(turns)) = (case, turns.parse()) else { return ExitCode::from(2) };
    (case.run)(turns);
    ExitCode::SUCCESS
}

const ACCEPT: &str = "cargo bench -p timeball-bench --bench instructions -- accept";
