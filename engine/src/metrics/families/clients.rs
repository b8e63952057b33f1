//! What clients asked and got, by worker; and who they are, together.

use timeball_responder::DropReason;
use timeball_wire::Fallback;

use super::{Family, Seen, counter, gauge, histogram};
use crate::metrics::exposition::Exposition;
use crate::report::{Talkers, Work};

pub(super) static FAMILIES: &[Family] = &[
    counter(
        "timeball_requests_total",
        "worker",
        "Datagrams received; worker `driver`: those that the fast path has answered or dropped.",
        |seen, out| {
            each_and_driver(seen, |worker, work| {
                out.add(&[("worker", worker)], work.received as f64);
            });
        },
    ),
    counter(
        "timeball_replies_total",
        "worker, version",
        "Requests answered, by protocol version.",
        |seen, out| {
            each_and_driver(seen, |worker, work| {
                for (version, &count) in (1..).zip(&work.answered_by_version) {
                    let version = i32::to_string(&version);
                    out.add(&[("worker", worker), ("version", &version)], count as f64);
                }
            });
        },
    ),
    counter(
        "timeball_replies_by_mode_total",
        "worker, mode",
        "The same by the mode of the request: client (3), symmetric (1).",
        |seen, out| {
            each_and_driver(seen, |worker, work| {
                let symmetric = work.answered_symmetric;
                let client = work.answered.saturating_sub(symmetric);
                for (mode, count) in [("client", client), ("symmetric", symmetric)] {
                    out.add(&[("worker", worker), ("mode", mode)], count as f64);
                }
            });
        },
    ),
    counter(
        "timeball_replies_by_stamp_total",
        "worker, stamp",
        "The same by what stamped the request's arrival: the kernel, or for want of that the worker.",
        |seen, out| {
            each(seen, |worker, work| {
                let unstamped = work.noted("unstamped");
                let kernel = work.answered.saturating_sub(unstamped);
                for (stamp, count) in [("kernel", kernel), ("worker", unstamped)] {
                    out.add(&[("worker", worker), ("stamp", stamp)], count as f64);
                }
            });
        },
    ),
    counter(
        "timeball_dropped_total",
        "worker, reason",
        "Datagrams not answered, by reason (docs/src/operating.md lists them).",
        |seen, out| {
            each_and_driver(seen, |worker, work| {
                for reason in DropReason::ALL {
                    let count = work.unanswered_by_reason.get(reason.name()).copied().unwrap_or(0);
                    out.add(&[("worker", worker), ("reason", reason.name())], count as f64);
                }
            });
        },
    ),
    counter(
        "timeball_replies_unsynchronised_total",
        "worker",
        "Answers that said: not synchronised (leap 3).",
        |seen, out| {
            each_and_driver(seen, |worker, work| {
                out.add(&[("worker", worker)], work.noted("unsynchronised") as f64);
            });
        },
    ),
    counter(
        "timeball_replies_signed_total",
        "worker",
        "Answers signed with the request's key.",
        |seen, out| noted(seen, out, "signed"),
    ),
    counter(
        "timeball_replies_crypto_nak_total",
        "worker",
        "Answers that refused the request's key.",
        |seen, out| noted(seen, out, "crypto_nak"),
    ),
    counter(
        "timeball_replies_kiss_total",
        "worker",
        "Answers that were a kiss-o'-death RATE instead of the time.",
        |seen, out| noted(seen, out, "kisses"),
    ),
    counter(
        "timeball_limited_answered_total",
        "worker",
        "Requests over their client's limit that were answered all the same, by chance: one in four.",
        |seen, out| noted_and_driver(seen, out, "limited_answered_by_chance"),
    ),
    counter(
        "timeball_limited_observed_total",
        "worker",
        "Requests that would have been over their client's limit, were limits on.",
        |seen, out| noted_and_driver(seen, out, "limited_if_it_were_on"),
    ),
    counter(
        "timeball_clients_forgotten_total",
        "worker",
        "Clients whose place in the table of limits was needed for others.",
        |seen, out| noted_and_driver(seen, out, "clients_forgotten"),
    ),
    counter(
        "timeball_overloaded_batches_total",
        "worker",
        "Batches in which not everybody could be answered, so that known clients came first.",
        |seen, out| noted(seen, out, "overloaded_batches"),
    ),
    counter("timeball_sent_total", "worker", "Answers that the kernel has taken.", |seen, out| {
        each_and_driver(seen, |worker, work| out.add(&[("worker", worker)], work.sent as f64));
    }),
    counter(
        "timeball_send_errors_total",
        "worker, reason",
        "Answers that were not sent: full, no room in socket or device; refused, by the kernel.",
        |seen, out| {
            each(seen, |worker, work| {
                for (reason, name) in [("full", "send_full"), ("refused", "send_refused")] {
                    let labels = [("worker", worker), ("reason", reason)];
                    out.add(&labels, work.noted(name) as f64);
                }
            });
        },
    ),
    counter(
        "timeball_sent_raw_total",
        "worker",
        "Of the answers sent, those around the kernel's IP layer (transmit = \"xdp\" or \"packet\").",
        |seen, out| noted(seen, out, "sent_raw"),
    ),
    counter(
        "timeball_raw_fallbacks_total",
        "worker, reason",
        "Answers that were to leave around the kernel's IP layer and left by their sockets.",
        |seen, out| {
            each(seen, |worker, work| {
                for reason in Fallback::ALL.map(Fallback::name) {
                    let count = work.noted(&format!("by_socket_{reason}"));
                    out.add(&[("worker", worker), ("reason", reason)], count as f64);
                }
            });
        },
    ),
    counter(
        "timeball_frames_exhausted_total",
        "worker",
        "Times the receive ring ran out of frames.",
        |seen, out| noted(seen, out, "frames_exhausted"),
    ),
    histogram(
        "timeball_residence_seconds",
        "worker",
        "How long requests stayed here by the replies' own account, T3 − T2.",
        |seen, out| {
            each(seen, |worker, work| out.histogram(&[("worker", worker)], &work.residence_s));
        },
    ),
    histogram(
        "timeball_batch_datagrams",
        "worker",
        "Datagrams taken at once; many at once is a worker that is behind.",
        |seen, out| {
            each(seen, |worker, work| out.histogram(&[("worker", worker)], &work.batch_datagrams));
        },
    ),
    gauge(
        "timeball_clients",
        "window, family",
        "Different clients answered in the last hour and the last day, estimated; IPv6 by /64.",
        |seen, out| {
            let census = &seen.report.census;
            for (window, clients) in
                [("hour", census.clients_last_hour), ("day", census.clients_last_day)]
            {
                out.add(&[("window", window), ("family", "ipv4")], clients.ipv4 as f64);
                out.add(&[("window", window), ("family", "ipv6")], clients.ipv6 as f64);
            }
        },
    ),
    gauge(
        "timeball_clients_error_ratio",
        "",
        "Standard error of timeball_clients, relative to it.",
        |seen, out| out.only(seen.report.census.clients_error),
    ),
    gauge(
        "timeball_top_talker_ratio",
        "by",
        "Share of all datagrams of the last minutes that came from whoever sends the most: one address, \
         or one network (/24, /48). `timeball status` says who that is.",
        |seen, out| {
            let census = &seen.report.census;
            out.add(&[("by", "address")], share_of_first(&census.addresses));
            out.add(&[("by", "network")], share_of_first(&census.networks));
        },
    ),
];

/// The same, and for the driver, where there is a fast path.
fn each_and_driver(seen: &Seen<'_>, mut with: impl FnMut(&str, &Work)) {
    each(seen, &mut with);
    seen.report.fast_path.iter().for_each(|fast_path| with("driver", &fast_path.work));
}

/// For each worker its number and what it has done.
fn each(seen: &Seen<'_>, mut with: impl FnMut(&str, &Work)) {
    for (worker, work) in seen.report.workers.iter().enumerate() {
        with(&worker.to_string(), work);
    }
}

fn noted(seen: &Seen<'_>, out: &mut Exposition, name: &str) {
    each(seen, |worker, work| out.add(&[("worker", worker)], work.noted(name) as f64));
}

fn noted_and_driver(seen: &Seen<'_>, out: &mut Exposition, name: &str) {
    each_and_driver(seen, |worker, work| out.add(&[("worker", worker)], work.noted(name) as f64));
}

fn share_of_first(talkers: &Talkers) -> f64 {
    let first = talkers.top.first().map_or(0, |talker| talker.at_least);
    first as f64 / talkers.datagrams.max(1) as f64
}
