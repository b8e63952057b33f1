//! The settings that a server which runs cannot change: what their change needs is a new process.
//!
//! How many sockets there are at an address, and how packets are spread over them, is laid down when they are
//! opened; privileges are gone once it serves, so a program for the network driver is loaded at the start or
//! never.
//!
//! Must never: leave a setting out that a reload does not put into force.

use crate::config::Plan;
use crate::difference::Difference;

/// Puts into `new` what stays as it is in `old`, and takes those differences out of `found`; `is_driven`: the
/// program for drivers is loaded.
pub(super) fn keep(
    new: &mut Plan,
    old: &Plan,
    is_driven: bool,
    found: &mut Vec<Difference>,
) -> Vec<Difference> {
    let driver = if is_driven { &[][..] } else { &DRIVER };
    let fixed: Vec<_> = FIXED.iter().chain(driver).collect();
    for (_, _, keep) in &fixed {
        keep(new, old);
    }
    let is_fixed = |one: &mut Difference| {
        fixed.iter().any(|(section, setting, _)| one.is_of(section, setting))
    };
    found.extract_if(.., is_fixed).collect()
}

/// Takes one setting of a plan over from another.
type Keep = fn(&mut Plan, &Plan);

/// Section, setting, and how it is kept.
const FIXED: [(&str, &str, Keep); 9] = [
    ("server", "cores", |new, old| new.server.cores.clone_from(&old.server.cores)),
    ("server", "spread", |new, old| new.server.spread = old.server.spread),
    ("server", "receive_buffer_bytes", |new, old| {
        new.server.receive_buffer_bytes = old.server.receive_buffer_bytes;
    }),
    ("server", "transmit", |new, old| new.server.transmit = old.server.transmit),
    ("server", "worker_priority", |new, old| {
        new.server.worker_priority = old.server.worker_priority;
    }),
    ("server", "user", |new, old| new.server.user.clone_from(&old.server.user)),
    ("sandbox", "mode", |new, old| new.sandbox = old.sandbox),
    ("clock", "steering", |new, old| new.clock.steering = old.clock.steering),
    ("fast_path", "replace_foreign", |new, old| {
        new.fast_path.replace_foreign = old.fast_path.replace_foreign;
    }),
];

/// The same where there is no program for drivers.
const DRIVER: [(&str, &str, Keep); 2] = [
    ("fast_path", "interfaces", |new, old| {
        new.fast_path.interfaces.clone_from(&old.fast_path.interfaces);
    }),
    ("fast_path", "mode", |new, old| new.fast_path.mode = old.fast_path.mode),
];
