//! By what the network card chooses a packet's queue: the client's address alone, so that it stays at
//! one worker.
//!
//! Must never: take a card without a hash for a wrong one.

use crate::{Finding, Scene, Setting};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let each = |interface: &String| {
        FLOWS.map(|flow| of_flow(scene, interface, flow).about(&format!("{interface} {flow}")))
    };
    scene.interfaces.iter().flat_map(each).collect()
}

fn of_flow(scene: &Scene<'_>, interface: &str, flow: &str) -> Finding {
    let setting = Setting::HashFields { interface: interface.to_owned(), flow: flow.to_owned() };
    match setting.read(scene.host) {
        Err(crate::Unseen::Absent(_)) => Finding::good("the card has no hash of addresses to choose from"),
        Err(why) => Finding::unseen(&why),
        Ok(fields) if fields == ADDRESSES => Finding::good("by addresses"),
        Ok(fields) if fields.contains(['f', 'n']) => Finding::advice(
            "by addresses and ports",
            "by addresses",
            "clients use a new port for each request (RFC 9109), so each comes in on a different core \
             every time, and is \
             handed to its worker on another. By addresses, it arrives where it is answered, and \
             `spread = \"cpu\"` becomes \
             sound",
        )
        .change(setting, ADDRESSES),
        Ok(fields) => Finding::good(format!("by fields {fields}")),
    }
}

const FLOWS: [&str; 2] = ["udp4", "udp6"];
const ADDRESSES: &str = "sd";
