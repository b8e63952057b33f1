//! The program and its threads.

use super::{Family, counter, gauge};
use crate::metrics::ready::{is_healthy, not_ready};
use crate::report::Report;

pub(super) static FAMILIES: &[Family] = &[
    gauge("timeball_build_info", "version", "Always 1; what is running.", |_, out| {
        out.add(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    }),
    gauge("timeball_uptime_seconds", "", "Since the start.", |seen, out| {
        out.only(seen.report.uptime_s);
    }),
    gauge(
        "timeball_counting_since_seconds",
        "",
        "When counters began at 0, seconds since 1970: with the server, or with the first of those \
         that have handed over to each other since. (What is counted of the clock, the sources and \
         the fast path, and who the clients are, begins with each process.)",
        |seen, out| out.only(seen.report.counting_since_unix_s),
    ),
    gauge(
        "timeball_ready",
        "",
        "1 if a client would believe what it is told now, as /ready says; else 0.",
        |seen, out| out.only(f64::from(not_ready(seen.report).is_empty())),
    ),
    gauge(
        "timeball_healthy",
        "",
        "1 if every thread goes on, as /health says; else 0.",
        |seen, out| out.only(f64::from(is_healthy(seen.report))),
    ),
    counter(
        "timeball_config_reloads_total",
        "outcome",
        "How often the configuration was read again: done, or refused and the old one kept.",
        |seen, out| {
            out.add(&[("outcome", "done")], seen.report.reloads as f64);
            out.add(&[("outcome", "refused")], seen.report.reloads_refused as f64);
        },
    ),
    counter(
        "timeball_lost_total",
        "reason",
        "Datagrams that the kernel dropped at the workers' sockets: queue_full, or held_back while \
         senders who ask far too much were held back.",
        |seen, out| {
            out.add(&[("reason", "queue_full")], seen.report.overflow.queue_full as f64);
            out.add(&[("reason", "held_back")], seen.report.overflow.held_back as f64);
        },
    ),
    gauge(
        "timeball_senders_held_back",
        "",
        "Senders of whom the kernel lets only one datagram in a few through.",
        |seen, out| out.only(seen.report.overflow.senders.len() as f64),
    ),
    gauge("timeball_threads_stuck", "", "Threads that do not go on.", |seen, out| {
        out.only(seen.report.stuck.len() as f64);
    }),
    gauge(
        "timeball_worker_info",
        "worker, carrier",
        "Always 1; how each worker carries its datagrams.",
        |seen, out| {
            for (worker, carrier) in seen.report.carriers.iter().enumerate() {
                out.add(
                    &[("worker", &worker.to_string()), ("carrier", carrier_name(carrier))],
                    1.0,
                );
            }
        },
    ),
    gauge(
        "timeball_notes",
        "",
        "What had to be done otherwise than usual at the start; `timeball why` tells.",
        |seen, out| out.only(notes(seen.report)),
    ),
    counter(
        "timeball_http_requests_total",
        "path, code",
        "Answers of this page, by what was asked for and the answer's code; 403: a stranger.",
        |seen, out| {
            seen.visits.each(|path, code, count| {
                out.add(&[("path", path), ("code", &code.to_string())], count as f64);
            });
        },
    ),
];

fn notes(report: &Report) -> f64 {
    report.notes.len() as f64
}

/// The carrier without the reason why it was chosen, which would be another series after each kernel update.
fn carrier_name(carrier: &str) -> &str {
    carrier.split([':', '(', ';']).next().unwrap_or_default().trim()
}
