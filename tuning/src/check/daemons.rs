//! Two programs that steer one clock fight over it, and everybody who is served by either loses.
//!
//! Must never: take `timeball` itself for another daemon.

use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    if let Err(why) = scene.host.list("/proc") {
        return vec![Finding::unseen(&why)];
    }
    let running = scene.processes(&DAEMONS.map(|(name, _)| name));
    if running.is_empty() {
        return vec![Finding::good("none runs")];
    }
    running.into_iter().map(|(id, name)| rival(id, name)).collect()
}

fn rival(id: u32, name: &str) -> Finding {
    let unit = DAEMONS.iter().find(|(known, _)| *known == name).map_or(name, |(_, unit)| unit);
    Finding::problem(
        format!("{name} runs (process {id})"),
        "one program keeps the clock",
        "two programs that steer the same clock push it to and fro; what is served swings with it, by \
         milliseconds and \
         without anyone noticing. With `steering = \"virtual\"` timeball leaves the kernel's clock \
         alone and the other may \
         stay, but not on port 123",
    )
    .by_hand(format!("systemctl disable --now {unit}"))
    .about(name)
}

/// Names of processes, cut to 15 characters by the kernel, and the unit that usually starts them.
const DAEMONS: [(&str, &str); 8] = [
    ("chronyd", "chrony"),
    ("ntpd", "ntp ntpsec openntpd"),
    ("ntp-daemon", "ntpd-rs"),
    ("systemd-timesyn", "systemd-timesyncd"),
    ("ptp4l", "ptp4l"),
    ("phc2sys", "phc2sys"),
    ("timemaster", "timemaster"),
    ("rsntp", "rsntp"),
];
