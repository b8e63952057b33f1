//! Lines that tune ntpd: `tos`, `tinker`, `enable`, `disable`, `interface`, and files.
//!
//! Must never: turn a number of ntpd's into one of timeball's that means something else.

use super::super::draft::Draft;
use super::super::entry::Entry;
use super::super::lan;
use super::super::numbers;

pub(super) fn driftfile(draft: &mut Draft, entry: &mut Entry) {
    draft.set_path(entry, "clock", "drift_file");
    if entry.number_if_there().is_some() {
        entry.changed("it is written within the hour when it moved, not by a tolerance");
    }
}

pub(super) fn leapfile(draft: &mut Draft, entry: &mut Entry) {
    draft.set_path(entry, "clock", "leap_file");
    if entry.takes("ignorehash") || entry.takes("checkhash") {
        entry.note("its hash is checked in any case");
    }
}

pub(super) fn port(draft: &mut Draft, entry: &mut Entry) {
    if let Some(port) = entry.number::<u16>("port") {
        draft.port = Some((port, entry.place().clone()));
    }
}

/// `interface ACTION WHAT`: addresses that are listened on are named in the configuration; devices and
/// rules by which ntpd picks addresses are not.
pub(super) fn interface(draft: &mut Draft, entry: &mut Entry) {
    let (Some(action), Some(what)) = (entry.expect("an action"), entry.expect("an address")) else {
        return;
    };
    if !["listen", "ignore", "drop"].contains(&action.as_str()) {
        return entry.unknown(&action, &["listen", "ignore", "drop"]);
    }
    match (action.as_str(), numbers::address(&what)) {
        ("listen", Some(address)) if !draft.listen.iter().any(|(known, _)| *known == address) => {
            draft.listen.push((address, entry.place().clone()));
        }
        ("listen", Some(_)) => entry.note("named already"),
        ("listen", None) if ["all", "wildcard"].contains(&what.as_str()) => {
            entry.note("every address is listened on unless others are named");
        }
        (_, None) if ["all", "wildcard"].contains(&what.as_str()) => {
            entry.note("only the addresses named to listen on are, if any is");
        }
        ("listen", None) => entry.changed(format!(
            "all addresses are listened on, not those of {what} alone: name them in `server.listen`"
        )),
        (_, _) => entry.changed(format!(
            "{what} is listened on unless `server.listen` names the addresses that are to be"
        )),
    }
}

pub(super) fn tinker(draft: &mut Draft, entry: &mut Entry) {
    while let Some(option) = entry.next() {
        let Some(value) = value(entry, &option, TINKER) else { continue };
        match option.as_str() {
            "panic" if value == 0.0 => {
                draft.set(entry, "clock", "panic_threshold_s", "0");
            }
            "panic" => {
                let key = ("clock", "panic_threshold_s");
                draft.set_seconds(entry, key, value, 0.001..=1e9);
            }
            "step" | "stepback" | "stepfwd" if value == 0.0 => {
                entry.changed(format!(
                    "`{option} 0`: an offset that cannot be slewed in time is stepped"
                ));
            }
            "step" => {
                draft.set_seconds(entry, ("clock", "step_threshold_s"), value, 0.001..=1000.0)
            }
            _ => entry.changed(format!("`{option}`: {TUNED}")),
        }
    }
}

pub(super) fn tos(draft: &mut Draft, entry: &mut Entry) {
    while let Some(option) = entry.next() {
        let Some(value) = value(entry, &option, TOS) else { continue };
        match option.as_str() {
            "maxdist" => {
                draft.set_seconds(entry, ("clock", "max_root_distance_s"), value, 0.001..=16.0);
            }
            "orphan" => {
                let stratum = value.clamp(1.0, 15.0) as u8;
                draft.set(entry, "local", "stratum", stratum.to_string());
                entry.changed("`orphan`: served from the local clock by each server for itself");
            }
            "orphanwait" => draft.set_seconds(entry, ("local", "wait_s"), value, 0.0..=3600.0),
            "minsane" if value <= 1.0 => entry.note("one source is enough where there are no more"),
            "mindist" => entry.changed("`mindist`: intervals are compared as they are measured"),
            "basedate" | "bcpollbstep" => entry.changed(format!("`{option}` has no counterpart")),
            "minsane" => entry.refused(
                format!("`minsane {value}`: a majority of those that answer is enough to serve"),
                "name at least four servers, so that a wrong one is outvoted",
            ),
            "ceiling" | "floor" => entry.refused(
                format!("`{option}`: no server is left out for its stratum"),
                "name only those that are to be asked",
            ),
            "cohort" => entry.changed("`cohort`: a server is asked whatever its stratum"),
            "beacon" => entry.changed("`beacon`: a group is asked again at its own `poll`"),
            "maxclock" => entry.changed("`maxclock`: at most ten servers are heard of"),
            "minclock" => entry.changed(format!("`minclock`: {SELECTED}")),
            _ => entry.changed(format!("`{option}`: {TUNED}")),
        }
    }
    if draft.settings.iter().any(|setting| setting.key == "wait_s")
        && !draft.settings.iter().any(|setting| setting.key == "stratum")
    {
        draft.settings.retain(|setting| setting.key != "wait_s");
        entry.changed("`orphanwait` without `orphan`: there is nothing to wait for");
    }
}

/// The value of `option`, if it is one of `known`.
fn value(entry: &mut Entry, option: &str, known: &[&str]) -> Option<f64> {
    if !known.contains(&option) {
        entry.unknown(option, known);
        return None;
    }
    if option == "basedate" {
        return entry.expect("a date").map(|_| 0.0);
    }
    entry.number(option)
}

pub(super) fn enable(draft: &mut Draft, entry: &mut Entry) {
    switches(draft, entry, true);
}

pub(super) fn disable(draft: &mut Draft, entry: &mut Entry) {
    switches(draft, entry, false);
}

fn switches(draft: &mut Draft, entry: &mut Entry, on: bool) {
    if entry.peek().is_none() {
        entry.expect("a word");
    }
    while let Some(word) = entry.next() {
        match (word.as_str(), on) {
            ("auth", true) => entry.note("unauthenticated packets make no association"),
            ("auth", false) => lan::open(draft, entry),
            ("bclient", true) => lan::broadcast_client(draft, entry),
            ("bclient", false) | ("calibrate", false) | ("stats", false) | ("mode7", false) => {}
            ("calibrate", true) => entry.changed("`calibrate`: there are no reference clocks"),
            ("kernel", _) => {
                entry.changed("`kernel`: the frequency is kept here, not in the kernel")
            }
            ("mode7", true) => entry.refused("`mode7` is a way to flood others", "use ntpq"),
            ("monitor", true) => entry.changed("`monitor`: clients are counted, not listed"),
            ("monitor", false) => entry.note("no list of clients is kept"),
            ("ntp", true) => {
                entry.note("`clock.steering` says whether the kernel clock is steered")
            }
            ("ntp", false) => {
                entry.note("the kernel clock is left alone unless `clock.steering` says so")
            }
            ("stats", true) => entry.note("`statistics` says which files are written"),
            (
                "unpeer_crypto_early"
                | "unpeer_crypto_nak_early"
                | "unpeer_digest_early"
                | "peer_clear_digest_early",
                _,
            ) => entry.changed(format!("`{word}`: a forged refusal never ends an association")),
            ("pps", _) => entry.changed("`pps`: there are no reference clocks"),
            (other, _) => entry.unknown(other, SWITCHES),
        }
    }
}

const SELECTED: &str = "sources are selected and combined by their measured error bounds";
const TUNED: &str = "the clock is kept by measured noise and needs no such constant";
const TINKER: &[&str] = &[
    "allan",
    "dispersion",
    "freq",
    "huffpuff",
    "panic",
    "step",
    "stepback",
    "stepfwd",
    "stepout",
    "tick",
];
const TOS: &[&str] = &[
    "basedate",
    "bcpollbstep",
    "beacon",
    "ceiling",
    "cohort",
    "floor",
    "maxclock",
    "maxdisp",
    "maxdist",
    "minclock",
    "mindist",
    "minsane",
    "orphan",
    "orphanwait",
];
const SWITCHES: &[&str] = &[
    "auth",
    "bclient",
    "calibrate",
    "kernel",
    "mode7",
    "monitor",
    "ntp",
    "peer_clear_digest_early",
    "pps",
    "stats",
    "unpeer_crypto_early",
    "unpeer_crypto_nak_early",
    "unpeer_digest_early",
];
