//! Who stamps packets: the network card itself, or the kernel once it has heard of them.
//!
//! Must never: take a card's clock for one that anybody keeps right.

use super::each_interface;
use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    each_interface(scene, |interface| of_interface(scene, interface))
}

fn of_interface(scene: &Scene<'_>, interface: &str) -> Finding {
    let text = match scene.host.ask(&["ethtool", "-T", interface]) {
        Ok(text) => text,
        Err(why) => return Finding::unseen(&why),
    };
    if has(&text, "hardware-receive") {
        return Finding::good(
            "the card can stamp what arrives; timeball uses the kernel's stamps today",
        );
    }
    if !has(&text, "software-receive") {
        return Finding::advice(
            "the driver names no stamps at all",
            "stamps by software or hardware",
            "what cannot be stamped on arrival is stamped when a worker gets to it: late by its wait in \
             the queue",
        );
    }
    Finding::good("by software: the kernel's own, on arrival")
}

fn has(text: &str, capability: &str) -> bool {
    text.lines().any(|line| line.trim().starts_with(capability))
}
