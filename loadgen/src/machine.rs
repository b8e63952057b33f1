//! The machine a result was made on, as far as a reader needs to know it to believe the result.
//!
//! Must never: fail a measurement because a fact is missing: it is "unknown" then.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Facts without which figures cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its own name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub processor: String,
    /// Cores that are online.
    pub cores_online: usize,
    /// Cores this process may use.
    pub cores: usize,
    /// The hypervisor or container it runs under; "none" if it says so itself.
    pub virtualization: String,
    /// The clock source, of which every time stamp here comes.
    pub clock_source: String,
    /// Frequency governor of the first core.
    pub governor: String,
    /// What the kernel does against the processor's leaks: each costs some of every system call.
    pub mitigations: String,
    /// Largest receive buffer that is given without privilege (`net.core.rmem_max`), octets.
    pub receive_buffer_max: String,
    /// Likewise for sending (`net.core.wmem_max`), octets.
    pub send_buffer_max: String,
    /// Load average of the last minute when the run began: a busy machine makes no figures.
    pub load_average: String,
}

impl Machine {
    /// Looks around.
    pub fn look() -> Self {
        Self {
            name: line("/proc/sys/kernel/hostname"),
            kernel: line("/proc/sys/kernel/osrelease"),
            processor: processor(),
            cores_online: online(&line("/sys/devices/system/cpu/online")),
            cores: timeball_sys::allowed_cores().len(),
            virtualization: virtualization(),
            clock_source: line(CLOCK_SOURCE),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            mitigations: mitigations(),
            receive_buffer_max: line("/proc/sys/net/core/rmem_max"),
            send_buffer_max: line("/proc/sys/net/core/wmem_max"),
            load_average: line("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    /// Whether other programs shared the cores when the run began.
    pub fn was_busy(&self) -> bool {
        self.load_average.parse().is_ok_and(|load: f64| load > LOAD_AVERAGE_MAX)
    }

    /// The facts on one line.
    pub fn text(&self) -> String {
        format!(
            "{}: {}, {} of {} cores, {}, Linux {}, clock source {}, load average {} at the start",
            self.name,
            self.processor,
            self.cores,
            self.cores_online,
            self.virtualization,
            self.kernel,
            self.clock_source,
            self.load_average
        )
    }

    /// Every fact with its name, in order.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("machine", self.name.clone()),
            ("processor", self.processor.clone()),
            ("cores", format!("{} of {} online", self.cores, self.cores_online)),
            ("virtualization", self.virtualization.clone()),
            ("kernel", format!("Linux {}", self.kernel)),
            ("clock source", self.clock_source.clone()),
            ("governor", self.governor.clone()),
            ("mitigations", self.mitigations.clone()),
            ("net.core.rmem_max", self.receive_buffer_max.clone()),
            ("net.core.wmem_max", self.send_buffer_max.clone()),
            ("load average", format!("{} at the start", self.load_average)),
        ]
    }
}

/// The device that leads to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The driver; "virtual" for one without hardware, such as `lo` and `veth`.
    pub driver: String,
    /// Largest packet, octets.
    pub mtu: String,
    /// Megabits a second.
    pub speed: String,
}

impl Device {
    /// The device that the kernel's routes choose for `target`.
    pub fn towards(target: IpAddr) -> Self {
        let route =
            Command::new("ip").args(["-o", "route", "get"]).arg(target.to_string()).output();
        let route = route.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let route = route.unwrap_or_default();
        let after_dev = route.split_whitespace().skip_while(|&word| word != "dev").nth(1);
        let name = after_dev.unwrap_or(if target.is_loopback() { "lo" } else { UNKNOWN });
        let directory = Path::new("/sys/class/net").join(name);
        let driver = match fs::read_link(directory.join("device/driver")) {
            Ok(link) => link.file_name().map(|name| name.to_string_lossy().into_owned()),
            Err(_) if directory.exists() => Some("virtual".to_owned()),
            Err(_) => None,
        };
        Self {
            name: name.to_owned(),
            driver: driver.unwrap_or_else(|| UNKNOWN.to_owned()),
            mtu: line(directory.join("mtu")),
            speed: line(directory.join("speed")),
        }
    }

    /// All of it on one line.
    pub fn text(&self) -> String {
        let speed = match self.speed.as_str() {
            UNKNOWN | "-1" => String::new(),
            speed => format!(", {speed} Mb/s"),
        };
        format!("{} ({}, MTU {}{speed})", self.name, self.driver, self.mtu)
    }
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or(UNKNOWN, |rest| rest.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// How many are in a list such as `0-3,8`.
fn online(list: &str) -> usize {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some(last.saturating_sub(first) + 1)
    };
    list.split(',').filter_map(count).sum()
}

fn virtualization() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let is_guest = flags.split_whitespace().any(|flag| flag == "hypervisor");
    let product = line("/sys/class/dmi/id/product_name");
    let vendor = line("/sys/class/dmi/id/sys_vendor");
    let mut text = match (is_guest, vendor.as_str()) {
        (false, _) => "no hypervisor".to_owned(),
        (true, UNKNOWN) => "virtual machine".to_owned(),
        (true, vendor) => format!("virtual machine ({vendor} {product})"),
    };
    if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
        text.push_str(", in a container");
    }
    text
}

fn mitigations() -> String {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return UNKNOWN.to_owned();
    };
    let mut states: Vec<_> = entries
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), line(entry.path())))
        .collect();
    states.sort();
    let names = |word: &str| {
        let with = states.iter().filter(|(_, state)| state.starts_with(word));
        with.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    match (names("Mitigation"), names("Vulnerable")) {
        (active, open) if active.is_empty() && open.is_empty() => "none needed".to_owned(),
        (active, open) if open.is_empty() => format!("against {active}"),
        (active, open) if active.is_empty() => format!("off; open to {open}"),
        (active, open) => format!("against {active}; open to {open}"),
    }
}

fn line(path: impl AsRef<Path>) -> String {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => UNKNOWN.to_owned(),
    }
}

/// Above this, other programs share the cores.
const LOAD_AVERAGE_MAX: f64 = 0.5;
const UNKNOWN: &str = "unknown";
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_linux_knows_is_found() {
        let machine = Machine::look();
        for fact in [&machine.kernel, &machine.receive_buffer_max, &machine.load_average] {
            assert_ne!(fact, UNKNOWN);
        }
        assert!((1..=machine.cores_online).contains(&machine.cores), "{machine:?}");
    }

    #[test]
    fn lists_of_cores_are_counted() {
        assert_eq!(online("0"), 1);
        assert_eq!(online("0-3,8,10-11"), 7);
        assert_eq!(online(UNKNOWN), 0);
    }

    #[test]
    fn loopback_is_a_virtual_device() {
        let device = Device::towards("127.0.0.1".parse().unwrap());
        assert_eq!((device.name.as_str(), device.driver.as_str()), ("lo", "virtual"));
    }
}
