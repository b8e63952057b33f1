//! Interrupts of the network card's queues, each at the core of its worker.
//!
//! Must never: move an interrupt that is not the network card's.

use super::each_interface;
use crate::host::number_list;
use crate::scene::NET;
use crate::{Finding, Scene, Setting};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = each_interface(scene, |interface| of_interface(scene, interface));
    let balancing = scene.processes(&["irqbalance"]);
    if let (Some((id, name)), false) = (balancing.first(), findings.is_empty()) {
        findings.push(
            Finding::advice(
                format!("{name} runs (process {id})"),
                "it leaves the network card alone",
                "it moves interrupts from core to core every ten seconds, and undoes what is set by hand",
            )
            .about(name)
            .by_hand("set IRQBALANCE_BANNED_CPULIST to the workers' cores in /etc/default/irqbalance, \
            or disable it"),
        );
    }
    findings
}

fn of_interface(scene: &Scene<'_>, interface: &str) -> Finding {
    let interrupts = queue_interrupts(scene, interface);
    if interrupts.is_empty() {
        return Finding::good("it has none of its own");
    }
    let mut changes = Vec::new();
    let mut now = Vec::new();
    for (index, number) in interrupts.iter().enumerate() {
        let path = format!("/proc/irq/{number}/smp_affinity_list");
        let cores = match scene.host.read(&path) {
            Ok(cores) => cores,
            Err(why) => return Finding::unseen(&why),
        };
        let wanted = scene.core_of(index);
        if number_list(&cores) != [wanted] {
            changes.push((Setting::file(path), wanted.to_string()));
        }
        now.push(cores);
    }
    let found = format!("{} at cores {}", interrupts.len(), now.join(" | "));
    if changes.is_empty() {
        return Finding::good(found);
    }
    let wanted: Vec<_> =
        (0..interrupts.len()).map(|index| scene.core_of(index).to_string()).collect();
    let advice = Finding::advice(
        found,
        wanted.join(" | "),
        "a packet received on one core and answered on another costs a wake-up across cores, and its \
         time stamp waits for it. \
         Some cards' interrupts cannot be moved; the kernel then refuses",
    );
    changes.into_iter().fold(advice, |finding, (setting, value)| finding.change(setting, value))
}

/// The numbers of the interrupts by which `interface` reports received packets, in order.
fn queue_interrupts(scene: &Scene<'_>, interface: &str) -> Vec<u32> {
    // A virtio device's interrupts are its PCI parent's.
    let directories = ["device/msi_irqs", "device/../msi_irqs"];
    let list = |directory: &&str| scene.host.list(&format!("{NET}/{interface}/{directory}")).ok();
    let numbers = directories.iter().find_map(list).unwrap_or_default();
    let mut numbers: Vec<u32> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    let table = scene.host.read("/proc/interrupts").unwrap_or_default();
    let receives = |number: &u32| {
        let prefix = format!("{number}:");
        let row = table.lines().find(|row| row.trim_start().starts_with(&prefix));
        let name = row.and_then(|row| row.split_whitespace().last()).unwrap_or_default();
        let name = name.to_ascii_lowercase();
        !NOT_RECEIVING.iter().any(|word| name.contains(word))
            && !name.ends_with("-tx")
            && !name.is_empty()
    };
    numbers.retain(receives);
    numbers
}

/// Parts of the names of interrupts that bring no packets.
const NOT_RECEIVING: [&str; 7] = ["config", "output", "async", "misc", "event", "ctrl", "mgmt"];
