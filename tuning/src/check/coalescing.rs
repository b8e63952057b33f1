//! How long the card gathers packets before it says so: it saves interrupts, and blurs stamps taken by
//! software.
//!
//! timeball takes the kernel's stamps, even of a card that could stamp packets itself: gathering
//! always blurs them.
//!
//! Must never: advise to gather where the stamps are taken after the wait.

use super::each_interface;
use crate::{Finding, Scene, Setting, Unseen};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    each_interface(scene, |interface| of_interface(scene, interface))
}

fn of_interface(scene: &Scene<'_>, interface: &str) -> Finding {
    let setting = Setting::Coalescing { interface: interface.to_owned() };
    let now = match setting.read(scene.host) {
        Ok(now) => now,
        Err(Unseen::Absent(_)) => return Finding::good("it does not gather"),
        Err(why) => return Finding::unseen(&why),
    };
    let word =
        |name: &str| now.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let usecs: u32 = word("usecs").and_then(|value| value.parse().ok()).unwrap_or(0);
    let adapts = word("adaptive") == Some("on");
    let found = match (adapts, usecs) {
        (true, _) => "as long as the driver thinks fit (adaptive)".to_owned(),
        (false, usecs) => format!("{usecs} µs"),
    };
    let adaptive = word("adaptive").map_or("", |_| "adaptive=off ");
    if !adapts && usecs <= PROMPT_US {
        return Finding::good(found);
    }
    Finding::advice(
        found,
        format!("at most {PROMPT_US} µs"),
        "packets are stamped by software once the card reports them, so each stamp is late by up to \
         that time, and half of \
         it is an error of every answer. It costs more interrupts: processor time at low load",
    )
    .change(setting, format!("{adaptive}usecs=0"))
}

/// Blurs less than the kernel's own way does.
const PROMPT_US: u32 = 4;
