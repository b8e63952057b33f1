//! A time namespace shifts the clocks that count since the start, but not the one that is served.
//!
//! Must never: be taken for an error of the served time.

use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let Ok(offsets) = scene.host.read("/proc/self/timens_offsets") else {
        return vec![Finding::good("this kernel has none")];
    };
    let shifted = |line: &str| line.split_whitespace().skip(1).any(|number| number != "0");
    if !offsets.lines().any(shifted) {
        return vec![Finding::good("none: the clocks are the machine's own")];
    }
    vec![
        Finding::advice(
        "this program runs in a time namespace with shifted clocks",
        "no time namespace",
        "the served time is not shifted; but what is counted since the start (uptime, suspends) is, and \
         hides a suspend from \
         timeball's eyes in some kernels",
    )
.by_hand("start timeball outside of it: unshare --time and its like are not for time servers"),
]
}
