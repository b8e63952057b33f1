//! Whether the kernel lets timeball use its rings.
//!
//! Must never: call the other way broken: it is as fast where packets come in batches.

use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let release = match scene.host.read("/proc/sys/kernel/osrelease") {
        Ok(release) => release,
        Err(why) => return vec![Finding::unseen(&why)],
    };
    let advice = |found: String, should: &str, by_hand: &str| {
        let why = "timeball then answers by recvmmsg and sendmmsg: about as fast (docs/figures.md), \
        with more system calls at low load";
        vec![Finding::advice(found, should, why).by_hand(by_hand)]
    };
    if version(&release).is_some_and(|version| version < BASELINE) {
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

/// The first two numbers of a kernel release.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The first with everything the rings need (`DEFER_TASKRUN`).
const BASELINE: (u32, u32) = (6, 1);
