//! Whether the kernel lets timeball use its rings.
//!
//! Must never: call the other way broken: it is as fast where packets come in batches.

use crate::release::Release;
use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let kernel = match Release::of(scene.host) {
        Ok(kernel) => kernel,
        Err(why) => return vec![Finding::unseen(&why)],
    };
    let release = &kernel.0;
    let advice = |found: String, should: &str, by_hand: &str| {
        let why = "timeball then answers by recvmmsg and sendmmsg: about as fast (docs/src/figures.md), \
        with more system calls at low load";
        vec![Finding::advice(found, should, why).by_hand(by_hand)]
    };
    if kernel.is_before(BASELINE) == Some(true) {
        return advice(format!("Linux {release}"), "Linux 6.1 or newer", "update the kernel");
    }
    match scene.host.read("/proc/sys/kernel/io_uring_disabled").as_deref() {
        Ok("1") => advice(
            format!("Linux {release}; only a group of users may use io_uring"),
            "timeball's user is in it",
            "set kernel.io_uring_group to timeball's group, or kernel.io_uring_disabled = 0",
        ),
        Ok("2") => advice(
            format!("Linux {release}; io_uring is forbidden"),
            "kernel.io_uring_disabled = 0 or 1",
            "sysctl -w kernel.io_uring_disabled=1, with timeball's group in kernel.io_uring_group",
        ),
        // An older kernel has no such switch: it is always on.
        _ => vec![Finding::good(format!("Linux {release}, io_uring allowed"))],
    }
}

/// The first with everything the rings need (`DEFER_TASKRUN`).
const BASELINE: (u32, u32) = (6, 1);
