//! The overload fix: the kernel receives packets in a thread on the worker's core, below the worker.
//!
//! As usual, packets are received in soft interrupts, above everything. When more arrive than can be
//! answered, a core
//! spends itself on receiving packets that are thrown away before the worker gets to them.
//!
//! Must never: advise it where it cannot work.

use super::each_interface;
use crate::scene::{NET, Thread, napi_threads};
use crate::setting::field;
use crate::{Finding, Scene, Setting};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    each_interface(scene, |interface| of_interface(scene, interface))
}

fn of_interface(scene: &Scene<'_>, interface: &str) -> Finding {
    let threaded = Setting::file(format!("{NET}/{interface}/threaded"));
    let is_threaded = match threaded.read(scene.host) {
        Ok(value) => value != "0",
        Err(why) => return Finding::unseen(&why),
    };
    let threads = napi_threads(scene.host, interface).unwrap_or_default();
    let placed = !threads.is_empty() && threads.iter().all(|thread| stands_well(scene, thread));
    if is_threaded && placed && scene.worker_priority != Some(0) {
        return Finding::good(format!(
            "received by {} on the workers' cores, below them",
            count(threads.len())
        ));
    }
    let mut finding = Finding::advice(
        found(scene, is_threaded, &threads),
        format!(
            "a thread for each queue, on a worker's core, at FIFO {NAPI_PRIORITY}; workers above it"
        ),
        "offered more than it can answer, a server whose packets arrive in soft interrupts answers \
         about half of what \
         it could, because the core is busy receiving what is then dropped; in this order it goes on \
         answering at its \
         peak (docs/src/figures.md, Overload). Software receive stamps are then taken after the wait in the \
         ring: keep the \
         ring short (check `ring`)",
    );
    if !has_napi(scene, interface) {
        finding = finding.change(Setting::ReceiveOffload { interface: interface.to_owned() }, "on");
    }
    let cores: Vec<_> =
        scene.cores.iter().map(|core| format!("{core} fifo {NAPI_PRIORITY}")).collect();
    let finding = finding
        .change(threaded, "1")
        .change(Setting::NapiThreads { interface: interface.to_owned() }, cores.join(", "));
    if scene.worker_priority.is_some_and(|priority| priority > NAPI_PRIORITY) {
        return finding;
    }
    finding.by_hand(format!(
        "in timeball's configuration: worker_priority = {WORKER_PRIORITY}; without it the threads stand \
         above the workers"
    ))
}

fn found(scene: &Scene<'_>, is_threaded: bool, threads: &[Thread]) -> String {
    match threads {
        _ if !is_threaded => {
            "packets are received in soft interrupts, above the workers".to_owned()
        }
        [] => "polled by threads, of which none runs".to_owned(),
        threads if threads.iter().all(|thread| stands_well(scene, thread)) => {
            "polled by threads on the workers' cores, but the workers have no real-time priority"
                .to_owned()
        }
        [first, ..] => format!(
            "polled by {}, such as {} at {}",
            count(threads.len()),
            first.name,
            first.placing()
        ),
    }
}

fn count(threads: usize) -> String {
    if threads == 1 { "one thread".to_owned() } else { format!("{threads} threads") }
}

/// On one core, a worker's, and below the workers.
fn stands_well(scene: &Scene<'_>, thread: &Thread) -> bool {
    let on_worker = thread.cores.parse().is_ok_and(|core: usize| scene.cores.contains(&core));
    on_worker && thread.priority < scene.worker_priority.unwrap_or(WORKER_PRIORITY).max(1)
}

/// A veth has a NAPI only while it merges packets.
fn has_napi(scene: &Scene<'_>, interface: &str) -> bool {
    let driver = scene.host.ask(&["ethtool", "-i", interface]);
    let is_veth = driver.is_ok_and(|text| field(&text, "driver") == Some("veth"));
    let offload = Setting::ReceiveOffload { interface: interface.to_owned() };
    !is_veth || offload.read(scene.host).as_deref() == Ok("on")
}

/// Above everything ordinary, below the workers.
const NAPI_PRIORITY: u32 = 10;
/// What to give the workers.
const WORKER_PRIORITY: u32 = 50;
