//! Every fault there is a name for, thrown at the real server in a random order, and judged from outside.
//!
//! The server runs in a network namespace of its own, beside three upstreams whose time is known (the
//! production worker over real sockets, in this process). While clients ask without pause, one fault after
//! another begins and ends; some packet or other nuisance goes with it. What must hold all the time is in
//! [`client`], what must hold again after each fault in [`arena`]. That both see what they judge is shown by
//! doing it to them: [`plant`].
//!
//! `tests/faults SEED SECONDS` runs it for longer; the seed decides everything but the scheduler.
//! Must never: run outside a user namespace of its own, where it could mount or take a link down.

#[path = "../common/mod.rs"]
mod common;

mod arena;
mod client;
mod plant;
mod random;
mod trouble;
mod upstream;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use arena::Arena;
use random::Random;
use trouble::{COMPANIONS, FAULTS};

/// From the environment, or what every run of the tests does.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn every_fault_is_survived() {
    let output = run_inside("nothing");
    let said = common::text(&output);
    println!("{said}");
    assert!(output.status.success() && said.contains("faults survived"), "{said}");
}

#[test]
fn what_no_server_may_do_is_seen() {
    let output = run_inside("everything");
    let said = common::text(&output);
    assert!(output.status.success() && said.contains("everything was seen"), "{said}");
}

/// Runs the test below in namespaces of its own, with everything planted or nothing.
fn run_inside(planted: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "--"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "inside", "--nocapture", "--test-threads=1"]);
    command.env(PLANTED, planted).output().expect("unshare (package util-linux) starts")
}

/// Run by the tests above.
#[test]
#[ignore = "needs namespaces of its own"]
fn inside() {
    let Ok(planted) = std::env::var(PLANTED) else {
        return println!("skipped: run every_fault_is_survived instead");
    };
    let seed = setting("TIMEBALL_FAULTS_SEED", 1);
    let length = Duration::from_secs(setting("TIMEBALL_FAULTS_SECONDS", 25));
    println!("seed {seed}, {} s", length.as_secs());
    let mut random = Random::new(seed);
    let mut arena = Arena::new();
    if planted == "everything" {
        plant::grow(&mut arena);
        return println!("everything was seen");
    }
    let begun = Instant::now();
    let mut survived = 0;
    // Each fault once, in a random order, then any.
    let mut queue = Vec::new();
    while begun.elapsed() < length {
        if queue.is_empty() {
            queue = random.shuffled(FAULTS.len());
        }
        let fault = &FAULTS[queue.pop().expect("just filled")];
        let companion = random.pick(&COMPANIONS);
        println!("{:7.2} s: {} with {}", begun.elapsed().as_secs_f64(), fault.name, companion.name);
        (fault.begin)(&mut arena, &mut random);
        (companion.begin)(&mut arena, &mut random);
        std::thread::sleep(Duration::from_millis(random.below(fault.longest_ms) + 200));
        (companion.end)(&mut arena, &mut random);
        (fault.end)(&mut arena, &mut random);
        let back = arena.recovered(fault.name);
        println!(
            "{:10} answered again after {} ms, synchronised after {} ms",
            "", back[0], back[1]
        );
        survived += 1;
    }
    arena.finish();
    println!("{survived} faults survived");
}

const PLANTED: &str = "TIMEBALL_FAULTS_PLANTED";
