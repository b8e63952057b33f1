//! Everything that is looked at, in order of what it costs clients.
//!
//! Must never: hold a check that changes anything: a check only looks.

mod clocksource;
mod coalescing;
mod conntrack;
mod container;
mod daemons;
mod fast_path;
mod firewall;
mod governor;
mod hash;
mod idle;
mod interrupts;
mod io_uring;
mod napi;
mod numa;
mod port;
mod queues;
mod realtime;
mod receive_buffer;
mod ring;
mod time_namespace;
mod timestamps;

use crate::{Finding, Scene, TuneError};

/// One thing to look at.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// How much it can cost clients: 5 is all answers, or right ones; 1 is a little.
    pub effect: u8,
    look: fn(&Scene<'_>) -> Vec<Finding>,
}

impl Check {
    /// Looks; there is at least one finding.
    pub fn look(&self, scene: &Scene<'_>) -> Vec<Finding> {
        let found = (self.look)(scene);
        if found.is_empty() { vec![Finding::good("no network device to look at")] } else { found }
    }
}

/// The checks called `names`, or all of them if there are no names.
///
/// # Errors
/// When there is no check of a name.
pub fn look(names: &[String]) -> Result<Vec<&'static Check>, TuneError> {
    if names.is_empty() {
        return Ok(CHECKS.iter().collect());
    }
    let find = |name: &String| {
        CHECKS.iter().find(|check| check.name == name).ok_or_else(|| TuneError::UnknownCheck {
            name: name.clone(),
            known: CHECKS.map(|check| check.name).join(", "),
        })
    };
    names.iter().map(find).collect()
}

/// All checks, in order of effect.
pub static CHECKS: [Check; 21] = [
    Check { name: "daemons", title: "other time daemons", effect: 5, look: daemons::look },
    Check { name: "port", title: "owner of UDP port 123", effect: 5, look: port::look },
    Check { name: "firewall", title: "firewall", effect: 5, look: firewall::look },
    Check {
        name: "napi",
        title: "packets received below the workers",
        effect: 5,
        look: napi::look,
    },
    Check { name: "conntrack", title: "connection tracking", effect: 4, look: conntrack::look },
    Check {
        name: "container",
        title: "limits on processor time",
        effect: 4,
        look: container::look,
    },
    Check { name: "clocksource", title: "clock source", effect: 4, look: clocksource::look },
    Check { name: "queues", title: "queues of the network card", effect: 4, look: queues::look },
    Check {
        name: "interrupts",
        title: "interrupts of the network card",
        effect: 3,
        look: interrupts::look,
    },
    Check { name: "hash", title: "clients to queues", effect: 3, look: hash::look },
    Check {
        name: "receive-buffer",
        title: "receive buffer",
        effect: 3,
        look: receive_buffer::look,
    },
    Check { name: "realtime", title: "real-time throttling", effect: 3, look: realtime::look },
    Check { name: "coalescing", title: "interrupt coalescing", effect: 3, look: coalescing::look },
    Check { name: "governor", title: "processor frequency", effect: 3, look: governor::look },
    Check { name: "fast-path", title: "program in the driver", effect: 2, look: fast_path::look },
    Check { name: "ring", title: "receive ring of the network card", effect: 2, look: ring::look },
    Check { name: "idle", title: "processor idle states", effect: 2, look: idle::look },
    Check { name: "numa", title: "memory nodes", effect: 2, look: numa::look },
    Check {
        name: "timestamps",
        title: "time stamps by the network card",
        effect: 2,
        look: timestamps::look,
    },
    Check { name: "io-uring", title: "kernel and io_uring", effect: 1, look: io_uring::look },
    Check {
        name: "time-namespace",
        title: "time namespace",
        effect: 1,
        look: time_namespace::look,
    },
];

/// Looks at each network device in turn.
fn each_interface(scene: &Scene<'_>, look: impl Fn(&str) -> Finding) -> Vec<Finding> {
    scene.interfaces.iter().map(|interface| look(interface).about(interface)).collect()
}
