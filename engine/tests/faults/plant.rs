//! What no server may do, done by hand: the harness must see each, or its silence proves nothing.
//!
//! Must never: be part of a run that is meant to succeed.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::common::PATIENCE;

/// Something planted, and the words by which the harness must complain of it.
struct Plant {
    complaint: &'static str,
    plant: fn(&mut Arena),
    weed: Option<fn(&mut Arena)>,
}

/// One for each thing that is judged over a whole arena; the last two are not mended.
static PLANTS: [Plant; 7] = [
    plant("not answered within", |a| a.signal("STOP"), Some(|a| a.signal("CONT"))),
    plant("half of wh", garble, Some(|a| remove(a, "drift"))),
    plant("loopstats: ", half_a_line, Some(|a| remove(a, "loopstats"))),
    plant(" descriptors", visit, Some(|a| a.nuisances.clear())),
    plant(" KiB resident", Arena::belittle_baseline, Some(Arena::note_baseline)),
    plant("not synchronised within", forsake, None),
    plant("claims to be right within", deceive, None),
];

const fn plant(
    complaint: &'static str,
    plant: fn(&mut Arena),
    weed: Option<fn(&mut Arena)>,
) -> Plant {
    Plant { complaint, plant, weed }
}

/// Plants all of them, one after another.
///
/// # Panics
/// When the harness does not complain of one, or complains of something else.
pub(crate) fn grow(arena: &mut Arena) {
    for Plant { complaint, plant, weed } in &PLANTS {
        plant(arena);
        let begun = Instant::now();
        let mut said = String::new();
        while said.is_empty() && begun.elapsed() < PATIENCE {
            let outcome = catch_unwind(AssertUnwindSafe(|| arena.recovered("a plant")));
            if let Err(panic) = outcome {
                said = *panic.downcast().expect("asserted with words");
            }
        }
        assert!(said.contains(complaint), "{complaint}: {said:?}");
        if let Some(weed) = weed {
            weed(arena);
            arena.recovered("a plant that was mended");
        }
    }
}

/// It has forgotten the time, and nobody tells it.
fn forsake(arena: &mut Arena) {
    arena.upstreams.iter().for_each(|one| one.be_silent(true));
    arena.kill_server();
    // It may not have written any yet.
    let _ = fs::remove_file(arena.disk.join("state"));
    arena.limits[1] = Duration::from_secs(5);
    arena.start_server();
}

/// Most of those who tell it the time at last tell it the same lie: it must believe them.
fn deceive(arena: &mut Arena) {
    arena.upstreams.iter().take(2).for_each(|one| one.lie(3_000_000_000));
    arena.upstreams.iter().for_each(|one| one.be_silent(false));
    arena.limits[1] = 2 * PATIENCE;
}

fn garble(arena: &mut Arena) {
    fs::write(arena.disk.join("drift"), "half of wh").unwrap();
}

fn half_a_line(arena: &mut Arena) {
    let mut file = fs::File::options().append(true).open(arena.disk.join("loopstats")).unwrap();
    file.write_all(b"61367 31610.219 -0.0000").unwrap();
}

fn remove(arena: &mut Arena, name: &str) {
    fs::remove_file(arena.disk.join(name)).unwrap();
}

/// Visitors who never leave, as if the server had forgotten to close.
fn visit(arena: &mut Arena) {
    let visit = |_| UnixStream::connect(arena.control_socket()).unwrap();
    let visitors: Vec<_> = (0..12).map(visit).collect();
    arena.nuisances.push(Box::new(move || drop(visitors)));
}
