//! What a person sees at start: what is served, where, how, and how to ask it.
//!
//! Must never: be needed by a program; it goes to standard error and may change.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use timeball_sys::probe_uring;

use super::listen::Listening;
use crate::config::{Backend, Listen, Plan, Spread, Steering};
use crate::metrics::MetricsSockets;
use crate::report::{Driver, Sandbox, fast_path_lines, sandbox};

/// The start-up report, gathered while starting.
pub(super) struct Banner {
    text: String,
}

impl Banner {
    /// What is known once the sockets are open.
    pub(super) fn new(
        plan: &Plan,
        listening: &Listening,
        control: Option<&Path>,
        confined: &Sandbox,
        page: Option<&MetricsSockets>,
        driver: Option<&Driver>,
        has_exits: bool,
    ) -> Self {
        let mut banner = Self { text: format!("timeball {}\n", env!("CARGO_PKG_VERSION")) };
        banner.line("serving", &serving(plan));
        banner.line("listening", &listening.names().join("  "));
        banner.line("workers", &workers(plan, listening.receive_buffer_bytes()));
        if let (Some(transmit), true) = (plan.server.transmit.raw(), has_exits) {
            banner.line("transmit", &format!("replies by {transmit}, {BYPASSED}"));
        }
        for note in &listening.notes {
            banner.line("note", note);
        }
        banner.line("sandbox", &sandbox(confined));
        for line in driver.into_iter().flat_map(|driver| fast_path_lines(&driver.report())) {
            banner.line("driver", &line);
        }
        if let Some(path) = control {
            banner.line("control", &path.display().to_string());
        }
        for address in page.into_iter().flat_map(MetricsSockets::addresses) {
            banner.line("metrics", &format!("http://{address}/metrics"));
        }
        if let Some(address) = listening.addresses().next() {
            banner.line("ask it", &format!("timeball query {}", reachable(address)));
        }
        if plan.server.backend != Backend::Mmsg {
            for feature in probe_uring().features {
                tracing::debug!("io_uring: {feature}");
            }
        }
        banner
    }

    /// Prints it all, with what the workers chose and how long the start took.
    pub(super) fn print<'a>(mut self, carriers: impl Iterator<Item = &'a str>, took: Duration) {
        let mut carriers: Vec<_> = carriers.collect();
        carriers.dedup();
        for carrier in carriers {
            self.line("carrier", carrier);
        }
        eprintln!("{}timeball is ready after {} ms", self.text, took.as_millis());
    }

    fn line(&mut self, key: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "  {key:9}  {value}");
    }
}

/// What the operator must know of replies that leave around the kernel's IP layer.
const BYPASSED: &str = "not seen by netfilter's output rules (NAT!), queueing disciplines or IPsec";

fn serving(plan: &Plan) -> String {
    if plan.sources.is_empty() {
        let stratum = plan.local.as_ref().map_or(0, |local| local.stratum.get());
        return format!("this machine's clock as it is, as a local reference at stratum {stratum}");
    }
    let names: Vec<_> = plan.sources.iter().map(|source| source.endpoint.to_string()).collect();
    let fallback = plan.local.as_ref().map_or_else(String::new, |local| {
        format!("; this machine's clock at stratum {} if all fail", local.stratum.get())
    });
    let steering = match plan.clock.steering {
        Steering::Virtual => "the kernel clock is not touched",
        Steering::Kernel => "the kernel clock is steered",
    };
    format!("the time of {}{fallback}; {steering}", names.join(", "))
}

fn workers(plan: &Plan, receive_buffer_bytes: usize) -> String {
    let server = &plan.server;
    let cores: Vec<_> = server.cores.iter().map(ToString::to_string).collect();
    let by = match server.spread {
        Spread::SourceAddress => "by source address",
        Spread::Cpu => "by receiving core",
        Spread::Kernel => "by source address and port",
    };
    let mut text = format!(
        "{} on core {}; packets spread {by}; {} KiB receive buffer each",
        cores.len(),
        cores.join(", "),
        receive_buffer_bytes / 1024
    );
    if let Some(priority) = server.worker_priority {
        let _ = write!(text, "; SCHED_FIFO priority {priority}");
    }
    text
}

/// An address by which somebody on this machine reaches a socket bound to `address`.
fn reachable(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    if address.port() == Listen::PORT {
        ip.to_string()
    } else {
        SocketAddr::new(ip, address.port()).to_string()
    }
}
