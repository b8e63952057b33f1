//! Processors that slow down when there is little to do, and take their time to speed up.
//!
//! Must never: change a core that is no worker's.

use crate::{Finding, Scene, Setting};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let setting = |core: &usize| {
        Setting::file(format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"))
    };
    let governors: Vec<_> =
        scene.cores.iter().map(|core| (core, setting(core).read(scene.host))).collect();
    let slow: Vec<_> = governors
        .iter()
        .filter_map(|(core, governor)| Some((*core, governor.as_ref().ok()?)))
        .filter(|(_, governor)| *governor != BEST)
        .collect();
    let Some((_, example)) = slow.first() else {
        let seen = governors.iter().any(|(_, governor)| governor.is_ok());
        return vec![Finding::good(if seen {
            BEST
        } else {
            "not in this machine's hands (virtual, or by firmware)"
        })];
    };
    let advice = Finding::advice(
        format!("{example} on {} of {} cores of workers", slow.len(), scene.cores.len()),
        BEST,
        "a core that had little to do answers the first packets of a burst slowly, and its speed \
         changes between the \
         stamps of one answer. Costs power",
    );
    vec![slow.iter().fold(advice, |finding, (core, _)| finding.change(setting(core), BEST))]
}

const BEST: &str = "performance";
