//! What stands between the sources and a time that is served: the gate that is shut, by name and figure.
//!
//! Must never: say "unsynchronised" and leave it at that.

use crate::names::kiss_meaning;
use crate::report::{Report, Source, span};

/// What the served time rests on, or what is in the way; the first is the one that decides.
pub(crate) fn reasons(report: &Report) -> Vec<String> {
    let mut reasons = if report.is_serving() { grounds(report) } else { obstacles(report) };
    // With a source that is good the others' troubles are not the reason of anything.
    if report.clock.basis != "sources" || !report.is_serving() {
        reasons.extend(report.sources.iter().filter_map(|source| {
            trouble(report, source).map(|trouble| format!("{} {trouble}", source.name))
        }));
    }
    reasons
}

/// Why it is serving.
fn grounds(report: &Report) -> Vec<String> {
    if report.clock.basis == "local" {
        return vec![if report.sources.is_empty() {
            "no source is configured: the local clock is served as it stands".to_owned()
        } else {
            format!("the local clock is served as a last resort: {}", silence(&report.sources))
        }];
    }
    let sources = || report.sources.iter();
    let limit = report.clock.max_root_distance_s;
    if sources().all(|source| source.reach == 0) {
        return vec![format!(
            "{}: serving on by their last answers until the error bound, now {:.6} s, passes {limit} s",
            silence(&report.sources),
            report.header.root_distance_s
        )];
    }
    let used = sources().filter(|source| matches!(source.symbol, '*' | '+')).count();
    let peer = report.clock.system_peer.and_then(|index| report.sources.get(index));
    let peer = peer.map_or_else(String::new, |peer| format!(", {} first among them", peer.name));
    vec![format!("{used} of {} sources agree{peer}", report.sources.len())]
}

/// Why it is not.
fn obstacles(report: &Report) -> Vec<String> {
    let (header, clock) = (&report.header, &report.clock);
    let code = header.reference_id.as_str();
    let mut reasons = Vec::new();
    match clock.waiting.as_ref().map(|waiting| (waiting.r#for.as_str(), &waiting.text)) {
        None => reasons.push(match kiss_meaning(code) {
            Some(meaning) => format!("of kiss code {code}: {meaning}"),
            None => "its time has just changed; ask again".to_owned(),
        }),
        Some(("distance", _)) => reasons.push(format!(
            "leap is 3 because the root distance, {:.3} s, is not below max_root_distance_s, {} s",
            clock.root_distance_s.unwrap_or(header.root_distance_s),
            clock.max_root_distance_s
        )),
        Some(("sources", _)) if report.sources.is_empty() => {
            reasons.push("there is neither a source nor a local clock to serve".to_owned());
        }
        Some(("sources", text)) => {
            reasons.push(format!("it waits for {text}; {}", silence(&report.sources)));
        }
        Some((_, text)) => reasons.push(format!("it waits for {text}")),
    }
    match &report.local {
        Some(local) if local.wait_s > 0.0 => reasons.push(format!(
            "the sources have {:.0} s more before the local clock takes over at stratum {}",
            local.wait_s, local.stratum
        )),
        Some(local) => reasons.push(format!(
            "the local clock, stratum {}, takes over only when no source answers usefully",
            local.stratum
        )),
        None if !report.sources.is_empty() => {
            reasons
                .push("there is no local clock to fall back to ([local] is not there)".to_owned());
        }
        None => {}
    }
    reasons
}

/// Since when nothing was heard of the sources.
fn silence(sources: &[Source]) -> String {
    if sources.iter().any(|source| source.reach != 0) {
        return "sources answer, but none is usable".to_owned();
    }
    match sources.iter().filter_map(|source| source.when_s).min_by(f64::total_cmp) {
        Some(when) => format!("no source has answered for {}", span(when)),
        None => "no source has ever answered".to_owned(),
    }
}

/// What is wrong with a source.
fn trouble(report: &Report, source: &Source) -> Option<String> {
    let limit = report.clock.max_root_distance_s;
    let far = source.root_distance_s.filter(|&distance| distance >= limit);
    Some(match source {
        Source { state, .. } if state == "unresolved" || state == "resolving" => {
            "has no address: its name does not resolve".to_owned()
        }
        Source { state, .. } if state == "refused" => "has told us to go away".to_owned(),
        Source { unfit: Some(unfit), .. } => format!("is not believed: {unfit}"),
        Source { reach: 0, requests: 0, .. } => "has not been asked yet".to_owned(),
        Source { reach: 0, requests, when_s: None, rejected, .. } => {
            let refused: u64 = rejected.values().sum();
            let but =
                if refused > 0 { format!(", {refused} replies refused") } else { String::new() };
            format!("has never answered ({requests} requests{but})")
        }
        Source { reach: 0, when_s: Some(when), .. } => {
            format!("has not answered for {}", span(*when))
        }
        Source { tally, .. } if tally == "falseticker" => {
            "disagrees with the majority: not believed".to_owned()
        }
        _ if far.is_some() => {
            format!("may be wrong by {:.3} s, the limit is {limit} s", far.unwrap_or_default())
        }
        Source { symbol: ' ', points, .. } => format!("has given {points} answers, too few yet"),
        _ => return None,
    })
}
