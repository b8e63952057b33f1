//! What the host keeps from a server that is to stand a flood: said at the start, and in `timeball status`.
//! `timeball-tune check` has the details, and all the rest.
//!
//! Must never: be a reason not to serve.

use std::fs;
use std::path::Path;

use crate::config::Server;

/// What `server` lacks, if `granted_bytes` is its least receive buffer; each with its remedy.
pub(super) fn of(server: &Server, granted_bytes: usize) -> Vec<String> {
    let unthreaded = server.worker_priority.and_then(|_| unthreaded(Path::new(DEVICES)));
    buffers(server.receive_buffer_bytes, granted_bytes).into_iter().chain(unthreaded).collect()
}

fn buffers(asked_bytes: usize, granted_bytes: usize) -> Option<String> {
    (granted_bytes < asked_bytes).then(|| {
        format!(
            "receive buffers hold {} KiB and not {} as receive_buffer_bytes has it: more is lost in a burst; \
             sysctl -w net.core.rmem_max={asked_bytes}",
            granted_bytes / 1024,
            asked_bytes / 1024
        )
    })
}

/// The network cards below `devices` whose work goes before that of any thread, whatever its priority.
fn unthreaded(devices: &Path) -> Option<String> {
    let is_unthreaded = |device: &fs::DirEntry| {
        let read = |name: &str| fs::read_to_string(device.path().join(name)).unwrap_or_default();
        let is_card = device.path().join("device").exists() && read("operstate").trim() == "up";
        is_card && read("threaded").trim() == "0"
    };
    let found = fs::read_dir(devices).ok()?.flatten().filter(is_unthreaded);
    let mut names: Vec<_> =
        found.map(|device| device.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    (!names.is_empty()).then(|| {
        format!(
            "worker_priority is of no use while {} has no threaded NAPI: timeball-tune check",
            names.join(", ")
        )
    })
}

const DEVICES: &str = "/sys/class/net";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_was_cut_is_told_with_the_remedy() {
        let said = buffers(262_144, 212_992).unwrap();
        assert!(said.contains("208 KiB and not 256") && said.contains("rmem_max=262144"), "{said}");
        assert_eq!(buffers(262_144, 262_144), None);
    }

    #[test]
    fn cards_that_are_up_and_not_threaded_are_named_and_nothing_else() {
        let base = std::env::temp_dir().join(format!("timeball-napi-{}", std::process::id()));
        let device = |name: &str, is_card: bool, state: &str, threaded: &str| {
            let place = base.join(name);
            fs::create_dir_all(place.join(if is_card { "device" } else { "queues" })).unwrap();
            fs::write(place.join("operstate"), state).unwrap();
            fs::write(place.join("threaded"), threaded).unwrap();
        };
        device("lo", false, "unknown\n", "0\n");
        device("eth0", true, "up\n", "0\n");
        device("eth1", true, "up\n", "1\n");
        device("eth2", true, "down\n", "0\n");
        let said = unthreaded(&base).unwrap();
        assert!(said.contains("while eth0 has"), "{said}");
        fs::remove_dir_all(base.join("eth0")).unwrap();
        assert_eq!(unthreaded(&base), None);
        fs::remove_dir_all(base).unwrap();
    }
}
