//! Two network namespaces joined by a `veth`: the smallest network that is not loopback.
//!
//! The server's end is 198.18.0.1, the clients' 198.18.0.2, and behind it all of 198.19.0.0/16 is
//! local to the clients (RFC 2544 reserves both for benchmarks). 10.77.0.0/16 and 10.128.0.0/9 are routed to
//! them and nobody's. Nothing leads out of either namespace.
//!
//! Names carry our process id and a number; the pair is deleted when dropped, and what a killed run left
//! behind is swept away by the next.
//!
//! Must never: touch a namespace or device that does not carry our prefix.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::BenchError;
use crate::process::output;

/// The two namespaces; deleted when dropped.
#[derive(Debug)]
pub(crate) struct Pair {
    server: String,
    clients: String,
    server_device: String,
    clients_device: String,
}

impl Pair {
    /// Makes the pair; fails if not root or without namespaces.
    pub(crate) fn make() -> Result<Self, BenchError> {
        if !crate::host::is_root() {
            return Err(BenchError::NotPermitted(NOT_ROOT.to_owned()));
        }
        sweep();
        let number = PAIRS.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}x{number}", std::process::id());
        let pair = Self {
            server: format!("{PREFIX}{id}s"),
            clients: format!("{PREFIX}{id}c"),
            server_device: format!("tbs{id}"),
            clients_device: format!("tbc{id}"),
        };
        pair.build().map_err(|error| {
            BenchError::NotPermitted(format!("cannot make network namespaces: {error}"))
        })?;
        Ok(pair)
    }

    fn build(&self) -> Result<(), BenchError> {
        let Self { server, clients, server_device, clients_device } = self;
        ip(&["netns", "add", server])?;
        ip(&["netns", "add", clients])?;
        ip(&[
            "link",
            "add",
            server_device,
            "netns",
            server,
            "type",
            "veth",
            "peer",
            "name",
            clients_device,
            "netns",
            clients,
        ])?;
        let (server_address, clients_address) = (format!("{SERVER}/24"), format!("{CLIENTS}/24"));
        ip(&["-n", server, "addr", "add", &server_address, "dev", server_device])?;
        ip(&["-n", clients, "addr", "add", &clients_address, "dev", clients_device])?;
        for (namespace, device) in [(server, server_device), (clients, clients_device)] {
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", namespace, "link", "set", device, "up"])?;
        }
        // The server's side must see packets as a network card would hand them over, one by one.
        let mut words = self.clients_prefix();
        words.extend(
            ["ethtool", "-K", clients_device, "tx-udp-segmentation", "off"].map(str::to_owned),
        );
        output(&words)?;
        let population = format!("{}/{}", POPULATION.0, POPULATION.1);
        ip(&["-n", clients, "route", "add", "local", &population, "dev", "lo"])?;
        let written = |(network, prefix_len)| format!("{network}/{prefix_len}");
        for network in [population, written(FORGED), written(STRANGERS)] {
            ip(&["-n", server, "route", "add", &network, "via", &CLIENTS.to_string()])?;
        }
        Ok(())
    }

    /// What goes before a command that is to run in the server's namespace.
    pub(crate) fn server_prefix(&self) -> Vec<String> {
        enter(&self.server)
    }

    /// What goes before a command that is to run in the clients' namespace.
    pub(crate) fn clients_prefix(&self) -> Vec<String> {
        enter(&self.clients)
    }

    /// The server's end of the `veth`.
    pub(crate) fn server_device(&self) -> &str {
        &self.server_device
    }

    /// Has the server's core, and not the core that happened to send, take what arrives for the
    /// server.
    pub(crate) fn steer_arrivals(&self, core: usize) -> Result<(), BenchError> {
        let mask = format!("{:x}", 1u64 << core);
        write_setting(self.server_prefix(), &self.server_device, "queues/rx-0/rps_cpus", &mask)
    }

    /// Has the server's end take frames that programs in the kernel make.
    pub(crate) fn take_frames(&self) -> Result<(), BenchError> {
        poll(self.server_prefix(), &self.server_device)
    }

    /// Has a kernel thread of its own, on `core` and at the real-time `priority`, take what arrives
    /// for the server.
    pub(crate) fn thread_arrivals(&self, core: usize, priority: u8) -> Result<(), BenchError> {
        thread(self.server_prefix(), &self.server_device, core, priority)
    }

    /// The same for what arrives for the clients.
    pub(crate) fn thread_replies(&self, core: usize, priority: u8) -> Result<(), BenchError> {
        thread(self.clients_prefix(), &self.clients_device, core, priority)
    }
}

/// Has `device`, which is where `prefix` leads, be polled: a veth has no NAPI until GRO is switched on.
fn poll(mut prefix: Vec<String>, device: &str) -> Result<(), BenchError> {
    prefix.extend(["ethtool", "-K", device, "gro", "on"].map(str::to_owned));
    output(&prefix).map(drop)
}

/// Has a kernel thread of its own take what arrives at `device`, which is where `prefix` leads.
fn thread(prefix: Vec<String>, device: &str, core: usize, priority: u8) -> Result<(), BenchError> {
    write_setting(prefix.clone(), device, "queues/rx-0/rps_cpus", "0")?;
    poll(prefix.clone(), device)?;
    write_setting(prefix, device, "threaded", "1")?;
    let thread = napi_thread(device).ok_or_else(|| {
        BenchError::NotPermitted(format!("{device} got no NAPI thread; Linux 5.12 has them"))
    })?;
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    output(&words(&["taskset", "-p", "-c", &core.to_string(), &thread]))?;
    output(&words(&["chrt", "-f", "-p", &priority.to_string(), &thread]))?;
    Ok(())
}

/// Writes to a file of `device`; `ip netns exec` mounts the namespace's own view of /sys.
fn write_setting(
    mut prefix: Vec<String>,
    device: &str,
    name: &str,
    value: &str,
) -> Result<(), BenchError> {
    let file = format!("/sys/class/net/{device}/{name}");
    prefix.extend(["sh", "-c", "echo \"$1\" > \"$2\"", "sh", value, &file].map(str::to_owned));
    output(&prefix).map(drop)
}

impl Drop for Pair {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.clients] {
            // The devices go with their namespaces; an error means that it was never made.
            let _ = ip(&["netns", "del", namespace]);
        }
    }
}

/// Where the server is.
pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
/// Where the clients' network is reached.
const CLIENTS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));
/// Where the clients are.
pub(crate) const POPULATION: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(198, 19, 0, 0)), 16);

/// Addresses that the server routes to the clients, and that nobody there has: for forged sources.
pub(crate) const FORGED: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(10, 77, 0, 0)), 16);
/// The same, so many that none needs to be used twice.
pub(crate) const STRANGERS: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(10, 128, 0, 0)), 9);

/// Deletes the namespaces of runs whose process is gone.
fn sweep() {
    let list = ip(&["netns", "list"]).unwrap_or_default();
    for namespace in list.lines().filter_map(|line| line.split_whitespace().next()) {
        let Some(owner) = owner(namespace) else { continue };
        if !std::path::Path::new(&format!("/proc/{owner}")).exists() {
            let _ = ip(&["netns", "del", namespace]);
        }
    }
}

/// The process that made a namespace, if it carries our prefix.
fn owner(namespace: &str) -> Option<u32> {
    let rest = namespace.strip_prefix(PREFIX)?;
    let (process, number) = rest.strip_suffix(['s', 'c'])?.split_once('x')?;
    number.parse::<u32>().ok().and(process.parse().ok())
}

/// The kernel thread that polls `device`.
fn napi_thread(device: &str) -> Option<String> {
    let wanted = format!("napi/{device}-");
    // A thread's name is cut to 15 octets in older kernels.
    let wanted = &wanted[..wanted.len().min(15)];
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        name.starts_with(wanted).then(|| entry.file_name().to_string_lossy().into_owned())
    })
}

fn enter(namespace: &str) -> Vec<String> {
    ["ip", "netns", "exec", namespace].map(str::to_owned).to_vec()
}

fn ip(words: &[&str]) -> Result<String, BenchError> {
    let words: Vec<String> = ["ip"].iter().chain(words).map(|&word| word.to_owned()).collect();
    output(&words)
}

/// How many this process has made.
static PAIRS: AtomicU32 = AtomicU32::new(0);
const PREFIX: &str = "timeball-bench-";
const NOT_ROOT: &str = "this runs in network namespaces of its own, which takes root; use \
    `throughput --on loopback` without";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_recognised() {
        assert_eq!(owner("timeball-bench-123x0s"), Some(123));
        assert_eq!(owner("timeball-bench-7x12c"), Some(7));
        for other in [
            "timeball-bench-s",
            "timeball-bench-12s",
            "timeball-bench-12x",
            "other-12x0s",
            "timeball-1x2s",
        ] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
