//! Workers next to their network card.
//!
//! Must never: take "unknown" (-1) for a node.

use super::each_interface;
use crate::host::number_list;
use crate::scene::NET;
use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    each_interface(scene, |interface| of_interface(scene, interface))
}

fn of_interface(scene: &Scene<'_>, interface: &str) -> Finding {
    let nodes = scene.host.list("/sys/devices/system/node").unwrap_or_default();
    let nodes = nodes.iter().filter(|name| name.starts_with("node")).count();
    let node = scene.host.read(&format!("{NET}/{interface}/device/numa_node"));
    let node = node.ok().and_then(|node| node.parse::<usize>().ok());
    let (Some(node), true) = (node, nodes > 1) else {
        return Finding::good("one for all");
    };
    let list = scene.host.read(&format!("/sys/devices/system/node/node{node}/cpulist"));
    let near = list.unwrap_or_default();
    let near_cores = number_list(&near);
    let far = scene.cores.iter().filter(|core| !near_cores.contains(core)).count();
    if far == 0 {
        return Finding::good(format!("all workers are on the card's node {node}"));
    }
    Finding::advice(
        format!("the card is at node {node} (cores {near}); {far} of {} workers are elsewhere",
        scene.cores.len()),
        format!("workers on cores {near}"),
        "each packet of a far worker crosses the link between processors, both ways: more time for an \
         answer, less to go round",
    )
    .by_hand(format!("start timeball on these cores: taskset -c {near}, or CPUAffinity={near} in its unit"))
}
