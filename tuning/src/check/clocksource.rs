//! What the kernel counts time by: a register of the core, or a chip far away.
//!
//! Must never: change it: that is a step in the dark for a clock in service.

use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let read = |name: &str| scene.host.read(&format!("{DIRECTORY}/{name}"));
    let current = match read("current_clocksource") {
        Ok(current) => current,
        Err(why) => return vec![Finding::unseen(&why)],
    };
    if FAST.contains(&current.as_str()) {
        return vec![Finding::good(current)];
    }
    let available = read("available_clocksource").unwrap_or_default();
    let better = available.split(' ').find(|name| FAST.contains(name));
    let advice = match better {
        Some(better) => format!(
            "boot with clocksource={better} after finding out (dmesg) why the \
        kernel left it"
        ),
        None => {
            "see dmesg for why the kernel gave up tsc; on a virtual machine, ask for a host with a \
        stable one"
                .into()
        }
    };
    vec![
        Finding::problem(
            current,
            "tsc (or arch_sys_counter, kvm-clock, hyperv_clocksource_tsc_page)",
            "every reading of this clock is a system call and a slow access to a device, several for \
             each answer: it costs \
             more than all of NTP does, and blurs each time stamp",
        )
        .by_hand(advice),
    ]
}

const DIRECTORY: &str = "/sys/devices/system/clocksource/clocksource0";
/// Those that a program reads without a system call.
const FAST: [&str; 4] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];
