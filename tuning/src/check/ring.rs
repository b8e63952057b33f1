//! How many packets may wait in the card.
//!
//! Must never: advise a ring so short that an ordinary burst overruns it.

use super::each_interface;
use crate::setting::maximum;
use crate::{Finding, Scene, Setting, Unseen};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    each_interface(scene, |interface| of_interface(scene, interface))
}

fn of_interface(scene: &Scene<'_>, interface: &str) -> Finding {
    let setting = Setting::Ring { interface: interface.to_owned() };
    let packets: usize = match setting.read(scene.host) {
        Ok(value) => value.parse().unwrap_or(0),
        Err(Unseen::Absent(_)) => return Finding::good("it has none"),
        Err(why) => return Finding::unseen(&why),
    };
    let text = scene.host.ask(&["ethtool", "-g", interface]).unwrap_or_default();
    let most = maximum(&text, "RX").unwrap_or(packets);
    let found = format!("{packets} packets");
    if (SHORTEST.min(most)..=LONGEST).contains(&packets) {
        return Finding::good(found);
    }
    let wanted = BEST.min(most);
    let why = if packets > LONGEST {
        "packets that wait in the ring have no software stamp yet: in an overload, every stamp is late \
         by the whole ring. What \
         is to wait, waits better in the socket, where it has been stamped"
    } else {
        "a burst overruns it, and the card drops the rest before anything can count it"
    };
    Finding::advice(found, format!("{wanted} packets"), why).change(setting, wanted.to_string())
}

const SHORTEST: usize = 256;
const BEST: usize = 512;
const LONGEST: usize = 1_024;
