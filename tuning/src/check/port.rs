//! Who has UDP port 123: the only one that clients ask.
//!
//! Must never: name a process it has not seen holding the very socket.

use crate::{Finding, Scene};

pub(super) fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        match scene.host.read(table) {
            Ok(text) => inodes.extend(text.lines().filter_map(owner_of_123)),
            // No IPv6 here.
            Err(_) if table.ends_with('6') => {}
            Err(why) => return vec![Finding::unseen(&why)],
        }
    }
    if inodes.is_empty() {
        return vec![Finding::good("free")];
    }
    match holder(scene, &inodes) {
        Some((_, name)) if name == "timeball" => vec![Finding::good("timeball answers on it")],
        Some((id, name)) => vec![taken(&format!("{name} has it (process {id})"), &name)],
        None => vec![taken("another program has it; as root, this says which", "its owner")],
    }
}

fn taken(found: &str, name: &str) -> Finding {
    Finding::problem(
        found,
        "timeball has it",
        "timeball cannot start on port 123 while another program has it, and clients ask no other",
    )
    .by_hand(format!("stop {name} and keep it from starting again"))
}

/// The inode of a socket bound to port 123, from a line of `/proc/net/udp`.
fn owner_of_123(line: &str) -> Option<u64> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    (u16::from_str_radix(port, 16) == Ok(123)).then(|| fields.get(9)?.parse().ok())?
}

fn holder(scene: &Scene<'_>, inodes: &[u64]) -> Option<(u32, String)> {
    let links: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = scene.host.list("/proc").ok()?;
    processes.iter().filter_map(|name| name.parse().ok()).find_map(|id: u32| {
        let directory = format!("/proc/{id}/fd");
        let descriptors = scene.host.list(&directory).ok()?;
        let holds = descriptors.iter().any(|descriptor| {
            let link = scene.host.link(&format!("{directory}/{descriptor}"));
            link.is_ok_and(|link| links.contains(&link))
        });
        holds.then(|| Some((id, scene.host.read(&format!("/proc/{id}/comm")).ok()?)))?
    })
}
