//! A queue of the network card for each worker.
//!
//! Must never: advise more queues than the card has.

use super::each_interface;
use crate::setting::maximum;
use crate::{Finding, Scene, Setting};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    each_interface(scene, |interface| of_interface(scene, interface))
}

fn of_interface(scene: &Scene<'_>, interface: &str) -> Finding {
    let setting = Setting::Queues { interface: interface.to_owned() };
    let queues: usize = match setting.read(scene.host) {
        Ok(value) => value.parse().unwrap_or(0),
        Err(why) => return Finding::unseen(&why),
    };
    let text = scene.host.ask(&["ethtool", "-l", interface]).unwrap_or_default();
    let most = maximum(&text, "Combined").unwrap_or(queues);
    let workers = scene.cores.len();
    let wanted = workers.min(most);
    if queues == wanted {
        let rest = if workers > most { "; it has no more" } else { "" };
        return Finding::good(format!("{queues} for {workers} workers{rest}"));
    }
    let why = if queues < wanted {
        "packets of many workers are received on few cores, which fill up first while the others idle"
    } else {
        "more queues than workers put receiving on cores without a worker, from which each packet is \
         handed over"
    };
    Finding::advice(
        format!("{queues} for {workers} workers; the card has up to {most}"),
        format!("{wanted}"),
        format!("{why}. Changing it takes the link down for a moment"),
    )
    .change(setting, wanted.to_string())
}
