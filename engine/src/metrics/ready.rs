//! Whether clients would believe this server, and whether it is in order: for load balancers, and for
//! whatever announces an anycast address.
//!
//! Must never: say yes while a client would say no.

use crate::report::Report;
use crate::why;

/// What stands between this server and a client that believes it; empty if nothing does.
///
/// A client believes an answer with a leap indicator other than 3, a stratum from 1 to 15 and a root
/// distance below 1.5 s (RFC 5905: MAXDIST); and it needs an answer, for which each worker has to go on. A
/// snapshot that is not renewed turns every answer to leap 3 and is seen by that.
pub(super) fn not_ready(report: &Report) -> Vec<String> {
    let header = &report.header;
    let mut gates = Vec::new();
    if !report.is_serving() {
        gates.push(format!("leap is 3 and the stratum 0, {}", header.reference_id));
        gates.extend(why::reasons(report));
    } else if !(1..=15).contains(&header.stratum) {
        gates.push(format!("the stratum is {}", header.stratum));
    }
    if report.is_serving() && header.root_distance_s >= ROOT_DISTANCE_MAX_S {
        gates.push(format!(
            "the root distance, {:.3} s, is not below {ROOT_DISTANCE_MAX_S} s",
            header.root_distance_s
        ));
    }
    let needed = |name: &&String| name.starts_with("worker") || *name == "discipline";
    gates.extend(report.stuck.iter().filter(needed).map(|name| format!("{name} is stuck")));
    gates
}

/// Whether every thread goes on.
pub(super) const fn is_healthy(report: &Report) -> bool {
    report.stuck.is_empty()
}

/// What /ready says, and whether it is yes.
pub(super) fn ready(report: Option<&Report>) -> (bool, String) {
    let Some(report) = report else { return starting("not ready") };
    let gates = not_ready(report);
    if gates.is_empty() {
        let state = format!(
            "ready\nstratum {} from {}, right within {:.6} s\n",
            report.header.stratum, report.header.reference_id, report.header.root_distance_s
        );
        let notes = report.notes.iter();
        return (true, notes.fold(state, |text, note| text + "note: " + note + "\n"));
    }
    (false, gates.iter().fold("not ready\n".to_owned(), |text, gate| text + gate + "\n"))
}

/// What /health says, and whether it is well.
pub(super) fn health(report: Option<&Report>) -> (bool, String) {
    let Some(report) = report else { return starting("not healthy") };
    if is_healthy(report) {
        return (true, "healthy\n".to_owned());
    }
    let stuck = report.stuck.iter();
    (false, stuck.fold("not healthy\n".to_owned(), |text, name| text + name + " is stuck\n"))
}

fn starting(state: &str) -> (bool, String) {
    (false, format!("{state}\nthe server is still starting\n"))
}

/// What ntpd, the strictest of clients, still takes.
const ROOT_DISTANCE_MAX_S: f64 = 1.5;
