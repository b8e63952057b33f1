//! The XDP program in the driver: whether one is there, whose, and where it runs.
//!
//! Must never: advise a fast path where none is wanted; it goes around the firewall.

use serde_json::Value;

use super::each_interface;
use crate::{Finding, Scene, Unseen};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    each_interface(scene, |interface| of_interface(scene, interface))
}

fn of_interface(scene: &Scene<'_>, interface: &str) -> Finding {
    let text = match scene.host.ask(&["ip", "-json", "link", "show", "dev", interface]) {
        Ok(text) => text,
        Err(why) => return Finding::unseen(&why),
    };
    let Ok(said) = serde_json::from_str::<Value>(&text) else {
        return Finding::unseen(&Unseen::Absent("ip says nothing of it".to_owned()));
    };
    let xdp = &said[0]["xdp"];
    let name = xdp["prog"]["name"].as_str().unwrap_or("without a name");
    match xdp["mode"].as_u64() {
        None => Finding::good("no program in the driver: workers answer everything"),
        Some(_) if name != OURS => Finding::good(format!(
            "a program of somebody else ({name}): with `[fast_path]` timeball leaves it there"
        )),
        Some(GENERIC) => Finding::advice(
            "timeball's program runs behind the driver (generic)",
            "in the driver (native)",
            "each packet gets its memory from the kernel before the program sees it, which is most of what \
             the fast path saves",
        )
        .by_hand("set mode = \"native\" under [fast_path]; `timeball status` says if the driver cannot"),
        Some(_) => Finding::good("timeball's program answers in the driver (native)"),
    }
}

/// As the kernel has it.
const OURS: &str = "fast_path";
/// linux/if_link.h.
const GENERIC: u64 = 2;
