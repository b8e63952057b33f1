//! What the kernel does to real-time threads that take all of a core.
//!
//! Must never: advise to lift it where the workers have no real-time priority.

use crate::release::Release;
use crate::{Finding, Scene, Setting};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    if scene.worker_priority.unwrap_or(0) == 0 {
        return vec![Finding::good("no worker has a real-time priority")];
    }
    let setting = Setting::file("/proc/sys/kernel/sched_rt_runtime_us");
    let runtime: i64 = match setting.read(scene.host) {
        Ok(value) => value.parse().unwrap_or(-1),
        Err(why) => return vec![Finding::unseen(&why)],
    };
    let period = scene.host.read("/proc/sys/kernel/sched_rt_period_us");
    let period: i64 = period.ok().and_then(|value| value.parse().ok()).unwrap_or(1_000_000);
    if runtime < 0 || runtime >= period {
        return vec![Finding::good("off")];
    }
    if !throttles(scene) {
        return vec![Finding::good(
            "this kernel leaves ordinary threads their share without stopping real-time ones",
        )];
    }
    let stopped_ms = (period - runtime) / 1_000;
    vec![
        Finding::advice(
            format!("real-time threads may run {runtime} of every {period} µs"),
            "-1: no limit",
            format!(
                "workers at a real-time priority that take all of their cores are stopped for \
                 {stopped_ms} ms in every {} ms: \
                 clients wait that long. Without the limit, nothing ordinary runs on those cores during \
                 an overload: leave \
                 one core without a worker",
                period / 1_000
            ),
        )
        .change(setting, "-1"),
    ]
}

/// Linux 6.12 replaced throttling by a server for ordinary threads.
fn throttles(scene: &Scene<'_>) -> bool {
    let is_before = |kernel: Release| kernel.is_before((6, 12));
    Release::of(scene.host).ok().and_then(is_before).unwrap_or(true)
}
