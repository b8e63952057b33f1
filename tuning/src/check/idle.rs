//! Cores that fall asleep between two packets, and how long they take to wake.
//!
//! Must never: keep a core awake that is no worker's.

use crate::{Finding, Scene, Setting};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let deep: Vec<_> = scene.cores.iter().flat_map(|core| deep_states(scene, *core)).collect();
    let Some(deepest) = deep.iter().max_by_key(|state| state.latency_us) else {
        return vec![Finding::good(format!(
            "no worker's core takes more than {WAKE_US_MAX} µs to wake"
        ))];
    };
    let advice = Finding::advice(
        format!(
            "workers' cores may sleep as deep as {}, which takes {} µs to wake",
            deepest.name, deepest.latency_us
        ),
        format!("at most {WAKE_US_MAX} µs"),
        "at low load each request finds its core asleep: its answer, and a stamp taken by software, are \
         late by the time to \
         wake. Costs power",
    );
    vec![deep.into_iter().fold(advice, |finding, state| finding.change(state.disable, "1"))]
}

struct IdleState {
    name: String,
    latency_us: u32,
    disable: Setting,
}

/// The states of `core` that are allowed and take long to wake from.
fn deep_states(scene: &Scene<'_>, core: usize) -> Vec<IdleState> {
    let directory = format!("/sys/devices/system/cpu/cpu{core}/cpuidle");
    let state = |state: &String| {
        let read = |name: &str| scene.host.read(&format!("{directory}/{state}/{name}")).ok();
        let latency_us = read("latency")?.parse().ok()?;
        let disable = Setting::file(format!("{directory}/{state}/disable"));
        let allowed = read("disable")? == "0";
        (allowed && latency_us > WAKE_US_MAX).then(|| IdleState {
            name: read("name").unwrap_or_else(|| state.clone()),
            latency_us,
            disable,
        })
    };
    scene.host.list(&directory).unwrap_or_default().iter().filter_map(state).collect()
}

const WAKE_US_MAX: u32 = 10;
