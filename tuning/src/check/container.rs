//! A share of processor time that can run out in the middle of a second.
//!
//! Must never: take a limit far above the need for harmless: a quota is spent by all threads together.

use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let group = match scene.host.read("/proc/self/cgroup") {
        Ok(text) => text,
        Err(why) => return vec![Finding::unseen(&why)],
    };
    let path = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    // Within a cgroup namespace, or at the root, the group's own directory is the mount itself.
    let quota = scene
        .host
        .read(&format!("{MOUNT}{}/cpu.max", path.trim_end_matches('/')))
        .or_else(|_| scene.host.read(&format!("{MOUNT}/cpu.max")));
    let Ok(quota) = quota else {
        return vec![Finding::good("none on this program's group")];
    };
    let mut words = quota.split_whitespace().map(str::parse::<f64>);
    let (Some(Ok(quota_us)), Some(Ok(period_us))) = (words.next(), words.next()) else {
        return vec![Finding::good("none on this program's group")];
    };
    let cores = quota_us / period_us;
    vec![
        Finding::problem(
            format!("this program's group may use {cores:.2} cores ({quota_us:.0} of every \
            {period_us:.0} µs)"),
            "no quota; fewer cores instead",
            format!(
                "when the quota is spent, every thread stands still until the period of {:.0} ms is \
                 over: clients wait \
                 that long or are lost, while the server looks idle",
                period_us / 1e3
            ),
        )
        .by_hand("give whole cores: --cpuset-cpus instead of --cpus, AllowedCPUs= instead of CPUQuota="),
    ]
}

const MOUNT: &str = "/sys/fs/cgroup";
